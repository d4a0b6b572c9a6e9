"""The question before a call: what asks, what it shows, and that Enter is never the yes."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from app.core.auth.status import CredentialState
from app.core.errors import BurrowError, Facts, PolicyRefused, SignInNeeded
from app.core.mcp.tools import Annotations
from app.core.storage import RaisedPolicy
from app.ui.servers.tool_session import CallPhase
from tests.ui._servers_fakes import READS, WRITES, FakeBackend, actions, own, settle, text_answer, tool, until
from tests.ui.test_servers_place import VENDOR, Desk, desk

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

FIXED = {
    "type": "object",
    "properties": {"confirm": {"const": True}, "query": {"type": "string"}},
    "required": ["confirm", "query"],
}


async def asked(on: Desk, item: str, **arguments: Any) -> Any:
    """Open a tool and run it, as Ctrl+Enter does, until it asks."""
    session = await on.open(item)
    form = on.place.page.tool.form
    form.show_model(form.model, form.model.draft_from(arguments))
    on.place.page.tool.run()
    await until(lambda: session.asks)
    await settle()
    return session


def press(target: QWidget, key: Qt.Key) -> None:
    QTest.keyClick(target, key)


async def test_a_call_that_says_it_may_destroy_is_not_made_before_the_person_agrees(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([own()], {"posthog": [tool("wipe", annotations=WRITES)]}))
        session = await asked(on, "posthog/wipe", query="x")
        assert session.phase is CallPhase.CONFIRMING
        page = on.place.page.tool
        assert page.stack.currentWidget() is page.question
        # Ctrl+Enter again, in whatever way it comes, answers nothing.
        page.run()
        page.run_again()
        page.run_as_is()
        await settle()
        assert backend.servers.calls == []
        page.question.run.click()
        await until(lambda: backend.servers.calls)
        assert backend.servers.calls[0].arguments == {"query": "x"}
        assert not backend.servers.calls[0].once
        assert page.stack.currentWidget() is page.splitter


@pytest.mark.parametrize(
    "claims",
    [
        Annotations(),
        READS,
        Annotations(read_only=True, destructive=True),
        Annotations(read_only=False, destructive=False),
        Annotations(read_only=False),
    ],
)
async def test_what_does_not_claim_to_destroy_runs_at_once(qapp: QApplication, claims: Annotations) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([own()], {"posthog": [tool("find", annotations=claims)]}))
        session = await on.open("posthog/find")
        session.ask({"query": "x"})
        assert [call.tool for call in backend.servers.calls] == ["find"]


async def test_enter_is_never_the_yes(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        tools = [tool("wipe", annotations=WRITES)]
        backend = await on.show(FakeBackend([own()], {"posthog": tools}))
        on.place.activateWindow()
        session = await asked(on, "posthog/wipe", query="x")
        question = on.place.page.tool.question
        await until(lambda: QApplication.focusWidget() is question.no)
        for yes in (question.run, question.once, question.always):
            press(yes, Qt.Key.Key_Return)
            press(yes, Qt.Key.Key_Enter)
        assert backend.servers.calls == []
        assert session.asks
        press(question.no, Qt.Key.Key_Return)
        assert session.phase is CallPhase.IDLE
        assert backend.servers.calls == []


async def test_the_keyboard_alone_agrees_with_tab_and_space_and_declines_with_esc(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([own()], {"posthog": [tool("wipe", annotations=WRITES)]}))
        on.place.activateWindow()
        session = await asked(on, "posthog/wipe", query="x")
        page = on.place.page.tool
        await until(lambda: QApplication.focusWidget() is page.question.no)
        press(page.question.no, Qt.Key.Key_Escape)
        assert session.phase is CallPhase.IDLE
        assert page.isAncestorOf(QApplication.focusWidget())
        page.run()
        await until(lambda: QApplication.focusWidget() is page.question.no)
        press(page.question.no, Qt.Key.Key_Tab)
        assert QApplication.focusWidget() is page.question.run
        press(page.question.run, Qt.Key.Key_Space)
        await until(lambda: backend.servers.calls)
        assert page.isAncestorOf(QApplication.focusWidget())


async def test_the_question_shows_server_tool_and_every_argument_with_the_fixed_ones(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        wipe = tool("wipe", schema=FIXED, title="Wipe it", annotations=WRITES)
        await on.show(FakeBackend([own()], {"posthog": [wipe]}))
        await asked(on, "posthog/wipe", confirm=True, query="every\nrow")
        question = on.place.page.tool.question
        words = " ".join(label.text() for label in question.facts.findChildren(type(question.words)))
        assert "PostHog" in words
        assert "https://host.example/mcp" in words
        assert "wipe" in words
        assert question.title.text() == "Run Wipe it?"
        assert '"query": "every\\nrow"' in question.arguments.toPlainText()
        assert question.fixed.text() == "Fixed by the server: confirm = true"
        assert question.claim.isVisibleTo(question)


async def test_a_megabyte_of_arguments_is_laid_out_only_when_it_is_asked_for(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()], {"posthog": [tool("wipe", annotations=WRITES)]}))
        session = await on.open("posthog/wipe")
        session.ask({"query": "x" * 1_000_000})
        question = on.place.page.tool.question
        assert len(question.arguments.toPlainText()) <= 50_000
        actions(question)[question.all_button.text()]()
        assert len(question.arguments.toPlainText()) > 1_000_000
        assert question.all_button.isHidden()


async def test_each_call_asks_and_run_again_is_another_call(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([own()], {"posthog": [tool("wipe", annotations=WRITES)]}))
        session = await asked(on, "posthog/wipe", query="x")
        on.place.page.tool.question.run.click()
        await until(lambda: backend.servers.calls)
        backend.servers.calls[0].give(text_answer())
        await until(lambda: session.phase is CallPhase.DONE)
        on.place.page.tool.run_again()
        await settle()
        assert session.phase is CallPhase.CONFIRMING
        assert len(backend.servers.calls) == 1


async def test_a_call_that_was_agreed_to_is_not_asked_about_again_after_the_sign_in(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([own()], {"posthog": [tool("wipe", annotations=WRITES)]}))
        session = await asked(on, "posthog/wipe", query="x")
        on.place.page.tool.question.run.click()
        await until(lambda: backend.servers.calls)
        backend.servers.calls[0].refuse(SignInNeeded("Over."))
        await until(lambda: session.phase is CallPhase.FAILED)
        backend.credential.become(CredentialState.SIGNED_IN)
        await settle()
        actions(on.card)["Run"]()
        assert session.running
        assert len(backend.servers.calls) == 2


async def test_a_tool_that_asks_and_destroys_asks_one_question(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        asks = tool("send", policy="needs_approval", annotations=WRITES)
        backend = await on.show(FakeBackend([VENDOR], {"i1": [asks]}))
        session = await asked(on, "i1/send", query="x")
        assert session.phase is CallPhase.ASKING
        question = on.place.page.tool.question
        assert list(actions(question)) == ["Do not run", "Run once", "Always allow and run"]
        assert question.claim.isVisibleTo(question)
        assert "back to Ask" in question.words.text()
        question.once.click()
        await until(lambda: backend.servers.calls)
        assert backend.servers.calls[0].once
        # Nothing but the call itself changes the policy.
        assert not [entry for entry in backend.servers.asked if entry[0] == "policy"]


async def test_a_tool_that_the_team_locked_offers_nothing_that_cannot_work(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([VENDOR], {"i1": [tool("send", policy="needs_approval", locked=True)]}))
        await asked(on, "i1/send", query="x")
        question = on.place.page.tool.question
        assert list(actions(question)) == ["Do not run"]
        assert "administrator" in question.words.text()


async def test_a_refusal_by_the_proxy_asks_although_the_call_was_agreed_to(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([VENDOR], {"i1": [tool("send", policy="approved", annotations=WRITES)]}))
        session = await asked(on, "i1/send", query="x")
        on.place.page.tool.question.run.click()
        await until(lambda: backend.servers.calls)
        backend.servers.calls[0].refuse(PolicyRefused("Tool requires approval", Facts(code="-32001")))
        await until(lambda: session.phase is CallPhase.ASKING)


async def test_the_question_stays_with_its_tool(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        tools = [tool("wipe", annotations=WRITES), tool("find", 1)]
        await on.show(FakeBackend([own()], {"posthog": tools}))
        await asked(on, "posthog/wipe", query="x")
        page = on.place.page.tool
        await on.open("posthog/find")
        assert page.stack.currentWidget() is page.splitter
        await on.open("posthog/wipe")
        assert page.stack.currentWidget() is page.question


async def test_a_tool_that_cannot_be_allowed_keeps_asking(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([VENDOR], {"i1": [tool("send", policy="needs_approval")]}))
        session = await asked(on, "i1/send", query="x")
        backend.servers.policy_fails.add("send")
        on.place.page.tool.question.always.click()
        await until(lambda: session.error is not None)
        assert isinstance(session.error, BurrowError)
        assert session.asks
        assert backend.servers.calls == []
        assert "could not be allowed" in on.place.page.page.card.text()


async def test_a_tool_that_could_not_be_set_back_is_named_until_it_is(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([VENDOR], {"i1": [tool("send", policy="needs_approval")]}))
        bar = on.place.pages.allowed_banner
        assert bar.isHidden()
        backend.single_calls.become(RaisedPolicy(1, 1, "i1", "send", "needs_approval"))
        await until(bar.isVisible)
        assert bar.text() == (
            "send of Vendor 1 is still allowed. It could not be set back to Ask, and Burrow tries again."
        )
        assert bar.text() in on.navigator.said
        actions(bar)["Set back now"]()
        assert backend.single_calls.tried == 1
        backend.single_calls.become()
        await until(bar.isHidden)
