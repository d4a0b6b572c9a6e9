"""ServerListCache: lists of servers and tools as they are kept for the next start, for each account and project."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from app.core.errors import StorageTrouble
from app.core.mcp.json_text import write_json
from app.core.mcp.protocol.messages import read_json
from app.core.mcp.tool_list import read_tools

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.core.mcp.servers.source import Listed
    from app.core.mcp.tools import ToolInfo
    from app.core.storage.values import Cached, Scope

SERVERS_ENTRY = "mcp-servers"
TOOLS_ENTRY = "mcp-tools"
LIMIT = 4 * 1024 * 1024
# How deeply a list may be nested. The encoder needs the interpreter's stack.
DEPTH = 500

log = logging.getLogger(__name__)


class CacheStorage(Protocol):
    """The cached answers of an account (`app.core.storage`)."""

    async def put(self, scope: Scope, name: str, payload: bytes) -> None: ...

    async def get(self, scope: Scope, name: str) -> Cached | None: ...


class ServerListCache:
    """The lists of one account and project. Losing one costs a request, so nothing here raises."""

    def __init__(self, cache: CacheStorage, listed: Listed) -> None:
        self._cache = cache
        self._scope, self._project = listed

    async def servers(self, source: str) -> list[Any] | None:
        """The records that the source kept at its last refresh, None when there are none."""
        records = await self._get(f"{SERVERS_ENTRY}/{source}")
        return records if isinstance(records, list) else None

    async def keep_servers(self, source: str, records: list[dict[str, Any]]) -> None:
        """Keep the records of a source, made of JSON values."""
        await self._put(f"{SERVERS_ENTRY}/{source}", records)

    async def tools(self, server_id: str) -> tuple[ToolInfo, ...] | None:
        """The rows of the last refresh, None when there are none."""
        items = await self._get(f"{TOOLS_ENTRY}/{server_id}")
        try:
            rows = read_tools([item["raw"] for item in items])
            return tuple(
                replace(row, policy=item["policy"], locked=item["locked"] is True, problem=item["problem"])
                for row, item in zip(rows, items, strict=True)
            )
        except (TypeError, KeyError):
            return None

    async def keep_tools(self, server_id: str, rows: Iterable[ToolInfo]) -> None:
        """Keep the rows of a server."""
        records = [
            {"raw": tool.raw, "policy": tool.policy, "locked": tool.locked, "problem": tool.problem} for tool in rows
        ]
        await self._put(f"{TOOLS_ENTRY}/{server_id}", records)

    async def _get(self, name: str) -> Any:
        if self._scope is None:
            return None
        try:
            cached = await self._cache.get(self._scope, f"{name}/{self._project}")
            return None if cached is None else read_json(cached.payload)
        except (StorageTrouble, ValueError, RecursionError):
            return None

    async def _put(self, name: str, value: object) -> None:
        if self._scope is None:
            return
        try:
            payload = await asyncio.to_thread(lambda: write_json(value, indent=None, depth=DEPTH).encode())
            if len(payload) <= LIMIT:
                await self._cache.put(self._scope, f"{name}/{self._project}", payload)
        except (StorageTrouble, ValueError, RecursionError) as failure:
            log.warning("a list was not kept: %s", failure)
