"""Tasks in the database, and as the API shows them (docs/wire.md, "Tasks").

Every function runs inside a transaction of its caller.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from app.workspace.accounts.users import user_summary
from app.workspace.runtime.clock import iso
from app.workspace.tasks.run_json import run_json

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

# By row too, because two runs can have the same time.
LATEST = "(SELECT id FROM runs WHERE task_id = t.id ORDER BY created_at DESC, rowid DESC LIMIT 1)"
FROM = f"FROM tasks t LEFT JOIN runs r ON r.id = {LATEST}"
ORDERINGS = {
    "created_at": "t.created_at, t.task_number",
    "-created_at": "t.created_at DESC, t.task_number DESC",
    "last_activity_at": "t.last_activity_at, t.task_number",
    "-last_activity_at": "t.last_activity_at DESC, t.task_number DESC",
    "updated_at": "t.updated_at, t.task_number",
    "-updated_at": "t.updated_at DESC, t.task_number DESC",
}
DEFAULT_ORDERING = "-created_at"
COLUMNS = (
    "title",
    "title_manually_set",
    "description",
    "origin_product",
    "runtime",
    "repository",
    "github_integration",
    "github_user_integration",
    "json_schema",
    "ci_prompt",
)


@dataclass(frozen=True)
class TaskFilters:
    """Which tasks of a project; None means any. `nothing` matches no task at all."""

    archived: bool | None = False
    internal: bool | None = False
    pinned: bool | None = None
    search: str | None = None
    status: str | None = None
    stage: str | None = None
    repository: str | None = None
    organization: str | None = None
    origin_product: str | None = None
    created_by: int | None = None
    pr_state: str | None = None
    ci_status: str | None = None
    nothing: bool = False


def find_tasks(
    db: sqlite3.Connection,
    project: int,
    user_id: int,
    filters: TaskFilters,
    ordering: str = DEFAULT_ORDERING,
    limit: int = 50,
    offset: int = 0,
) -> tuple[list[dict[str, object]], int]:
    """One page of tasks as the API shows them, and how many match in total."""
    where, values = _where(project, user_id, filters)
    [count] = db.execute(f"SELECT count(*) {FROM} WHERE {where}", values).fetchone()
    order = ORDERINGS.get(ordering, ORDERINGS[DEFAULT_ORDERING])
    rows = db.execute(
        f"SELECT t.* {FROM} WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?", (*values, limit, offset)
    ).fetchall()
    return [task_json(db, row) for row in rows], int(count)


def find_task(db: sqlite3.Connection, project: int, task_id: str | None) -> sqlite3.Row | None:
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM tasks WHERE id = ? AND project_id = ? AND deleted = 0", (task_id, project)
    ).fetchone()
    return row


def create_task(
    db: sqlite3.Connection, project: int, user_id: int, values: Mapping[str, object], now: float
) -> dict[str, object]:
    """Store a task; `values` as `fields.read_new_task` returns them. Returns the Task object."""
    moment = iso(now)
    # Deleted tasks count, so that no number is used twice; the write transaction keeps two creations apart.
    number = db.execute(
        "SELECT coalesce(max(task_number), 0) + 1 FROM tasks WHERE project_id = ?", (project,)
    ).fetchone()[0]
    task_id = str(values.get("id") or uuid4())
    repository = values.get("repository")
    archived = bool(values.get("archived"))
    db.execute(
        "INSERT INTO tasks (id, project_id, task_number, title, title_manually_set, description, origin_product,"
        " runtime, repository, repositories, github_integration, github_user_integration, json_schema, internal,"
        " archived, archived_at, created_at, updated_at, last_activity_at, created_by, ci_prompt)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?)",
        (
            task_id,
            project,
            number,
            values["title"],
            bool(values.get("title_manually_set")),
            values.get("description", ""),
            values.get("origin_product", "user_created"),
            values.get("runtime", "acp"),
            repository,
            json.dumps([repository] if repository else []),
            values.get("github_integration"),
            values.get("github_user_integration"),
            _encoded(values.get("json_schema")),
            archived,
            moment if archived else None,
            moment,
            moment,
            moment,
            user_id,
            values.get("ci_prompt"),
        ),
    )
    created = find_task(db, project, task_id)
    assert created is not None
    return task_json(db, created)


def change_task(
    db: sqlite3.Connection, row: sqlite3.Row, values: Mapping[str, object], now: float
) -> dict[str, object]:
    """Set columns of a task. Archiving an archived task again does not change when it was archived."""
    moment = iso(now)
    columns: dict[str, object] = {name: values[name] for name in COLUMNS if name in values}
    if "json_schema" in columns:
        columns["json_schema"] = _encoded(columns["json_schema"])
    if "repository" in columns:
        columns["repositories"] = json.dumps([columns["repository"]] if columns["repository"] else [])
    if "archived" in values and bool(values["archived"]) != bool(row["archived"]):
        columns["archived"] = bool(values["archived"])
        columns["archived_at"] = moment if values["archived"] else None
    if columns:
        columns |= {"updated_at": moment, "last_activity_at": moment}
        assignments = ", ".join(f"{name} = ?" for name in columns)
        db.execute(f"UPDATE tasks SET {assignments} WHERE id = ?", (*columns.values(), row["id"]))
    changed = find_task(db, row["project_id"], row["id"])
    assert changed is not None
    return task_json(db, changed)


def delete_task(db: sqlite3.Connection, row: sqlite3.Row, now: float) -> None:
    """Hide a task from every view. The row stays, so its number is not given out again."""
    db.execute("UPDATE tasks SET deleted = 1, updated_at = ? WHERE id = ?", (iso(now), row["id"]))
    db.execute("DELETE FROM pins WHERE task_id = ?", (row["id"],))


def touch_task(db: sqlite3.Connection, task_id: str, moment: str) -> None:
    """Record activity at `moment`, as `iso` writes it."""
    db.execute("UPDATE tasks SET last_activity_at = ? WHERE id = ?", (moment, task_id))


def pin_task(db: sqlite3.Connection, user_id: int, task_id: str, pinned: bool, now: float) -> None:
    if pinned:
        db.execute("INSERT OR IGNORE INTO pins VALUES (?, ?, ?)", (user_id, task_id, iso(now)))
    else:
        db.execute("DELETE FROM pins WHERE user_id = ? AND task_id = ?", (user_id, task_id))


def pinned_ids(db: sqlite3.Connection, project: int, user_id: int) -> list[str]:
    rows = db.execute(
        "SELECT p.task_id FROM pins p JOIN tasks t ON t.id = p.task_id"
        " WHERE p.user_id = ? AND t.project_id = ? AND t.deleted = 0 ORDER BY p.pinned_at DESC",
        (user_id, project),
    ).fetchall()
    return [row["task_id"] for row in rows]


def repositories(db: sqlite3.Connection, project: int) -> list[str]:
    rows = db.execute(
        "SELECT DISTINCT repository FROM tasks WHERE project_id = ? AND deleted = 0 AND repository IS NOT NULL"
        " ORDER BY repository",
        (project,),
    ).fetchall()
    return [row["repository"] for row in rows]


def summaries(
    db: sqlite3.Connection, project: int, ids: Iterable[str], limit: int, offset: int
) -> tuple[list[dict[str, object]], int]:
    """The short form of the given tasks, newest first; unknown ids are left out."""
    wanted = json.dumps(list(ids))
    where = "t.project_id = ? AND t.deleted = 0 AND t.id IN (SELECT value FROM json_each(?))"
    [count] = db.execute(f"SELECT count(*) FROM tasks t WHERE {where}", (project, wanted)).fetchone()
    rows = db.execute(
        f"SELECT t.id, t.title, t.repository, t.created_at, t.updated_at, t.origin_product, r.status, r.environment"
        f" {FROM} WHERE {where} ORDER BY {ORDERINGS[DEFAULT_ORDERING]} LIMIT ? OFFSET ?",
        (project, wanted, limit, offset),
    ).fetchall()
    found = []
    for row in rows:
        run = None if row["status"] is None else {"status": row["status"], "environment": row["environment"]}
        names = ("id", "title", "repository", "created_at", "updated_at", "origin_product")
        found.append({**{name: row[name] for name in names}, "latest_run": run})
    return found, int(count)


def search_everything(db: sqlite3.Connection, project: int, words: str, limit: int) -> list[dict[str, object]]:
    """Tasks and pull requests whose text contains `words`, newest first."""
    found: list[dict[str, object]] = []
    pattern = words.casefold()
    rows = db.execute(
        f"SELECT t.id, t.title, t.task_number, t.project_id, t.repository, r.id AS run, r.status, r.output,"
        f" instr(folded(t.title), ?) + instr(folded(t.description), ?) AS in_task,"
        f" instr(folded(coalesce(json_extract(r.output, '$.pr_url'), '')), ?) AS in_pr"
        f" {FROM} WHERE t.project_id = ? AND t.deleted = 0 AND (in_task OR in_pr)"
        f" ORDER BY {ORDERINGS[DEFAULT_ORDERING]} LIMIT ?",
        (pattern, pattern, pattern, project, limit),
    ).fetchall()
    for row in rows:
        shared = {"task_id": row["id"], "task_run_id": row["run"], "channel_id": None}
        if row["in_task"]:
            found.append(
                {
                    "id": row["id"],
                    "kind": "task",
                    "title": row["title"],
                    "subtitle": row["repository"],
                    **shared,
                    "metadata": {"slug": slug(db, row), "status": row["status"]},
                }
            )
        link = (json.loads(row["output"]) if row["output"] else {}).get("pr_url")
        if row["in_pr"] and isinstance(link, str):
            found.append(
                {
                    "id": row["run"],
                    "kind": "pull_request",
                    "title": link.rsplit("github.com/", 1)[-1],
                    "subtitle": row["title"],
                    **shared,
                    "metadata": {"pr_url": link},
                }
            )
    return found[:limit]


def slug(db: sqlite3.Connection, row: sqlite3.Row) -> str:
    """The short name of a task, such as HED-12: three letters of the project and the task's number."""
    name = db.execute("SELECT name FROM projects WHERE id = ?", (row["project_id"],)).fetchone()[0]
    letters = "".join(character for character in name.upper() if character.isascii() and character.isalpha())
    return f"{letters[:3] or 'TSK'}-{row['task_number']}"


def task_json(db: sqlite3.Connection, row: sqlite3.Row) -> dict[str, object]:
    """The whole Task object."""
    creator = db.execute("SELECT * FROM users WHERE id = ?", (row["created_by"],)).fetchone()
    run = db.execute(
        "SELECT * FROM runs WHERE task_id = ? ORDER BY created_at DESC, rowid DESC LIMIT 1", (row["id"],)
    ).fetchone()
    return {
        "id": row["id"],
        "task_number": row["task_number"],
        "slug": slug(db, row),
        "title": row["title"],
        "title_manually_set": bool(row["title_manually_set"]),
        "description": row["description"],
        "origin_product": row["origin_product"],
        "runtime": row["runtime"],
        "repository": row["repository"],
        "repositories": json.loads(row["repositories"]),
        "github_integration": row["github_integration"],
        "github_user_integration": row["github_user_integration"],
        "json_schema": json.loads(row["json_schema"]) if row["json_schema"] else None,
        "signal_report": row["signal_report"],
        "internal": bool(row["internal"]),
        "archived": bool(row["archived"]),
        "archived_at": row["archived_at"],
        "latest_run": None if run is None else run_json(db, run, row["project_id"]),
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "last_activity_at": row["last_activity_at"],
        "created_by": None if creator is None else user_summary(creator),
        "ci_prompt": row["ci_prompt"],
        "channel": row["channel"],
        "slack_thread_references": [],
    }


def _encoded(value: object) -> str | None:
    return None if value is None else json.dumps(value)


def _where(project: int, user_id: int, filters: TaskFilters) -> tuple[str, list[object]]:
    clauses = ["t.project_id = ?", "t.deleted = 0"]
    values: list[object] = [project]

    def add(clause: str, *bound: object) -> None:
        clauses.append(clause)
        values.extend(bound)

    if filters.nothing:
        add("0")
    if filters.archived is not None:
        add("t.archived = ?", filters.archived)
    if filters.internal is not None:
        add("t.internal = ?", filters.internal)
    if filters.pinned is not None:
        negation = "" if filters.pinned else "NOT "
        add(f"{negation}EXISTS (SELECT 1 FROM pins p WHERE p.task_id = t.id AND p.user_id = ?)", user_id)
    if filters.search:
        words = filters.search.casefold()
        # `12` and `HED-12` find the task with that number.
        number = words.rpartition("-")[2] if words.isascii() else ""
        add(
            "(instr(folded(t.title), ?) OR instr(folded(t.description), ?) OR instr(folded(t.repository), ?)"
            " OR CAST(t.task_number AS TEXT) = ?)",
            words,
            words,
            words,
            number,
        )
    if filters.repository:
        name = filters.repository.lower()
        if "/" in name:
            add("t.repository = ?", name)
        else:
            add("substr(t.repository, instr(t.repository, '/') + 1) = ?", name)
    if filters.organization:
        add("substr(t.repository, 1, instr(t.repository, '/') - 1) = ?", filters.organization.lower())
    for column, value in (
        ("r.status", filters.status),
        ("r.stage", filters.stage),
        ("t.origin_product", filters.origin_product),
        ("t.created_by", filters.created_by),
        ("json_extract(r.output, '$.pr_state')", filters.pr_state),
        ("json_extract(r.output, '$.ci_status')", filters.ci_status),
    ):
        if value is not None:
            add(f"{column} = ?", value)
    return " AND ".join(clauses), values
