"""The local runs of a process: stored, opened once, and tidied after a crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.core.busy import WorkKind
from app.core.errors import Rejected
from app.core.mcp.proxy.clients import ProxyClients
from app.core.runs.local.record import save_record
from app.core.runs.local.runs import LocalRuns
from app.core.runs.local.servers import RunServers
from app.core.runs.local.status import RunPhase
from app.core.storage.storage import Storage
from tests.core.runs_local.running import scripted
from tests.until import until


class Clients:
    def __init__(self) -> None:
        self.revoked: list[str] = []

    async def create(self, name: str, program: str = "", servers: Any = None) -> Any:
        raise AssertionError

    async def revoke(self, client: str) -> None:
        self.revoked.append(client)


async def test_a_run_is_open_in_one_process_and_goes_on_in_another(tmp_path: Path) -> None:
    here, there = (LocalRuns(tmp_path / "data", Clients(), "1.0") for _ in range(2))
    record = await here.create(scripted(load="none"), tmp_path, task="t-1")
    run = await here.open(record)
    assert await here.open(record) is run
    with pytest.raises(Rejected, match="open in another process"):
        await there.open(record)
    await run.start()
    run.say("wait")
    await until(lambda: run.status.phase is RunPhase.WORKING)
    assert [(each.kind, each.what) for each in here.works()] == [(WorkKind.RUN, f"Scripted in {tmp_path.name}")]
    await here.close()
    assert here.works() == ()
    [stored] = await there.stored()
    assert (stored.task, stored.session) == ("t-1", "s-1")
    again = await there.open(stored)
    await again.start()
    assert again.status.phase is RunPhase.READY
    await there.close()


async def test_the_key_of_a_run_whose_process_died_is_revoked_and_that_of_a_live_one_is_not(tmp_path: Path) -> None:
    clients = Clients()
    runs, live = (LocalRuns(tmp_path / "data", clients, "1.0") for _ in range(2))
    records = [await runs.create(scripted(), tmp_path) for _ in range(2)]
    for index, each in enumerate(records):
        save_record(tmp_path / "data", msgspec.structs.replace(each, client=f"c-{index}"))
    await live.open(records[0])
    assert await runs.revoke_left() == 1
    assert clients.revoked == ["c-1"]
    assert [each.client for each in await runs.stored()] == ["c-0", ""]
    await live.close()


async def test_a_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    runs = LocalRuns(tmp_path / "data", Clients(), "1.0")
    (tmp_path / "work").mkdir()
    record = await runs.create(scripted(), tmp_path / "work")
    (tmp_path / "work").rmdir()
    with pytest.raises(Rejected, match="is no folder"):
        await runs.open(record)


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
    await clients.close()
    await storage.close()
