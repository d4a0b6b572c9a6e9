"""Policies that are kept on this machine: for the user's own servers, by every process on the same data."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from app.core.errors import Offline, PolicyRefused, Rejected, StorageTrouble
from app.core.mcp.servers.definitions import HttpServer
from app.core.mcp.servers.local_policies import ALLOW, ASK, BLOCK, SETTING, LocalPolicies
from tests.core._mcp_server import Scripted, tool
from tests.core.test_services import services_in
from tests.until import until

if TYPE_CHECKING:
    from pathlib import Path

    from app.core.services import Services


async def added(services: Services, server: Scripted) -> str:
    return (await services.own_servers.add(HttpServer("", "Echo", server.url))).id


async def test_a_blocked_tool_of_an_own_server_is_never_called(tmp_path: Path) -> None:
    async with Scripted() as server, services_in(tmp_path) as services:
        own = await added(services, server)
        await services.servers.set_policy(own, "echo", BLOCK)
        for once in (False, True):
            with pytest.raises(PolicyRefused) as refused:
                await services.servers.start_call(own, "echo", {}, once=once).result()
            assert refused.value.facts.code == "-32002"
        assert server.count("tools/call") == 0
        await services.servers.start_call(own, "count", {}).result()
        assert server.count("tools/call") == 1


async def test_a_tool_that_asks_is_refused_until_it_is_allowed_once_or_always(tmp_path: Path) -> None:
    async with Scripted() as server, services_in(tmp_path) as services:
        own = await added(services, server)
        await services.servers.tools(own)
        await services.servers.set_policy(own, "echo", ASK)
        for _ in range(2):
            with pytest.raises(PolicyRefused) as refused:
                await services.servers.start_call(own, "echo", {}).result()
            # The window asks after this code.
            assert refused.value.facts.code == "-32001"
            await services.servers.start_call(own, "echo", {}, once=True).result()
        assert server.count("tools/call") == 2
        await services.servers.set_policy(own, "echo", ALLOW)
        await services.servers.start_call(own, "echo", {}).result()


async def test_only_what_is_not_simply_allowed_stands_in_the_rows(tmp_path: Path) -> None:
    async with Scripted() as server, services_in(tmp_path) as services:
        own = await added(services, server)
        assert [row.policy for row in await services.servers.tools(own)] == [None, None]
        row = await services.servers.set_policy(own, "echo", ASK)
        assert row is not None
        assert row.policy == ASK
        assert [row.policy for row in await services.servers.tools(own, refresh=True)] == [ASK, None]
        row = await services.servers.set_policy(own, "echo", ALLOW)
        assert row is not None
        assert row.policy is None
        assert [row.policy for row in await services.servers.tools(own, refresh=True)] == [None, None]


async def test_a_policy_set_before_the_tools_were_listed_keeps_the_list_of_the_start_before(tmp_path: Path) -> None:
    async with Scripted() as server:
        async with services_in(tmp_path) as services:
            own = await added(services, server)
            assert len(await services.servers.tools(own)) == 2
        async with services_in(tmp_path) as services:
            await services.servers.set_policy(own, "echo", BLOCK)
        async with services_in(tmp_path) as services:
            assert [(row.name, row.policy) for row in await services.servers.tools(own)] == [
                ("echo", BLOCK),
                ("count", None),
            ]


async def test_policies_are_no_list_of_tools_of_a_server_that_cannot_be_asked(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        own = (await services.own_servers.add(HttpServer("", "Gone", "http://127.0.0.1:9/mcp"))).id
        await services.servers.set_policy(own, "echo", BLOCK)
        with pytest.raises(Offline):
            await services.servers.tools(own)


async def test_a_server_that_is_removed_loses_its_policies(tmp_path: Path) -> None:
    async with Scripted() as server, services_in(tmp_path) as services:
        own = await added(services, server)
        await services.servers.set_policy(own, "echo", BLOCK)
        assert services.local_policies.of(own) == {"echo": BLOCK}
        await services.own_servers.remove(own)
        assert not services.storage.settings.under(SETTING)


async def test_several_policies_set_at_once_are_all_kept(tmp_path: Path) -> None:

    async with services_in(tmp_path) as services:
        names = [f"tool {number}" for number in range(40)]
        await asyncio.gather(*(services.local_policies.set("own", name, BLOCK) for name in names))
        assert services.local_policies.of("own") == dict.fromkeys(names, BLOCK)
    async with services_in(tmp_path) as services:
        assert services.local_policies.of("own") == dict.fromkeys(names, BLOCK)


async def test_another_process_sees_a_policy_and_its_rows_follow(tmp_path: Path) -> None:
    async with Scripted() as server, services_in(tmp_path) as here, services_in(tmp_path) as there:
        own = await added(here, server)
        await there.servers.list(refresh=True)
        await there.servers.tools(own)
        changed: list[str] = []
        there.servers.policies_changed.subscribe(changed.append)
        await here.servers.set_policy(own, "echo", BLOCK)
        await there.local_policies.refresh()
        assert changed == [own]
        with pytest.raises(PolicyRefused):
            await there.servers.start_call(own, "echo", {}).result()
        await until(lambda: there.servers._tools.find(own, "echo").policy == BLOCK)


async def test_what_one_process_sets_does_not_undo_what_another_has_set(tmp_path: Path) -> None:
    async with services_in(tmp_path) as here, services_in(tmp_path) as there:
        await here.local_policies.set("own", "one", BLOCK)
        await there.local_policies.set("own", "two", ASK)
        await here.local_policies.refresh()
        assert here.local_policies.of("own") == {"one": BLOCK, "two": ASK}


async def test_what_cannot_be_read_allows_nothing(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        policies: LocalPolicies = services.local_policies
        await services.storage.settings.set(f"{SETTING}own", {"newer": "ask-my-boss", "odd": 7, "fine": ALLOW})
        assert policies.of("own") == {"newer": ASK, "odd": ASK, "fine": ALLOW}
        await services.storage.settings.set(f"{SETTING}own", ["echo"])
        assert policies.state_of("own", "echo") == ASK
        with pytest.raises(StorageTrouble):
            policies.stored("own")
        with pytest.raises(PolicyRefused):
            policies.check("own", "Own", "echo", once=False)
        # Setting one policy makes it readable again.
        await policies.set("own", "echo", BLOCK)
        assert policies.of("own") == {"echo": BLOCK}
        with pytest.raises(Rejected):
            await policies.set("own", "echo", "blocked")


async def test_a_name_with_half_of_a_surrogate_pair_keeps_its_policy_over_a_restart(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        await services.local_policies.set("own", "a\ud800", BLOCK)
    async with services_in(tmp_path) as services:
        assert services.local_policies.state_of("own", "a\ud800") == BLOCK


async def test_every_name_of_a_tool_is_kept_as_it_is(tmp_path: Path) -> None:
    odd = ["", " ", "a/b", "é", "e\u0301", "日本", "x" * 5000, "constructor", "__proto__", "\0"]
    async with Scripted() as server, services_in(tmp_path) as services:
        server.tools = [tool(name) for name in odd if name]
        for name in odd:
            await services.local_policies.set("own", name, BLOCK)
    async with services_in(tmp_path) as services:
        assert set(services.local_policies.of("own")) == set(odd)
