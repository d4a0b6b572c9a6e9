"""The official SDK's client starts the shim, and its server runs behind the proxy, which is started again meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.server import MCPServer
from mcp.server.mcpserver import Context

from app.core.mcp.programs.shim_command import shim_command
from tests.core._mcp_server import LEGACY, MODERN, real_server
from tests.core.proxy._shim_machine import NAMES, Machine, machine, prepared

pytestmark = [pytest.mark.serial, pytest.mark.skipif(sys.platform == "win32", reason="Unix sockets")]

CALLS = 40


def ledger(calls: list[int]) -> Any:
    sdk = MCPServer("ledger")

    @sdk.tool()
    async def add(amount: int) -> int:
        calls.append(amount)
        return len(calls)

    @sdk.tool()
    async def steps(count: int, ctx: Context) -> str:
        for number in range(count):
            await ctx.report_progress(number + 1, count)
        return "done"

    return sdk


async def use(here: Machine, name: str, server: str, revision: str, middle: asyncio.Barrier) -> None:
    """What a program does, before and after the proxy is ended."""
    program, *arguments = shim_command(name, server, data=here.folder)
    parameters = StdioServerParameters(command=program, args=arguments, env={**os.environ, **here.variables})
    async with Client(parameters, mode="legacy" if revision == LEGACY else "auto") as client:
        assert client.protocol_version == revision
        assert {tool.name for tool in (await client.list_tools()).tools} == {"add", "steps"}
        progress: list[float] = []

        async def show(done: float, total: float | None, message: str | None) -> None:
            progress.append(done)

        await client.call_tool("steps", {"count": 20}, progress_callback=show)
        assert progress == [float(number + 1) for number in range(20)]
        for number in range(CALLS):
            if number == CALLS // 4:
                # The proxy is ended while both programs go on.
                await middle.wait()
            result = await client.call_tool("add", {"amount": number})
            assert not result.is_error, result


async def test_programs_of_both_eras_lose_no_call_and_make_none_twice_while_the_proxy_is_started_again(
    tmp_path: Path,
) -> None:
    calls: list[int] = []
    async with machine(tmp_path) as here, real_server(ledger(calls)) as address:
        [server] = await prepared(here.folder, address)
        middle = asyncio.Barrier(3)
        async with asyncio.TaskGroup() as group:
            for name, revision in zip(NAMES, (LEGACY, MODERN), strict=False):
                group.create_task(use(here, name, server, revision, middle))
            await middle.wait()
            await here.end(signal.SIGTERM)
        assert sorted(calls) == sorted([*range(CALLS), *range(CALLS)])
        assert len(here.proxies()) == 1
