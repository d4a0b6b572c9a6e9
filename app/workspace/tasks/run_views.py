"""REST views of runs (docs/wire.md, "Starting a run" and "Runs"). A dead token is a 403 here.

`log_views` has what a run says, `command_views` what it is told, `run_files` its files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from app.workspace.code_host.rows import connected_account
from app.workspace.runtime.context import workspace_of
from app.workspace.tasks import run_rows, task_rows
from app.workspace.tasks.feeds import RunFeeds
from app.workspace.tasks.fields import ENVIRONMENTS, TERMINAL, read_pending_message, read_run, read_run_change
from app.workspace.tasks.run_control import RunControl
from app.workspace.tasks.run_faults import RunFaults, github_needed
from app.workspace.tasks.run_json import run_json
from app.workspace.tasks.staged_files import attach_files, check_files
from app.workspace.tasks.task_views import BASE, reader, task_in_path, writer
from app.workspace.web.errors import not_found, reply, validation
from app.workspace.web.fields import as_uuid, boolean, choice, json_object, mapping, text
from app.workspace.web.pagination import page, page_range

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from app.workspace.runtime.context import Workspace

TASK = f"{BASE}{{task_id}}/"
RUN = f"{TASK}runs/{{run_id}}/"
STARTABLE = ("not_started", "queued")


def routes() -> list[BaseRoute]:
    """The routes of this module, in matching order."""
    return [
        Route(f"{TASK}run/", run_task, methods=["POST"]),
        Route(f"{TASK}runs/", list_runs, methods=["GET"]),
        Route(f"{TASK}runs/", create, methods=["POST"]),
        Route(RUN, retrieve, methods=["GET"]),
        Route(RUN, change, methods=["PATCH"]),
        Route(f"{RUN}start/", start, methods=["POST"]),
        Route(f"{RUN}cancel/", cancel, methods=["POST"]),
        Route(f"{RUN}set_output/", set_output, methods=["PATCH"]),
    ]


async def run_task(request: Request) -> Response:
    """Queue a cloud run, and answer with the task, whose `latest_run` it is."""
    grant, project = await writer(request)
    options = read_run(await json_object(request))
    workspace = workspace_of(request)
    now = workspace.clock.now()
    workspace.state(RunFaults).refuse_start(now)

    def work(db: sqlite3.Connection) -> dict[str, object]:
        task = task_in_path(db, request, project)
        _check_start(db, task["id"], grant.user_id, options)
        run = run_rows.create_run(db, task, grant.user_id, options, "cloud", now)
        _request_start(db, run, {}, now)
        return task_rows.task_json(db, task_in_path(db, request, project))

    shown = await workspace.db.run(work)
    workspace.state(RunControl).wake()
    return reply(shown)


async def list_runs(request: Request) -> Response:
    _, project = await reader(request)
    asked = page_range(request)

    def work(db: sqlite3.Connection) -> tuple[list[dict[str, object]], int]:
        task = task_in_path(db, request, project)
        rows, count = run_rows.find_runs(db, task["id"], asked.limit, asked.offset)
        return [run_json(db, row, project) for row in rows], count

    rows, count = await workspace_of(request).db.read(work)
    return page(request, rows, count, asked)


async def create(request: Request) -> Response:
    grant, project = await writer(request)
    body = await json_object(request)
    environment = choice(body, "environment", ENVIRONMENTS) or "local"
    options = read_run(body)
    workspace = workspace_of(request)
    now = workspace.clock.now()
    if environment == "cloud":
        workspace.state(RunFaults).refuse_start(now)

    def work(db: sqlite3.Connection) -> dict[str, object]:
        task = task_in_path(db, request, project)
        _check_start(db, task["id"], grant.user_id, options)
        return run_json(db, run_rows.create_run(db, task, grant.user_id, options, environment, now), project)

    return reply(await workspace.db.run(work), 201)


async def retrieve(request: Request) -> Response:
    _, project = await reader(request)
    return reply(
        await workspace_of(request).db.read(lambda db: run_json(db, run_in_path(db, request, project), project))
    )


async def change(request: Request) -> Response:
    _, project = await writer(request)
    values = read_run_change(await json_object(request))
    return await _changed(request, project, lambda db, run, now: run_rows.change_run(db, run, values, now))


async def set_output(request: Request) -> Response:
    _, project = await writer(request)
    body = await json_object(request)
    if "output" not in body:
        raise validation("This field is required.", "output", "required")
    output = mapping(body, "output")
    return await _changed(request, project, lambda db, run, now: run_rows.set_output(db, run, output, now))


async def start(request: Request) -> Response:
    """Start a run that was created by `POST runs/`, and answer with the task."""
    _, project = await writer(request)
    pending = read_pending_message(await json_object(request))
    workspace = workspace_of(request)
    now = workspace.clock.now()
    workspace.state(RunFaults).refuse_start(now)

    def work(db: sqlite3.Connection) -> dict[str, object]:
        run = run_in_path(db, request, project)
        if run["environment"] != "cloud":
            raise validation("Only cloud runs can be started.", "environment", "invalid")
        if run["status"] not in STARTABLE:
            raise validation("Only a run that has not started yet can be started.", "status", "invalid")
        check_files(db, run["task_id"], pending.get("pending_user_artifact_ids"))
        _request_start(db, run, pending, now)
        return task_rows.task_json(db, task_in_path(db, request, project))

    shown = await workspace.db.run(work)
    workspace.state(RunControl).wake()
    return reply(shown)


async def cancel(request: Request) -> Response:
    """Answers 202 for a run that was active, 200 for one that had already ended.

    A run with an agent ends a moment later, when the agent has stopped.
    """
    _, project = await writer(request)
    body = await json_object(request)
    reason = text(body, "reason", maximum=500)
    only_unbegun = boolean(body, "only_if_awaiting_first_message") or False
    workspace = workspace_of(request)
    control = workspace.state(RunControl)
    now = workspace.clock.now()

    def work(db: sqlite3.Connection) -> tuple[dict[str, object], int]:
        run = run_in_path(db, request, project)
        if run["environment"] != "cloud":
            raise validation("Only cloud runs can be cancelled.", "environment", "invalid")
        if run["status"] in TERMINAL or (only_unbegun and run["status"] not in STARTABLE):
            return run_json(db, run, project), 200
        state = {} if reason is None else {"cancel_reason": reason}
        status = {} if control.cancel(run["id"]) else {"status": "cancelled"}
        run = run_rows.change_run(db, run, {**status, "state": state}, now)
        return run_json(db, run, project), 202

    found, status = await workspace.db.run(work)
    told_change(workspace, str(found["id"]))
    return reply(found, status)


def told_change(workspace: Workspace, run_id: str) -> None:
    """Tell the streams of a run, and what carries it out, that its row was changed."""
    workspace.state(RunFeeds).changed(run_id)
    workspace.state(RunControl).wake()


def run_in_path(db: sqlite3.Connection, request: Request, project: int) -> sqlite3.Row:
    task = task_in_path(db, request, project)
    row = run_rows.find_run(db, task["id"], as_uuid(request.path_params["run_id"]))
    if row is None:
        raise not_found()
    return row


def _check_start(db: sqlite3.Connection, task_id: str, user_id: int, options: Mapping[str, object]) -> None:
    """Raise 400 for what a run cannot be started with."""
    if options.get("pr_authorship_mode") == "user" and connected_account(db, user_id) is None:
        raise github_needed()
    check_files(db, task_id, options.get("pending_user_artifact_ids"))


def _request_start(db: sqlite3.Connection, run: sqlite3.Row, pending: Mapping[str, object], now: float) -> None:
    """Have the run carried out. Its files are its own from now on."""
    state = {name: value for name, value in pending.items() if value is not None}
    run = run_rows.change_run(db, run, {"status": "queued", "state": state}, now)
    attach_files(db, run)


async def _changed(
    request: Request, project: int, act: Callable[[sqlite3.Connection, sqlite3.Row, float], sqlite3.Row]
) -> Response:
    workspace = workspace_of(request)
    now = workspace.clock.now()

    def work(db: sqlite3.Connection) -> dict[str, object]:
        return run_json(db, act(db, run_in_path(db, request, project), now), project)

    found = await workspace.db.run(work)
    told_change(workspace, str(found["id"]))
    return reply(found)
