"""REST views of what a run has said: its log and its stream (docs/wire.md, "Run logs" and "Run stream").

A dead token is a 403 here.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from datetime import UTC, datetime
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from app.workspace.runtime.context import workspace_of
from app.workspace.tasks import run_rows
from app.workspace.tasks.feeds import RunFeeds
from app.workspace.tasks.run_faults import RunFaults
from app.workspace.tasks.run_json import run_json
from app.workspace.tasks.run_stream import events_of
from app.workspace.tasks.run_tokens import STREAM, RunTokens
from app.workspace.tasks.run_views import RUN, run_in_path
from app.workspace.tasks.task_views import reader, writer
from app.workspace.web.errors import ApiError, not_found, reply, validation
from app.workspace.web.fields import json_object
from app.workspace.web.pagination import page_range

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from app.workspace.web.pagination import PageRange

LOG_PAGE = 1000
LARGEST_LOG_PAGE = 5000
LARGEST_LOG_BYTES = 16_000_000
MOST_ENTRIES = 1000
NO_STREAM = "admission"


class LogPage(NamedTuple):
    """Entries as JSON, how many match the filters, and how many there are."""

    entries: list[str]
    matching: int
    total: int


def routes() -> list[BaseRoute]:
    """The routes of this module."""
    return [
        Route(f"{RUN}append_log/", append_log, methods=["POST"]),
        Route(f"{RUN}logs/", logs, methods=["GET"]),
        Route(f"{RUN}session_logs/", session_logs, methods=["GET"]),
        Route(f"{RUN}stream/", stream, methods=["GET"]),
        Route(f"{RUN}stream_token/", stream_token, methods=["GET"]),
        Route("/v1/runs/{run_id}/stream", stream_elsewhere, methods=["GET"]),
    ]


async def append_log(request: Request) -> Response:
    _, project = await writer(request)
    entries = (await json_object(request)).get("entries")
    if not isinstance(entries, list) or len(entries) > MOST_ENTRIES:
        raise validation(f"Expected a list of at most {MOST_ENTRIES} entries.", "entries", "invalid")
    if not all(isinstance(entry, dict) for entry in entries):
        raise validation("Each entry must be an object.", "entries", "invalid")
    workspace = workspace_of(request)

    def work(db: sqlite3.Connection) -> tuple[sqlite3.Row, list[int], dict[str, object]]:
        run = run_in_path(db, request, project)
        return run, run_rows.append_log(db, run["id"], entries), run_json(db, run, project)

    run, positions, shown = await workspace.db.run(work)
    workspace.state(RunFeeds).appended(run["id"], zip(positions, entries, strict=True))
    return reply(shown)


async def logs(request: Request) -> Response:
    """The log entries of the run and, before them, of the runs that it resumed, as JSON lines."""
    _, project = await reader(request)

    def work(db: sqlite3.Connection) -> list[dict[str, object]]:
        chain = run_rows.with_ancestors(db, run_in_path(db, request, project))
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
    after = _moment(query["after"]) if query.get("after") else None
    if query.get("after") and after is None:
        raise validation("Enter a valid date/time.", "after", "invalid")

    def work(db: sqlite3.Connection) -> LogPage:
        run_id = run_in_path(db, request, project)["id"]
        if not (only or without or after):
            return _page(db, run_id, asked)
        everything = run_rows.log_entries(db, run_id)
        matching = [
            entry
            for entry in everything
            if (after is None or ((at := _moment(entry.get("timestamp"))) is not None and at > after))
            and (not only or _kind(entry) in only)
            and _kind(entry) not in without
        ]
        shown = [json.dumps(entry, separators=(",", ":")) for entry in matching[asked.offset :][: asked.limit]]
        return LogPage(_fitting(shown), len(matching), len(everything))

    found = await workspace_of(request).db.read(work)
    headers = {
        "X-Total-Count": str(found.total),
        "X-Filtered-Count": str(found.matching),
        "X-Matching-Count": str(found.matching),
        "X-Has-More": "true" if asked.offset + len(found.entries) < found.matching else "false",
    }
    return Response(f"[{','.join(found.entries)}]", 200, headers, media_type="application/json")


async def stream(request: Request) -> Response:
    """Server-sent events; see `run_stream.events_of`."""
    _, project = await reader(request)
    workspace = workspace_of(request)
    return _stream_of(request, await workspace.db.read(lambda db: run_in_path(db, request, project)))


def _stream_of(request: Request, run: sqlite3.Row) -> Response:
    workspace = workspace_of(request)
    faults = workspace.state(RunFaults)
    failure = faults.take_stream()
    if failure == NO_STREAM:
        raise ApiError(503, "server_error", "stream_unavailable", "Too many streams.", headers={"Retry-After": "1"})
    if failure is not None:
        return _streamed(_refused(failure))
    latest = request.query_params.get("start") == "latest"
    events = events_of(workspace, run["task_id"], run["id"], request.headers.get("last-event-id", ""), latest=latest)
    client = None if request.client is None else (request.client.host, request.client.port)
    return _streamed(_noted(events, faults, client))


async def stream_token(request: Request) -> Response:
    """A token for the stream at `stream_base_url`; a null address means `stream/` itself."""
    grant, project = await reader(request)
    workspace = workspace_of(request)
    run = await workspace.db.read(lambda db: run_in_path(db, request, project))
    token = workspace.state(RunTokens).issue(STREAM, run["id"], grant.user_id, workspace.clock.now())
    base = workspace.settings.url if workspace.state(RunFaults).stream_elsewhere else None
    return reply({"token": token, "stream_base_url": base})


async def stream_elsewhere(request: Request) -> Response:
    """The stream as another server has it: for the token of `stream_token/`, which is refused with a 401."""
    workspace = workspace_of(request)
    run_id = request.path_params["run_id"]
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    tokens, now = workspace.state(RunTokens), workspace.clock.now()
    if scheme.lower() != "bearer" or not tokens.accepts(STREAM, run_id, token, now):
        raise ApiError(401, "authentication_error", "authentication_failed", "The stream token is not valid.")
    run = await workspace.db.read(lambda db: db.execute("SELECT * FROM runs WHERE id = ?", (run_id,)).fetchone())
    if run is None:
        raise not_found()
    return _stream_of(request, run)


def _page(db: sqlite3.Connection, run_id: str, asked: PageRange) -> LogPage:
    """A page of the whole log. It is not decoded: logs have 100,000 entries and more."""
    [total] = db.execute("SELECT count(*) FROM log_entries WHERE run_id = ?", (run_id,)).fetchone()
    rows = db.execute(
        "SELECT entry FROM log_entries WHERE run_id = ? ORDER BY position LIMIT ? OFFSET ?",
        (run_id, asked.limit, asked.offset),
    ).fetchall()
    return LogPage(_fitting([row["entry"] for row in rows]), total, total)


def _fitting(entries: list[str]) -> list[str]:
    """As many of the first entries as a page may have in bytes; one at least."""
    ends = accumulate(map(len, entries))
    return entries[: max(1, bisect_right(list(ends), LARGEST_LOG_BYTES))]


def _streamed(events: AsyncIterator[str]) -> Response:
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


async def _refused(words: str) -> AsyncIterator[str]:
    yield f"event: error\ndata: {json.dumps({'error': words})}\n\n"


async def _noted(events: AsyncIterator[str], faults: RunFaults, client: tuple[str, int] | None) -> AsyncIterator[str]:
    """Note the client's address while its stream is open, so that the fault switchboard can break it."""
    if client is not None:
        faults.clients.add(client)
    try:
        async for event in events:
            yield event
    finally:
        if client is not None:
            faults.clients.discard(client)


def _words(value: str | None) -> frozenset[str]:
    return frozenset(word.strip() for word in (value or "").split(",") if word.strip())


def _kind(entry: dict[str, object]) -> str:
    """What filters name: the kind of an update of the agent, else the method."""
    match entry.get("notification"):
        case {"method": "session/update", "params": {"update": {"sessionUpdate": kind}}}:
            return str(kind)
        case {"method": method}:
            return str(method)
        case _:
            return ""


def _moment(value: object) -> datetime | None:
    """A time in UTC. Some writers end it with Z, others with an offset."""
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
