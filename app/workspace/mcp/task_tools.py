"""Tools for the project's tasks and for the caller's account, and one tool that always fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from mcp.server.mcpserver import Context  # noqa: TC002 - read at run time from the tools' signatures
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel, ConfigDict, Field

from app.workspace.mcp.server import ADDS, CHANGES, READS, Caller, WorkspaceMcpServer, caller
from app.workspace.tasks import task_rows

if TYPE_CHECKING:
    import sqlite3

TaskId = Annotated[str, Field(description="The task's id, short name or number, such as HED-4", max_length=64)]
RunState = Literal["not_started", "queued", "in_progress", "completed", "failed", "cancelled"]


class TaskLine(BaseModel):
    """A task in a list."""

    id: str
    slug: str = Field(description="The short name, such as HED-4")
    title: str
    state: RunState = Field(description="The state of the latest run")
    repository: str | None
    archived: bool
    updated_at: str


class TaskDetail(TaskLine):
    """A task with its description and runs."""

    description: str
    created_at: str
    runs: list[str] = Field(description="One line per run, newest first")


class CallerAccount(BaseModel):
    """Who the credential belongs to and what it may do."""

    model_config = ConfigDict(title="Account")

    name: str
    email: str
    organization: str
    project: str
    scopes: list[str]


_TASKS = (
    "SELECT t.*, coalesce((SELECT r.status FROM runs r WHERE r.task_id = t.id ORDER BY r.created_at DESC LIMIT 1),"
    " 'not_started') AS state FROM tasks t WHERE t.project_id = ? AND t.deleted = 0"
)


def add_task_tools(server: WorkspaceMcpServer) -> None:
    """Register the tools for tasks."""
    db = server.workspace.db

    async def change(who: Caller, task: str, values: dict[str, object]) -> TaskDetail:
        now = server.workspace.clock.now()

        def store(at: sqlite3.Connection) -> TaskDetail:
            row = task_rows.find_task(at, who.project, _row(at, who.project, task)["id"])
            assert row is not None
            task_rows.change_task(at, row, values, now)
            return _detail(at, who.project, row["id"])

        return await db.run(store)

    @server.needing("task:read", title="List tasks", annotations=READS)
    async def list_tasks(
        ctx: Context,
        state: Annotated[RunState | None, Field(description="Only tasks whose latest run is in this state")] = None,
        include_archived: Annotated[bool, Field(description="Show archived tasks too")] = False,
        limit: Annotated[int, Field(ge=1, le=100)] = 20,
    ) -> list[TaskLine]:
        """List the project's tasks, the most recently changed first."""
        who = await caller(server, ctx)
        query = f"SELECT * FROM ({_TASKS}) WHERE (? OR archived = 0) AND (? IS NULL OR state = ?)"
        values = (who.project, include_archived, state, state, limit)
        return await db.read(lambda at: _lines(at, f"{query} ORDER BY updated_at DESC LIMIT ?", values))

    @server.needing("task:read", title="Search tasks", annotations=READS)
    async def search_tasks(
        ctx: Context,
        query: Annotated[str, Field(description="Words to find in title or description", min_length=1, max_length=200)],
        limit: Annotated[int, Field(ge=1, le=50)] = 10,
    ) -> list[TaskLine]:
        """Find tasks by words in their title or description; every word must occur."""
        who = await caller(server, ctx)
        words = query.lower().split()[:10]
        where = " AND instr(lower(title || ' ' || description), ?)" * len(words)
        sql = f"SELECT * FROM ({_TASKS}) WHERE 1{where} ORDER BY updated_at DESC LIMIT ?"
        return await db.read(lambda at: _lines(at, sql, (who.project, *words, limit)))

    @server.needing("task:read", title="Get a task", annotations=READS)
    async def get_task(ctx: Context, task: TaskId) -> TaskDetail:
        """Read one task with its description and runs."""
        who = await caller(server, ctx)
        return await db.read(lambda at: _detail(at, who.project, task))

    @server.needing("task:write", title="Create a task", annotations=ADDS)
    async def create_task(
        ctx: Context,
        title: Annotated[str, Field(description="What is to be done, in a few words", min_length=1, max_length=255)],
        description: Annotated[str, Field(description="What somebody needs to know to do it", max_length=20_000)] = "",
        repository: Annotated[
            str | None, Field(description="owner/name on GitHub", pattern=r"^[\w.-]+/[\w.-]+$", max_length=140)
        ] = None,
    ) -> TaskDetail:
        """Create a task in the project. It is not started."""
        who = await caller(server, ctx)
        now = server.workspace.clock.now()
        values = {
            "title": title.strip() or title,
            "title_manually_set": True,
            "description": description,
            "repository": repository,
        }

        def store(at: sqlite3.Connection) -> TaskDetail:
            made = task_rows.create_task(at, who.project, who.grant.user_id, values, now)
            return _detail(at, who.project, str(made["id"]))

        return await db.run(store)

    @server.needing("task:write", title="Change a task", annotations=CHANGES)
    async def update_task(
        ctx: Context,
        task: TaskId,
        title: Annotated[str | None, Field(description="A new title", min_length=1, max_length=255)] = None,
        description: Annotated[str | None, Field(description="A new description", max_length=20_000)] = None,
    ) -> TaskDetail:
        """Change a task's title or description; what is left out stays as it is."""
        who = await caller(server, ctx)
        wanted = {"title": title, "description": description}
        return await change(who, task, {name: value for name, value in wanted.items() if value is not None})

    @server.needing("task:write", title="Archive a task", annotations=CHANGES)
    async def archive_task(ctx: Context, task: TaskId) -> TaskDetail:
        """Put a task away; it can be found again among the archived ones."""
        who = await caller(server, ctx)
        return await change(who, task, {"archived": True})

    @server.needing("project:read", title="Who am I", annotations=READS)
    async def who_am_i(ctx: Context) -> CallerAccount:
        """Tell whose credential is used, for which project, and what it may do."""
        who = await caller(server, ctx)
        query = (
            "SELECT u.first_name || ' ' || u.last_name AS name, u.email, o.name AS organization, p.name AS project"
            " FROM users u, projects p JOIN organizations o ON o.id = p.organization_id WHERE u.id = ? AND p.id = ?"
        )
        row = await db.read(lambda at: at.execute(query, (who.grant.user_id, who.project)).fetchone())
        return CallerAccount(**dict(row), scopes=sorted(who.grant.scopes))

    @server.needing("task:write", title="Import a legacy export", annotations=ADDS)
    async def import_legacy_export(
        ctx: Context,
        address: Annotated[str, Field(description="Where the export is", max_length=2000)],
    ) -> str:
        """Import tasks from the export format of the old tracker. The importer was switched off and always fails."""
        await caller(server, ctx)
        raise ToolError(f"The importer for the old tracker was switched off; {address[:200]!r} was not read.")


def _lines(at: sqlite3.Connection, query: str, values: tuple[Any, ...]) -> list[TaskLine]:
    return [TaskLine.model_validate(_fields(at, row)) for row in at.execute(query, values).fetchall()]


def _row(at: sqlite3.Connection, project: int, wanted: str) -> sqlite3.Row:
    # A short name has one dash, a UUID has four.
    number = wanted.rpartition("-")[2] if wanted.count("-") == 1 else wanted
    query = f"{_TASKS} AND (t.id = ? OR CAST(t.task_number AS TEXT) = ?)"
    row: sqlite3.Row | None = at.execute(query, (project, wanted, number)).fetchone()
    if row is None:
        raise ToolError(f"There is no task {wanted}.")
    return row


def _detail(at: sqlite3.Connection, project: int, wanted: str) -> TaskDetail:
    row = _row(at, project, wanted)
    found = at.execute(
        "SELECT created_at, status, branch, error_message FROM runs WHERE task_id = ?"
        " ORDER BY created_at DESC LIMIT 50",
        (row["id"],),
    ).fetchall()
    runs = [" · ".join(str(part) for part in run if part) for run in found]
    return TaskDetail.model_validate(
        _fields(at, row) | {"description": row["description"], "created_at": row["created_at"], "runs": runs}
    )


def _fields(at: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any]:
    names = ("id", "title", "state", "repository", "archived", "updated_at")
    return {name: row[name] for name in names} | {"slug": task_rows.slug(at, row)}
