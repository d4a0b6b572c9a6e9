"""MCP on the real workspace: its own endpoint, the installation proxy, and a token that dies under way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.core.backend import Backend
from app.core.errors import PolicyRefused, SignInNeeded, VendorSignInNeeded
from app.core.lab import Lab
from app.core.mcp.protocol.calls import CallCancelled
from app.core.mcp.results.blocks import ImageBlock, LinkBlock, Progress, ResourceBlock
from app.core.mcp.servers.registry import Servers
from app.core.mcp.servers.server import Server, ServerState
from app.core.services import Services


@asynccontextmanager
async def on_workspace(folder: Path) -> AsyncIterator[tuple[Services, Backend, Lab]]:
    services = Services(folder)
    try:
        backend = await services.connect(await services.start_workspace())
        await backend.ready()
        assert backend.lab is not None
        yield services, backend, backend.lab
    finally:
        await services.close()


async def named(servers: Servers, title: str) -> Server:
    return next(server for server in await servers.list() if server.title == title)


async def refreshes(lab: Lab) -> int:
    return int((await lab.state())["counters"]["refreshes_accepted"])


async def counted(lab: Lab, what: str) -> None:
    """Wait until the workspace counts at least one."""
    while (await lab.mcp())[what] == 0:  # noqa: ASYNC110 (another process counts)
        await asyncio.sleep(0.05)


async def test_the_workspaces_own_tools_work_and_a_dead_token_is_healed_unseen(tmp_path: Path) -> None:
    async with on_workspace(tmp_path) as (services, _backend, lab):
        servers = services.servers
        postbox = (await named(servers, "Postbox")).id
        tools = await servers.tools("workspace")
        await servers.tools(postbox)

        await lab.kill_access_token()
        calls = [servers.start_call("workspace", "list_tasks", {}) for _ in range(10)]
        calls += [servers.start_call(postbox, "list_mailboxes", {}) for _ in range(5)]
        results = await asyncio.gather(*(call.result() for call in calls))
        assert not any(result.is_error for result in results)
        assert await refreshes(lab) == 1

        for number, shape in enumerate(("error", "result"), 2):
            await lab.mcp(tool_authentication_failed=1, shape=shape)
            assert not (await servers.start_call("workspace", "list_tasks", {}).result()).is_error
            assert await refreshes(lab) == number

        chart = await servers.start_call("workspace", "chart_events", {"events": ["$pageview"]}).result()
        assert any(isinstance(block, ImageBlock) and block.data.startswith(b"\x89PNG") for block in chart.blocks)
        documents = await servers.start_call("workspace", "list_documents", {}).result()
        assert isinstance(documents.structured, dict)
        first = documents.structured["result"][0]["id"]
        document = await servers.start_call("workspace", "read_document", {"document": first}).result()
        (link,) = [block for block in document.blocks if isinstance(block, LinkBlock)]
        (content,) = await servers.read_resource("workspace", link.uri)
        assert isinstance(content, ResourceBlock)
        assert content.text

        heard: list[Progress] = []
        slow = servers.start_call("workspace", "slow_report", {"seconds": 0.5, "steps": 5})
        slow.progress.subscribe(heard.append)
        assert not (await slow.result()).is_error
        assert len(heard) >= 3
        endless = servers.start_call("workspace", "slow_report", {"seconds": 600, "steps": 100})
        await counted(lab, "reports_running")
        endless.cancel()
        with pytest.raises(CallCancelled):
            await endless.result()
        await counted(lab, "reports_cancelled")

        await lab.revoke_grant()
        with pytest.raises(SignInNeeded):
            await servers.start_call("workspace", "list_tasks", {}).result()
        assert await servers.tools("workspace") == tools
        assert (await named(servers, "Workspace")).state is ServerState.READY


async def test_policies_and_vendors_stop_only_what_is_theirs(tmp_path: Path) -> None:
    async with on_workspace(tmp_path) as (services, _backend, lab):
        servers = services.servers
        postbox = (await named(servers, "Postbox")).id
        policies = {tool.name: tool.policy for tool in await servers.tools(postbox)}
        assert policies["list_mailboxes"] == "approved"
        assert policies["send_message"] == "needs_approval"
        with pytest.raises(PolicyRefused, match="approval"):
            await servers.start_call(postbox, "send_message", {}).result()
        row = await servers.set_policy(postbox, "list_mailboxes", "do_not_use")
        assert row is not None
        assert row.policy == "do_not_use"
        with pytest.raises(PolicyRefused):
            await servers.start_call(postbox, "list_mailboxes", {}).result()
        ledger = (await named(servers, "Ledger")).id
        with pytest.raises(VendorSignInNeeded):
            await servers.tools(ledger)

        await lab.vendor(vendor="postbox", action="revoke")
        with pytest.raises(VendorSignInNeeded):
            await servers.start_call(postbox, "search_messages", {}).result()
        assert await refreshes(lab) == 0
        assert (await named(servers, "Postbox")).state is ServerState.RECONNECT
        assert not (await servers.start_call("workspace", "list_tasks", {}).result()).is_error
