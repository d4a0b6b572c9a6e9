"""Everything that happens in a run, in its two forms (docs/wire.md, "Run logs" and "Run stream").

Live, an agent's message is the pieces in which it was written; stored, it is one `agent_message`. The times in the two
forms are taken separately. Clients must cope with both, so the workspace makes the same difference as PostHog.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.workspace.runtime.clock import iso
from app.workspace.tasks import run_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.workspace.runtime.context import Workspace
    from app.workspace.tasks.feeds import FeedEvent, RunFeed

log = logging.getLogger(__name__)
JsonObject = dict[str, object]
RETRY_SECONDS = 1.0
FLUSH_SECONDS = 5.0


@dataclass
class _Text:
    """A message that is being written: its pieces, the events that have them, and when it began."""

    began: str
    message_id: object
    pieces: list[str] = field(default_factory=list)
    events: list[FeedEvent] = field(default_factory=list)


class RunJournal:
    """The journal of one run. `feed` is kept by its owner; `close` stores what is left."""

    def __init__(self, workspace: Workspace, run_id: str, feed: RunFeed) -> None:
        self._workspace = workspace
        self._run_id = run_id
        self._feed = feed
        self._text: _Text | None = None
        self._unstored: list[tuple[JsonObject, list[FeedEvent]]] = []
        self._wanted = asyncio.Event()
        self._stored = asyncio.Event()
        self._stored.set()
        self._closed = False
        self._writer = asyncio.create_task(self._write(), name=f"journal of {run_id}")
        self.last_message = ""
        """The last message of the agent that is complete."""
        self.session_id = ""

    def entry(self, message: Mapping[str, object]) -> None:
        """A JSON-RPC message, the same in both forms."""
        self._end_text()
        message = {"jsonrpc": "2.0", **message}
        self._store(message, [self._publish(message)])

    def notify(self, method: str, **params: object) -> None:
        self.entry({"method": method, "params": params})

    def progress(self, step: str, label: str, status: str, detail: str = "") -> None:
        """A step of the set-up; `status` is `in_progress`, `completed` or `failed`."""
        more = {"detail": detail} if detail else {}
        self.notify("_posthog/progress", group="setup", step=step, label=label, status=status, **more)

    def update(self, update: Mapping[str, object]) -> None:
        """A `session/update` of the agent."""
        if self._closed:
            return
        message = self._update_message(update)
        piece = _piece_of(update)
        if piece is None:
            self.entry(message)
            return
        text = self._text
        if text is None or text.message_id != update.get("messageId"):
            self._end_text()
            text = self._text = _Text(self._now(), update.get("messageId"))
        text.pieces.append(piece)
        text.events.append(self._publish({"jsonrpc": "2.0", **message}))

    def question(self, request_id: str, tool_call: object, options: object) -> None:
        """The agent asks for permission. Live it is an event of its own, in the log the agent's request."""
        self._end_text()
        data = _encoded(
            {"type": "permission_request", "requestId": request_id, "toolCall": tool_call, "options": options}
        )
        self._feed.questions[request_id] = data
        params = {"sessionId": self.session_id, "toolCall": tool_call, "options": options}
        message = {"jsonrpc": "2.0", "id": request_id, "method": "session/request_permission", "params": params}
        self._store(message, [self._feed.publish(data)])

    def answered(self, request_id: str, **answer: object) -> None:
        """A question is over: with an `optionId`, or without one when it was cancelled."""
        self._feed.questions.pop(request_id, None)
        self.notify("_posthog/permission_response", requestId=request_id, **answer)

    async def flush(self) -> None:
        """Store everything that has happened so far. Raises TimeoutError when the database cannot take it."""
        self._end_text()
        async with asyncio.timeout(FLUSH_SECONDS):
            await self._stored.wait()

    async def close(self) -> None:
        """Store what is left. What an agent still says afterwards is dropped."""
        try:
            await self.flush()
        except TimeoutError:
            log.error("the end of the log of run %s could not be stored", self._run_id)
        finally:
            self._closed = True
            self._writer.cancel()
            await asyncio.wait((self._writer,))

    def _end_text(self) -> None:
        text, self._text = self._text, None
        if text is None:
            return
        whole = "".join(text.pieces)
        self.last_message = whole
        named = {} if text.message_id is None else {"messageId": text.message_id}
        update = {"sessionUpdate": "agent_message", **named, "content": {"type": "text", "text": whole}}
        self._store({"jsonrpc": "2.0", **self._update_message(update)}, text.events, text.began)

    def _update_message(self, update: Mapping[str, object]) -> JsonObject:
        return {"method": "session/update", "params": {"sessionId": self.session_id, "update": update}}

    def _publish(self, message: Mapping[str, object]) -> FeedEvent:
        return self._feed.publish(_encoded(self._wrapped(message, self._now())))

    def _store(self, message: Mapping[str, object], events: list[FeedEvent], at: str | None = None) -> None:
        self._unstored.append((self._wrapped(message, at or self._now()), events))
        self._stored.clear()
        self._wanted.set()

    def _wrapped(self, message: Mapping[str, object], at: str) -> JsonObject:
        return {"type": "notification", "timestamp": at, "notification": message}

    def _now(self) -> str:
        return iso(self._workspace.clock.now())

    async def _write(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            batch, self._unstored = self._unstored, []
            entries = [entry for entry, _ in batch]
            try:
                positions = await self._workspace.db.run(
                    lambda db, entries=entries: run_rows.append_log(db, self._run_id, entries)  # type: ignore[misc]
                )
            except sqlite3.Error as failure:
                # A full disk, or another process that holds the file. The streams have it, and the log will.
                log.warning("the log of run %s cannot be stored: %s", self._run_id, failure)
                self._unstored = [*batch, *self._unstored]
                await asyncio.sleep(RETRY_SECONDS)
                self._wanted.set()
                continue
            for position, (_, events) in zip(positions, batch, strict=True):
                for event in events:
                    event.position = position
            if not self._unstored:
                self._stored.set()


def _piece_of(update: Mapping[str, object]) -> str | None:
    """The text of a piece of a message; None for everything else, which is stored as it is."""
    match update:
        case {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": str(text)}}:
            return text
        case _:
            return None


def _encoded(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
