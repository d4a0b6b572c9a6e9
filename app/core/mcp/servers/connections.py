"""ServerConnections: one connection to each server that was contacted, left when its address changes."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from app.core.mcp.protocol.connection import Connection, Endpoint
from app.core.mcp.protocol.listening import Listening
from app.core.mcp.protocol.sign_in_gate import SignInGate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from app.core.mcp.protocol.exchange import Exchange, Notification
    from app.core.mcp.protocol.reconnect import ReconnectTiming
    from app.core.mcp.servers.refused_probes import RefusedProbes
    from app.core.mcp.servers.server import Server
    from app.core.mcp.servers.source import ServerSource


class Connected(NamedTuple):
    """A connection, and the address that it was made to."""

    connection: Connection
    address: str


class ServerConnections:
    """`heard` is called with each message and its endpoint, `missed` when notifications may have been lost."""

    def __init__(
        self,
        heard: Callable[[Endpoint, Exchange | Notification], None],
        missed: Callable[[Endpoint], None],
        timing: ReconnectTiming,
        probes: RefusedProbes,
    ) -> None:
        self._heard = heard
        self._missed = missed
        self._timing = timing
        self._probes = probes
        self._open: dict[str, Connected] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def __getitem__(self, server_id: str) -> Connected:
        return self._open[server_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._open)

    async def to(self, server: Server, source: ServerSource) -> Connection:
        """The connection to a server; opened by its first request. Raises what `ServerSource.route` raises."""
        route = await source.route(server.definition)
        address = source.address(server.definition)
        # Nothing is awaited from here on: two callers at once get the same connection.
        connected = self._open.get(server.id)
        if connected is not None and connected.address != address:
            self.leave(server.id)
            connected = None
        if connected is None:
            endpoint = Endpoint(server.title, route.transport, route.target.at_stake, route.target.credential)
            gate = SignInGate(route.credential)
            listening = Listening(route.target, gate, partial(self._missed, endpoint), self._timing)
            connection = Connection(
                endpoint,
                self._heard,
                listening,
                legacy=self._probes.has(address),
                probe_refused=partial(self._probes.add, address),
            )
            connected = Connected(connection, address)
            self._open[server.id] = connected
        return connected.connection

    def id_of(self, endpoint: Endpoint) -> str | None:
        """The server that a connection in use belongs to; None once it was left."""
        return next((key for key, value in self._open.items() if value.connection.endpoint is endpoint), None)

    def leave(self, server_id: str) -> None:
        """Close the connection to a server, if there is one; `left` waits for that."""
        connected = self._open.pop(server_id, None)
        if connected is None:
            return
        closing = asyncio.create_task(connected.connection.close(), name=f"mcp close {server_id}")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def leave_all_but(self, server_ids: Iterable[str]) -> None:
        """Leave every server that is not one of these."""
        for gone in set(self._open) - set(server_ids):
            self.leave(gone)

    async def left(self) -> None:
        """Wait until every connection that was left is closed. Raises nothing."""
        if self._closing:
            await asyncio.wait(self._closing)

    async def close(self) -> None:
        """Leave every server, in under a second. Raises nothing."""
        self.leave_all_but(())
        await self.left()
