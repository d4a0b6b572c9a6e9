"""ProxyEngine: the parts of the proxy that serve requests, put together. Everything here is on the proxy's own loop."""

from __future__ import annotations

import asyncio
import contextlib
from time import monotonic
from typing import TYPE_CHECKING

from app.core.mcp.proxy.bridge.bridges import Bridges
from app.core.mcp.proxy.http.routes import ChoosingSender
from app.core.mcp.proxy.http.server import LoopbackServer
from app.core.mcp.proxy.keeper import KEEP_SECONDS
from app.core.mcp.proxy.listeners import close_all, number_of
from app.core.mcp.proxy.policy import DoorPolicy
from app.core.mcp.proxy.port import Acceptor, ProxyPort
from app.core.mcp.proxy.relay import Relay

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from app.core.auth.tokens import Fingerprints
    from app.core.mcp.proxy.handover import Role
    from app.core.mcp.proxy.listeners import Listeners
    from app.core.mcp.proxy.parts import ProxyHost, SessionStore
    from app.core.mcp.proxy.port import PortStatus
    from app.core.mcp.proxy.tool_rules import RuleChange
    from app.core.mcp.proxy.under_way import UnderWay

# A client that has just connected, or is between two requests, has this long to send one that is still answered.
LINGER_SECONDS = 1.0


class ProxyEngine:
    """Serves the requests of clients, while its process owns the port."""

    def __init__(self, host: ProxyHost, sessions: SessionStore, fingerprint: Fingerprints) -> None:
        self._host = host
        self._fingerprint = fingerprint
        self._sender = ChoosingSender(_tls)
        self._policy = DoorPolicy(host)
        self._bridges = Bridges(host, self._sender, sessions, self._policy)
        self._sessions = sessions
        self._port: ProxyPort | None = None
        # The one that accepts, and those that finish what is in flight.
        self._serving: list[tuple[LoopbackServer, Relay]] = []
        self._used_at = monotonic()

    @property
    def busy(self) -> bool:
        """Whether a client is connected. May be read on any thread."""
        return any(server.connections for server, _relay in tuple(self._serving))

    @property
    def under_way(self) -> tuple[UnderWay, ...]:
        """The requests that are answered now, and the streams that are open. May be read on any thread."""
        return tuple(request for _server, relay in tuple(self._serving) for request in relay.under_way)

    @property
    def followed(self) -> bool:
        """Whether another process stands by to serve the clients. May be read on any thread."""
        return self._port is not None and self._port.followed

    @property
    def unused_seconds(self) -> float:
        """How long no client was connected, as far as anybody looked. May be read on any thread."""
        if self.busy:
            self._used_at = monotonic()
        return monotonic() - self._used_at

    def serve(
        self,
        folder: Path,
        role: Role,
        number: int,
        *,
        choose: Callable[[int], Awaitable[bool]],
        changed: Callable[[PortStatus], None],
    ) -> None:
        """Begin to serve or to stand by; see `ProxyPort`."""
        acceptor = Acceptor(self._accept, self._release)
        self._port = ProxyPort(folder, role, number, acceptor, choose=choose, changed=changed)
        self._port.start()

    def tools_changed(self, change: RuleChange) -> None:
        """The user hid tools of a server or no longer does: the clients that listen are told."""
        if change.hidden:
            for _server, relay in self._serving:
                relay.tools_changed(change.server_id, change.client_id)

    async def end_refused(self) -> None:
        """Clients lost keys or servers: end what is answered to them there now, and their sessions with processes."""
        for _server, relay in self._serving:
            relay.end_refused()
        await self._bridges.end_refused()

    async def close(self, *, drain: float, keep: bool, keep_seconds: float = KEEP_SECONDS) -> None:
        """Stop, and finish what is in flight within `drain` seconds. `keep`: see `ProxyPort.stop`."""
        try:
            if self._port is not None:
                self._port.keep_seconds = keep_seconds
                await self._port.stop(drain=drain, keep=keep)
        finally:
            await self._bridges.close()
            await self._sender.close()

    async def _accept(self, listeners: Listeners) -> None:
        number = number_of(listeners)
        relay = Relay(
            self._host,
            self._sender,
            self._sessions,
            self._policy,
            port=number,
            bridges=[self._bridges],
            fingerprint=self._fingerprint,
        )
        server = LoopbackServer(relay.handle)
        self._serving.append((server, relay))
        # The port keeps its own handles, for those who stand by and for the next time.
        handles = tuple(each.dup() for each in listeners)
        try:
            await server.listen(handles)
        except BaseException:
            close_all(handles)
            raise

    async def _release(self, seconds: float) -> None:
        serving = tuple(self._serving)
        await asyncio.gather(*(self._finish(server, relay, seconds) for server, relay in serving))
        if not self._serving:
            # Their clients are answered by another process, which starts its own.
            await self._bridges.close()

    async def _finish(self, server: LoopbackServer, relay: Relay, seconds: float) -> None:
        linger = min(LINGER_SECONDS, seconds)
        relay.leave()
        await server.close(seconds - linger, linger)
        await relay.close()
        with contextlib.suppress(ValueError):
            self._serving.remove((server, relay))


def _tls() -> ssl.SSLContext:
    # It loads httpx, which takes a while; the sender calls this in a thread when a server with TLS is first used.
    from app.core.auth.http.transport import tls_context

    return tls_context()
