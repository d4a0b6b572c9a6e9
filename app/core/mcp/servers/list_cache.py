"""Lists of servers and tools as they are kept for the next start (`storage.cache`), for each account and project."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from app.core.auth.http.target import CredentialAtStake
from app.core.errors import StorageTrouble
from app.core.mcp.servers.catalog import read_tools
from app.core.mcp.types import Server, ServerState, ToolInfo, installation_state
from app.core.posthog.types import Installation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.core.storage.values import Cached, Scope

SERVERS_ENTRY = "mcp-servers"
TOOLS_ENTRY = "mcp-tools"
LIMIT = 4 * 1024 * 1024

log = logging.getLogger(__name__)


class CacheStorage(Protocol):
    """The cached answers of an account (`app.core.storage`)."""

    async def put(self, scope: Scope, name: str, payload: bytes) -> None: ...

    async def get(self, scope: Scope, name: str) -> Cached | None: ...


class ServerListCache:
    """The lists of one account and project. Losing one costs a request, so nothing here raises."""

    def __init__(self, cache: CacheStorage, scope: Scope | None, project: int | None) -> None:
        self._cache = cache
        self._scope = scope
        self._project = project

    async def servers(self) -> tuple[Server, ...] | None:
        """The list of the last refresh, None when there is none. What only a contact can tell is not known again."""
        items = await self._get(SERVERS_ENTRY)
        found = [_server(item) for item in items] if isinstance(items, list) else []
        return tuple(server for server in found if server is not None) or None

    async def keep_servers(self, servers: Iterable[Server]) -> None:
        await self._put(SERVERS_ENTRY, [_server_record(server) for server in servers])

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
        records = [
            {"raw": tool.raw, "policy": tool.policy, "locked": tool.locked, "problem": tool.problem} for tool in rows
        ]
        await self._put(f"{TOOLS_ENTRY}/{server_id}", records)

    async def _get(self, name: str) -> Any:
        if self._scope is None:
            return None
        try:
            cached = await self._cache.get(self._scope, f"{name}/{self._project}")
            return None if cached is None else json.loads(cached.payload)
        except (StorageTrouble, ValueError, RecursionError):
            return None

    async def _put(self, name: str, value: object) -> None:
        if self._scope is None:
            return
        try:
            payload = await asyncio.to_thread(lambda: json.dumps(value).encode())
            if len(payload) <= LIMIT:
                await self._cache.put(self._scope, f"{name}/{self._project}", payload)
        except (StorageTrouble, ValueError, RecursionError) as failure:
            log.warning("a list was not kept: %s", failure)


def _server_record(server: Server) -> dict[str, Any]:
    record: dict[str, Any] = {
        "id": server.id,
        "title": server.title,
        "url": server.url,
        "description": server.description,
        "owner": server.owner.value,
        "tool_count": server.tool_count,
    }
    if server.installation is not None:
        kept = msgspec.structs.asdict(server.installation)
        record["installation"] = {name: value for name, value in kept.items() if not name.endswith("_at")}
    return record


def _server(record: Any) -> Server | None:
    try:
        kept = record.get("installation")
        installation = None if kept is None else Installation(**kept)
        return Server(
            id=record["id"],
            title=record["title"],
            url=record["url"],
            description=record["description"],
            owner=CredentialAtStake(record["owner"]),
            state=ServerState.UNKNOWN if installation is None else installation_state(installation),
            installation=installation,
            tool_count=record["tool_count"],
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
