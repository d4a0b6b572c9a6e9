"""The key that a run's agent has for the local proxy."""

from __future__ import annotations

from pathlib import Path

from app.core.mcp.proxy.clients import ProxyClients
from app.core.runs.local.servers import RunServers
from app.core.storage.storage import Storage


async def test_the_proxy_knows_the_key_of_a_run_until_the_run_ends(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path / "data")
    clients = ProxyClients(storage.proxy_clients)
    await clients.start()
    told: list[str] = []

    async def created(client: str) -> None:
        told.append(client)

    runs = [RunServers(clients, lambda server: f"http://127.0.0.1:1/mcp/{server}", {"s": "S"}, "Run") for _ in range(2)]
    # Two runs of the same name.
    keys = [(await each.open(created))[0]["headers"][0]["value"].removeprefix("Bearer ") for each in runs]
    found = [await clients.find_client(key) for key in keys]
    assert [each and (each.id, each.servers) for each in found] == [(client, {"s"}) for client in told]
    await runs[0].close()
    assert await clients.find_client(keys[0]) is None
    assert await clients.find_client(keys[1]) is not None
    # Nobody connected it, so the list of clients forgets it.
    assert [known.client.id for known in clients.clients] == [told[1]]
    await clients.close()
    await storage.close()
