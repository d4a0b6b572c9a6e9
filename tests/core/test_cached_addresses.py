"""What was cached at the last start never decides where a server is reached now."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

from app.core.mcp.servers.server import ServerState
from app.core.mcp.tools import ToolInfo
from app.core.services import Services
from tests.core.test_mcp_workspace import on_workspace


async def test_a_workspace_at_another_address_is_used_with_the_lists_of_the_last_start(tmp_path: Path) -> None:
    async with on_workspace(tmp_path) as (services, backend, _):
        first = backend.host.origin
        postbox = next(server.id for server in await services.servers.list() if server.title == "Postbox")
        before = await services.servers.tools(postbox)
    # Another program has the former port by now.
    with socket.create_server(("127.0.0.1", urlsplit(first).port or 0)):
        await _use_again(tmp_path, first, postbox, before)


async def _use_again(folder: Path, first: str, postbox: str, before: tuple[ToolInfo, ...]) -> None:
    async with on_workspace(folder) as (services, backend, _):
        assert backend.host.origin != first
        # From the cache, before the host has answered.
        assert "Postbox" in {server.title for server in await services.servers.list()}
        assert await services.servers.tools(postbox, refresh=True) == before
        assert {server.id: server.state for server in services.servers.listed}[postbox] is ServerState.READY


async def test_no_way_to_a_server_is_kept_in_the_list(tmp_path: Path) -> None:
    async with on_workspace(tmp_path) as (services, backend, _):
        await services.servers.list(refresh=True)
        assert backend.scope is not None
        assert backend.project is not None
        cached = await services.storage.cache.get(backend.scope, f"mcp-servers/store/{backend.project.id}")
        assert cached is not None
        records = json.loads(cached.payload)
        assert len(records) >= 2
        assert all("proxy" not in json.dumps(record) for record in records)


async def test_an_address_that_an_earlier_version_kept_is_not_used(tmp_path: Path) -> None:
    async with on_workspace(tmp_path) as (services, backend, _):
        await services.servers.list(refresh=True)
        scope, project = backend.scope, backend.project
        assert scope is not None
        assert project is not None
        name = f"mcp-servers/store/{project.id}"
        cached = await services.storage.cache.get(scope, name)
        assert cached is not None
        records = json.loads(cached.payload)
        for record in records:
            record["definition"]["proxy_url"] = f"http://127.0.0.1:9/{record['definition']['id']}"
        await services.storage.cache.put(scope, name, json.dumps(records).encode())
        again = Services(tmp_path)
        try:
            await (await again.connect(await again.start_workspace())).ready()
            postbox = next(server.id for server in await again.servers.list() if server.title == "Postbox")
            assert await again.servers.tools(postbox, refresh=True)
        finally:
            await again.close()
