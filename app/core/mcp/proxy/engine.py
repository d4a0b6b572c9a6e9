"""ProxyEngine: the parts of the proxy that serve requests, put together. Everything here is on the proxy's own loop."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from app.core.mcp.proxy.bridge.bridges import Bridges
from app.core.mcp.proxy.http.sender import DirectSender
from app.core.mcp.proxy.http.server import LoopbackServer
from app.core.mcp.proxy.listeners import number_of
from app.core.mcp.proxy.policy import DoorPolicy
from app.core.mcp.proxy.port import Acceptor, ProxyPort
from app.core.mcp.proxy.relay import Relay

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from app.core.mcp.proxy.handover import Role
    from app.core.mcp.proxy.listeners import Listeners
    from app.core.mcp.proxy.parts import ProxyHost, SessionStore
    from app.core.mcp.proxy.port import PortStatus

# A client that has just connected, or is between two requests, has this long to send one that is still answered.
LINGER_SECONDS = 0.1


class ProxyEngine:
    """Serves the requests of clients, while its process owns the port."""

    def __init__(self, host: ProxyHost, sessions: SessionStore) -> None:
        self._host = host
        self._sender = DirectSender(_tls)
        self._policy = DoorPolicy(host)
        self._bridges = Bridges(self._policy, sessions)
        self._sessions = sessions
        self._relays: list[Relay] = []
        self._port: ProxyPort | None = None
        # Those that finish what is in flight, and the one that accepts.
        self._servers: list[LoopbackServer] = []
        self._used_at = monotonic()

    @property
    def unused_seconds(self) -> float:
        """How long no client was connected."""
        if any(server.connections for server in self._servers):
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

    async def close(self, *, drain: float, keep: bool) -> None:
        """Stop, and finish what is in flight within `drain` seconds. `keep`: see `ProxyPort.stop`."""
        try:
            if self._port is not None:
                await self._port.stop(drain=drain, keep=keep)
        finally:
            for relay in self._relays:
                await relay.close()
            await self._bridges.close()
            await self._sender.close()

    async def _accept(self, listeners: Listeners) -> None:
        number = number_of(listeners)
        relay = Relay(self._host, self._sender, self._sessions, self._policy, port=number, bridges=[self._bridges])
        self._relays.append(relay)
        server = LoopbackServer(relay.handle)
        self._servers.append(server)
        # The port keeps its own handles, for those who stand by and for the next time.
        await server.listen([each.dup() for each in listeners])

    async def _release(self, seconds: float) -> None:
        servers, self._servers = self._servers, []
        for server in servers:
            await server.close(seconds, min(LINGER_SECONDS, seconds))


def _tls() -> ssl.SSLContext:
    # It loads httpx, which takes a while; the sender calls this in a thread when a server with TLS is first used.
    from app.core.auth.http.transport import tls_context

    return tls_context()
