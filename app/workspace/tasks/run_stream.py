"""A run's events as they happen, as server-sent events (docs/wire.md, "Run stream")."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from app.workspace.tasks import run_rows, task_rows
from app.workspace.tasks.fields import TERMINAL

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from app.workspace.runtime.context import Workspace

POLL_SECONDS = 0.5
KEEPALIVE_SECONDS = 20.0
ROTATION_SECONDS = 900.0


def first_position(request: Request, latest: bool) -> int | None:
    """The log entry after which the stream begins: that of `Last-Event-ID`, else 0, or None for the newest."""
    mark, _, number = request.headers.get("last-event-id", "").partition("-")
    if mark == "log" and number.isascii() and number.isdigit() and len(number) <= 18:
        return int(number)
    return None if latest else 0


async def events_of(workspace: Workspace, task_id: str, run_id: str, position: int | None) -> AsyncIterator[str]:
    """Log entries after `position`, and the run's state at once and at each change; polled from the database.

    A run that has ended, or is gone, ends the stream with `stream-end` after its last entry. A stream that gets too old
    ends with `end`: the client connects again with the id of the last entry, so it misses none.
    """
    loop = asyncio.get_running_loop()
    end, quiet_since, seen = loop.time() + ROTATION_SECONDS, loop.time(), None

    def read(db: sqlite3.Connection, after: int | None) -> tuple[sqlite3.Row | None, list[sqlite3.Row], int]:
        run = run_rows.find_run(db, task_id, run_id)
        if after is None:
            last = db.execute("SELECT max(position) FROM log_entries WHERE run_id = ?", (run_id,)).fetchone()[0]
            return run, [], last or 0
        rows = db.execute(
            "SELECT position, entry FROM log_entries WHERE run_id = ? AND position > ? ORDER BY position LIMIT 500",
            (run_id, after),
        ).fetchall()
        return run, rows, rows[-1]["position"] if rows else after

    while not workspace.stopping.is_set():
        before = position
        run, rows, position = await workspace.db.read(lambda db, after=before: read(db, after))  # type: ignore[misc]
        for row in rows:
            yield f"id: log-{row['position']}\ndata: {row['entry']}\n\n"
        if run is not None and run["updated_at"] != seen:
            seen = run["updated_at"]
            yield f"data: {json.dumps(_state_event(run))}\n\n"
        elif not rows and loop.time() - quiet_since >= KEEPALIVE_SECONDS:
            yield 'event: keepalive\ndata: {"type":"keepalive"}\n\n'
            quiet_since = loop.time()
        # Not while entries come: they are read 500 at a time, and more may be waiting.
        if run is None or (run["status"] in TERMINAL and not rows):
            yield 'event: stream-end\ndata: {"status":"complete"}\n\n'
            return
        if loop.time() >= end:
            yield 'event: end\ndata: {"type":"rotated"}\n\n'
            return
        await workspace.pause(POLL_SECONDS)


def _state_event(run: sqlite3.Row) -> dict[str, object]:
    shown = task_rows.run_json(run, 0)
    names = ("status", "stage", "output", "error_message", "branch", "updated_at", "completed_at", "state")
    return {"type": "task_run_state", **{name: shown[name] for name in names}, "task_summary": None}
