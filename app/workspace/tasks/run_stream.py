"""A run's events as they happen, as server-sent events (docs/wire.md, "Run stream")."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from app.workspace.tasks import run_rows
from app.workspace.tasks.feeds import LOG_MARK, RunFeeds
from app.workspace.tasks.fields import TERMINAL
from app.workspace.tasks.run_faults import RunFaults
from app.workspace.tasks.run_json import run_columns

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator

    from app.workspace.runtime.context import Workspace
    from app.workspace.tasks.feeds import RunFeed

LOG_PAGE = 500
STATE_FIELDS = ("status", "stage", "output", "error_message", "branch", "updated_at", "completed_at", "state")


async def events_of(
    workspace: Workspace, task_id: str, run_id: str, last_event_id: str, *, latest: bool
) -> AsyncIterator[str]:
    """The run's state and its log entries, then both at each change.

    `last_event_id` says where to continue; with `latest`, and without it, only what is not in the log yet is sent, so
    that log and stream together lack nothing. A run that has ended, or is gone, ends the stream with `stream-end` after
    its last entry. A stream that gets too old ends with `end`: the client connects again with the id of the last event.
    """
    with workspace.state(RunFeeds).following(run_id) as feed:
        stream = _Stream(workspace, feed, task_id, run_id)
        async for chunk in stream.events(last_event_id, latest=latest):
            yield chunk


class _Stream:
    def __init__(self, workspace: Workspace, feed: RunFeed, task_id: str, run_id: str) -> None:
        faults = workspace.state(RunFaults)
        self._workspace = workspace
        self._feed = feed
        self._task_id = task_id
        self._run_id = run_id
        self._number = feed.first - 1
        # The newest position of the log that was sent. Events that are stored up to there are not sent from the feed.
        self._position = -1
        self._keepalive = faults.keepalive_seconds
        self._rotation = faults.rotation_seconds
        self._times = 2 if faults.duplicate_events else 1

    async def events(self, last_event_id: str, *, latest: bool) -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()
        end, quiet_since = loop.time() + self._rotation, loop.time()
        version, updated_at = -1, None
        asked = True
        resumed = self._feed.resumed(last_event_id)
        if resumed is not None:
            self._number = resumed
        else:
            self._position = await self._log_position(last_event_id, latest=latest)
            async for chunk in self._from_log():
                yield chunk
        while not self._workspace.stopping.is_set():
            if self._number < self._feed.first - 1:
                # This client reads more slowly than the agent writes. What the feed has dropped is in the log.
                self._number = self._feed.first - 1
                async for chunk in self._from_log():
                    yield chunk
            chunks = self._next()
            caught_up = not chunks
            # Before the row is read: what changes meanwhile is seen in the next turn.
            seen, ended = self._feed.version, False
            if seen != version and caught_up:
                version = seen
                run = await self._run()
                if run is not None and run["updated_at"] != updated_at:
                    updated_at = run["updated_at"]
                    chunks.append(f"data: {json.dumps(_state_event(run))}\n\n")
                # Nothing follows the end: whoever ends a run has stored all of it before.
                ended = (run is None or run["status"] in TERMINAL) and not self._feed.after(self._number, 1)
                if not ended and (run is None or run["status"] in TERMINAL):
                    version = -1
            if asked and caught_up:
                # After a new connection the client may lack them, wherever it continues.
                asked = False
                chunks += [f"data: {data}\n\n" for data in self._feed.questions.values()]
            if chunks:
                yield "".join(chunks)
                quiet_since = loop.time()
            if ended:
                yield 'event: stream-end\ndata: {"status":"complete"}\n\n'
                return
            if loop.time() >= end:
                yield 'event: end\ndata: {"type":"rotated"}\n\n'
                return
            if chunks:
                continue
            due = min(quiet_since + self._keepalive, end) - loop.time()
            await self._feed.wait(self._number, version, max(due, 0))
            if loop.time() >= quiet_since + self._keepalive:
                yield 'event: keepalive\ndata: {"type":"keepalive"}\n\n'
                quiet_since = loop.time()

    def _next(self) -> list[str]:
        """The next events of the feed, without those that were sent from the log."""
        while found := self._feed.after(self._number):
            self._number = found[-1].number
            unsent = [event for event in found if event.position is None or event.position > self._position]
            if unsent:
                self._position = max([self._position, *(event.position or 0 for event in unsent)])
                return [f"id: {event.id}\ndata: {event.data}\n\n" * self._times for event in unsent]
        return []

    async def _log_position(self, last_event_id: str, *, latest: bool) -> int:
        """The position in the log after which the stream begins."""
        mark = last_event_id.removeprefix(LOG_MARK)
        if last_event_id.startswith(LOG_MARK) and mark.isascii() and mark.isdigit() and len(mark) <= 18:
            return int(mark)
        if latest and not last_event_id:
            return await self._workspace.db.read(lambda db: run_rows.last_position(db, self._run_id))
        return 0

    async def _from_log(self) -> AsyncIterator[str]:
        """The stored entries after the newest that was sent."""
        while rows := await self._workspace.db.read(
            lambda db: run_rows.entries_after(db, self._run_id, self._position, LOG_PAGE)
        ):
            self._position = rows[-1]["position"]
            yield "".join(f"id: {LOG_MARK}{row['position']}\ndata: {row['entry']}\n\n" for row in rows)

    async def _run(self) -> sqlite3.Row | None:
        return await self._workspace.db.read(lambda db: run_rows.find_run(db, self._task_id, self._run_id))


def _state_event(run: sqlite3.Row) -> dict[str, object]:
    shown = run_columns(run, 0)
    return {"type": "task_run_state", **{name: shown[name] for name in STATE_FIELDS}, "task_summary": None}
