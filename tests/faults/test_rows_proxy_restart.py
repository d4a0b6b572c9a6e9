"""Row 69: the local proxy is started again while clients use it."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from app.core.auth.vault.base import StoreKind
from app.core.errors import ServerTrouble
from app.core.lab import Lab
from app.core.mcp.proxy.clients import ProxyClients
from app.core.services import Services
from tests._command import SECONDS, command, environment
from tests.conftest import RunningWorkspace
from tests.core.proxy._service import free_port, message_of
from tests.core.test_services import services_in, signed_in
from tests.faults.measure import Measure
from tests.workspace.store_client import modern, modern_headers

CLIENTS = 4


class Calls:
    """Clients that each make one task after the other, over connections that they keep."""

    def __init__(self, measure: Measure, address: str, key: str) -> None:
        self.made: list[str] = []
        self.over = asyncio.Event()
        self._measure = measure
        self._url = f"{address}/mcp/workspace"
        self._headers = {"authorization": f"Bearer {key}", "accept": "application/json, text/event-stream"}

    async def run(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(CLIENTS)))

    async def more(self, count: int) -> None:
        """Wait for so many further tasks."""
        wanted = len(self.made) + count
        while len(self.made) < wanted:  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.01)

    async def _client(self, number: int) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=SECONDS, headers=self._headers) as http:
            count = 0
            while not self.over.is_set():
                title = f"once-{number}-{count}"
                count += 1
                await self._measure.one(self._make(http, title))

    async def _make(self, http: httpx.AsyncClient, title: str) -> None:
        message = modern("tools/call", name="create_task", arguments={"title": title})
        try:
            answer = message_of(await http.post(self._url, json=message, headers=modern_headers("create_task")))
        except (httpx.TransportError, AssertionError) as failure:
            raise ServerTrouble(f"{type(failure).__name__}: {failure}") from failure
        if "result" not in answer:
            raise ServerTrouble(json.dumps(answer["error"]))
        self.made.append(title)


def started(folder: Path, port: int) -> subprocess.Popen[str]:
    arguments = command("proxy", "--json", "--port", str(port), "--data", str(folder))
    return subprocess.Popen(arguments, text=True, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_until_served(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        said = json.loads(line)
        if said["state"] == "serving":
            return str(said["address"])
    raise AssertionError(process.communicate()[1])


def end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    _output, words = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, words


async def with_a_client(folder: Path, workspace: RunningWorkspace) -> tuple[str, str]:
    """Somebody is signed in there, and a client has a key: its id and that key."""
    async with services_in(folder) as services:
        backend = await signed_in(services, workspace)
        await backend.credential.choose_store(StoreKind.FILE)
        clients = ProxyClients(services.storage.proxy_clients)
        await clients.start()
        client, key = await clients.create("a client")
        await clients.close()
    return client.id, key


async def test_row_69_a_proxy_that_is_started_again_is_the_same_for_its_clients(
    measure: Measure, start_workspace: Callable[..., RunningWorkspace], tmp_path: Path
) -> None:
    workspace = start_workspace()
    board, folder = Lab(workspace.url, workspace.secret), tmp_path / "data"
    client_id, key = await with_a_client(folder, workspace)
    await board.reset()
    port = free_port()
    with ExitStack() as ending:
        process = started(folder, port)
        ending.callback(process.kill)
        address = await asyncio.to_thread(wait_until_served, process)
        calls = Calls(measure, address, key)
        running = asyncio.create_task(calls.run())
        await calls.more(20)
        await asyncio.to_thread(end, process)
        process = started(folder, port)
        ending.callback(process.kill)
        assert await asyncio.to_thread(wait_until_served, process) == address
        await calls.more(20)
        calls.over.set()
        await running
        titles = await made(address, key)
        measure.count_effects(lambda: sum(count - 1 for count in titles.values()))
        assert set(calls.made) <= set(titles)

        # A key that is not known any more gets a 401 that says what to do, and leads no client to a sign-in of its own.
        async with services_in(folder) as services:
            await revoke(services, client_id)
        await asyncio.to_thread(end, process)
        process = started(folder, port)
        ending.callback(process.kill)
        await asyncio.to_thread(wait_until_served, process)
        async with httpx.AsyncClient(trust_env=False, timeout=SECONDS) as http:
            refused = await http.get(f"{address}/", headers={"authorization": f"Bearer {key}"})
        assert refused.status_code == 401
        assert "www-authenticate" not in refused.headers
        assert "burrow connect add" in refused.json()["error"]
        await asyncio.to_thread(end, process)
    counters: Any = (await board.state())["counters"]
    measure.count_refreshes(lambda: counters["refreshes_accepted"] + counters["refreshes_rejected"])
    measure.expect(R=0)


async def revoke(services: Services, client_id: str) -> None:
    clients = ProxyClients(services.storage.proxy_clients)
    await clients.start()
    await clients.revoke(client_id)
    await clients.close()


async def made(address: str, key: str) -> Counter[str]:
    """How often each task was made, by its title."""
    headers = {"authorization": f"Bearer {key}", "accept": "application/json, text/event-stream"}
    found: Counter[str] = Counter()
    async with httpx.AsyncClient(trust_env=False, timeout=SECONDS, headers=headers) as http:
        for number in range(CLIENTS):
            for digit in range(10):
                arguments = {"query": f"once-{number}-{digit}", "limit": 50}
                message = modern("tools/call", name="search_tasks", arguments=arguments)
                answer = await http.post(
                    f"{address}/mcp/workspace", json=message, headers=modern_headers("search_tasks")
                )
                tasks = message_of(answer)["result"]["structuredContent"]["result"]
                assert len(tasks) < 50
                found |= Counter(task["title"] for task in tasks)
    return found
