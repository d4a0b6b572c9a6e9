"""Five programs that start at once without a sign-in share one browser tab, one registration and one exchange."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from app.core.mcp.proxy.clients import ProxyClients
from app.core.mcp.proxy.handover import Unreachable, door_path, visit
from app.core.mcp.proxy.listeners import bind, close_all, number_of
from app.core.mcp.proxy.shim.reach import PORT_SETTING, PROXY_FOLDER
from app.core.mcp.servers.definitions import HttpServer
from app.core.services import Services
from tests.core._authorization_server import ScriptedIssuer, ScriptedResource
from tests.core.proxy._shim_rig import call
from tests.core.proxy.test_shim_process import ShimProcess, shim
from tests.core.scripted import Reply, Request, ScriptedServer
from tests.secret_service import SecretService
from tests.until import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.serial, pytest.mark.skipif(sys.platform == "win32", reason="Unix sockets")]

STARTS = 5
NAMES = [f"program {number}" for number in range(STARTS)]


@dataclass
class Machine:
    """A user's machine: Burrow's folder, a keyring, and a browser that only writes down what it is to open."""

    folder: Path
    variables: dict[str, str]
    tabs_file: Path

    def tabs(self) -> list[str]:
        """The addresses that the browser was to open."""
        return self.tabs_file.read_text().splitlines() if self.tabs_file.exists() else []

    def owner(self) -> int | None:
        """The process that serves the proxy."""
        try:
            connection, holder, listeners = visit(door_path(self.folder / PROXY_FOLDER))
        except (Unreachable, OSError):
            return None
        connection.close()
        close_all(listeners)
        return holder.pid

    def proxies(self) -> list[int]:
        """The processes that were started to serve the proxy of this folder."""
        found = []
        for place in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                words = (place / "cmdline").read_bytes().split(b"\0")
                if b"--while-used" in words and os.fsencode(self.folder) in words:
                    found.append(int(place.name))
        return found

    async def end(self, number: signal.Signals) -> None:
        """End the process that serves the proxy."""
        pid = self.owner()
        if pid is not None:
            os.kill(pid, number)
            await until(lambda: not Path(f"/proc/{pid}").exists() or pid not in self.proxies(), 20)


@asynccontextmanager
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    browser, tabs, folder = tmp_path / "browser", tmp_path / "tabs", tmp_path / "data"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {tabs}\n')
    browser.chmod(0o755)
    with SecretService() as service:
        found = Machine(folder, {**service.variables, "BROWSER": f"{browser} %s"}, tabs)
        try:
            yield found
        finally:
            for pid in found.proxies():
                os.kill(pid, signal.SIGTERM)
            await until(lambda: not found.proxies(), 20)


async def prepared(folder: Path, *urls: str) -> list[str]:
    """A folder with clients and these servers, whose ids are returned; nobody is signed in."""
    services = Services(folder, role="test", long_lived=False)
    listeners = bind(0)
    await services.storage.settings.set(PORT_SETTING, number_of(listeners))
    close_all(listeners)
    ids = [(await services.own_servers.add(HttpServer("", "Ledger", url))).id for url in urls]
    clients = ProxyClients(services.storage.proxy_clients)
    await clients.start()
    for name in NAMES:
        await clients.create(name)
    await clients.close()
    await services.close()
    return ids


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


async def test_five_programs_share_one_sign_in_and_outlive_the_proxy(tmp_path: Path) -> None:
    async with machine(tmp_path) as here, ScriptedServer() as server, AsyncExitStack() as programs:
        issuer = ScriptedIssuer(server)
        opened = tools_server(ScriptedResource(server, issuer))
        [ledger] = await prepared(here.folder, f"{server.origin}/mcp")

        async def start(name: str) -> tuple[ShimProcess, asyncio.Task[Any]]:
            running = await programs.enter_async_context(shim(here.folder, name, "--server", ledger, **here.variables))
            return running, asyncio.create_task(running.ask(opening()))

        first, *others = [await start(name) for name in NAMES]
        await asyncio.sleep(1)
        first[0].process.kill()
        with pytest.raises(ValueError, match="Expecting value"):
            await first[1]
        await until(lambda: here.tabs(), 30)
        again = await start(NAMES[0])
        # Another request is told at once what the user has to do.
        refused = await again[0].ask(call("early", "tools/list"))
        assert refused["error"]["data"]["type"] == "burrow/sign_in_needed", refused
        assert not any(task.done() for _, task in (*others, again))
        async with httpx.AsyncClient(trust_env=False, follow_redirects=True) as browser:
            assert (await browser.get(here.tabs()[0])).status_code == 200
        running = [again, *others]
        for _, task in running:
            answer = await task
            assert answer["result"]["serverInfo"]["name"] == "Ledger", answer

        async def works(each: ShimProcess, number: int) -> str:
            answer = await each.ask(call(number, name="add", arguments={}))
            assert answer.get("id") == number, answer
            return str(answer["result"]["content"][0]["text"])

        sessions = [await works(each, 1) for each, _ in running]
        assert len(set(sessions)) == STARTS
        for number, sent in ((2, signal.SIGTERM), (3, signal.SIGKILL)):
            await here.end(sent)
            assert await asyncio.gather(*(works(each, number) for each, _ in running)) == sessions
        assert len(here.tabs()) == len(issuer.registered) == len(issuer.asked) == 1
        assert len(issuer.forms("authorization_code")) == 1
        assert len(opened) == STARTS
        assert len(here.proxies()) == 1
