"""The questions to the user: who is asked, what an answer covers, and what ends a question without one."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from app.core.errors import PolicyRefused, StorageTrouble
from app.core.mcp.proxy import approvals as approvals_module
from app.core.mcp.proxy.approvals import HEADLESS_ALLOW, HEADLESS_SETTING, ApprovalQuestion, Approvals
from app.core.mcp.proxy.clients import ProxyClients
from app.core.mcp.proxy.parts import Decision, ProxyClient, ToolRule
from app.core.mcp.proxy.tool_rules import ToolRules
from app.core.mcp.servers.definitions import HttpServer
from app.core.mcp.servers.local_policies import ALLOW, ASK, BLOCK
from tests.core._mcp_server import Scripted, tool
from tests.core.test_services import services_in
from tests.until import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from app.core.services import Services


class Desk:
    """Two clients, and an own server whose tool `echo` asks."""

    def __init__(self, services: Services, server: str, clients: ProxyClients, rules: ToolRules) -> None:
        self.services, self.server, self.clients, self.rules = services, server, clients, rules
        self.approvals = Approvals(services.servers, clients, rules, services.storage.settings)
        self.approvals.attended = True
        self.one = self.two = ProxyClient("", "")

    def ask(
        self, client: ProxyClient | None = None, *, session: str = "s1", **arguments: Any
    ) -> asyncio.Task[Decision]:
        asked = self.approvals.ask(client or self.one, self.server, "echo", arguments, session)
        return asyncio.create_task(asked)

    async def questions(self, count: int = 1) -> list[ApprovalQuestion]:
        await until(lambda: len(self.approvals.open) == count)
        return list(self.approvals.open)


@asynccontextmanager
async def desk(folder: Path) -> AsyncIterator[Desk]:
    async with Scripted() as server, services_in(folder) as services:
        schema = {"type": "object", "properties": {"pin": {"type": "string", "format": "password"}}}
        server.tools = [tool("echo", title="Echo it", inputSchema=schema, annotations={"destructiveHint": True})]
        own = (await services.own_servers.add(HttpServer("", "Echo server", server.url))).id
        await services.servers.tools(own)
        await services.servers.set_policy(own, "echo", ASK)
        clients = ProxyClients(services.storage.proxy_clients)
        await clients.start()
        rules = ToolRules(services.servers, clients)
        await rules.learn(own)
        made = Desk(services, own, clients, rules)
        made.one, _ = await clients.create("One")
        made.two, _ = await clients.create("Two")
        try:
            yield made
        finally:
            await made.approvals.close()
            await rules.close()
            await clients.close()


async def test_nobody_is_asked_without_a_window_and_the_call_is_refused(tmp_path: Path) -> None:
    async with desk(tmp_path) as on:
        on.approvals.attended = False
        assert await on.ask() is Decision.NOBODY
        await on.services.storage.settings.set(HEADLESS_SETTING, "yes")
        assert await on.ask() is Decision.NOBODY
        await on.services.storage.settings.set(HEADLESS_SETTING, HEADLESS_ALLOW)
        assert await on.ask() is Decision.ONCE
        assert not on.approvals.open


async def test_a_window_that_goes_leaves_nobody_waiting(tmp_path: Path) -> None:
    async with desk(tmp_path) as on:
        asking = on.ask()
        await on.questions()
        on.approvals.attended = False
        assert await asking is Decision.NOBODY
        assert not on.approvals.open


async def test_a_question_shows_everything_but_secrets(tmp_path: Path) -> None:
    async with desk(tmp_path) as on:
        heard: list[int] = []
        on.approvals.changed.subscribe(lambda _nothing: heard.append(len(on.approvals.open)))
        asking = on.ask(text="hello", pin="1234", deep={"password": "hunter2", "list": [1, 2]})
        [question] = await on.questions()
        assert (question.client, question.server_title, question.tool) == (on.one, "Echo server", "echo")
        assert "Echo it" in question.tool_title
        assert question.arguments == {"text": "hello", "deep": {"list": [1, 2]}}
        assert set(question.hidden) == {"pin", "deep.password"}
        assert question.destroys
        assert not question.locked
        assert question.deadline - question.since == pytest.approx(300.0)
        for secret in ("1234", "hunter2", "hello"):
            assert secret not in repr(question)
        await on.approvals.answer(question, Decision.REFUSE)
        assert await asking is Decision.REFUSE
        assert heard == [1, 0]


async def test_once_and_refuse_answer_one_call_only(tmp_path: Path) -> None:
    async with desk(tmp_path) as on:
        first, second = on.ask(), on.ask()
        one, two = await on.questions(2)
        await on.approvals.answer(one, Decision.ONCE)
        assert await first is Decision.ONCE
        assert not second.done()
        await on.approvals.answer(two, Decision.REFUSE)
        assert await second is Decision.REFUSE
        third = on.ask()
        await on.questions()
        third.cancel()


async def test_for_a_session_answers_its_other_calls_now_and_later_and_those_of_no_other(tmp_path: Path) -> None:
    async with desk(tmp_path) as on:
        mine, also_mine = on.ask(), on.ask(text="other")
        other_session, other_client = on.ask(session="s2"), on.ask(on.two)
        [question, *_rest] = await on.questions(4)
        await on.approvals.answer(question, Decision.SESSION)
        assert {await mine, await also_mine} == {Decision.SESSION}
        assert await on.ask() is Decision.SESSION
        assert len(on.approvals.open) == 2
        for task in (other_session, other_client):
            task.cancel()


async def test_always_answers_every_call_of_the_tool_by_this_client_and_changes_nothing_for_others(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path) as on:
        mine, theirs = [on.ask(), on.ask(session="s2")], on.ask(on.two)
        [question, *_rest] = await on.questions(3)
        await on.approvals.answer(question, Decision.ALWAYS)
        assert [await task for task in mine] == [Decision.ALWAYS] * 2
        assert on.clients.rule_of(on.one.id, on.server, "echo") is ToolRule.ALLOW
        assert on.services.local_policies.state_of(on.server, "echo") == ASK
        await on.rules.learn(on.server)
        assert on.rules.rule(on.one, on.server, "echo") is ToolRule.ALLOW
        assert on.rules.rule(on.two, on.server, "echo") is ToolRule.ASK
        assert not theirs.done()
        theirs.cancel()


async def test_always_replaces_a_rule_of_the_client_and_leaves_that_of_another_client(tmp_path: Path) -> None:
    async with desk(tmp_path) as on:
        await on.services.servers.set_policy(on.server, "echo", ALLOW)
        await on.clients.set_rule(on.one.id, on.server, "echo", ToolRule.ASK)
        await on.clients.set_rule(on.two.id, on.server, "echo", ToolRule.ASK)
        await on.rules.learn(on.server)
        mine, theirs = on.ask(), on.ask(on.two)
        [question, _other] = await on.questions(2)
        await on.approvals.answer(question, Decision.ALWAYS)
        assert await mine is Decision.ALWAYS
        assert on.rules.rule(on.one, on.server, "echo") is ToolRule.ALLOW
        assert on.rules.rule(on.two, on.server, "echo") is ToolRule.ASK
        assert not theirs.done()
        theirs.cancel()


async def test_what_the_team_has_locked_is_never_always_allowed_and_can_be_blocked_for_a_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(tmp_path) as on:
        known = await on.services.servers.kept_tool(on.server, "echo")
        assert known is not None

        async def locked(*_arguments: Any) -> Any:
            return replace(known, locked=True)

        monkeypatch.setattr(on.services.servers, "kept_tool", locked)
        asking = on.ask()
        [question] = await on.questions()
        assert question.locked
        with pytest.raises(PolicyRefused):
            await on.approvals.answer(question, Decision.ALWAYS)
        assert on.approvals.open == (question,)
        assert on.clients.rule_of(on.one.id, on.server, "echo") is None
        await on.approvals.answer(question, Decision.BLOCK)
        assert await asking is Decision.BLOCK


async def test_block_blocks_the_tool_for_this_client_and_ends_what_was_allowed_for_its_sessions(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path) as on:
        before = on.ask(session="t")
        [question] = await on.questions()
        await on.approvals.answer(question, Decision.SESSION)
        assert await before is Decision.SESSION
        mine, theirs = [on.ask(), on.ask(session="s2")], on.ask(on.two)
        [question, *_others] = await on.questions(3)
        await on.approvals.answer(question, Decision.BLOCK)
        assert [await task for task in mine] == [Decision.BLOCK] * 2
        assert on.services.local_policies.state_of(on.server, "echo") == ASK
        assert on.rules.rule(on.one, on.server, "echo") is ToolRule.BLOCK
        assert not theirs.done()
        theirs.cancel()
        # The block is lifted: what was allowed before it is not allowed again.
        await on.clients.set_rule(on.one.id, on.server, "echo", None)
        again = on.ask(session="t")
        await on.questions()
        again.cancel()


async def test_a_policy_of_the_server_that_blocks_ends_what_was_allowed_for_sessions(tmp_path: Path) -> None:
    async with desk(tmp_path) as on:
        before = on.ask(session="t")
        [question] = await on.questions()
        await on.approvals.answer(question, Decision.SESSION)
        assert await before is Decision.SESSION
        for state in (BLOCK, ASK):
            await on.services.servers.set_policy(on.server, "echo", state)
            await on.rules.learn(on.server)
        again = on.ask(session="t")
        await on.questions()
        again.cancel()


async def test_a_policy_that_is_set_elsewhere_meanwhile_answers_the_question(tmp_path: Path) -> None:
    async with desk(tmp_path) as on:
        for state, expected in ((BLOCK, Decision.BLOCK), (ALLOW, Decision.ALWAYS)):
            await on.services.servers.set_policy(on.server, "echo", ASK)
            await on.rules.learn(on.server)
            asking = on.ask()
            await on.questions()
            await on.services.servers.set_policy(on.server, "echo", state)
            assert await asking is expected
        await on.services.servers.set_policy(on.server, "echo", ASK)
        await on.rules.learn(on.server)
        mine, theirs = on.ask(), on.ask(on.two)
        await on.questions(2)
        await on.clients.set_rule(on.one.id, on.server, "echo", ToolRule.BLOCK)
        assert await mine is Decision.BLOCK
        assert not theirs.done()
        theirs.cancel()


async def test_a_rule_that_cannot_be_set_leaves_the_question_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(tmp_path) as on:
        asking = on.ask()
        [question] = await on.questions()

        async def refuse(*_arguments: Any) -> None:
            raise StorageTrouble("The disk is full.")

        monkeypatch.setattr(on.clients, "set_rule", refuse)
        for decision in (Decision.ALWAYS, Decision.BLOCK):
            with pytest.raises(StorageTrouble):
                await on.approvals.answer(question, decision)
        assert on.approvals.open == (question,)
        await on.approvals.answer(question, Decision.ONCE)
        assert await asking is Decision.ONCE


async def test_without_an_answer_in_time_the_call_is_refused(tmp_path: Path) -> None:
    async with desk(tmp_path) as on:
        on.approvals._wait_seconds = 0.01
        assert await on.ask() is Decision.TIMED_OUT
        assert not on.approvals.open


async def test_a_client_that_goes_withdraws_its_question_and_a_late_answer_does_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path) as on:
        asking = on.ask()
        [question] = await on.questions()
        asking.cancel()
        await until(lambda: not on.approvals.open)
        await on.approvals.answer(question, Decision.ONCE)
        assert asking.cancelled()


async def test_a_client_that_asks_for_too_much_is_refused_and_others_are_heard(tmp_path: Path) -> None:
    async with desk(tmp_path) as on:
        flood = [on.ask() for _ in range(approvals_module.MOST_OF_A_CLIENT + 30)]
        await until(lambda: sum(task.done() for task in flood) == 30)
        assert {task.result() for task in flood if task.done()} == {Decision.TOO_MANY}
        other = on.ask(on.two)
        await on.questions(approvals_module.MOST_OF_A_CLIENT + 1)
        await on.clients.revoke(on.one.id)
        answers = {await task for task in flood}
        assert answers == {Decision.TOO_MANY, Decision.REFUSE}
        assert not other.done()
        other.cancel()


async def test_what_is_allowed_for_sessions_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approvals_module, "MOST_SESSIONS", 2)
    async with desk(tmp_path) as on:
        for session in ("a", "b", "c"):
            asking = on.ask(session=session)
            [question] = await on.questions()
            await on.approvals.answer(question, Decision.SESSION)
            await asking
        assert await on.ask(session="c") is Decision.SESSION
        assert await on.ask(session="b") is Decision.SESSION
        forgotten = on.ask(session="a")
        await on.questions()
        forgotten.cancel()
