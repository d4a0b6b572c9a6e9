"""The official SDK at both ends of the relay: its client, its server, which is started again meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
from mcp import ClientSession, types
from mcp.client.streamable_http import streamable_http_client
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from pydantic import BaseModel

from app.core.auth.http.target import Target
from app.core.mcp.proxy.parts import HttpUpstream
from tests.core._mcp_server import MODERN, real_server
from tests.core.proxy._relay import KEY, Proxy, proxy


class Answer(BaseModel):
    fine: bool


def server() -> Any:
    sdk = MCPServer("real")

    @sdk.tool()
    async def steps(count: int, ctx: Context) -> str:
        for number in range(count):
            await ctx.report_progress(number + 1, count)
        return "done"

    @sdk.tool()
    async def asks(ctx: Context) -> str:
        found = await ctx.elicit("Is that fine?", Answer)
        return str(found.action)

    @sdk.tool()
    async def changed(ctx: Context) -> str:
        await ctx.session.send_tool_list_changed()
        return "told"

    @sdk.tool()
    async def slow(ctx: Context) -> str:
        await asyncio.sleep(60)
        return "late"

    return sdk


@asynccontextmanager
async def session(running: Proxy, **options: Any) -> AsyncIterator[Any]:
    async with AsyncExitStack() as stack:
        http = httpx2.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}, trust_env=False, verify=False, timeout=20)
        await stack.enter_async_context(http)
        streams = await stack.enter_async_context(streamable_http_client(running.url(), http_client=http))
        opened = await stack.enter_async_context(ClientSession(*streams, **options))
        await opened.initialize()
        yield opened


def upstream(url: str) -> HttpUpstream:
    return HttpUpstream("s", "S", url, Target(frozenset(), jsonrpc=True))


async def test_progress_elicitation_notices_and_cancelling_pass_in_order(tmp_path: Path) -> None:
    heard: list[tuple[float, float | None]] = []
    notices: list[str] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        heard.append((done, total))

    async def elicit(context: Any, params: Any) -> Any:
        assert params.message == "Is that fine?"
        return types.ElicitResult(action="accept", content={"fine": True})

    told = asyncio.Event()

    async def message(item: Any) -> None:
        if isinstance(item, types.ToolListChangedNotification):
            notices.append(item.method)
            told.set()

    async with (
        real_server(server()) as url,
        proxy(tmp_path, [upstream(url)]) as running,
        session(running, elicitation_callback=elicit, message_handler=message) as opened,
    ):
        result = await opened.call_tool("steps", {"count": 30}, progress_callback=progress)
        assert result.content[0].text == "done"
        assert heard == [(number + 1.0, 30.0) for number in range(30)]
        assert (await opened.call_tool("asks", {})).content[0].text == "accept"
        assert (await opened.call_tool("changed", {})).content[0].text == "told"
        await asyncio.wait_for(told.wait(), 5)
        slow = asyncio.create_task(opened.call_tool("slow", {}))
        await asyncio.sleep(0)
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
        assert [tool.name for tool in (await opened.list_tools()).tools] == ["steps", "asks", "changed", "slow"]


async def test_the_sdks_client_does_not_notice_that_its_server_was_started_again(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        first = AsyncExitStack()
        url = await first.enter_async_context(real_server(server()))
        running = await stack.enter_async_context(proxy(tmp_path, [upstream(url)]))
        opened = await stack.enter_async_context(session(running))
        assert (await opened.call_tool("steps", {"count": 1})).content[0].text == "done"
        await first.aclose()
        port = urlsplit(url).port
        assert port is not None
        await stack.enter_async_context(real_server(server(), port=port))
        results = await asyncio.gather(*(opened.call_tool("steps", {"count": 2}) for _ in range(5)))
        assert [result.content[0].text for result in results] == ["done"] * 5


META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "agent", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def modern(method: str, identity: Any, **params: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """A request of the newest revision: its body, and the headers that mirror it."""
    headers = {"mcp_protocol_version": MODERN, "mcp_method": method}
    if "name" in params:
        headers["mcp_name"] = params["name"]
    body = {"jsonrpc": "2.0", "id": identity, "method": method, "params": {**params, "_meta": META}}
    return body, headers


async def test_the_newest_revision_passes_with_its_headers_and_its_subscriptions(tmp_path: Path) -> None:
    async with real_server(server()) as url, proxy(tmp_path, [upstream(url)]) as running:
        body, headers = modern("tools/list", 1)
        listed = await running.post(body, **headers)
        assert [each["name"] for each in listed.json()["result"]["tools"]] == ["steps", "asks", "changed", "slow"]
        assert "mcp-session-id" not in listed.headers
        assert running.host.uses == [("s", None, "agent 1")]
        # The server compares the headers with the body: they arrived as they were sent.
        mirrored = await running.post(body, **{**headers, "mcp_method": "tools/call"})
        assert mirrored.json()["error"]["code"] == -32020

        body, headers = modern("subscriptions/listen", "l", notifications={"toolsListChanged": True})
        async with running.stream("POST", content=body, **headers) as answer:
            assert answer.headers["x-accel-buffering"] == "no"
            reading = answer.aiter_raw()
            assert b"subscriptions/acknowledged" in await anext(reading)
            running.relay.tools_changed("s", "agent")
            ours = await anext(reading)
            assert b"notifications/tools/list_changed" in ours
            assert b'"io.modelcontextprotocol/subscriptionId": "l"' in ours
