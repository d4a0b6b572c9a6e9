"""What the proxy of a process tells of its clients, over real sockets."""

from __future__ import annotations

import asyncio
from pathlib import Path

from app.core.busy import WorkKind
from app.core.mcp.proxy.handover import Role
from app.core.mcp.proxy.service import ProxyService, ProxyState
from app.core.mcp.proxy.sign_in_notices import WindowNotice
from app.core.mcp.servers.definitions import HttpServer
from tests.core._mcp_server import Reply, Scripted
from tests.core.proxy._service import serving, state_is
from tests.until import until


async def test_a_call_of_a_client_is_under_way_until_it_is_answered_and_both_are_told(tmp_path: Path) -> None:
    async with Scripted() as server, serving(tmp_path) as served:
        told = asyncio.Event()
        served.proxy.works_changed.subscribe(lambda _nothing: told.set())
        held = asyncio.Event()
        server.always["tools/call"] = Reply(result={"content": []}, hold=held)
        server_id = (await served.services.own_servers.add(HttpServer("", "Ledger", server.url))).id
        assert served.proxy.works() == ()
        calling = asyncio.create_task(served.call(server_id, "echo"))
        await server.arrived["tools/call"].wait()
        [work] = served.proxy.works()
        assert work.kind is WorkKind.CALL
        assert work.what.startswith("echo on Ledger, for client of ")
        await asyncio.wait_for(told.wait(), 5)
        told.clear()
        held.set()
        await calling
        await until(lambda: served.proxy.works() == ())
        await asyncio.wait_for(told.wait(), 5)


async def test_a_client_that_listens_is_cut_off_unless_another_process_stands_by(tmp_path: Path) -> None:
    async with Scripted() as server, serving(tmp_path) as served:
        held = asyncio.Event()
        server.always["resources/list"] = Reply(result={"resources": []}, hold=held)
        server_id = (await served.services.own_servers.add(HttpServer("", "Ledger", server.url))).id
        asking = asyncio.create_task(served.post(server_id, "resources/list"))
        await server.arrived["resources/list"].wait()
        assert [work.kind for work in served.proxy.works()] == [WorkKind.CLIENT]
        other = ProxyService(served.services, Role.WINDOW, WindowNotice(lambda: served.services.sign_ins))
        try:
            await other.start()
            await state_is(other, ProxyState.STANDING_BY)
            await until(lambda: served.proxy.works() == ())
            assert not asking.done()
        finally:
            await other.stop(keep=False)
            await other.close()
        held.set()
        await asking
