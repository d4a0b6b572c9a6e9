"""REST views of runs (docs/wire.md, "Runs" to "Run stream"). A dead token is a 403 here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from app.workspace.runtime.context import workspace_of
from app.workspace.tasks import run_rows, task_rows
from app.workspace.tasks.fields import ENVIRONMENTS, TERMINAL, read_pending_message, read_run, read_run_change
from app.workspace.tasks.run_stream import events_of, first_position
from app.workspace.tasks.staged_files import check_files
from app.workspace.tasks.task_views import BASE, reader, task_in_path, writer
from app.workspace.web.errors import ApiError, not_found, reply, validation
from app.workspace.web.fields import as_uuid, checked_text, choice, json_object, mapping, text
from app.workspace.web.pagination import page, page_range

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.routing import BaseRoute


TASK = f"{BASE}{{task_id}}/"
RUN = f"{TASK}runs/{{run_id}}/"
LOG_PAGE = 1000
LARGEST_LOG_PAGE = 5000
MOST_ENTRIES = 1000
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
        Route(f"{RUN}append_log/", append_log, methods=["POST"]),
        Route(f"{RUN}command/", command, methods=["POST"]),
        Route(f"{RUN}logs/", logs, methods=["GET"]),
        Route(f"{RUN}session_logs/", session_logs, methods=["GET"]),
        Route(f"{RUN}stream/", stream, methods=["GET"]),
        Route(f"{RUN}stream_token/", stream_token, methods=["GET"]),
    ]


async def run_task(request: Request) -> Response:
    """Queue a cloud run, and answer with the task, whose `latest_run` it is."""
    grant, project = await writer(request)
    options = read_run(await json_object(request))
    workspace = workspace_of(request)
    now = workspace.clock.now()

    def work(db: sqlite3.Connection) -> dict[str, object]:
        task = task_in_path(db, request, project)
        _check_files(db, task["id"], options)
        run_rows.create_run(db, task, grant.user_id, options, "cloud", now)
        return task_rows.task_json(db, task_in_path(db, request, project))

    return reply(await workspace.db.run(work))


async def list_runs(request: Request) -> Response:
    _, project = await reader(request)
    asked = page_range(request)

    def work(db: sqlite3.Connection) -> tuple[list[dict[str, object]], int]:
        task = task_in_path(db, request, project)
        rows, count = run_rows.find_runs(db, task["id"], asked.limit, asked.offset)
        return [task_rows.run_json(row, project) for row in rows], count

    rows, count = await workspace_of(request).db.read(work)
    return page(request, rows, count, asked)


async def create(request: Request) -> Response:
    grant, project = await writer(request)
    body = await json_object(request)
    environment = choice(body, "environment", ENVIRONMENTS) or "local"
    options = read_run(body)
    workspace = workspace_of(request)
    now = workspace.clock.now()

    def work(db: sqlite3.Connection) -> dict[str, object]:
        task = task_in_path(db, request, project)
        _check_files(db, task["id"], options)
        return task_rows.run_json(run_rows.create_run(db, task, grant.user_id, options, environment, now), project)

    return reply(await workspace.db.run(work), 201)


async def retrieve(request: Request) -> Response:
    _, project = await reader(request)
    return reply(
        await workspace_of(request).db.read(lambda db: task_rows.run_json(_run(db, request, project), project))
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
    """Start a run that was created by `POST runs/`. It stays `queued`, because nothing executes runs."""
    _, project = await writer(request)
    pending = read_pending_message(await json_object(request))
    workspace = workspace_of(request)
    now = workspace.clock.now()

    def work(db: sqlite3.Connection) -> dict[str, object]:
        run = _run(db, request, project)
        if run["environment"] != "cloud":
            raise validation("Only cloud runs can be started.", "environment", "invalid")
        if run["status"] not in STARTABLE:
            raise validation("Only a run that has not started yet can be started.", "status", "invalid")
        _check_files(db, run["task_id"], pending)
        state = {"start_requested": True, **{name: value for name, value in pending.items() if value is not None}}
        run_rows.change_run(db, run, {"status": "queued", "state": state}, now)
        return task_rows.task_json(db, task_in_path(db, request, project))

    return reply(await workspace.db.run(work))


async def cancel(request: Request) -> Response:
    """Answers 202 for a run that was active, 200 for one that had already ended."""
    _, project = await writer(request)
    reason = text(await json_object(request), "reason", maximum=500)
    workspace = workspace_of(request)
    now = workspace.clock.now()

    def work(db: sqlite3.Connection) -> tuple[dict[str, object], int]:
        run = _run(db, request, project)
        if run["environment"] != "cloud":
            raise validation("Only cloud runs can be cancelled.", "environment", "invalid")
        ended = run["status"] in TERMINAL
        state = {} if reason is None else {"cancel_reason": reason}
        run = run_rows.change_run(db, run, {"status": "cancelled", "state": state}, now)
        return task_rows.run_json(run, project), 200 if ended else 202

    found, status = await workspace.db.run(work)
    return reply(found, status)


async def append_log(request: Request) -> Response:
    _, project = await writer(request)
    entries = (await json_object(request)).get("entries")
    if not isinstance(entries, list) or len(entries) > MOST_ENTRIES:
        raise validation(f"Expected a list of at most {MOST_ENTRIES} entries.", "entries", "invalid")
    if not all(isinstance(entry, dict) for entry in entries):
        raise validation("Each entry must be an object.", "entries", "invalid")
    return await _changed(request, project, lambda db, run, _now: _appended(db, run, entries))


async def command(request: Request) -> Response:
    """Always refused, because no sandbox runs here."""
    _, project = await writer(request)
    body = await json_object(request)
    checked_text(body.get("method"), "method", maximum=100)
    await workspace_of(request).db.read(lambda db: _run(db, request, project))
    raise ApiError(400, "runtime_unavailable", "sandbox_not_ready", "No active sandbox for this task run")


async def logs(request: Request) -> Response:
    """The log entries of the run and, before them, of the runs that it resumed, as JSON lines."""
    _, project = await reader(request)

    def work(db: sqlite3.Connection) -> list[dict[str, object]]:
        chain = run_rows.with_ancestors(db, _run(db, request, project))
        return [entry for run in chain for entry in run_rows.log_entries(db, run["id"])]

    entries = await workspace_of(request).db.read(work)
    lines = "".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in entries)
    return Response(lines, media_type="application/jsonl")


async def session_logs(request: Request) -> Response:
    """Log entries as a bare array; the counts are in headers."""
    _, project = await reader(request)
    asked = page_range(request, LOG_PAGE, LARGEST_LOG_PAGE)
    query = request.query_params
    only, without = _words(query.get("event_types")), _words(query.get("exclude_types"))
    after = query.get("after", "")
    everything = await workspace_of(request).db.read(
        lambda db: run_rows.log_entries(db, _run(db, request, project)["id"])
    )
    # Times are ISO 8601 in UTC, which sort as text.
    matching = [
        entry
        for entry in everything
        if str(entry.get("timestamp", "")) > after
        and (not only or _method(entry) in only)
        and _method(entry) not in without
    ]
    shown = matching[asked.offset : asked.offset + asked.limit]
    headers = {
        "X-Total-Count": str(len(everything)),
        "X-Filtered-Count": str(len(shown)),
        "X-Matching-Count": str(len(matching)),
        "X-Has-More": "true" if asked.offset + len(shown) < len(matching) else "false",
    }
    return reply(shown, 200, headers)


async def stream(request: Request) -> Response:
    """Server-sent events; see `run_stream.events_of`."""
    _, project = await reader(request)
    workspace = workspace_of(request)
    run = await workspace.db.read(lambda db: _run(db, request, project))
    latest = request.query_params.get("start") == "latest"
    events = events_of(workspace, run["task_id"], run["id"], first_position(request, latest))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


async def stream_token(request: Request) -> Response:
    """A null base address means: use `stream/` itself."""
    _, project = await reader(request)
    await workspace_of(request).db.read(lambda db: _run(db, request, project))
    return reply({"token": None, "stream_base_url": None})


def _check_files(db: sqlite3.Connection, task_id: str, options: Mapping[str, object]) -> None:
    ids = options.get("pending_user_artifact_ids")
    if isinstance(ids, list):
        check_files(db, task_id, ids)


def _run(db: sqlite3.Connection, request: Request, project: int) -> sqlite3.Row:
    task = task_in_path(db, request, project)
    row = run_rows.find_run(db, task["id"], as_uuid(request.path_params["run_id"]))
    if row is None:
        raise not_found()
    return row


async def _changed(
    request: Request, project: int, act: Callable[[sqlite3.Connection, sqlite3.Row, float], sqlite3.Row]
) -> Response:
    workspace = workspace_of(request)
    now = workspace.clock.now()
    return reply(
        await workspace.db.run(lambda db: task_rows.run_json(act(db, _run(db, request, project), now), project))
    )


def _appended(db: sqlite3.Connection, run: sqlite3.Row, entries: list[object]) -> sqlite3.Row:
    run_rows.append_log(db, run["id"], entries)
    return run


def _words(value: str | None) -> frozenset[str]:
    return frozenset(word.strip() for word in (value or "").split(",") if word.strip())


def _method(entry: dict[str, object]) -> str:
    notification = entry.get("notification")
    return str(notification.get("method", "")) if isinstance(notification, dict) else ""
