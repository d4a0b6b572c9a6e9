"""Targets: how the proxy reaches each server, as snapshots that its own thread may read.

A snapshot is made from the server's route (`ServerSource.route`), which chooses address and credential. It is forgotten
whenever any of that may have changed: the list of servers, account, project, a sign-in, the workspace's address.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from app.core.errors import BurrowError, NotFound
from app.core.mcp.protocol.http_transport import StreamableHttpTransport
from app.core.mcp.protocol.sse_transport import SseTransport
from app.core.mcp.protocol.stdio_transport import StdioTransport
from app.core.mcp.proxy.loop_tokens import LoopTokenSource
from app.core.mcp.proxy.parts import HttpUpstream, StdioUpstream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.core.mcp.proxy.loop_hop import LoopGate
    from app.core.mcp.proxy.parts import Upstream
    from app.core.mcp.servers.registry import Reached, Servers

T = TypeVar("T")

# How often a route is asked for again because something changed while it was asked for.
TRIES = 5


@dataclass(frozen=True, eq=False)
class _Known:
    upstream: Upstream
    reached: Reached
    source: LoopTokenSource | None


class Targets:
    """Those of one process. All methods belong to the loop of `servers`; `known` may be called on any thread."""

    def __init__(self, servers: Servers, gate: LoopGate) -> None:
        """`gate` leads to the loop of the process, where its credentials live."""
        self._servers = servers
        self._gate = gate
        # Replaced as a whole, so that a reader on another thread sees one state or the other.
        self._known: Mapping[str, _Known] = {}
        # What was made last for each server. It goes on where nothing of it has changed: a process is not started anew
        # because another server changed, and what was learnt of a server stays.
        self._made: dict[str, _Known] = {}
        self._changes = 0

    def known(self, server_id: str) -> Upstream | None:
        """How to reach a server, if that is known now."""
        found = self._known.get(server_id)
        return None if found is None else found.upstream

    async def find(self, server_id: str) -> Upstream:
        """How to reach a server. Raises `NotFound`, and any `BurrowError` that keeps it from being used."""
        # Signing in loads the HTTP libraries, which takes long enough to be felt in a window.
        await asyncio.to_thread(__import__, "app.core.auth.http.bearer")
        for _ in range(TRIES):
            # A change that is told is listed a moment later, and one in another process is not told.
            with contextlib.suppress(BurrowError):
                await self._servers.look()
            before = self._changes
            reached = await self._servers.route(server_id)
            if before == self._changes:
                found = self._snapshot(reached)
                self._known = {**self._known, server_id: found}
                return found.upstream
        raise NotFound(f"The server “{server_id}” keeps changing.", action="Try again in a moment.")

    def forget(self) -> None:
        """Ask for every route anew when it is next used."""
        self._changes += 1
        former, self._known = self._known, {}
        for known in former.values():
            if known.source is not None:
                known.source.leave()

    def _snapshot(self, reached: Reached) -> _Known:
        former = self._made.get(reached.server.id)
        if former is not None and _same(former, reached):
            return former
        credential = reached.route.credential
        source = None if credential is None else LoopTokenSource(credential, self._gate, admit=reached.admit)
        known = _Known(_UPSTREAM_OF[type(reached.route.transport)](reached, source), reached, source)
        self._made[reached.server.id] = known
        return known


def _same(known: _Known, reached: Reached) -> bool:
    """Whether a server is still reached in the same way, as the same person, and told the same."""
    former = known.reached
    if (former.server.definition, former.address, former.whose) != (
        reached.server.definition,
        reached.address,
        reached.whose,
    ):
        return False
    if former.route.credential is not reached.route.credential or former.route.target != reached.route.target:
        return False
    upstream, transport = known.upstream, reached.route.transport
    if isinstance(upstream, HttpUpstream) and isinstance(transport, StreamableHttpTransport):
        return upstream.headers() == dict(transport.headers())
    return True


def _http(reached: Reached, source: LoopTokenSource | None, *, sse: bool = False) -> HttpUpstream:
    server, route = reached.server, reached.route
    transport: StreamableHttpTransport = route.transport  # type: ignore[assignment] # the table knows its class
    # Read now: they name the project, which belongs to the loop of the process.
    headers = dict(transport.headers())
    return HttpUpstream(
        id=server.id,
        title=server.title,
        url=transport.url,
        target=route.target,
        source=source,
        headers=lambda: headers,
        trusted=server.trusted,
        sse=sse,
    )


def _sse(reached: Reached, source: LoopTokenSource | None) -> HttpUpstream:
    return _http(reached, source, sse=True)


def _stdio(reached: Reached, _source: LoopTokenSource | None) -> StdioUpstream:
    server = reached.server
    transport: StdioTransport = reached.route.transport  # type: ignore[assignment] # the table knows its class
    return StdioUpstream(
        id=server.id,
        title=server.title,
        command=transport.command,
        folder="" if transport.folder is None else str(transport.folder),
        environment=tuple(transport.environment.items()),
        shared=getattr(server.definition, "shared", False),
    )


_UPSTREAM_OF: Mapping[type[Any], Callable[[Reached, LoopTokenSource | None], Upstream]] = {
    StreamableHttpTransport: _http,
    SseTransport: _sse,
    StdioTransport: _stdio,
}
