"""The list of servers: what is shown at once, what is refreshed, and whose failure touches whom."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from time import monotonic
from typing import Any

import pytest
from msgspec.structs import replace

from app.core.auth.http.target import CredentialAtStake, Target
from app.core.diagnostics.activity import Activity
from app.core.errors import (
    BurrowError,
    NotFound,
    Offline,
    OutcomeUnknown,
    PermissionMissing,
    PolicyRefused,
    Rejected,
    ServerTrouble,
    SignInNeeded,
    VendorSignInNeeded,
)
from app.core.hosts import Host
from app.core.mcp.protocol.calls import CallCancelled
from app.core.mcp.protocol.pages import REPEATS
from app.core.mcp.results.blocks import ImageBlock, LinkBlock, TextBlock
from app.core.mcp.servers.account import McpAccount
from app.core.mcp.servers.host_source import HostSource
from app.core.mcp.servers.registry import Servers
from app.core.mcp.servers.server import ServerState
from app.core.mcp.servers.store_source import StoreSource
from app.core.posthog.types import Installation, StoreTool
from app.core.storage.storage import Storage
from app.core.storage.values import Scope
from app.core.urls import origin_of
from tests.core._mcp_server import ENVELOPE, MODERN, Reply, Scripted, tool
from tests.until import until

SCOPE = Scope("workspace", "ana")
Admit = Callable[[Scope | None], Awaitable[None]]


class Store:
    """The MCP store's answers, set by the test."""

    def __init__(self, *installed: Installation) -> None:
        self.installed = list(installed)
        self.stored: dict[str, tuple[StoreTool, ...]] = {}
        self.synced: dict[str, tuple[StoreTool, ...]] = {}
        self.refreshed: list[str] = []
        self.failure: BurrowError | None = None
        self.pause: asyncio.Event | None = None
        self.asked = 0

    async def installations(self) -> tuple[Installation, ...]:
        self.asked += 1
        if self.pause is not None:
            await self.pause.wait()
        if self.failure is not None:
            raise self.failure
        return tuple(self.installed)

    async def tools(self, installation_id: str) -> tuple[StoreTool, ...]:
        return self.stored.get(installation_id, ())

    async def set_policy(self, installation_id: str, tool: str, state: Any) -> StoreTool:
        return StoreTool(tool, approval_state=state)

    async def refresh_tools(self, installation_id: str) -> tuple[StoreTool, ...]:
        self.refreshed.append(installation_id)
        return self.synced.get(installation_id, ())

    def proxy_path(self, installation_id: str) -> str:
        return f"/store/{installation_id}/proxy/"


class Credentials:
    def __init__(self) -> None:
        self.targets: list[Target] = []

    def auth(self, target: Target) -> None:
        self.targets.append(target)


class World:
    """A host with its own MCP endpoint and one installation, both scripted."""

    def __init__(self, own: Scripted, vendor: Scripted, storage: Storage) -> None:
        self.own, self.vendor, self.storage = own, vendor, storage
        self.installation = Installation("i1", name="Vendor", url="https://vendor.test/mcp", proxy_url=vendor.url)
        self.store = Store(self.installation)
        self.credentials = Credentials()
        self.activity = Activity()
        self.started: list[Servers] = []
        self.project = 1
        self.scope = SCOPE

    def servers(self, *, host: Host | None = None, admit: Admit | None = None) -> Servers:
        account = McpAccount(
            host or self.host(),
            self.credentials,
            scope=lambda: self.scope,
            project=lambda: self.project,
            admit=admit,
        )
        made = Servers(self.activity, self.storage.cache, (HostSource(account), StoreSource(account, self.store)))
        self.started.append(made)
        return made

    def host(self) -> Host:
        return Host("workspace", "Workspace", origin_of(self.vendor.url), self.own.url)


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    async with Scripted() as own, Scripted(legacy=True) as vendor:
        storage = Storage.in_memory()
        made = World(own, vendor, storage)
        try:
            yield made
        finally:
            for servers in made.started:
                await servers.close()
            await storage.close()


async def refreshed(servers: Servers, what: str = "list") -> None:
    """Wait for a refresh behind the scenes to end."""
    while any(name.startswith(what) for name in servers._background):
        await asyncio.wait(set(servers._background.values()))


async def test_no_call_is_sent_for_somebody_else_who_signs_in_while_the_connection_opens() -> None:
    somebody_else = asyncio.Event()

    async def admit(scope: Scope | None) -> None:
        assert scope == SCOPE
        if somebody_else.is_set():
            raise SignInNeeded("Somebody else is signed in.")

    async with world() as w:
        found = {"supportedVersions": [MODERN], "capabilities": {"tools": {}}, **ENVELOPE}
        w.own.next["server/discover"].append(Reply(result=found, hold=somebody_else))
        call = w.servers(admit=admit).start_call("workspace", "echo", {})
        await w.own.arrived["server/discover"].wait()
        somebody_else.set()
        with pytest.raises(SignInNeeded):
            await call.result()
        assert w.own.count("tools/call") == 0


async def test_the_hosts_own_server_comes_first_and_no_address_twice() -> None:
    async with world() as w:
        w.store.installed.append(Installation("i2", name="Itself", url=w.own.url + "/"))
        listed = await w.servers().list()
        assert [server.id for server in listed] == ["workspace", "i1"]
        assert [server.at_stake for server in listed] == [CredentialAtStake.CARRIED, CredentialAtStake.VENDOR_BEHIND]
        assert [server.state for server in listed] == [ServerState.UNKNOWN, ServerState.READY]


async def test_a_self_hosted_server_has_no_mcp_endpoint_of_its_own() -> None:
    async with world() as w:
        host = Host("https://self.test", "self", origin_of(w.vendor.url))
        assert [server.id for server in await w.servers(host=host).list()] == ["i1"]


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"pending_oauth": True, "needs_reauth": True}, ServerState.SIGN_IN),
        ({"needs_reauth": True}, ServerState.RECONNECT),
        ({"is_enabled": False}, ServerState.DISABLED),
        ({}, ServerState.READY),
    ],
)
async def test_an_installations_state_is_a_word(changes: dict[str, bool], state: ServerState) -> None:
    async with world() as w:
        w.store.installed = [replace(w.installation, **changes)]
        assert (await w.servers().list())[1].state is state


async def test_the_token_is_bound_to_the_origin_of_the_server_it_is_for() -> None:
    async with world() as w:
        servers = w.servers()
        await servers.tools("workspace")
        await servers.tools("i1")
        own, vendor = w.credentials.targets
        assert (own.origins, own.at_stake) == (frozenset({origin_of(w.own.url)}), CredentialAtStake.CARRIED)
        assert (vendor.origins, vendor.at_stake) == (
            frozenset({origin_of(w.vendor.url)}),
            CredentialAtStake.VENDOR_BEHIND,
        )
        assert (own.name, vendor.name) == ("Workspace", "Vendor")


async def test_a_proxy_on_a_foreign_origin_is_refused_before_anything_is_sent() -> None:
    async with world() as w:
        w.store.installed = [replace(w.installation, proxy_url="https://elsewhere.test/proxy")]
        with pytest.raises(Rejected, match="elsewhere"):
            await w.servers().tools("i1")
        assert w.credentials.targets == []


async def test_an_installation_that_names_no_address_is_reached_where_the_store_says() -> None:
    async with world() as w:
        w.store.installed = [replace(w.installation, proxy_url="")]
        servers = w.servers()
        assert await servers.tools("i1")
        assert servers._connections["i1"].address == f"{origin_of(w.vendor.url)}/store/i1/proxy/"


async def test_tools_carry_the_stores_policy() -> None:
    async with world() as w:
        w.store.stored["i1"] = (
            StoreTool("echo", approval_state="do_not_use", locked=True),
            StoreTool("count", approval_state="approved"),
        )
        echo, count = await w.servers().tools("i1")
        assert (echo.policy, echo.locked, count.policy) == ("do_not_use", True, "approved")
        assert w.store.refreshed == []


async def test_a_fresh_installation_is_synced_once_and_silently() -> None:
    async with world() as w:
        w.store.synced["i1"] = (StoreTool("echo"), StoreTool("count"))
        servers = w.servers()
        assert [tool.policy for tool in await servers.tools("i1")] == ["needs_approval"] * 2
        await servers.tools("i1", refresh=True)
        assert w.store.refreshed == ["i1"]


async def test_a_policy_change_shows_in_the_row() -> None:
    async with world() as w:
        w.store.stored["i1"] = (StoreTool("echo"), StoreTool("count"))
        servers = w.servers()
        await servers.tools("i1")
        row = await servers.set_policy("i1", "echo", "approved")
        assert row is not None
        assert [tool.policy for tool in await servers.tools("i1")] == [row.policy, "needs_approval"]
        with pytest.raises(Rejected):
            await servers.set_policy("workspace", "echo", "approved")


async def test_lists_are_shown_at_once_on_the_next_start_and_refreshed_behind() -> None:
    async with world() as w:
        first = w.servers()
        await first.list()
        await first.tools("workspace")
        await first.close()
        w.own.tools.append(tool("new"))
        w.store.installed.append(Installation("i2", name="Second", url="https://second.test"))
        second = w.servers()
        told: list[int] = []
        second.changed.subscribe(lambda listed: told.append(len(listed)))
        assert len(await second.list()) == 2
        assert [row.name for row in await second.tools("workspace")] == ["echo", "count"]
        await refreshed(second)
        await refreshed(second, "tools")
        assert told
        assert len(await second.list()) == 3
        assert [row.name for row in await second.tools("workspace")] == ["echo", "count", "new"]


async def test_numbers_that_a_double_would_change_are_the_same_on_the_next_start() -> None:
    exact = b'{"name":"exact","inputSchema":{"type":"object","properties":{"n":{"maximum":1e400,"minimum":0.1}}}}'
    body = b'{"jsonrpc":"2.0","id":"%ID%","result":{"tools":[' + exact + b'],"nextCursor":"","resultType":"complete"}}'
    async with world() as w:
        w.own.always["tools/list"] = Reply(body=body)
        first = w.servers()
        rows = await first.tools("workspace")
        assert rows[0].input_schema["properties"]["n"] == {"maximum": Decimal("1e400"), "minimum": 0.1}
        assert next(server for server in first.listed if server.id == "workspace").tools_note == REPEATS
        await first.close()
        second = w.servers()
        told: list[str] = []
        second.tools_changed.subscribe(told.append)
        assert await second.tools("workspace") == rows
        await refreshed(second, "tools")
        assert told == []


@pytest.mark.parametrize("change", [{"project": 2}, {"scope": Scope("workspace", "ben")}])
async def test_another_project_or_account_sees_nothing_of_the_former(change: dict[str, Any]) -> None:
    async with world() as w:
        servers = w.servers()
        await servers.tools("i1")
        w.store.installed = [Installation("i9", name="Other", url="https://other.test", proxy_url=w.vendor.url)]
        vars(w).update(change)
        assert [server.id for server in await servers.list()] == ["workspace", "i9"]
        with pytest.raises(NotFound):
            await servers.tools("i1")
        assert set(servers._connections) == set()


async def test_a_list_that_comes_late_for_a_former_project_is_not_shown() -> None:
    async with world() as w:
        servers = w.servers()
        await servers.list()
        w.store.pause = asyncio.Event()
        late = asyncio.create_task(servers.list(refresh=True))
        await until(lambda: w.store.asked == 2)
        w.project = 2
        w.store.installed = []
        w.store.pause.set()
        assert [server.id for server in await late] == ["workspace"]
        assert w.store.asked == 3


async def test_an_installation_that_moved_is_reached_at_its_new_address() -> None:
    async with world() as w:
        servers = w.servers()
        await servers.tools("i1")
        w.store.installed = [replace(w.installation, proxy_url=w.vendor.url + "/moved")]
        await servers.list(refresh=True)
        await servers.tools("i1", refresh=True)
        assert servers._connections["i1"].address.endswith("/moved")


async def test_without_a_network_the_kept_lists_stay_usable() -> None:
    async with world() as w:
        first = w.servers()
        await first.list()
        await first.tools("workspace")
        await first.close()
        w.store.failure = Offline("no network")
        second = w.servers()
        assert len(await second.list()) == 2
        assert len(await second.tools("workspace")) == 2
        with pytest.raises(Offline):
            await second.list(refresh=True)
        assert len(await second.list()) == 2


async def test_a_server_of_a_quick_source_is_called_while_another_source_fails() -> None:
    async with world() as w:
        w.store.failure = Offline("no network")
        servers = w.servers()
        assert not (await servers.start_call("workspace", "echo", {}).result()).is_error
        assert w.store.asked == 0
        with pytest.raises(Offline):
            await servers.tools("i1")


async def test_damaged_cache_entries_are_ignored() -> None:
    async with world() as w:
        await w.storage.cache.put(SCOPE, "mcp-servers/1", b'[{"id": 1}, 3]')
        await w.storage.cache.put(SCOPE, "mcp-tools/workspace/1", b"{")
        servers = w.servers()
        await servers.list(refresh=True)
        assert len(await servers.tools("workspace")) == 2


async def test_one_servers_failure_leaves_the_other_alone() -> None:
    async with world() as w:
        w.vendor.always["initialize"] = Reply(401, body=b'{"error":"Installation needs re-authentication"}')
        w.vendor.always["server/discover"] = w.vendor.always["initialize"]
        servers = w.servers()
        with pytest.raises(VendorSignInNeeded):
            await servers.tools("i1")
        assert await servers.tools("workspace")
        states = {server.id: (server.state, server.trouble) for server in await servers.list()}
        assert states["workspace"] == (ServerState.READY, None)
        assert states["i1"][0] is ServerState.RECONNECT
        assert states["i1"][1]


async def test_a_server_that_cannot_be_asked_shows_what_the_store_knows() -> None:
    async with world() as w:
        w.store.stored["i1"] = (StoreTool("kept", input_schema={"type": "object"}),)
        w.vendor.always["server/discover"] = Reply(502, body=b'{"error":"Upstream MCP server unreachable"}')
        w.vendor.always["initialize"] = w.vendor.always["server/discover"]
        servers = w.servers()
        assert [row.name for row in await servers.tools("i1")] == ["kept"]
        assert (await servers.list())[1].state is ServerState.TROUBLE
        with pytest.raises(ServerTrouble, match="unreachable"):
            await servers.tools("i1", refresh=True)
        w.vendor.always.clear()
        await servers.tools("i1", refresh=True)
        assert (await servers.list())[1].state is ServerState.READY


async def test_a_server_that_is_off_is_not_contacted() -> None:
    async with world() as w:
        w.store.installed = [replace(w.installation, is_enabled=False)]
        servers = w.servers()
        with pytest.raises(PolicyRefused):
            await servers.start_call("i1", "echo", {}).result()
        assert w.vendor.seen == []


async def test_a_call_returns_every_kind_of_content() -> None:
    async with world() as w:
        content = [
            {"type": "text", "text": "words"},
            {"type": "image", "data": "aGk=", "mimeType": "image/png"},
            {"type": "resource_link", "uri": "x:y", "name": "link"},
            {"type": "hologram", "depth": 3},
        ]
        w.own.always["tools/call"] = Reply(result={"content": content, "structuredContent": {"a": 1}, "own": True})
        result = await w.servers().start_call("workspace", "echo", {}).result()
        text, image, link, other = result.blocks
        assert text == TextBlock("words")
        assert image == ImageBlock(b"hi", "image/png")
        assert isinstance(link, LinkBlock)
        assert getattr(other, "raw", None) == content[3]
        assert (result.structured, result.raw["own"], result.is_error) == ({"a": 1}, True, False)


async def test_a_tools_own_error_is_a_result() -> None:
    async with world() as w:
        w.own.always["tools/call"] = Reply(result={"content": [], "isError": True})
        assert (await w.servers().start_call("workspace", "echo", {}).result()).is_error


async def test_a_claim_of_the_tool_decides_whether_its_outcome_is_unknown() -> None:
    async with world() as w:
        servers = w.servers()
        echo, count = await servers.tools("workspace")
        w.own.always["tools/call"] = Reply(drop="before")
        with pytest.raises(OutcomeUnknown):
            await servers.start_call("workspace", echo, {}).result()
        with pytest.raises(ServerTrouble):
            await servers.start_call("workspace", count.name, {}).result()


async def test_an_unknown_server_is_not_found() -> None:
    async with world() as w:
        with pytest.raises(NotFound):
            await w.servers().start_call("nowhere", "echo", {}).result()


async def test_a_call_that_needs_more_permissions_says_nothing_about_the_server() -> None:
    async with world() as w:
        servers = w.servers()
        await servers.tools("workspace")
        w.own.next["tools/call"].append(Reply(403, body=b'{"error":"insufficient_scope","scope":"task:write"}'))
        with pytest.raises(PermissionMissing):
            await servers.start_call("workspace", "echo", {}).result()
        assert (await servers.list())[0].state is ServerState.READY


async def test_every_message_is_recorded_short_and_without_secrets() -> None:
    async with world() as w:
        servers = w.servers()
        w.own.next["tools/call"].append(Reply(result={"content": [{"type": "text", "text": "z" * 100_000}]}))
        await servers.start_call("workspace", "echo", {"api_key": "phx_verysecretvalue123456"}).result()
        w.own.next["tools/call"].append(Reply(error={"code": -32602, "message": "bad"}))
        with pytest.raises(BurrowError):
            await servers.start_call("workspace", "echo", {}).result()
        records = [record for record in w.activity.records() if record.summary == "tools/call echo"]
        assert [record.status for record in records] == ["error -32602", "ok"]
        assert all(record.kind == "mcp" and record.target == "Workspace" for record in records)
        text = json.dumps(records[1].detail)
        assert len(text) < 10_000
        assert "verysecret" not in text


async def test_a_changed_tool_list_is_fetched_once_after_a_burst() -> None:
    async with world() as w:
        servers = w.servers()
        await servers.tools("workspace")
        w.own.tools.append(tool("late"))
        changed = {"method": "notifications/tools/list_changed"}
        w.own.next["tools/call"].append(Reply(stream=[changed] * 5 + [{"result": {"content": []}}]))
        await servers.start_call("workspace", "echo", {}).result()
        await refreshed(servers, "tools")
        assert len(await servers.tools("workspace")) == 3
        assert w.own.count("tools/list") == 2


async def test_a_list_that_changes_while_it_is_read_is_read_again() -> None:
    async with world() as w:
        servers = w.servers()
        await servers.tools("workspace")
        w.own.arrived["tools/list"].clear()
        read = asyncio.Event()
        w.own.next["tools/list"].append(Reply(result={"tools": list(w.own.tools), **ENVELOPE}, hold=read))
        changed = Reply(stream=[{"method": "notifications/tools/list_changed"}, {"result": {"content": []}}])
        w.own.always["tools/call"] = changed
        await servers.start_call("workspace", "echo", {}).result()
        await w.own.arrived["tools/list"].wait()
        w.own.tools.append(tool("late"))
        await servers.start_call("workspace", "echo", {}).result()
        read.set()
        await refreshed(servers, "tools")
        assert len(await servers.tools("workspace")) == 3
        assert w.own.count("tools/list") == 3


async def test_closing_ends_calls_and_connections_in_under_a_second() -> None:
    async with world() as w:
        servers = w.servers()
        w.own.always["tools/call"] = Reply(result={}, hold=asyncio.Event())
        call = servers.start_call("workspace", "echo", {})
        await w.own.arrived["tools/call"].wait()
        started = monotonic()
        await servers.close()
        assert monotonic() - started < 1.0
        with pytest.raises(CallCancelled):
            await call.result()
        with pytest.raises(BurrowError):
            await servers.start_call("workspace", "echo", {}).result()
