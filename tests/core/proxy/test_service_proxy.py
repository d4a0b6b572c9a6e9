"""The proxy of a process: its states, what it asks of the process, and what it tells clients meanwhile."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from app.core.mcp.proxy import host as host_module
from app.core.mcp.proxy.clients import ProxyClients
from app.core.mcp.proxy.handover import Role
from app.core.mcp.proxy.service import PORT_SETTING, ProxyService, ProxyState
from app.core.mcp.proxy.sign_in_notices import WindowNotice
from app.core.mcp.servers.definitions import HttpServer
from app.core.mcp.servers.server import ServerState
from app.core.services import Services
from tests.conftest import RunningWorkspace
from tests.core._mcp_server import Reply, Scripted
from tests.core.proxy._service import Served, free_port, message_of, serving, state_is
from tests.core.test_own_servers import LEDGER, lab_of, sign_in
from tests.core.test_services import services_in, signed_in
from tests.core.test_services import sign_in as sign_in_to_host
from tests.until import until

# Not a time-out, which would also come without that.
CUT_OFF = (httpx.RemoteProtocolError, httpx.ReadError)


async def own_server(served: Served, url: str, title: str = "Own") -> str:
    return (await served.services.own_servers.add(HttpServer("", title, url))).id


async def test_a_port_that_is_taken_before_any_client_has_a_key_is_replaced_for_good(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        taken = other.getsockname()[1]
        services = Services(tmp_path)
        await services.storage.settings.set(PORT_SETTING, taken)
        try:
            await services.proxy.start()
            await state_is(services.proxy, ProxyState.SERVING)
            assert services.proxy.port != taken
            assert services.proxy.status.address == f"http://127.0.0.1:{services.proxy.port}"
        finally:
            await services.close()
    async with serving(tmp_path) as again:
        assert again.proxy.port == services.proxy.port


async def test_a_port_that_is_taken_later_is_told_and_clients_are_answered_elsewhere_meanwhile(tmp_path: Path) -> None:
    async with serving(tmp_path) as first:
        number = first.proxy.port
    with closing(socket.create_server(("127.0.0.1", number))):
        async with serving(tmp_path) as second:
            status = second.proxy.status
            assert status.state is ProxyState.PORT_TAKEN
            assert status.port == number
            assert str(number) in status.trouble
            assert status.address != f"http://127.0.0.1:{number}"
            assert (await second.http.get(status.address, headers=second.headers)).status_code == 200


async def test_a_proxy_that_is_started_again_has_the_same_address_and_takes_the_same_key(tmp_path: Path) -> None:
    async with serving(tmp_path) as first:
        address = first.proxy.status.address
    async with serving(tmp_path) as second:
        assert second.proxy.status.address == address
        assert (await second.http.get(address, headers=first.headers)).status_code == 200


async def test_it_is_said_to_start_only_where_it_will(tmp_path: Path) -> None:
    async def state(starts: bool) -> ProxyState:
        services = Services(tmp_path)
        services.serves_clients = starts
        try:
            return services.proxy.status.state
        finally:
            await services.close()

    assert await state(False) is ProxyState.OFF
    assert await state(True) is ProxyState.STARTING
    async with serving(tmp_path) as served:
        await served.proxy.switch(False)
    assert await state(True) is ProxyState.OFF


async def test_a_window_takes_over_from_a_process_of_another_port_and_says_that_its_own_is_not_served(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as window:
        chosen = window.proxy.port
        await window.proxy.stop(keep=False)
        other = ProxyService(
            window.services, Role.HEADLESS, WindowNotice(lambda: window.services.sign_ins), port=free_port()
        )
        try:
            await other.start()
            await state_is(other, ProxyState.SERVING)
            assert not other.status.trouble
            await window.proxy.start()
            await state_is(window.proxy, ProxyState.SERVING)
            await state_is(other, ProxyState.STANDING_BY)
            assert (other.status.owner, other.status.pid) == (Role.WINDOW, os.getpid())
            status = window.proxy.status
            assert (status.port, status.address) == (chosen, f"http://127.0.0.1:{other.port}")
            assert f"port {other.port}" in status.trouble
            assert f"port {chosen}" in status.trouble
            await other.stop(keep=False)
            await window.proxy.retry()
            await state_is(window.proxy, ProxyState.SERVING)
            assert (window.proxy.status.address, window.proxy.status.trouble) == (f"http://127.0.0.1:{chosen}", "")
        finally:
            await other.stop(keep=False)
            await other.close()


async def test_it_is_switched_off_and_on_and_stays_as_it_was_switched(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        address = served.proxy.status.address
        await served.proxy.switch(False)
        assert served.proxy.status.state is ProxyState.OFF
        assert not served.proxy.enabled
        with pytest.raises(httpx.ConnectError):
            await served.http.get(address)
        await served.proxy.switch(True)
        await state_is(served.proxy, ProxyState.SERVING)
        assert served.proxy.status.address == address
        assert served.proxy.enabled


async def test_another_port_is_served_at_once_and_kept(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        other = free_port()
        await served.proxy.use_port(other)
        await state_is(served.proxy, ProxyState.SERVING)
        assert served.proxy.status.address == f"http://127.0.0.1:{other}"
        assert served.services.storage.settings.get(PORT_SETTING) == other


async def test_a_start_and_an_end_at_the_same_time_leave_nothing_running(tmp_path: Path) -> None:
    threads = threading.active_count()
    async with serving(tmp_path) as served:
        await asyncio.gather(served.proxy.retry(), served.proxy.stop(keep=False), served.proxy.start())
        await served.proxy.stop(keep=False)
        assert served.proxy.status.state is ProxyState.OFF
        assert not [each for each in threading.enumerate() if each.name.startswith("burrow-proxy")]
    assert threads


async def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    services = Services(tmp_path)
    await services.storage.settings.set(PORT_SETTING, free_port())
    (tmp_path / "proxy").write_text("in the way")
    try:
        await services.proxy.start()
        await state_is(services.proxy, ProxyState.FAILED)
        assert "proxy" in services.proxy.status.trouble
    finally:
        await services.close()


async def test_a_request_waits_for_a_process_that_starts_and_is_told_when_that_takes_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workspace: RunningWorkspace
) -> None:
    async with serving(tmp_path) as served:
        await signed_in(served.services, workspace)
    async with serving(tmp_path) as served:
        waiting = asyncio.create_task(served.call("workspace", "list_projects"))
        await until(lambda: len(served.services.backend_changed._callbacks) > 1)
        await served.services.connect(await served.services.resolve(workspace.url))
        assert "result" in await waiting
        await served.services.use_no_account()
        assert (await served.post("workspace", "ping")).status_code == 404
        await served.services.remember(await served.services.resolve(workspace.url))
        monkeypatch.setattr(host_module, "READY_SECONDS", 0.1)
        error = (await served.call("workspace", "list_projects"))["error"]
        assert error["data"]["type"] == "burrow/not_ready"


async def test_a_token_that_died_is_renewed_for_a_client_and_the_window_alike(
    tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with serving(tmp_path) as served:
        backend = await signed_in(served.services, workspace)
        assert "result" in await served.call("workspace", "list_projects")
        before = backend.credential.grant
        await lab_of(workspace).kill_access_token()
        answers = await asyncio.gather(*(served.call("workspace", "list_projects") for _ in range(10)))
        assert all("result" in answer for answer in answers)
        after = backend.credential.grant
        assert before is not None
        assert after is not None
        assert after.tokens.generation == before.tokens.generation + 1


async def test_after_another_sign_in_no_token_is_sent_before_it_is_known_whose_it_is(
    tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with serving(tmp_path) as served:
        backend = await signed_in(served.services, workspace)
        assert "result" in await served.call("workspace", "list_projects")
        source = await served.proxy._run._host.upstream("workspace")  # type: ignore[union-attr]
        assert source.source.fresh_token() is not None  # type: ignore[union-attr]
        seen: list[object] = []
        backend.credential._state.grant_changed.subscribe(
            lambda _current: seen.append(source.source.fresh_token())  # type: ignore[union-attr]
        )
        await sign_in_to_host(backend, workspace)
        # The new grant is in force, and the token of it is not read by what knew the former sign-in.
        assert seen
        assert not any(seen)
        assert "result" in await served.call("workspace", "list_projects")


async def test_a_server_that_was_never_signed_in_to_is_told_and_works_after_the_sign_in(
    tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with serving(tmp_path) as served:
        server_id = await own_server(served, workspace.url + LEDGER, "Ledger")
        error = (await served.call(server_id, "list_invoices"))["error"]
        assert error["code"] == -32010
        assert "Ledger" in error["message"]
        [needed] = served.services.sign_ins.in_need
        assert (needed.server_id, needed.title, needed.asked) == (server_id, "Ledger", True)
        await sign_in(served.services, server_id)
        assert "result" in await served.call(server_id, "list_invoices")
        assert served.services.sign_ins.in_need == ()


async def test_a_sign_in_that_ended_is_told_once_and_works_after_the_next_one(
    tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with serving(tmp_path) as served:
        server_id = await own_server(served, workspace.url + LEDGER, "Ledger")
        await sign_in(served.services, server_id)
        assert "result" in await served.call(server_id, "list_invoices")
        await served.services.own_servers.sign_out(server_id)
        told: list[None] = []
        served.services.sign_ins.changed.subscribe(told.append)
        errors = await asyncio.gather(*(served.call(server_id, "list_invoices") for _ in range(5)))
        assert {answer["error"]["code"] for answer in errors} == {-32010}
        [needed] = served.services.sign_ins.in_need
        assert needed.server_id == server_id
        assert len(told) == 1
        await sign_in(served.services, server_id)
        assert "result" in await served.call(server_id, "list_invoices")


async def test_a_sign_in_in_another_process_is_used(tmp_path: Path, workspace: RunningWorkspace) -> None:
    async with serving(tmp_path) as served, services_in(tmp_path) as other:
        server_id = await own_server(served, workspace.url + LEDGER, "Ledger")
        assert (await served.call(server_id, "list_invoices"))["error"]["code"] == -32010
        await other.own_servers.definitions()
        await sign_in(other, server_id)
        await served.call(server_id, "list_invoices")
        assert "result" in await served.call(server_id, "list_invoices")


async def test_a_client_that_is_revoked_is_cut_off(tmp_path: Path) -> None:
    async with Scripted() as server, serving(tmp_path) as served:
        held = asyncio.Event()
        server.always["tools/call"] = Reply(result={"content": []}, hold=held)
        server_id = await own_server(served, server.url)
        waiting = asyncio.create_task(served.call(server_id, "echo"))
        await server.arrived["tools/call"].wait()
        await served.proxy.clients.revoke(served.client_id)
        with pytest.raises(CUT_OFF):
            await waiting
        assert (await served.post(server_id, "ping")).status_code == 401
        held.set()


async def lose(served: Served, how: str, server_id: str) -> None:
    """Take away what a request of the client needs that is under way, from another process of Burrow."""
    async with services_in(served.services.folder) as other:
        clients = ProxyClients(other.storage.proxy_clients)
        await clients.start()
        try:
            if how == "key":
                await clients.renew_key(served.client_id)
            else:
                await clients.choose_servers(served.client_id, ["another"])
        finally:
            await clients.close()


@pytest.mark.parametrize("how", ["key", "server"])
async def test_what_is_open_ends_with_the_key_or_the_server_that_it_needs(tmp_path: Path, how: str) -> None:
    async with Scripted() as server, serving(tmp_path) as served:
        held = asyncio.Event()
        server.always["tools/call"] = Reply(result={"content": []}, hold=held)
        server_id = await own_server(served, server.url)
        waiting = asyncio.create_task(served.call(server_id, "echo"))
        await server.arrived["tools/call"].wait()
        # Another change leaves it alone.
        await served.proxy.clients.rename(served.client_id, "another name")
        await lose(served, how, server_id)
        with pytest.raises(CUT_OFF):
            await waiting
        assert (await served.post(server_id, "ping")).status_code == (401 if how == "key" else 404)
        held.set()


async def test_a_failure_of_a_vendors_sign_in_marks_the_server(tmp_path: Path, workspace: RunningWorkspace) -> None:
    async with serving(tmp_path) as served:
        await signed_in(served.services, workspace)
        [installed] = [one for one in await served.services.servers.list(refresh=True) if one.title == "Postbox"]
        await lab_of(workspace).vendor(vendor="postbox", action="revoke")
        await served.post(installed.id, "tools/list")

        def marked() -> bool:
            states = {one.id: one.state for one in served.services.servers.listed}
            return states[installed.id] is ServerState.RECONNECT

        await until(marked)
        assert "result" in await served.call("workspace", "list_projects")


async def test_a_server_whose_address_changes_is_reached_at_the_new_one(tmp_path: Path) -> None:
    async with Scripted() as one, Scripted() as other, serving(tmp_path) as served:
        server_id = await own_server(served, one.url)
        assert "result" in message_of(await served.post(server_id, "tools/list"))
        await served.services.own_servers.add(HttpServer(server_id, "Own", other.url))
        await served.services.servers.list(refresh=True)
        assert "result" in message_of(await served.post(server_id, "tools/list"))
        assert (one.count("tools/list"), other.count("tools/list")) == (1, 1)
        await served.services.own_servers.remove(server_id)
        await served.services.servers.list(refresh=True)
        assert (await served.post(server_id, "tools/list")).status_code == 404


async def test_the_clock_of_a_server_is_learnt_without_a_hop_for_each_call(
    tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with serving(tmp_path) as served:
        backend = await signed_in(served.services, workspace)
        await served.call("workspace", "list_projects")
        told: list[str] = []
        accepted = backend.credential.accepted

        def count(tokens: object, target: str, headers: object) -> None:
            told.append(target)
            accepted(tokens, target, headers)  # type: ignore[arg-type]

        backend.credential.accepted = count  # type: ignore[method-assign]
        for _ in range(20):
            await served.call("workspace", "list_projects")
        assert len(told) <= 5


async def test_a_failure_after_the_port_was_opened_leaves_it_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_arguments: object) -> None:
        raise ValueError("a defect")

    number = free_port()
    services = Services(tmp_path)
    await services.storage.settings.set(PORT_SETTING, number)
    monkeypatch.setattr("app.core.mcp.proxy.http.server.LoopbackServer.listen", broken)
    try:
        await services.proxy.start()
        await state_is(services.proxy, ProxyState.FAILED)
        assert "ValueError" in services.proxy.status.trouble
        with closing(socket.create_server(("127.0.0.1", number))):
            """Nothing holds it any more."""
        monkeypatch.undo()
        await services.proxy.retry()
        await state_is(services.proxy, ProxyState.SERVING)
    finally:
        await services.close()
