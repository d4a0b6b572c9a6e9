"""Which sign-ins are in use, and which of them need the user: each by itself, each once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from app.core.errors import SignInNeeded
from app.core.mcp.servers.definitions import HttpServer
from tests.conftest import RunningWorkspace
from tests.core.test_own_servers import AN_HOUR, LEDGER, agree, call, credential_of, lab_of, ledger_in, revoke
from tests.core.test_services import services_in, signed_in
from tests.until import until


async def test_without_any_sign_in_there_is_none(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        assert services.sign_ins.all == ()
        assert services.sign_ins.in_need == ()


async def test_an_account_and_an_own_server_are_told_each_by_its_name(
    workspace: RunningWorkspace, tmp_path: Path
) -> None:
    async with ledger_in(tmp_path, workspace) as (services, server_id):
        backend = await signed_in(services, workspace)
        account, server = services.sign_ins.all
        assert (account.title, account.server_id) == (backend.host.name, None)
        assert (server.title, server.server_id) == ("Ledger", server_id)
        assert services.sign_ins.in_need == ()


async def test_two_servers_with_one_sign_in_are_told_once(workspace: RunningWorkspace, tmp_path: Path) -> None:
    async with ledger_in(tmp_path, workspace) as (services, server_id):
        first = next(server for server in services.own_servers.servers if server.id == server_id)
        await services.own_servers.add(HttpServer("", "Ledger again", first.address, first.authorization))
        await services.own_servers.definitions()
        assert [sign_in.title for sign_in in services.sign_ins.all] == ["Ledger"]


async def test_the_end_of_one_is_told_as_that_one_and_a_new_sign_in_ends_the_need(
    workspace: RunningWorkspace, tmp_path: Path
) -> None:
    async with ledger_in(tmp_path, workspace) as (services, server_id):
        await signed_in(services, workspace)
        heard: list[None] = []
        services.sign_ins.changed.subscribe(heard.append)
        await revoke(workspace, credential_of(services, server_id))
        await lab_of(workspace).expire(AN_HOUR)
        with pytest.raises(SignInNeeded) as raised:
            await call(services, server_id)
        [needed] = services.sign_ins.in_need
        assert needed.title == "Ledger"
        assert heard
        assert raised.value.facts.credential is not None
        assert services.sign_ins.of(raised.value.facts.credential).key == needed.key  # type: ignore[union-attr]
        pending = await needed.begin()
        finishing = asyncio.create_task(pending.finish())
        await agree(pending.url)
        await finishing
        assert services.sign_ins.in_need == ()


async def test_the_end_of_the_accounts_sign_in_leaves_the_servers(workspace: RunningWorkspace, tmp_path: Path) -> None:
    async with ledger_in(tmp_path, workspace) as (services, server_id):
        backend = await signed_in(services, workspace)
        await lab_of(workspace).revoke_grant()
        with pytest.raises(SignInNeeded):
            await backend.tasks.list()
        assert [sign_in.server_id for sign_in in services.sign_ins.in_need] == [None]
        assert not (await call(services, server_id)).is_error


async def test_another_host_ends_what_is_told_of_the_former(workspace: RunningWorkspace, tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        sign_ins = services.sign_ins
        backend = await signed_in(services, workspace)
        await lab_of(workspace).revoke_grant()
        with pytest.raises(SignInNeeded):
            await backend.tasks.list()
        assert len(sign_ins.in_need) == 1
        await services.disconnect()
        assert sign_ins.all == ()


async def test_what_was_removed_is_told_no_longer(workspace: RunningWorkspace, tmp_path: Path) -> None:
    async with ledger_in(tmp_path, workspace) as (services, server_id):
        await services.own_servers.remove(server_id)
        await until(lambda: services.sign_ins.all == ())
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.post(workspace.url + LEDGER)).status_code == 401


async def test_what_a_client_met_is_told_once_until_somebody_signs_in(
    workspace: RunningWorkspace, tmp_path: Path
) -> None:
    async with services_in(tmp_path) as services:
        heard: list[None] = []
        services.sign_ins.changed.subscribe(heard.append)
        server = await services.own_servers.add(HttpServer("", "Ledger", workspace.url + LEDGER))
        assert services.sign_ins.met(key=None, server_id="nothing") is None
        heard.clear()
        for _ in range(3):
            met = services.sign_ins.met(key=None, server_id=server.id)
        assert len(heard) == 1
        assert met is not None
        assert [each.key for each in services.sign_ins.in_need] == [met.key]
        pending = await met.begin()
        finishing = asyncio.create_task(pending.finish())
        await agree(pending.url)
        await finishing
        assert services.sign_ins.in_need == ()
        # It is not remembered beyond that: a sign-out is no need.
        await services.own_servers.sign_out(server.id)
        assert services.sign_ins.in_need == ()


async def test_a_server_that_a_client_met_and_that_is_removed_is_needed_no_longer(
    workspace: RunningWorkspace, tmp_path: Path
) -> None:
    async with services_in(tmp_path) as services:
        server = await services.own_servers.add(HttpServer("", "Ledger", workspace.url + LEDGER))
        assert services.sign_ins.met(key=None, server_id=server.id) is not None
        await services.own_servers.remove(server.id)
        assert services.sign_ins.in_need == ()
