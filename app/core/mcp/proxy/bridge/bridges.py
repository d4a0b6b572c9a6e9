"""Bridges: the fronts of all servers behind channels, by the id of the server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from app.core.background import BackgroundTasks
from app.core.mcp.proxy.bridge.front import BridgeFront
from app.core.mcp.proxy.bridge.old_sse import OldSse
from app.core.mcp.proxy.bridge.seats import IDLE_SECONDS, Seats
from app.core.mcp.proxy.bridge.sse_channel import SseChannel
from app.core.mcp.proxy.bridge.stdio_channel import ProcessCount, StdioChannel
from app.core.mcp.proxy.healing import Healing
from app.core.mcp.proxy.parts import HttpUpstream, StdioUpstream, Way
from app.core.mcp.proxy.routes import Routes

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from app.core.mcp.proxy.bridge.channel import Channel
    from app.core.mcp.proxy.parts import (
        Call,
        CallPolicy,
        Elsewhere,
        ProxyHost,
        Responder,
        Sender,
        SessionStore,
        Upstream,
    )
    from app.core.mcp.proxy.refusals import Refusal

MOST_PROCESSES = 32
# A process that was used more lately is not ended to make room for another one.
LEAST_IDLE_SECONDS = 60.0


class Bridges:
    """See `ServerBridge`. It belongs to the loop of the proxy."""

    def __init__(
        self,
        host: ProxyHost,
        sender: Sender,
        sessions: SessionStore,
        policy: CallPolicy,
        *,
        processes: int = MOST_PROCESSES,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._host = host
        self._policy = policy
        self._sessions = sessions
        self._routes = Routes(host)
        self._healing = Healing(sender)
        self._old_sse = OldSse(policy, self._healing)
        self._count = ProcessCount(processes, self._make_room)
        self._idle_seconds = idle_seconds
        self._fronts: dict[str, tuple[Hashable, BridgeFront]] = {}
        self._background = BackgroundTasks()

    @property
    def processes(self) -> int:
        """How many processes of servers run."""
        return self._count.running

    def takes(self, call: Call) -> bool:
        """Whether this bridge answers the request, and not the relay."""
        if isinstance(call.upstream, StdioUpstream):
            return call.way is Way.MCP
        return call.upstream.sse

    async def handle(self, call: Call, responder: Responder) -> None:
        """See `ServerBridge.handle`."""
        if call.way is Way.MCP:
            await self._front(call.upstream).handle(call, responder)
            return
        assert isinstance(call.upstream, HttpUpstream)
        route = self._routes.to(call.upstream)
        if call.way is Way.SSE:
            await self._old_sse.listen(call, responder, route)
        else:
            await self._old_sse.post(call, responder, route)

    async def refuse(self, call: Call, responder: Responder, refusal: Refusal) -> bool:
        """See `ServerBridge.refuse`."""
        return call.way is Way.SSE_MESSAGES and await self._old_sse.refuse(call, responder, refusal)

    def elsewhere(self, call: Call) -> Elsewhere | None:
        """See `ServerBridge.elsewhere`."""
        return self._old_sse.stream_of(call) if call.way is Way.SSE_MESSAGES else None

    def tools_changed(self, server_id: str, client_id: str | None) -> None:
        """See `OpenStreams`."""
        _known, front = self._fronts.get(server_id, (None, None))
        if front is not None:
            front.seats.tools_changed(client_id)
        self._background.start(self._old_sse.tools_changed(server_id, client_id))

    async def end_refused(self) -> None:
        """End the sessions of clients that may not use their server any more."""

        def has_access(server: str) -> Callable[[str], bool]:
            return lambda client: self._host.has_access(client, server)

        fronts = tuple(self._fronts.items())
        await asyncio.gather(*(front.seats.end_refused(has_access(server)) for server, (_known, front) in fronts))

    async def close(self) -> None:
        """End all processes. The sessions stay known."""
        fronts = [front for _known, front in self._fronts.values()]
        self._fronts.clear()
        await self._background.close()
        await asyncio.gather(*(front.close() for front in fronts))
        await self._count.ended()
        await self._routes.close()

    async def _make_room(self) -> bool:
        """End the process that was not used for the longest time; False when all are used."""
        fronts = [front for _known, front in self._fronts.values()]
        idle = [(seat.session.used_at, front, seat) for front in fronts if (seat := front.seats.longest_idle())]
        before = asyncio.get_running_loop().time() - LEAST_IDLE_SECONDS
        oldest = min(idle, key=lambda each: each[0], default=None)
        if oldest is None or oldest[0] > before:
            return False
        _used_at, front, seat = oldest
        await front.seats.rest(seat)
        return True

    def _front(self, upstream: Upstream) -> BridgeFront:
        identity = _identity(upstream)
        known, front = self._fronts.get(upstream.id, (None, None))
        if front is not None and known == identity:
            front.upstream = upstream
            return front
        if front is not None:
            # It was changed: its processes are those of the former command.
            self._background.start(front.close())
        front = self._new_front(upstream)
        self._fronts[upstream.id] = identity, front
        return front

    def _new_front(self, upstream: Upstream) -> BridgeFront:
        shared = isinstance(upstream, StdioUpstream) and upstream.shared

        def channel() -> Channel:
            # What is known of the server now: its token may be another one.
            now = front.upstream
            if isinstance(now, StdioUpstream):
                return StdioChannel(now, self._count)
            return SseChannel(self._routes.to(now), self._healing)

        seats = Seats(upstream.id, channel, self._sessions, shared=shared, idle_seconds=self._idle_seconds)
        front = BridgeFront(upstream, seats, self._policy)
        return front


def _identity(upstream: Upstream) -> Hashable:
    """What a running process or stream depends on."""
    if isinstance(upstream, StdioUpstream):
        return upstream.command, upstream.folder, upstream.environment, upstream.shared
    return upstream.url, upstream.sse
