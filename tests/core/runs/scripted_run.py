"""A run on a scripted server: its live events, what is stored of them, and how its streams misbehave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.core.posthog.runs import Runs
from tests.core.conftest import Rig
from tests.core.runs.logs import Rpc, message, wrapped
from tests.core.scripted import Reply, Request

RUN = "/api/projects/7/tasks/t1/runs/r1/"
# What a connection does when it is over.
CUT, ROTATE, END, HANG = "cut", "rotate", "end", "hang"


def stored_form(live: Sequence[Rpc]) -> list[Rpc]:
    """What the log has of live events: chunks of a message joined, once something else has followed them."""
    found: list[Rpc] = []
    text = ""
    for rpc in live:
        said = _chunk(rpc)
        if said is not None:
            text += said
            continue
        if text:
            found.append(message(text))
            text = ""
        if rpc.get("type") != "permission_request":
            found.append(rpc)
    return found


def _chunk(rpc: Rpc) -> str | None:
    changed = rpc.get("params", {}).get("update", {}) if rpc.get("method") == "session/update" else {}
    return changed["content"]["text"] if changed.get("sessionUpdate") == "agent_message_chunk" else None


@dataclass
class ScriptedRun:
    """`events` happen one after the other; `released` of them have. A stream sends what is released, from its start.

    Each connection takes one of `plans`: how many events it sends, and what it does then. Without a plan it sends all,
    then ends as the run does.
    """

    rig: Rig
    events: list[Rpc]
    released: int = 0
    status: str = "in_progress"
    ends: bool = True
    plans: list[tuple[int, str]] = field(default_factory=list)
    lag: int = 0
    """So many of the newest events are not stored yet."""
    spacing: str = ": "
    repeats: int = 0
    """So many events before the one that was asked for are sent again."""
    with_ids: bool = True
    connections: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[Reply] = field(default_factory=list)
    ancestors: dict[str, list[Rpc]] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    more: asyncio.Event = field(default_factory=asyncio.Event)
    before_end: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        views = self.rig.server.views
        views[RUN] = self._run
        views[f"{RUN}session_logs/"] = self._log
        views[f"{RUN}stream/"] = self._stream
        for name, rpcs in self.ancestors.items():
            path = f"/api/projects/7/tasks/t1/runs/{name}/"
            views[path] = Reply(body={"id": name, "status": "completed"})
            views[f"{path}session_logs/"] = Reply(body=f"[{','.join(wrapped(rpc).decode() for rpc in rpcs)}]")

    @property
    def runs(self) -> Runs:
        return Runs(self.rig.fetcher, lambda: 7)

    def release(self, count: int = 1) -> None:
        self.released = min(self.released + count, len(self.events))
        self.more.set()
        self.more = asyncio.Event()

    def stored(self) -> list[Rpc]:
        last = self.released if self.status != "in_progress" else max(0, self.released - self.lag)
        return stored_form(self.events[:last])

    def _run(self, request: Request) -> Reply:
        return Reply(body={"id": "r1", "task": "t1", "status": self.status, "state": self.state})

    def _log(self, request: Request) -> Reply:
        offset, limit = int(request.query["offset"][0]), int(request.query["limit"][0])
        rpcs = self.stored()
        some = [wrapped(rpc, "2026-11-29T13:00:00Z").decode() for rpc in rpcs[offset : offset + limit]]
        more = "true" if offset + limit < len(rpcs) else "false"
        return Reply(body=f"[{','.join(some)}]", headers={"X-Has-More": more})

    def _stream(self, request: Request) -> Reply:
        if self.refusals:
            return self.refusals.pop(0)
        last = request.headers.get("last-event-id", "")
        latest = request.query.get("start") == ["latest"]
        first = int(last.removeprefix("e-")) if last else self.released if latest else 0
        self.connections.append({"last": last, "bearer": request.bearer})
        plan = self.plans.pop(0) if self.plans else (1_000_000, END)

        async def write(writer: asyncio.StreamWriter) -> None:
            await self._write(writer, max(0, first - self.repeats) if last else first, *plan)

        return Reply(stream=write)

    async def _write(self, writer: asyncio.StreamWriter, first: int, most: int, then: str) -> None:
        number, sent = first, 0
        while sent < most and (number < len(self.events) or not self.ends):
            if number == self.released:
                if then != HANG and self.ends:
                    self.release()
                else:
                    await self.more.wait()
                continue
            rpc = self.events[number]
            data = json.dumps(rpc if "type" in rpc else json.loads(wrapped(rpc)), separators=(",", self.spacing))
            number += 1
            sent += 1
            mark = f"id: e-{number}\n" if self.with_ids and rpc.get("type") != "permission_request" else ""
            writer.write(f"{mark}data: {data}\n\n".encode())
            await writer.drain()
        await self._close(writer, then)

    async def _close(self, writer: asyncio.StreamWriter, then: str) -> None:
        if then == CUT:
            # In the middle of an event.
            writer.write(b'id: e-99999\ndata: {"type": "notif')
            await writer.drain()
            writer.transport.abort()
        elif then == ROTATE:
            writer.write(b'event: end\ndata: {"type": "rotated"}\n\n')
        elif then == HANG or not self.ends:
            await asyncio.Event().wait()
        else:
            self.before_end()
            self.status = "completed"
            writer.write(b'event: stream-end\ndata: {"status": "complete"}\n\n')
        await writer.drain()
