"""The user's own servers: listed whoever is signed in, and with sign-ins of their own that heal."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.core.auth.profile import ClientIdentity
from app.core.auth.status import CredentialState
from app.core.errors import NotFound, Rejected, SignInNeeded, VendorSignInNeeded
from app.core.lab import Lab
from app.core.mcp.servers.definitions import HttpServer, OwnServer, SseServer, StdioServer, own_server_of, record_of
from app.core.mcp.servers.server import ServerState
from app.core.services import Services
from app.workspace.vendors.names import CLOSED_CLIENT_ID, CLOSED_CLIENT_SECRET
from tests.conftest import RunningWorkspace
from tests.core import scripted as web
from tests.core._authorization_server import RESOURCE, ScriptedIssuer, servers
from tests.core._mcp_server import Reply, Scripted, Seen
from tests.core._sdk_provider import protected_server
from tests.core.test_services import services_in, signed_in

LEDGER = "/_vendor/ledger/mcp"
TIMESHEET = "/_vendor/timesheet/mcp"
AN_HOUR = 3700.0


async def agree(address: str, decision: str = "approve") -> None:
    """Press a button on a vendor's consent page and go where the browser is sent."""
    async with httpx.AsyncClient(trust_env=False) as browser:
        page = (await browser.get(address)).text
        assert "ticket" in page, page
        [ticket] = re.findall(r'name="ticket" value="([^"]+)"', page)
        [action] = re.findall(r'action="([^"]+)"', page)
        form = {"ticket": ticket, "decision": decision}
        answer = await browser.post(str(httpx.URL(address).join(action)), data=form)
        assert answer.status_code == 302, answer.text
        assert (await browser.get(answer.headers["location"])).status_code == 200


async def sign_in(services: Services, server_id: str, **options: Any) -> None:
    attempt = await services.own_servers.begin_sign_in(server_id, open_browser=False, **options)
    finishing = asyncio.create_task(attempt.finish())
    await agree(attempt.browser.url)
    await finishing


@asynccontextmanager
async def ledger_in(folder: Path, workspace: RunningWorkspace) -> AsyncIterator[tuple[Services, str]]:
    """Nobody is signed in to a host; Ledger is an own server that was signed in to."""
    async with services_in(folder) as services:
        server = await services.own_servers.add(HttpServer("", "Ledger", workspace.url + LEDGER))
        await sign_in(services, server.id)
        yield services, server.id


async def call(services: Services, server_id: str, tool: str = "list_invoices", **arguments: Any) -> Any:
    return await services.servers.start_call(server_id, tool, arguments).result()


def lab_of(workspace: RunningWorkspace) -> Lab:
    return Lab(workspace.url, workspace.secret)


def state_of(services: Services, server_id: str) -> ServerState:
    return services.servers._servers[server_id].state


async def test_a_server_that_asks_for_a_sign_in_says_so_before_it_was_ever_signed_in_to(
    workspace: RunningWorkspace, tmp_path: Path
) -> None:
    async with services_in(tmp_path) as services:
        server = await services.own_servers.add(HttpServer("", "Ledger", workspace.url + LEDGER))
        with pytest.raises(VendorSignInNeeded, match="Ledger asks you to sign in"):
            await services.servers.tools(server.id)
        assert state_of(services, server.id) is ServerState.SIGN_IN


async def test_a_server_is_signed_in_to_and_called_while_nobody_is_signed_in_to_a_host(
    workspace: RunningWorkspace, tmp_path: Path
) -> None:
    async with ledger_in(tmp_path, workspace) as (services, server_id):
        tools = await services.servers.tools(server_id)
        assert "list_invoices" in [tool.name for tool in tools]
        assert not (await call(services, server_id)).is_error
        assert state_of(services, server_id) is ServerState.READY


async def test_a_token_that_has_run_out_is_refreshed_once_for_all_who_call(
    workspace: RunningWorkspace, tmp_path: Path
) -> None:
    async with ledger_in(tmp_path, workspace) as (services, server_id):
        await call(services, server_id)
        before = credential_of(services, server_id).grant
        await lab_of(workspace).expire(AN_HOUR)
        results = await asyncio.gather(*(call(services, server_id) for _ in range(10)))
        assert not any(result.is_error for result in results)
        after = credential_of(services, server_id).grant
        assert before is not None
        assert after is not None
        assert after.tokens.generation == before.tokens.generation + 1


async def test_the_sign_in_is_there_again_after_a_restart(workspace: RunningWorkspace, tmp_path: Path) -> None:
    async with ledger_in(tmp_path, workspace) as (_services, server_id):
        pass
    async with services_in(tmp_path) as services:
        assert [server.id for server in await services.servers.list()] == [server_id]
        assert not (await call(services, server_id)).is_error


async def test_a_grant_that_ended_asks_for_this_servers_sign_in_and_names_its_credential(
    workspace: RunningWorkspace, tmp_path: Path
) -> None:
    async with ledger_in(tmp_path, workspace) as (services, server_id):
        credential = credential_of(services, server_id)
        await revoke(workspace, credential)
        await lab_of(workspace).expire(AN_HOUR)
        with pytest.raises(SignInNeeded) as raised:
            await call(services, server_id)
        assert raised.value.facts.credential == credential.key.text
        await services.servers.list(refresh=True)
        assert state_of(services, server_id) is ServerState.SIGN_IN
        await sign_in(services, server_id)
        assert not (await call(services, server_id)).is_error
        assert state_of(services, server_id) is ServerState.READY


async def test_its_end_leaves_the_hosts_sign_in_alone(workspace: RunningWorkspace, tmp_path: Path) -> None:
    async with ledger_in(tmp_path, workspace) as (services, server_id):
        backend = await signed_in(services, workspace)
        await revoke(workspace, credential_of(services, server_id))
        await lab_of(workspace).expire(AN_HOUR)
        with pytest.raises(SignInNeeded):
            await call(services, server_id)
        assert backend.credential.status.state is CredentialState.SIGNED_IN
        await call(services, "workspace", "list_projects")


async def test_another_host_changes_nothing_for_the_own_servers(workspace: RunningWorkspace, tmp_path: Path) -> None:
    async with ledger_in(tmp_path, workspace) as (services, server_id):
        await call(services, server_id)
        connection = services.servers._connections[server_id].connection
        await signed_in(services, workspace)
        ids = [server.id for server in await services.servers.list()]
        assert ids[0] == "workspace"
        assert server_id in ids
        await services.disconnect()
        assert [server.id for server in await services.servers.list()] == [server_id]
        assert services.servers._connections[server_id].connection is connection
        assert not (await call(services, server_id)).is_error


async def test_a_client_that_was_registered_by_hand_signs_in_with_its_secret(
    workspace: RunningWorkspace, tmp_path: Path
) -> None:
    async with services_in(tmp_path) as services:
        server = await services.own_servers.add(HttpServer("", "Timesheet", workspace.url + TIMESHEET))
        with pytest.raises(Rejected, match="does not let applications register themselves"):
            await services.own_servers.begin_sign_in(server.id, open_browser=False)
        await sign_in(services, server.id, client=ClientIdentity(CLOSED_CLIENT_ID, CLOSED_CLIENT_SECRET))
        await lab_of(workspace).expire(AN_HOUR)
        assert await services.servers.tools(server.id)
    assert CLOSED_CLIENT_SECRET not in database_of(tmp_path)


async def test_removing_a_server_revokes_its_sign_in(workspace: RunningWorkspace, tmp_path: Path) -> None:
    async with ledger_in(tmp_path, workspace) as (services, server_id):
        grant = credential_of(services, server_id).grant
        assert grant is not None
        await services.own_servers.remove(server_id)
        assert await services.servers.list(refresh=True) == ()
        with pytest.raises(NotFound):
            await services.servers.tools(server_id)
        async with httpx.AsyncClient(trust_env=False) as client:
            headers = {"Authorization": f"Bearer {grant.tokens.access_token}"}
            assert (await client.post(workspace.url + LEDGER, headers=headers)).status_code == 401


async def test_what_another_process_adds_is_listed(tmp_path: Path) -> None:
    async with services_in(tmp_path) as window, services_in(tmp_path) as command:
        assert await window.servers.list() == ()
        added = await command.own_servers.add(HttpServer("", "Echo", "https://echo.example/mcp"))
        assert [server.id for server in await window.servers.list(refresh=True)] == [added.id]
        await command.own_servers.remove(added.id)
        assert await window.servers.list(refresh=True) == ()


@pytest.mark.parametrize("url", ["http://echo.example/mcp", "https://ana:secret@echo.example", "echo", ""])
async def test_an_address_that_no_credential_may_go_to_is_not_kept(url: str, tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        with pytest.raises(Rejected) as raised:
            await services.own_servers.add(HttpServer("", "Echo", url))
        assert raised.value.facts.attr == "url"
        assert await services.servers.list() == ()


class Protected(Scripted):
    """An MCP server of one era that takes the tokens of an authorization server on another origin."""

    def __init__(self, issuer: ScriptedIssuer, *, legacy: bool) -> None:
        super().__init__(legacy=legacy)
        self.issuer = issuer

    def _reply(self, seen: Seen) -> Reply:
        token = seen.headers.get("authorization", "").removeprefix("Bearer ")
        if any(family.takes(token) for family in self.issuer.families):
            return super()._reply(seen)
        address = f"{self.issuer.server.origin}{RESOURCE}"
        challenge = {"WWW-Authenticate": f'Bearer error="invalid_token", resource_metadata="{address}"'}
        return Reply(401, body=b"", headers=challenge)


@pytest.mark.parametrize("legacy", [False, True])
async def test_a_dead_token_is_healed_in_both_eras_and_the_tool_runs_once(legacy: bool, tmp_path: Path) -> None:
    async with servers(1) as origins, services_in(tmp_path) as services:
        issuer = ScriptedIssuer(next(origins), "/tenant")
        async with Protected(issuer, legacy=legacy) as server:
            metadata = {"resource": server.url, "authorization_servers": [issuer.issuer]}
            issuer.server.views[RESOURCE] = lambda _: web.Reply(200, metadata)
            added = await services.own_servers.add(HttpServer("", "Echo", server.url))
            attempt = await services.own_servers.begin_sign_in(added.id, open_browser=False)
            finishing = asyncio.create_task(attempt.finish())
            async with httpx.AsyncClient(trust_env=False, follow_redirects=True) as browser:
                await browser.get(attempt.browser.url)
            await finishing
            assert not (await call(services, added.id, "echo")).is_error
            issuer.family.killed = True
            results = await asyncio.gather(*(call(services, added.id, "echo") for _ in range(5)))
            assert not any(result.is_error for result in results)
            assert issuer.family.refreshes == 1
            carried = [seen for seen in server.seen if seen.method == "tools/call"]
            taken = [seen for seen in carried if issuer.family.access_token in seen.headers["authorization"]]
            assert len(taken) == 5
            assert services.servers._servers[added.id].protocol == ("2025-11-25" if legacy else "2026-07-28")


async def test_a_server_made_with_the_sdk_is_signed_in_to_and_heals_and_each_call_runs_once(tmp_path: Path) -> None:
    async with protected_server() as (url, provider, calls), services_in(tmp_path) as services:
        added = await services.own_servers.add(HttpServer("", "Protected", url))
        for _ in range(2):
            attempt = await services.own_servers.begin_sign_in(added.id, open_browser=False)
            finishing = asyncio.create_task(attempt.finish())
            async with httpx.AsyncClient(trust_env=False, follow_redirects=True) as browser:
                assert (await browser.get(attempt.url)).status_code == 200
            await finishing
        assert len(provider.clients) == 1
        await call(services, added.id, "note", text="first")
        provider.kill_access_tokens()
        texts = [f"call {number}" for number in range(8)]
        await asyncio.gather(*(call(services, added.id, "note", text=text) for text in texts))
        assert sorted(calls) == sorted(["first", *texts])
        assert provider.refreshes == 1
        provider.end()
        with pytest.raises(SignInNeeded):
            await call(services, added.id, "note", text="after the end")
        assert "after the end" not in calls


async def test_a_server_without_any_sign_in_is_called_in_both_eras(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        for legacy in (False, True):
            async with Scripted(legacy=legacy) as server:
                added = await services.own_servers.add(HttpServer("", "Echo", server.url))
                assert [tool.name for tool in await services.servers.tools(added.id)] == ["echo", "count"]
                assert not (await call(services, added.id, "echo")).is_error
                assert server.seen[-1].headers.get("authorization") is None
                assert not any(name.startswith("x-posthog") for seen in server.seen for name in seen.headers)


@pytest.mark.parametrize(
    "server",
    [
        HttpServer("a", "A", "https://a.example/mcp"),
        SseServer("b", "B", "https://b.example/sse"),
        StdioServer("c", "C", ("python", "-m", "c"), "/srv", (("KEY", "value"),)),
        StdioServer("d", "D", ("python", "-m", "d"), shared=True),
    ],
)
def test_a_server_is_read_back_as_it_was_kept(server: OwnServer) -> None:
    assert own_server_of(record_of(server)) == server


@pytest.mark.parametrize(
    "record", [None, [], {}, {"kind": "http"}, {"kind": "carrier pigeon", "id": "a"}, {"kind": "stdio", "command": 1}]
)
def test_a_record_that_no_version_wrote_is_passed_over(record: object) -> None:
    assert own_server_of(record) is None


def credential_of(services: Services, server_id: str) -> Any:
    own = services.own_servers
    found = own.credential_of(next(server for server in own.servers if server.id == server_id))
    assert found is not None
    return found


def database_of(folder: Path) -> str:
    """Everything in the database, which other users of the machine may be able to read in a backup."""
    return "".join(path.read_text("latin-1") for path in folder.glob("*.sqlite3*"))


async def revoke(workspace: RunningWorkspace, credential: Any) -> None:
    """End the grant at its server, as its owner does there."""
    async with httpx.AsyncClient(trust_env=False) as client:
        form = {"token": credential.grant.tokens.refresh_token, "client_id": credential.grant.registration.client_id}
        assert (await client.post(f"{workspace.url}/_vendor/revoke", data=form)).status_code == 200
