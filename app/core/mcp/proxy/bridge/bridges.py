"""Bridges: the fronts of all servers behind channels, by the id of the server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from app.core.background import BackgroundTasks
from app.core.mcp.proxy.bridge.front import BridgeFront
from app.core.mcp.proxy.bridge.seats import IDLE_SECONDS, Seats
from app.core.mcp.proxy.bridge.stdio_channel import ProcessCount, StdioChannel
from app.core.mcp.proxy.parts import StdioUpstream
from app.core.mcp.proxy.refusals import Refusal, RefusalKind, RequestRefused

if TYPE_CHECKING:
    from collections.abc import Hashable

    from app.core.mcp.proxy.parts import Call, CallPolicy, Responder, SessionStore, Upstream

MOST_PROCESSES = 32


class Bridges:
    """See `ServerBridge`. It belongs to the loop of the proxy."""

    def __init__(
        self,
        policy: CallPolicy,
        sessions: SessionStore,
        *,
        processes: int = MOST_PROCESSES,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._policy = policy
        self._sessions = sessions
        self._count = ProcessCount(processes)
        self._idle_seconds = idle_seconds
        self._fronts: dict[str, tuple[Hashable, BridgeFront]] = {}
        self._background = BackgroundTasks()

    @property
    def processes(self) -> int:
        """How many processes of servers run."""
        return self._count.running

    def takes(self, call: Call) -> bool:
        """Whether this bridge answers the request, and not the relay."""
        return isinstance(call.upstream, StdioUpstream) or call.upstream.sse

    async def handle(self, call: Call, responder: Responder) -> None:
        """See `ServerBridge.handle`."""
        await self._front(call.upstream).handle(call, responder)

    async def end_client(self, client: str) -> None:
        """End the sessions of a client, whose key was revoked."""
        await asyncio.gather(*(front.seats.end_client(client) for _known, front in tuple(self._fronts.values())))

    async def close(self) -> None:
        """End all processes. The sessions stay known."""
        fronts = [front for _known, front in self._fronts.values()]
        self._fronts.clear()
        await self._background.close()
        await asyncio.gather(*(front.close() for front in fronts))

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
        assert isinstance(upstream, StdioUpstream)
        seats = Seats(
            upstream.id,
            lambda: StdioChannel(upstream, self._count),
            self._sessions,
            shared=upstream.shared,
            idle_seconds=self._idle_seconds,
        )
        return BridgeFront(upstream, seats, self._policy)


def _identity(upstream: Upstream) -> Hashable:
    """What a running process or stream depends on."""
    if isinstance(upstream, StdioUpstream):
        return upstream.command, upstream.folder, upstream.environment, upstream.shared
    return upstream.url, upstream.sse


def not_offered(upstream: Upstream) -> RequestRefused:
    """HTTP+SSE is offered for servers that speak it themselves."""
    return RequestRefused(Refusal(RefusalKind.INVALID, f"{upstream.title} is not offered over HTTP+SSE: use /mcp/."))
