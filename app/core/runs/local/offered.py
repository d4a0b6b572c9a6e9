"""OfferedServers: which MCP servers a local run gets, through the local proxy while that serves."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from app.core.errors import BurrowError
from app.core.mcp.programs.entries import entry_name
from app.core.mcp.programs.program import OfferedServer
from app.core.runs.local.servers import RunServers

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.mcp.proxy.service import ProxyService
    from app.core.mcp.servers.registry import Servers

log = logging.getLogger(__name__)

LONGEST_TITLE = 40


class OfferedServers:
    """`proxy` gives the proxy of this process, None where it has none. `servers` are all that are known."""

    def __init__(self, proxy: Callable[[], ProxyService | None], servers: Callable[[], Servers]) -> None:
        self._proxy, self._servers = proxy, servers

    def of(self, run: str, title: str) -> RunServers | None:
        """What a run gets; None where nobody would answer it."""
        proxy = self._proxy()
        if proxy is None or not proxy.status.address:
            return None
        names: dict[str, str] = {}
        for server in self._servers().listed:
            names[server.id] = entry_name(OfferedServer(server.id, server.title), names.values())
        label = f"Run: {title.strip()[:LONGEST_TITLE]} ({run[:6]})"
        return RunServers(proxy.clients, lambda server: proxy.status.address_of(server), names, label)

    async def revoke(self, client: str) -> None:
        """Take a key back that a run left when Burrow was killed."""
        proxy = self._proxy()
        if proxy is None:
            return
        try:
            await proxy.clients.revoke(client)
        except BurrowError as trouble:
            log.warning("the key of a run could not be revoked: %s", trouble.cause)
