"""KnownTools: the tools of each server as they were last seen, by this process or at an earlier start."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.core.mcp.servers.list_cache import ServerListCache
    from app.core.mcp.tools import ToolInfo


class KnownTools:
    """Lists by the id of their server. What an earlier start has kept is read from the cache of the server's source."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[ToolInfo, ...]] = {}
        self._earlier_names: dict[str, frozenset[str]] = {}

    def of(self, server_id: str) -> tuple[ToolInfo, ...] | None:
        """The list that this process has; None for none."""
        return self._rows.get(server_id)

    def put(self, server_id: str, rows: tuple[ToolInfo, ...]) -> bool:
        """Keep a list; whether it is another one than before."""
        before, self._rows[server_id] = self._rows.get(server_id), rows
        return rows != before

    def forget(self, server_id: str) -> None:
        """Of a server that is gone, or may be another one."""
        self._rows.pop(server_id, None)
        self._earlier_names.pop(server_id, None)

    def find(self, server_id: str, name: str) -> ToolInfo | None:
        """A tool of the list that this process has."""
        return _named(self._rows.get(server_id, ()), name)

    async def seen(self, server_id: str, cache: ServerListCache) -> tuple[ToolInfo, ...] | None:
        """The list that was last seen, now or at an earlier start."""
        rows = self._rows.get(server_id)
        return await cache.tools(server_id) if rows is None else rows

    async def find_seen(self, server_id: str, name: str, cache: ServerListCache) -> ToolInfo | None:
        """A tool of the list that was last seen."""
        return _named(await self.seen(server_id, cache) or (), name)

    async def names(self, server_id: str, cache: ServerListCache) -> frozenset[str]:
        """The names of the list that was last seen. One of an earlier start is read once: it may be long."""
        rows = self._rows.get(server_id)
        if rows is not None:
            return frozenset(tool.name for tool in rows)
        if server_id not in self._earlier_names:
            cached = await cache.tools(server_id)
            self._earlier_names[server_id] = frozenset(tool.name for tool in cached or ())
        return self._earlier_names[server_id]


def _named(rows: Iterable[ToolInfo], name: str) -> ToolInfo | None:
    return next((tool for tool in rows if tool.name == name), None)
