"""RunServers: the MCP servers that an agent gets, through the local proxy, with a key of its run's own.

The key is made when the run starts and revoked when it ends, so what the agent wrote down of it is worth nothing then.
The agent never sees a token of a server (`app/core/mcp/proxy`).
"""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING, Protocol

from app.core.errors import BurrowError, Rejected
from app.core.redaction import hide
from app.core.storage.proxy_clients import RUN_PROGRAM

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from app.core.mcp.proxy.parts import ProxyClient

log = logging.getLogger(__name__)


class RunClients(Protocol):
    """What is needed of `ProxyClients`."""

    async def create(
        self, name: str, program: str = "", servers: Collection[str] | None = None
    ) -> tuple[ProxyClient, str]: ...

    async def revoke(self, client: str) -> None: ...


class RunServers:
    """The servers of one run. `names` are those that it may use, by their ids and the names that the agent sees.

    `address_of` is that of the proxy for an id (`ProxyStatus.address_of`), asked for when the run starts.
    """

    def __init__(
        self, clients: RunClients, address_of: Callable[[str], str], names: Mapping[str, str], label: str
    ) -> None:
        self.client = ""
        self._clients = clients
        self._address_of = address_of
        self._names = dict(names)
        self._label = label

    async def open(self, created: Callable[[str], Awaitable[None]]) -> list[dict[str, object]]:
        """Make the key. Returns the servers as `session/new` wants them.

        `created` is told the client's id before the agent has the key, so that it can be revoked after a crash. Raises
        `BurrowError`.
        """
        if not self._names:
            return []
        try:
            client, key = await self._clients.create(self._label, RUN_PROGRAM, tuple(self._names))
        except Rejected:
            # Another run has that name. One that is no name at all is refused again.
            label = f"{self._label} {secrets.token_hex(3)}"
            client, key = await self._clients.create(label, RUN_PROGRAM, tuple(self._names))
        self.client = client.id
        # Whatever the agent says of it is masked.
        hide(key)
        await created(client.id)
        headers = [{"name": "Authorization", "value": f"Bearer {key}"}]
        return [
            {"type": "http", "name": name, "url": self._address_of(server), "headers": headers}
            for server, name in self._names.items()
        ]

    async def close(self) -> None:
        """Revoke the key."""
        client, self.client = self.client, ""
        if client:
            try:
                await self._clients.revoke(client)
            except BurrowError as trouble:
                log.warning("the key of a run could not be revoked: %s", trouble.cause)
