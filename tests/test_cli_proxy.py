"""`burrow proxy` in a process of its own, used by the SDK's client as an MCP client would use it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from app.cli import proxy as proxy_command
from app.core.lab import Lab as Switchboard
from app.core.mcp.proxy.clients import ProxyClients
from app.core.mcp.proxy.engine import LINGER_SECONDS
from app.core.mcp.servers.definitions import StdioServer
from app.core.services import Services
from tests._command import SECONDS, DataFolder, command, environment
from tests.core.proxy._service import free_port, serving
from tests.test_cli_servers import AN_HOUR, sign_in
from tests.workspace.conftest import lab, shared_lab, shared_workspace  # noqa: F401 - fixtures
from tests.workspace.lab import Lab
from tests.workspace.store_client import connected, until

T = TypeVar("T")

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
PIPES = Path(__file__).parent / "core" / "_stdio_server.py"


@dataclass(frozen=True)
class Running:
    """A proxy that serves, and the key of one client."""

    folder: DataFolder
    process: subprocess.Popen[str]
    address: str
    key: str

    def at(self, server: str) -> str:
        return f"{self.address}/mcp/{server}"

    def post(self, server: str, message: Any, **headers: str) -> httpx.Response:
        """One message as a client of revision 2025-11-25 sends it."""
        accept = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-11-25"}
        key = {"authorization": f"Bearer {self.key}"}
        return httpx.post(
            self.at(server), json=message, headers={**accept, **key, **headers}, trust_env=False, timeout=20
        )

    def switchboard(self) -> Switchboard:
        """That of the embedded workspace."""
        ready = json.loads((self.folder.data / "workspace" / "runtime.json").read_text())
        return Switchboard(ready["url"], ready["secret"])


@contextmanager
def proxy(folder: DataFolder, *arguments: str, key: str = "", **variables: str) -> Iterator[Running]:
    """`burrow proxy`, once it serves; it is ended by SIGTERM."""
    whole = command("proxy", "--json", "--data", str(folder.data), *arguments)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(whole, text=True, env=environment(**variables), **pipes) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            for line in process.stdout:
                said = json.loads(line)
                if said["state"] in {"serving", "port taken"}:
                    break
            else:
                raise AssertionError(process.stderr.read())
            key = key or with_services(folder, new_key)
            yield Running(folder, process, said["address"], key)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(SECONDS)
            finally:
                process.kill()
        assert "Traceback" not in process.stderr.read()
        assert process.returncode == 0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A proxy on the embedded workspace and a process of the user's own."""
    folder = DataFolder(tmp_path_factory.mktemp("proxy"))
    record = folder.data.parent / f"{folder.data.name}-record"
    record.touch()
    process = StdioServer("", "Pipes", (sys.executable, str(PIPES), str(record)))
    with_services(folder, lambda services: services.own_servers.add(process))
    with proxy(folder, "--host", "workspace", "--port", str(free_port())) as found:
        # It serves before it has signed in to the workspace that it starts.
        until(lambda: "burrow/" not in (answer := found.post("workspace", PING)).text and answer.status_code != 404, 30)
        yield found


def with_services(folder: DataFolder, work: Callable[[Services], Coroutine[Any, Any, T]]) -> T:
    """What comes of `work` on the data folder, on a loop of its own: the caller may have one."""

    async def run() -> T:
        services = Services(folder.data, role="test", long_lived=False)
        try:
            return await work(services)
        finally:
            await services.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, run()).result()


@asynccontextmanager
async def clients_of(services: Services) -> AsyncIterator[ProxyClients]:
    clients = ProxyClients(services.storage.proxy_clients)
    await clients.start()
    try:
        yield clients
    finally:
        await clients.close()


async def new_key(services: Services) -> str:
    """The key of a new client."""
    async with clients_of(services) as clients:
        return (await clients.create("a client"))[1]


async def last_used(services: Services) -> float | None:
    async with clients_of(services) as clients:
        return clients.clients[0].last_used


def own(folder: DataFolder, title: str) -> str:
    """The id of a server of the user's own."""

    async def found(services: Services) -> str:
        [server] = [each for each in await services.own_servers.definitions() if each.title == title]
        return server.id

    return with_services(folder, found)


def test_without_a_key_nothing_is_answered(running: Running) -> None:
    answer = httpx.get(running.address, trust_env=False)
    assert answer.status_code == 401
    assert "www-authenticate" not in answer.headers
    wrong = {"authorization": f"Bearer bw_{'A' * 43}"}
    assert httpx.get(running.address, headers=wrong, trust_env=False).status_code == 401


@pytest.mark.parametrize("era", ["legacy", "2026-07-28"])
async def test_a_client_calls_a_tool_and_a_token_that_died_meanwhile_is_healed(running: Running, era: str) -> None:
    board = running.switchboard()
    await board.reset()
    async with connected(running.at("workspace"), running.key, era) as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        assert {"list_tasks", "create_task"} <= tools
        assert await board.kill_access_token() >= 1
        made = await client.call_tool("create_task", {"title": f"once {era}", "description": f"once {era}"})
        assert not made.is_error
        found = await client.call_tool("search_tasks", {"query": f"once {era}"})
    # Made once, although it was sent twice.
    assert [task["title"] for task in found.structured_content["result"]] == [f"once {era}"]
    assert (await board.state())["counters"]["refreshes_accepted"] == 1


async def test_clients_that_call_at_once_while_the_token_dies_cost_one_refresh(running: Running) -> None:
    board = running.switchboard()
    await board.reset()
    async with connected(running.at("workspace"), running.key, "legacy") as client:
        await client.list_tools()
        await board.kill_access_token()
        results = await asyncio.gather(*(client.call_tool("list_tasks", {}) for _ in range(20)))
    assert not any(result.is_error for result in results)
    assert (await board.state())["counters"]["refreshes_accepted"] == 1


async def test_a_process_of_the_users_own_is_offered_over_http(running: Running) -> None:
    async with connected(running.at(own(running.folder, "Pipes")), running.key, "legacy") as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["run"]
        assert '"a": 1' in str(await client.call_tool("run", {"a": 1}))


def test_a_server_that_there_is_not_is_not_found(running: Running) -> None:
    assert running.post("nothing", PING).status_code == 404


def test_the_clients_use_is_counted(running: Running) -> None:
    running.post("workspace", PING)
    until(lambda: with_services(running.folder, last_used) is not None)


async def test_a_server_of_the_users_own_with_a_sign_in_is_healed(
    tmp_path: Path,
    shared_lab: Lab,  # noqa: F811
) -> None:
    folder = DataFolder(tmp_path / "data")
    sign_in(folder, shared_lab, f"{shared_lab.workspace.url}/_vendor/ledger/mcp", "--title", "Ledger")
    with proxy(folder, "--port", str(free_port())) as running:
        async with connected(running.at(own(folder, "Ledger")), running.key, "legacy") as client:
            assert (await client.list_tools()).tools
            shared_lab.switch("advance-clock", seconds=AN_HOUR)
            assert not (await client.call_tool("list_invoices", {})).is_error


def test_a_port_that_is_no_port_is_refused(tmp_path: Path) -> None:
    outcome = DataFolder(tmp_path).run("proxy", "--port", "80")
    assert outcome.returncode == 2
    assert "1024" in outcome.stderr


@pytest.mark.skipif(os.name == "nt", reason="sockets cannot be passed on")
def test_a_second_proxy_stands_by_and_serves_once_the_first_is_killed(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    port = str(free_port())
    first = subprocess.Popen(
        command("proxy", "--json", "--port", port, "--data", str(folder.data)),
        text=True,
        env=environment(),
        stdout=subprocess.PIPE,
    )
    with first:
        assert first.stdout is not None
        key = with_services(folder, new_key)
        while '"serving"' not in first.stdout.readline():
            pass
        second = subprocess.Popen(
            command("proxy", "--json", "--port", port, "--data", str(folder.data)),
            text=True,
            env=environment(),
            stdout=subprocess.PIPE,
        )
        with second:
            assert second.stdout is not None
            while '"standing by"' not in second.stdout.readline():
                pass
            first.kill()
            answer = httpx.get(
                f"http://127.0.0.1:{port}/", headers={"authorization": f"Bearer {key}"}, trust_env=False, timeout=20
            )
            assert answer.status_code == 200
            second.send_signal(signal.SIGINT)
            assert second.wait(SECONDS) == 0


def lines_of(process: subprocess.Popen[str], state: str) -> dict[str, Any]:
    """The next line of its output with this state."""
    assert process.stdout is not None
    for line in process.stdout:
        said: dict[str, Any] = json.loads(line)
        if said["state"] == state:
            return said
    raise AssertionError(f"it ended before it was {state}")


def opened_window(folder: DataFolder) -> subprocess.Popen[str]:
    arguments = command("--offscreen", "--data", str(folder.data))
    return subprocess.Popen(arguments, env=environment(), stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(os.name == "nt", reason="sockets cannot be passed on")
async def test_a_window_serves_in_the_place_of_a_proxy_without_one_and_gives_the_port_back(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    with proxy(folder, "--port", str(free_port())) as running:
        number = int(running.address.rpartition(":")[2])
        setting = partial(with_services, folder, lambda services: services.storage.settings.set("proxy_port", number))
        await asyncio.to_thread(setting)
        window = await asyncio.to_thread(opened_window, folder)
        lost: list[str] = []
        over = asyncio.Event()

        async def client() -> int:
            answered, free = 0, time.monotonic()
            key = {"authorization": f"Bearer {running.key}"}
            async with httpx.AsyncClient(trust_env=False, timeout=SECONDS, headers=key) as http:
                while not over.is_set():
                    rested = time.monotonic() - free
                    try:
                        answered += (await http.get(running.address)).status_code == 200
                    except httpx.TransportError as failure:
                        # A connection that rests for longer may be closed at any time, as HTTP allows: a busy machine
                        # has held this client up.
                        if rested < LINGER_SECONDS:
                            lost.append(f"{failure!r} after {rested:.2f} s")
                    free = time.monotonic()
                    await asyncio.sleep(0.01)
            return answered

        clients = [asyncio.create_task(client()) for _ in range(3)]
        try:
            said = await asyncio.to_thread(lines_of, running.process, "standing by")
            assert said["address"] == running.address
            window.send_signal(signal.SIGTERM)
            await asyncio.to_thread(lines_of, running.process, "serving")
        finally:
            over.set()
            window.kill()
            _output, words = window.communicate()
        assert all(count > 10 for count in await asyncio.gather(*clients))
        assert lost == []
        assert "Traceback" not in words


async def test_a_proxy_that_serves_while_it_is_used_ends_once_no_client_is_connected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy_command, "UNUSED_SECONDS", 0.2)
    monkeypatch.setattr(proxy_command, "LOOK_SECONDS", 0.02)
    async with serving(tmp_path) as served:
        assert (await served.http.get(served.proxy.status.address, headers=served.headers)).status_code == 200
        ending = asyncio.create_task(proxy_command.until_over(served.proxy, while_used=True))
        # The client keeps its connection.
        await asyncio.sleep(0.6)
        assert not ending.done()
        await served.http.aclose()
        await ending


async def test_a_proxy_that_cannot_serve_ends_with_the_reason(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.data.mkdir()
    (folder.data / "proxy").write_text("in the way")
    outcome = await asyncio.to_thread(folder.run, "proxy")
    assert outcome.returncode == 6
    assert "cannot listen on this machine" in outcome.stderr
