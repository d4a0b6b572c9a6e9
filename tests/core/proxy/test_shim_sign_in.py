"""Five programs that start at once without a sign-in share one browser tab, one registration and one exchange."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.core._authorization_server import ScriptedIssuer, ScriptedResource
from tests.core.proxy._shim_machine import NAMES, STARTS, Machine, ShimProcess, machine, prepared, shim
from tests.core.proxy._shim_rig import call
from tests.core.scripted import Reply, Request, ScriptedServer
from tests.until import until
from tests.workspace.conftest import lab, shared_lab, shared_workspace  # noqa: F401 - fixtures
from tests.workspace.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.serial, pytest.mark.skipif(sys.platform == "win32", reason="Unix sockets")]

SIGN_IN_REQUESTS = ("/oauth/register/", "/oauth/authorize/", "/oauth/token/")


def tools_server(resource: ScriptedResource) -> list[str]:
    """Let a resource speak MCP; returns the ids of the sessions that were opened."""
    opened: list[str] = []
    guard = resource.server.views[resource.path]
    assert callable(guard)

    def answer(request: Request) -> Reply:
        refused = guard(request)
        if not isinstance(refused, Reply) or refused.status != 200:
            return refused  # type: ignore[return-value]
        if request.method != "POST":
            return Reply(405 if request.method == "GET" else 200)
        message = json.loads(request.body)
        if message["method"] == "initialize":
            opened.append(f"upstream-{len(opened)}")
            capabilities = {"tools": {}}
            value = {
                "protocolVersion": "2025-06-18",
                "capabilities": capabilities,
                "serverInfo": {"name": "Ledger", "version": "1"},
            }
            return Reply(200, {"jsonrpc": "2.0", "id": message["id"], "result": value}, {"Mcp-Session-Id": opened[-1]})
        if "id" not in message:
            return Reply(202)
        if message["method"] == "tools/list":
            tools = [{"name": "add", "inputSchema": {"type": "object"}}]
            return Reply(200, {"jsonrpc": "2.0", "id": message["id"], "result": {"tools": tools}})
        session = request.headers.get("mcp-session-id")
        value = {"content": [{"type": "text", "text": session}]}
        return Reply(200, {"jsonrpc": "2.0", "id": message["id"], "result": value})

    resource.server.views[resource.path] = answer
    return opened


def opening() -> dict[str, Any]:
    who = {"name": "program", "version": "1"}
    return call("open", "initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=who)


async def started_and_signed_in(
    here: Machine, server: str, programs: AsyncExitStack, consent: Callable[[str], str]
) -> list[ShimProcess]:
    """Five programs, the first of which was killed and started again, after the user's consent in the first tab.

    `consent` says for the address of a tab what the browser opens in the end.
    """

    async def start(name: str) -> ShimProcess:
        running = await programs.enter_async_context(shim(here.folder, name, "--server", server, **here.variables))
        running.send(opening())
        return running

    first, *others = [await start(name) for name in NAMES]
    await asyncio.sleep(1)
    first.process.kill()
    await until(lambda: here.tabs(), 20)
    again = await start(NAMES[0])
    # The opening waits for the user; any other request is told at once what the user has to do.
    refused = await again.ask(call("early", "tools/list"))
    assert (refused["id"], refused["error"]["data"]["type"]) == ("early", "burrow/sign_in_needed")
    async with httpx.AsyncClient(trust_env=False, follow_redirects=True) as browser:
        assert (await browser.get(consent(here.tabs()[0]))).status_code == 200
    running = [again, *others]
    for each in running:
        answer = await each.receive()
        assert (answer["id"], "serverInfo" in answer.get("result", {})) == ("open", True), answer
    return running


async def ask_all(running: list[ShimProcess], number: int, method: str, **params: Any) -> list[Any]:
    """The results of the same request of each program."""

    async def ask(each: ShimProcess) -> Any:
        answer = await each.ask(call(number, method, **params))
        assert (answer.get("id"), "result" in answer) == (number, True), answer
        return answer["result"]

    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(ask(each)) for each in running]
    return [task.result() for task in asking]


async def test_five_programs_share_one_sign_in_and_outlive_the_proxy(tmp_path: Path) -> None:
    async with machine(tmp_path) as here, ScriptedServer() as server, AsyncExitStack() as programs:
        issuer = ScriptedIssuer(server)
        opened = tools_server(ScriptedResource(server, issuer))
        [ledger] = await prepared(here.folder, f"{server.origin}/mcp")
        running = await started_and_signed_in(here, ledger, programs, lambda tab: tab)
        sessions = await ask_all(running, 1, "tools/call", name="add", arguments={})
        assert len({session["content"][0]["text"] for session in sessions}) == STARTS
        await here.end(signal.SIGKILL)
        assert await ask_all(running, 2, "tools/call", name="add", arguments={}) == sessions
        assert len(here.tabs()) == len(issuer.registered) == len(issuer.asked) == 1
        assert len(issuer.forms("authorization_code")) == 1
        assert len(opened) == STARTS
        assert len(here.proxies()) == 1


async def test_five_programs_share_one_sign_in_to_the_account_of_a_host(tmp_path: Path, lab: Lab) -> None:  # noqa: F811
    async with machine(tmp_path) as here, AsyncExitStack() as programs:
        await prepared(here.folder, host=lab.workspace.url)
        running = await started_and_signed_in(
            here, "workspace", programs, lambda tab: f"{tab}&login_ticket={lab.ticket()}"
        )
        tools = await ask_all(running, 1, "tools/list")
        assert all(each["tools"] for each in tools)
        asked = lab.counters()["requests"]
        assert {path: asked.get(path) for path in SIGN_IN_REQUESTS} == dict.fromkeys(SIGN_IN_REQUESTS, 1)
        await here.end(signal.SIGTERM)
        assert await ask_all(running, 2, "tools/list") == tools
        assert len(here.tabs()) == 1
        assert lab.counters()["requests"]["/oauth/authorize/"] == 1
        assert len(lab.state()["grants"]) == 1
