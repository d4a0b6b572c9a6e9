"""Which rule counts: the strictest of the client's own and the server's, but for an Ask that the user answered for a
client alone; and never Allow for what is not known."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from app.core.errors import Offline, PolicyRefused, StorageTrouble
from app.core.mcp.proxy import tool_rules as rules_module
from app.core.mcp.proxy.clients import ProxyClients
from app.core.mcp.proxy.parts import ProxyClient, ToolRule
from app.core.mcp.proxy.tool_rules import RuleChange, RuleTable, ToolRules, alike, strictest
from app.core.mcp.servers.definitions import HttpServer
from app.core.mcp.servers.local_policies import ALLOW, ASK, BLOCK, SETTING, kept_name
from app.core.posthog.types import StoreTool
from tests.core._mcp_server import Scripted
from tests.core.test_mcp_servers import World, world
from tests.core.test_services import services_in
from tests.until import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from app.core.services import Services


@asynccontextmanager
async def ruled(services: Services) -> AsyncIterator[tuple[ToolRules, ProxyClients, ProxyClient]]:
    clients = ProxyClients(services.storage.proxy_clients)
    await clients.start()
    rules = ToolRules(services.servers, clients)
    try:
        client, _key = await clients.create("Agent")
        yield rules, clients, client
    finally:
        await rules.close()
        await clients.close()


def test_of_two_rules_the_stricter_counts() -> None:
    order = [ToolRule.ALLOW, ToolRule.ASK, ToolRule.BLOCK]
    for one, other in itertools.product(order, repeat=2):
        assert strictest(one, other) is order[max(order.index(one), order.index(other))]


@pytest.mark.parametrize(
    "name",
    [
        "Delete",
        "DELETE",
        " delete",
        "delete\n",
        "de lete",
        "\u200bdelete",
        "de\u00adlete",
        "ｄｅｌｅｔｅ",
        "delete\0",
        "delete\ufe0f",
        "del\u3164ete",
        "delete\ud800",
    ],
)
def test_a_name_that_a_server_could_take_for_a_blocked_one_is_blocked(name: str) -> None:
    table = RuleTable({"delete": ToolRule.BLOCK, "find": ToolRule.ASK})
    assert table.rule(name) is ToolRule.BLOCK
    # A tool that the server lists is a tool of its own, and so is one with a rule.
    assert RuleTable(table.by_name, listed=frozenset({kept_name(name)})).rule(name) is ToolRule.ALLOW
    assert RuleTable({**table.by_name, kept_name(name): ToolRule.ASK}).rule(name) is ToolRule.ASK


@pytest.mark.parametrize("name", ["undelete", "delete_", "dele-te", "", "démo"])
def test_another_name_is_another_tool(name: str) -> None:
    assert RuleTable({"delete": ToolRule.BLOCK}).rule(name) is ToolRule.ALLOW


def test_names_alike_are_equal_only_where_a_reader_would_take_them_for_one() -> None:
    assert alike("Ｆind A") == alike("finda") != alike("find-a")
    assert alike("straße") == alike("STRASSE")


async def test_the_strictest_counts_for_every_pair_but_an_allow_of_the_client_answers_an_ask(tmp_path: Path) -> None:
    states = {ALLOW: ToolRule.ALLOW, ASK: ToolRule.ASK, BLOCK: ToolRule.BLOCK}
    async with Scripted() as server, services_in(tmp_path) as services, ruled(services) as (rules, clients, client):
        own = (await services.own_servers.add(HttpServer("", "Echo", server.url))).id
        for (state, of_server), of_client in itertools.product(states.items(), [None, *ToolRule]):
            await services.servers.set_policy(own, "echo", state)
            await clients.set_rule(client.id, own, "echo", of_client)
            await rules.learn(own)
            expected = of_server if of_client is None else strictest(of_server, of_client)
            if (of_server, of_client) == (ToolRule.ASK, ToolRule.ALLOW):
                expected = ToolRule.ALLOW
            assert rules.rule(client, own, "echo") is expected
            assert rules.hides(client, own) is (expected is ToolRule.BLOCK)
            assert rules.server_rule(own, "echo") is of_server
            # Neither another tool nor another client is meant.
            assert rules.rule(client, own, "count") is ToolRule.ALLOW
            assert rules.rule(ProxyClient("other", "Other"), own, "echo") is of_server


@pytest.mark.parametrize("name", ["Echo", " echo", "\u200becho", "ｅｃｈｏ"])
async def test_an_allow_of_the_client_is_for_exactly_that_tool(tmp_path: Path, name: str) -> None:
    async with Scripted() as server, services_in(tmp_path) as services, ruled(services) as (rules, clients, client):
        own = (await services.own_servers.add(HttpServer("", "Echo", server.url))).id
        await services.servers.set_policy(own, "echo", ASK)
        await clients.set_rule(client.id, own, "echo", ToolRule.ALLOW)
        await rules.learn(own)
        assert rules.rule(client, own, "echo") is ToolRule.ALLOW
        assert rules.rule(client, own, name) is ToolRule.ASK


async def test_what_the_team_has_locked_and_what_nobody_knows_asks_whatever_the_client_may() -> None:
    async with world() as on:
        on.store.stored["i1"] = (
            StoreTool("echo", approval_state="needs_approval", locked=True),
            StoreTool("odd", approval_state="new"),
            StoreTool("count", approval_state="needs_approval"),
            StoreTool("gone", approval_state="do_not_use"),
        )
        rules = ToolRules(on.servers(), AllowsAll(("echo", "Echo", "odd", "count", "gone", "never seen")))
        await rules.learn("i1")
        asked = [name for name in ("echo", "Echo", "odd") if rules.rule(AGENT, "i1", name) is ToolRule.ASK]
        assert asked == ["echo", "Echo", "odd"]
        assert rules.rule(AGENT, "i1", "gone") is ToolRule.BLOCK
        for name in ("count", "never seen"):
            assert rules.rule(AGENT, "i1", name) is ToolRule.ALLOW
            assert rules.asks_elsewhere("i1", name)
        assert not rules.asks_elsewhere("i1", "gone")
        assert not rules.asks_elsewhere("i2", "count")
        await rules.close()


async def test_what_is_not_known_yet_asks_and_hides(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services, ruled(services) as (rules, clients, client):
        await clients.set_rule(client.id, "nobody", "echo", ToolRule.ALLOW)
        assert rules.rule(client, "nobody", "echo") is ToolRule.ASK
        assert rules.hides(client, "nobody")
        assert not rules.fresh("nobody")


async def test_a_policy_that_is_set_counts_for_the_next_call_here_and_in_another_process(tmp_path: Path) -> None:
    async with Scripted() as server, services_in(tmp_path) as window, services_in(tmp_path) as proxy:
        own = (await window.own_servers.add(HttpServer("", "Echo", server.url))).id
        async with ruled(proxy) as (rules, _clients, client):
            await rules.learn(own)
            assert rules.rule(client, own, "echo") is ToolRule.ALLOW
            await proxy.servers.set_policy(own, "echo", ASK)
            assert not rules.fresh(own)
            await rules.learn(own)
            assert rules.rule(client, own, "echo") is ToolRule.ASK
            await window.servers.set_policy(own, "echo", BLOCK)

            async def blocked() -> bool:
                await rules.learn(own)
                return rules.rule(client, own, "echo") is ToolRule.BLOCK

            await until(blocked)


async def test_policies_of_this_machine_are_read_ahead_so_that_no_call_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules_module, "AHEAD_SECONDS", 0.0)
    async with Scripted() as server, services_in(tmp_path) as window, services_in(tmp_path) as proxy:
        own = (await window.own_servers.add(HttpServer("", "Echo", server.url))).id
        async with ruled(proxy) as (rules, _clients, client):
            await rules.learn(own)
            await window.servers.set_policy(own, "echo", BLOCK)
            # On the proxy's thread nothing but this is asked for.
            await until(lambda: rules.fresh(own) and rules.rule(client, own, "echo") is ToolRule.BLOCK)


async def test_changes_tell_server_client_and_whether_other_tools_are_hidden(tmp_path: Path) -> None:
    async with Scripted() as server, services_in(tmp_path) as services, ruled(services) as (rules, clients, client):
        own = (await services.own_servers.add(HttpServer("", "Echo", server.url))).id
        heard: list[RuleChange] = []
        rules.changed.subscribe(heard.append)

        async def next_change() -> RuleChange:
            await until(lambda: heard)
            [found] = heard
            heard.clear()
            return found

        # Nobody asked for the rules of this server yet.
        await services.servers.set_policy(own, "echo", ASK)
        assert not heard
        await rules.learn(own)
        assert await next_change() == RuleChange(own, None, hidden=False)
        await services.servers.set_policy(own, "echo", BLOCK)
        assert await next_change() == RuleChange(own, None, hidden=True)
        await services.servers.set_policy(own, "echo", ASK)
        assert await next_change() == RuleChange(own, None, hidden=True)
        await services.servers.set_policy(own, "echo", ALLOW)
        assert await next_change() == RuleChange(own, None, hidden=False)
        await clients.set_rule(client.id, own, "count", ToolRule.BLOCK)
        assert await next_change() == RuleChange(own, client.id, hidden=True)
        await clients.set_rule(client.id, own, "count", None)
        assert await next_change() == RuleChange(own, client.id, hidden=True)


class NoRules:
    """Clients without rules of their own."""

    def __init__(self) -> None:
        from app.core.events import Event

        self.changed: Any = Event()

    def rules_of(self, client: str) -> dict[tuple[str, str], ToolRule]:
        return {}

    def ruled(self) -> tuple[str, ...]:
        return ()


AGENT = ProxyClient("c1", "Agent")


class AllowsAll(NoRules):
    """A client that may call these tools of a server."""

    def __init__(self, tools: tuple[str, ...]) -> None:
        super().__init__()
        self._rules = {("i1", tool): ToolRule.ALLOW for tool in tools}

    def rules_of(self, client: str) -> dict[tuple[str, str], ToolRule]:
        return self._rules


async def fail(*_arguments: Any) -> Any:
    raise Offline("The store cannot be reached.")


async def test_a_tool_of_an_installed_server_that_the_store_does_not_know_asks() -> None:
    async with world() as on:
        on.store.stored["i1"] = (StoreTool("echo", approval_state="approved"), StoreTool("odd", approval_state="new"))
        rules = ToolRules(on.servers(), NoRules())
        await rules.learn("i1")
        assert rules.rule(AGENT, "i1", "echo") is ToolRule.ALLOW
        assert rules.rule(AGENT, "i1", "count") is ToolRule.ASK
        assert rules.rule(AGENT, "i1", "odd") is ToolRule.ASK
        await rules.close()


async def test_a_store_that_cannot_be_reached_never_means_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as on:
        servers = on.servers()
        await servers.list()
        monkeypatch.setattr(on.store, "tools", fail)
        rules = ToolRules(servers, NoRules())
        with pytest.raises(Offline):
            await rules.learn("i1")
        assert rules.rule(AGENT, "i1", "echo") is ToolRule.ASK
        await rules.close()


async def test_policies_of_an_earlier_start_count_while_the_store_cannot_be_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world() as on:
        on.store.stored["i1"] = (StoreTool("echo", approval_state="approved"), StoreTool("count", approval_state=BLOCK))
        await on.servers().tools("i1")
        monkeypatch.setattr(on.store, "tools", fail)
        rules = ToolRules(on.servers(), NoRules())
        await rules.learn("i1")
        assert rules.rule(AGENT, "i1", "echo") is ToolRule.ALLOW
        assert rules.rule(AGENT, "i1", "count") is ToolRule.BLOCK
        assert rules.rule(AGENT, "i1", "new") is ToolRule.ASK
        await rules.close()


async def test_known_policies_count_when_a_later_reading_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as on:
        on.store.stored["i1"] = (StoreTool("echo", approval_state="approved"),)
        servers = on.servers()
        rules = ToolRules(servers, NoRules())
        await rules.learn("i1")
        monkeypatch.setattr(on.store, "tools", fail)
        servers.policies_changed.emit("i1")
        await rules.learn("i1")
        assert rules.rule(AGENT, "i1", "echo") is ToolRule.ALLOW
        await rules.close()


async def test_policies_that_change_while_they_are_read_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as on:
        servers = on.servers()
        await servers.list()
        answers = [ALLOW, BLOCK]

        async def tools(_installation: str) -> tuple[StoreTool, ...]:
            state: Any = answers.pop(0)
            if state == ALLOW:
                # The user blocks it when this answer is on its way.
                servers.policies_changed.emit("i1")
            return (StoreTool("echo", approval_state=state),)

        monkeypatch.setattr(on.store, "tools", tools)
        rules = ToolRules(servers, NoRules())
        await rules.learn("i1")
        assert rules.rule(AGENT, "i1", "echo") is ToolRule.BLOCK
        assert not answers
        await rules.close()


async def test_the_store_is_asked_once_for_many_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as on:
        asked: list[str] = []
        tools = on.store.tools

        async def counted(installation: str) -> tuple[StoreTool, ...]:
            asked.append(installation)
            return await tools(installation)

        monkeypatch.setattr(on.store, "tools", counted)
        rules = ToolRules(on.servers(), NoRules())
        await asyncio.gather(*(rules.learn("i1") for _ in range(50)))
        for _ in range(50):
            await rules.learn("i1")
        assert asked == ["i1"]
        await rules.close()


async def test_entries_that_cannot_be_read_keep_every_tool_of_a_server_from_being_called(tmp_path: Path) -> None:
    async with Scripted() as server, services_in(tmp_path) as services, ruled(services) as (rules, _clients, client):
        own = (await services.own_servers.add(HttpServer("", "Echo", server.url))).id
        await services.storage.settings.set(f"{SETTING}{own}", "nonsense")
        with pytest.raises(StorageTrouble):
            await rules.learn(own)
        assert rules.rule(client, own, "echo") is ToolRule.ASK


async def test_a_tool_that_the_store_allows_is_not_set_to_ask_after_a_call_that_a_clients_own_rule_asked_for() -> None:
    async with world() as on:
        on.store.stored["i1"] = (StoreTool("echo", approval_state="approved"),)
        set_to: list[Any] = []

        async def note(_installation: str, name: str, state: Any) -> StoreTool:
            set_to.append(state)
            return StoreTool(name, approval_state=state)

        on.store.set_policy = note  # type: ignore[method-assign]
        servers: Any = World.servers(on)
        async with servers.allowed_once("i1", "echo"):
            pass
        assert not set_to


async def test_a_tool_that_was_blocked_since_is_not_allowed_for_one_call() -> None:
    async with world() as on:
        on.store.stored["i1"] = (StoreTool("echo", approval_state="needs_approval"),)
        servers: Any = World.servers(on)
        await servers.tools("i1")
        set_to: list[Any] = []

        async def note(*arguments: Any) -> StoreTool:
            set_to.append(arguments)
            return StoreTool("echo", approval_state="approved")

        on.store.set_policy = note  # type: ignore[method-assign]
        on.store.stored["i1"] = (StoreTool("echo", approval_state="do_not_use"),)
        with pytest.raises(PolicyRefused):
            async with servers.allowed_once("i1", "echo"):
                raise AssertionError("it was allowed")
        assert not set_to


async def test_a_list_of_an_earlier_start_is_read_once_however_often_the_policies_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Scripted() as server:
        async with services_in(tmp_path) as services:
            own = (await services.own_servers.add(HttpServer("", "Echo", server.url))).id
            await services.servers.tools(own)
        async with services_in(tmp_path) as services:
            read: list[str] = []
            get = services.storage.cache.get

            async def counted(scope: Any, name: str) -> Any:
                read.append(name)
                return await get(scope, name)

            monkeypatch.setattr(services.storage.cache, "get", counted)
            for _ in range(3):
                kept = await services.servers.kept_policies(own)
                assert kept.listed == {"echo", "count"}
            assert len(read) == 1
