"""The Servers place on faked services: what a person sees and does, state by state."""

from __future__ import annotations

import json
import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace as replace_grant
from time import perf_counter
from typing import Any, cast

import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.core.auth.status import CredentialState
from app.core.backend import Backend
from app.core.errors import (
    BurrowError,
    Facts,
    Offline,
    OutcomeUnknown,
    PermissionMissing,
    PolicyRefused,
    ProtocolTrouble,
    Rejected,
    SignInNeeded,
    VendorSignInNeeded,
)
from app.core.mcp.results.blocks import TextBlock
from app.core.mcp.servers.server import ServerState
from app.core.posthog.types import Project, ServerTemplate
from app.core.services import Services
from app.core.storage import Scope
from app.ui.bridge import Bridge
from app.ui.context import Context
from app.ui.servers.blocks import LinkCard
from app.ui.servers.place import ServersPlace
from app.ui.servers.rows import ToolIndex, key_of
from app.ui.servers.tool_session import CallPhase
from app.ui.theme import apply_theme
from app.ui.widgets.exact_text import ExactText
from app.ui.widgets.pictures import Picture
from tests.ui._screens import nameless
from tests.ui._servers_fakes import (
    CORPORA,
    READS,
    WRITES,
    FakeBackend,
    FakeCall,
    FakeNavigator,
    FakeServices,
    actions,
    corpus,
    installation,
    installed,
    own,
    settle,
    text_answer,
    tool,
    until,
)

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

VENDOR = installed(installation())


class Desk:
    """A place, its fakes, and shorthands for what a person does."""

    def __init__(self, place: ServersPlace, services: FakeServices, navigator: FakeNavigator) -> None:
        self.place, self.services, self.navigator = place, services, navigator
        self.backend: FakeBackend | None = None

    async def show(self, backend: FakeBackend | None) -> FakeBackend:
        self.backend = backend
        self.services.show(backend)
        self.place.set_backend(cast(Backend, backend))
        await settle()
        return cast(FakeBackend, backend)

    async def open(self, item: str) -> Any:
        self.place.open_item(item)
        await settle()
        return self.place.page.tool.session

    async def run(self, **arguments: Any) -> FakeCall:
        assert self.backend is not None
        form = self.place.page.tool.form
        form.show_model(form.model, form.model.draft_from(arguments))
        count = len(self.backend.servers.calls)
        page = self.place.page.tool
        page.run()
        backend = self.backend
        await until(lambda: len(backend.servers.calls) > count or (page.session is not None and page.session.asks))
        if page.session is not None and page.session.asks:
            page.question.run.click()
        await until(lambda: len(backend.servers.calls) > count)
        await settle()
        return backend.servers.calls[-1]

    @property
    def card(self) -> Any:
        return self.place.page.tool.result.card

    def titles(self) -> list[str]:
        return [line.title for line in self.place.page.tools.table.rows.lines()]


@asynccontextmanager
async def desk(qapp: QApplication, *, width: int = 1000) -> AsyncIterator[Desk]:
    apply_theme(qapp, "light", 1.0)
    services, bridge, navigator = FakeServices(), Bridge(), FakeNavigator()
    failures: list[BaseException] = []
    bridge.crashed.connect(failures.append)
    place = ServersPlace(Context(cast(Services, services), bridge, navigator))
    place.resize(width, 700)
    place.show()
    try:
        yield Desk(place, services, navigator)
        assert failures == []
    finally:
        await bridge.close()
        place.close()
        place.deleteLater()
        await settle()


async def test_the_first_server_shows_with_its_tools(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own(), VENDOR], {"posthog": [tool("find", annotations=READS)]}))
        assert on.titles() == ["find"]
        assert on.place.page.page.title.text() == "PostHog"
        assert nameless(on.place) == []


async def test_another_project_drops_everything_of_the_former(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([own()], {"posthog": [tool("find")]}))
        session = await on.open("posthog/find")
        assert session is not None
        backend.project = Project(2, "app")
        backend.servers.asked.clear()
        on.place.set_backend(cast(Backend, backend))
        await settle()
        assert ("list", True) in backend.servers.asked
        assert on.place.page.tool.session is None
        await on.show(None)
        assert on.place.controller.servers == ()
        assert on.titles() == []


async def test_tools_of_another_project_are_not_those_known_from_the_former(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([own()], {"posthog": [tool("find")]}))
        backend.servers.asked.clear()
        backend.project = Project(2, "app")
        on.place.set_backend(cast(Backend, backend))
        await until(lambda: ("tools", "posthog", True) in backend.servers.asked)


async def test_a_changed_schema_changes_the_form_and_keeps_what_is_typed(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([own()], {"posthog": [tool("find")]}))
        await on.open("posthog/find")
        form = on.place.page.tool.form
        form.rows["query"].editor.setPlainText("kept")  # type: ignore[attr-defined]
        schema = {"type": "object", "properties": {"query": {"type": "string"}, "new": {"type": "string"}}}
        backend.servers.kept["posthog"] = [tool("find", schema=schema)]
        on.place.refresh()
        await until(lambda: "new" in form.rows)
        assert form.rows["query"].entry.text == "kept"


async def test_a_list_that_cannot_be_read_says_why_and_is_read_again(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = FakeBackend([own()])
        backend.servers.fail["list"] = Offline("No network.")
        await on.show(backend)
        assert "Offline" in on.place.pane.no_servers.accessibleName()
        actions(on.place.pane.no_servers)["Try again"]()
        await settle()
        assert [server.id for server in on.place.controller.servers] == ["posthog"]


async def test_an_installation_without_tools_is_synced_once_and_silently(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([VENDOR], {}))
        assert backend.store.asked == [("refresh", "i1")]
        on.place.refresh()
        await settle()
        assert backend.store.asked == [("refresh", "i1")]


async def test_search_looks_at_argument_names_and_says_when_nothing_matches(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        schema = {"type": "object", "properties": {"recipient": {"type": "string"}}}
        await on.show(FakeBackend([own()], {"posthog": [tool("find"), tool("send", 1, schema=schema)]}))
        on.place.page.tools.filter.setText("recip")
        on.place.page.tools.filter.down.emit()
        await until(lambda: on.titles() == ["send"])
        on.place.page.tools.filter.setText("nowhere")
        await until(lambda: "No tools match" in on.place.page.tools.empty.accessibleName())


def test_a_thousand_tools_are_filtered_within_a_frame(qapp: QApplication) -> None:
    many = [tool(f"area{n % 40}_tool_{n}", n, annotations=READS) for n in range(1000)]
    index = ToolIndex(many)
    best = 1.0
    for _ in range(5):
        start = perf_counter()
        groups = index.groups("tool 7")
        best = min(best, perf_counter() - start)
    assert sum(len(group.rows) for group in groups) > 100
    assert best < 0.016


def test_many_tools_stand_under_their_areas(qapp: QApplication) -> None:
    named = [f"api-docs-{n}" for n in range(15)] + [f"api-mail-{n}" for n in range(15)] + ["api-ping-x"]
    groups = ToolIndex([tool(name, n) for n, name in enumerate(named)]).groups()
    assert [(group.title, len(group.rows)) for group in groups] == [("docs", 15), ("mail", 15), ("Other", 1)]


async def test_claims_are_worded_as_claims(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        tools = [tool("a", annotations=READS), tool("b", 1, annotations=WRITES), tool("c", 2)]
        await on.show(FakeBackend([own()], {"posthog": tools}))
        details = [line.detail for line in on.place.page.tools.table.rows.lines()]  # type: ignore[union-attr]
        assert details == ["says it only reads  ·  Does a.", "says it may destroy data  ·  Does b.", "Does c."]


async def test_a_malformed_tool_is_struck_through_with_its_reason(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()], {"posthog": [tool("a"), tool("a", 1, problem="Same name.")]}))
        rows = on.place.page.tools.table.rows.lines()
        assert [getattr(row, "struck", None) for row in rows] == [False, True]
        on.place.page.tools.opened.emit("1:a")
        await settle()
        assert "Same name." in on.place.page.tool.problem.text()


async def test_running_shows_progress_then_the_text(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()], {"posthog": [tool("find", annotations=READS)]}))
        session = await on.open("posthog/find")
        call = await on.run(query="x")
        assert call.arguments == {"query": "x"}
        assert session.phase is CallPhase.RUNNING
        await call.report(3, 10, "Reading")
        await settle()
        assert "3 / 10" in on.place.page.tool.words.text()
        assert "Reading" in on.place.page.tool.words.text()
        call.give(text_answer("found it"))
        await until(lambda: session.phase is CallPhase.DONE)
        await settle()
        texts = on.place.page.tool.result.block_widgets()
        assert [cast(ExactText, text).toPlainText() for text in texts] == ["found it"]
        assert "find finished" in on.navigator.said


async def test_esc_cancels_the_call_and_keeps_the_arguments(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()], {"posthog": [tool("find")]}))
        session = await on.open("posthog/find")
        call = await on.run(query="kept")
        QTest.keyClick(on.place.page.tool, Qt.Key.Key_Escape)
        await until(lambda: session.phase is CallPhase.CANCELLED)
        assert call.cancelled
        assert on.place.page.tool.form.model.arguments(on.place.page.tool.form.draft) == {"query": "kept"}


async def test_a_call_goes_on_while_another_tool_is_shown(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()], {"posthog": [tool("slow"), tool("other", 1)]}))
        session = await on.open("posthog/slow")
        call = await on.run(query="x")
        await on.open("posthog/other")
        assert on.place.page.tool.result.isHidden()
        call.give(text_answer("late"))
        await until(lambda: session.phase is CallPhase.DONE)
        await on.open("posthog/slow")
        assert not on.place.page.tool.result.isHidden()
        assert on.place.page.tool.form.model.arguments(on.place.page.tool.form.draft) == {"query": "x"}


async def test_what_is_missing_is_said_under_its_field_and_nothing_is_sent(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([own()], {"posthog": [tool("find")]}))
        await on.open("posthog/find")
        on.place.page.tool.run()
        await settle()
        form = on.place.page.tool.form
        assert form.rows["query"].error.text() == "This field is required."
        assert "1 argument to fix" in form.card.text()
        assert backend.servers.calls == []


async def test_what_the_schema_forbids_can_be_sent_anyway(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([own()], {"posthog": [tool("find")]}))
        await on.open("posthog/find")
        form = on.place.page.tool.form
        form.show_model(form.model, form.model.draft_from({"query": "x", "limit": 99}))
        on.place.page.tool.run()
        await until(lambda: on.place.page.tool.run_anyway.isVisible())
        assert form.rows["limit"].error.text() == "It must be at most 50."
        on.place.page.tool.run_anyway.click()
        await until(lambda: backend.servers.calls)
        assert backend.servers.calls[0].arguments == {"query": "x", "limit": 99}


async def test_form_and_json_carry_the_same_arguments_both_ways(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()], {"posthog": [tool("find")]}))
        await on.open("posthog/find")
        form = on.place.page.tool.form
        form.toggle_json()
        assert json.loads(form.json.text()) == {}
        form.json.edit.setPlainText('{"query": "x", "limit": 123456789012345678901, "more": [1]}')
        form.toggle_json()
        assert form.rows["limit"].entry.text == "123456789012345678901"
        form.toggle_json()
        assert json.loads(form.json.text()) == {"query": "x", "limit": 123456789012345678901, "more": [1]}


async def test_text_that_is_not_json_stays_and_run_says_why_it_waits(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()], {"posthog": [tool("find")]}))
        await on.open("posthog/find")
        page = on.place.page.tool
        page.form.toggle_json()
        page.form.json.edit.setPlainText('{"query": ')
        page.form.json.check()
        assert not page.run_button.isEnabled()
        assert "not JSON" in page.words.text()
        page.form.toggle_json()
        assert page.form.in_json
        assert page.form.json.text() == '{"query": '


async def test_optional_arguments_are_left_out_until_they_are_set(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()], {"posthog": [tool("find")]}))
        await on.open("posthog/find")
        row = on.place.page.tool.form.rows["deep"]
        assert set(actions(row)) == {"Set"}
        actions(row)["Set"]()
        await settle()
        assert set(actions(row)) == {"Leave out"}
        actions(row)["Leave out"]()
        call = await on.run(query="x")
        assert call.arguments == {"query": "x"}


async def test_a_draft_is_kept_and_comes_back(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([own()], {"posthog": [tool("find")]}))
        await on.open("posthog/find")
        on.place.page.tool.form.rows["query"].editor.setPlainText("unsent")  # type: ignore[attr-defined]
        await on.place.flush()
        await on.show(None)
        await on.show(backend)
        await on.open("posthog/find")
        assert on.place.page.tool.form.rows["query"].entry.text == "unsent"


async def test_what_is_being_typed_stays_with_the_account_that_typed_it(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([own()], {"posthog": [tool("find")]}))
        await on.open("posthog/find")
        on.place.page.tool.form.rows["query"].editor.setPlainText("unsent")  # type: ignore[attr-defined]
        former, backend.scope = backend.scope, Scope("us", "ben")
        on.place.set_backend(cast(Backend, backend))
        await settle()
        assert [scope for scope, _, _ in on.services.storage.drafts.kept] == [former]
        session = await on.open("posthog/find")
        assert session.draft is None or session.draft.entries["query"].text == ""


async def test_a_tool_that_asks_runs_after_it_is_allowed(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        asks = tool("send", policy="needs_approval")
        backend = await on.show(FakeBackend([VENDOR], {"i1": [asks]}))
        session = await on.open("i1/send")
        session.ask({"query": "x"})
        await settle()
        assert session.phase is CallPhase.ASKING
        assert backend.servers.calls == []
        actions(on.place.page.tool.question)["Always allow and run"]()
        await until(lambda: backend.servers.calls)
        assert ("policy", "send", "approved") in backend.servers.asked


async def test_a_blocked_tool_is_not_called_and_says_so(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([VENDOR], {"i1": [tool("send", policy="do_not_use", locked=True)]}))
        session = await on.open("i1/send")
        session.ask({"query": "x"})
        await settle()
        assert "blocked" in on.card.text()
        assert "administrator" in on.card.text()
        assert backend.servers.calls == []
        assert not on.place.page.tool.policy.isEnabled()


async def test_a_refusal_by_the_proxy_asks_the_same_question(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([VENDOR], {"i1": [tool("send", policy="approved")]}))
        session = await on.open("i1/send")
        call = await on.run(query="x")
        call.refuse(PolicyRefused("Tool requires approval", Facts(code="-32001")))
        await until(lambda: session.phase is CallPhase.ASKING)


@pytest.mark.parametrize(
    ("error", "words", "button"),
    [
        (ProtocolTrouble("The server does not know this. (-32601)", Facts(code="-32601")), "-32601", "Run again"),
        (VendorSignInNeeded("Its sign-in ended."), "Reconnect this server", "Reconnect"),
        (OutcomeUnknown("The connection broke."), "outcome unknown", "Run again"),
        (SignInNeeded("Over."), "Sign in", "Sign in"),
        (Offline("No network."), "Offline", "Run again"),
    ],
)
async def test_a_failed_call_says_what_can_be_done(
    qapp: QApplication, error: BurrowError, words: str, button: str
) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([VENDOR], {"i1": [tool("send", policy="approved")]}))
        session = await on.open("i1/send")
        call = await on.run(query="x")
        call.refuse(error)
        await until(lambda: session.phase is CallPhase.FAILED)
        await settle()
        assert words in on.card.text()
        assert button in actions(on.card)


async def test_silence_offers_to_wait_and_waiting_brings_the_answer(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = FakeBackend([own()], {"posthog": [tool("slow")]})
        backend.servers.silence = 0.05
        await on.show(backend)
        session = await on.open("posthog/slow")
        call = await on.run(query="x")
        await until(lambda: session.phase is CallPhase.QUIET)
        await settle()
        actions(on.card)["Keep waiting"]()
        call.give()
        await until(lambda: session.phase is CallPhase.DONE)


async def test_a_reading_call_runs_by_itself_after_signing_in_and_only_once(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([own()], {"posthog": [tool("find", annotations=READS)]}))
        session = await on.open("posthog/find")
        (await on.run(query="x")).refuse(SignInNeeded("Over."))
        await until(lambda: session.phase is CallPhase.FAILED)
        backend.credential.become(CredentialState.SIGNED_IN)
        await until(lambda: len(backend.servers.calls) == 2)
        assert backend.servers.calls[1].arguments == {"query": "x"}
        backend.servers.calls[1].refuse(SignInNeeded("Over."))
        await until(lambda: session.phase is CallPhase.FAILED)
        backend.credential.become(CredentialState.SIGNED_IN)
        await settle()
        assert len(backend.servers.calls) == 2


async def test_a_writing_call_asks_after_signing_in(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([own()], {"posthog": [tool("send", annotations=WRITES)]}))
        session = await on.open("posthog/send")
        (await on.run(query="x")).refuse(SignInNeeded("Over."))
        await until(lambda: session.phase is CallPhase.FAILED)
        backend.credential.become(CredentialState.SIGNED_IN)
        await settle()
        assert len(backend.servers.calls) == 1
        assert "signed in again" in on.card.text()
        actions(on.card)["Run"]()
        await until(lambda: len(backend.servers.calls) == 2)


async def test_a_tools_own_error_is_amber_and_keeps_the_arguments(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()], {"posthog": [tool("find")]}))
        session = await on.open("posthog/find")
        (await on.run(query="x")).give(text_answer("bad path", isError=True))
        await until(lambda: session.phase is CallPhase.DONE)
        await settle()
        assert on.card.property("card") == "attention"
        assert "arguments are kept" in on.card.text()


async def test_every_kind_of_content_is_shown(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([own()], {"posthog": [tool("find")]}))
        session = await on.open("posthog/find")
        view = on.place.page.tool.result
        (await on.run(query="x")).give({"content": []})
        await until(lambda: session.phase is CallPhase.DONE)
        await settle()
        assert "no content" in view.block_widgets()[0].text()  # type: ignore[attr-defined]
        pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
        content = [
            {"type": "text", "text": "x" * 300_000},
            {"type": "image", "data": pixel, "mimeType": "image/png"},
            {"type": "image", "data": "AAAA", "mimeType": "image/png"},
            {"type": "audio", "data": "AAAA", "mimeType": "audio/wav"},
            {"type": "resource_link", "uri": "doc://a", "name": "a"},
            {"type": "resource_link", "uri": "https://a.example/b", "name": "b"},
            {"type": "resource", "resource": {"uri": "doc://b", "text": "inside"}},
            {"type": "resource", "resource": {"uri": "doc://c", "blob": "AAAA", "mimeType": "application/pdf"}},
            {"type": "hologram", "depth": 3},
        ]
        (await on.run(query="x")).give({"content": content, "structuredContent": {"a": [1, 2]}})
        await until(lambda: session.phase is CallPhase.DONE)
        await settle()
        assert len(view.block_widgets()) == len(content)
        assert view.findChildren(Picture)
        assert {"Save full text…", "Save…", "Read", "Open in browser"} <= set(actions(view))
        assert nameless(on.place) == []
        view.tabs.setCurrentIndex(2)
        await until(lambda: "hologram" in view.raw.toPlainText() or view.raw.toPlainText().startswith("{"))
        view.tabs.setCurrentIndex(0)
        backend.servers.resources["doc://a"] = (TextBlock("the document"),)
        view.findChildren(LinkCard)[0].follow.click()
        await until(lambda: len(view.block_widgets()) == len(content) + 2)


async def test_one_long_line_does_not_freeze_the_window(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()], {"posthog": [tool("find")]}))
        session = await on.open("posthog/find")
        call = await on.run(query="x")
        start = perf_counter()
        call.give(text_answer("x" * 1_000_000))
        await until(lambda: session.phase is CallPhase.DONE)
        await settle()
        assert perf_counter() - start < 2.0


async def test_policies_of_many_are_previewed_set_a_few_at_a_time_and_undone(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        tools = [tool(f"t{n}", n, policy="needs_approval", locked=n == 0) for n in range(12)]
        backend = await on.show(FakeBackend([VENDOR], {"i1": tools}))
        pane = on.place.page.tools
        pane.table.setFocus()
        pane.table.selectAll()
        QTest.keyClick(pane.table, Qt.Key.Key_A)
        assert "Set 11 tools to Allow?" in pane.question.text
        assert "1 locked" in pane.question.text
        backend.servers.policy_fails = {"t3"}
        # Enter is on the answer that changes nothing.
        assert pane.question.no.hasFocus()
        pane.question.yes.click()
        await until(lambda: "1 of 11" in on.place.page.page.card.text())
        assert backend.servers.most_at_once <= 4
        backend.servers.policy_fails = set()
        actions(on.place.page.page.card)["Try again"]()
        await until(lambda: backend.servers.kept["i1"][3].policy == "approved")
        await until(lambda: on.place.page.page.undo.open)
        on.place.page.page.undo.undo()
        await until(lambda: backend.servers.kept["i1"][3].policy == "needs_approval")


async def test_one_policy_is_set_by_its_key_at_once(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([VENDOR], {"i1": [tool("a", policy="approved")]}))
        pane = on.place.page.tools
        pane.table.setFocus()
        pane.table.select_first()
        QTest.keyClick(pane.table, Qt.Key.Key_B)
        await until(lambda: ("policy", "a", "do_not_use") in backend.servers.asked)
        await until(lambda: pane.index.tools[0].policy == "do_not_use")


async def test_a_server_is_switched_off_and_removed_after_a_question(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([VENDOR], {"i1": [tool("a")]}))
        on.place.pane.servers.setFocus()
        QTest.keyClick(on.place.pane.servers, Qt.Key.Key_Space)
        await until(lambda: on.place.controller.servers[0].state is ServerState.DISABLED)
        on.place.page.ask_remove()
        assert ("remove", "i1") not in backend.store.asked
        actions(on.place.page.page.card)["Remove"]()
        await until(lambda: on.place.controller.servers == ())
        assert "No servers yet" in on.place.pane.no_servers.accessibleName()


async def test_connecting_opens_the_browser_and_waits_until_it_is_done(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    async with desk(qapp) as on:
        backend = FakeBackend([own()], {"posthog": [tool("a")]})
        backend.store.offers = [ServerTemplate("t1", "Notes", "https://notes.example/mcp", auth_type="oauth")]
        await on.show(backend)
        on.place.connecting._poll = 0.01
        on.place.pane.show_available()
        await settle()
        on.place.pane.templates.select_first()
        waiting = replace(installation(7), template_id="t1", pending_oauth=True)
        backend.store.listed = [waiting]
        on.place.pages.template.connect_button.click()
        await until(lambda: opened == ["https://vendor.example/authorize"])
        await settle()
        assert set(actions(on.place.pages.banner)) == {"Open again", "Copy link", "Cancel"}
        done = replace(waiting, pending_oauth=False)
        backend.store.listed = [done]
        backend.servers.servers.append(installed(done))
        await until(lambda: on.place.page.server is not None and on.place.page.server.id == "i7")
        assert on.place.pages.banner.isHidden()


async def test_an_unsafe_address_is_not_opened(qapp: QApplication, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    async with desk(qapp) as on:
        server = installed(installation(needs_reauth=True), ServerState.RECONNECT)
        backend = await on.show(FakeBackend([server], {"i1": [tool("a")]}))
        backend.store.answer = "http://evil.example/authorize"
        on.place.page.connect_button.click()
        await until(lambda: "not safe to open" in on.place.pages.banner.text())
        assert opened == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (Rejected("", Facts(detail="OAuth discovery failed.")), "Notes was not connected. OAuth discovery failed."),
        (OutcomeUnknown("Failed.", Facts(status=500)), "Notes may have been installed. Failed."),
    ],
)
async def test_a_server_that_may_be_installed_is_not_called_refused(
    qapp: QApplication, error: BurrowError, words: str
) -> None:
    async with desk(qapp) as on:
        backend = FakeBackend([own()], {"posthog": [tool("a")]})
        backend.store.offers = [ServerTemplate("t1", "Notes", "https://notes.example/mcp", auth_type="oauth")]
        backend.store.fail = error
        await on.show(backend)
        on.place.pane.show_available()
        await settle()
        on.place.pane.templates.select_first()
        on.place.pages.template.connect_button.click()
        await until(lambda: words in on.place.pages.banner.text())


async def test_a_refused_server_of_ones_own_keeps_the_form(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([own()], {"posthog": [tool("a")]}))
        on.place.selection.add_server()
        form = on.place.pages.custom
        form.submit()
        assert form.name.error.text() == "This field is required."
        form.name.edit.setText("Mine")  # type: ignore[union-attr]
        form.url.edit.setText("https://mine.example/mcp")  # type: ignore[union-attr]
        backend.store.fail = Rejected("", Facts(detail="This server URL is already installed."))
        form.submit()
        await until(lambda: "already installed" in form.card.text())
        assert form.name.text == "Mine"


async def test_where_there_is_no_room_the_tool_takes_the_lists_place(qapp: QApplication) -> None:
    async with desk(qapp, width=760) as on:
        await on.show(FakeBackend([own()], {"posthog": [tool("a")]}))
        on.place.page.tools.opened.emit("0:a")
        await settle()
        assert on.place.page.tools.isHidden()
        QTest.keyClick(on.place.page.tool, Qt.Key.Key_Escape)
        assert not on.place.page.tools.isHidden()
        assert on.place.page.tool.isHidden()


@pytest.mark.parametrize("name", sorted(path.name for path in CORPORA.glob("*.json")))
async def test_every_tool_of_the_corpora_can_be_shown(qapp: QApplication, name: str) -> None:
    async with desk(qapp) as on:
        tools = corpus(name)
        await on.show(FakeBackend([own()], {"posthog": tools}))
        form = on.place.page.tool.form
        for each in tools:
            on.place.page.tools.opened.emit(key_of(each))
            session = on.place.page.tool.session
            assert session is not None
            assert session.tool is each
            form.set_json(True)
            form.set_json(False)
        await settle()
        assert nameless(on.place) == []


def lacking(*scopes: str) -> PermissionMissing:
    facts = Facts(status=403, scopes=scopes, origin="https://host.example")
    return PermissionMissing("This needs more.", facts, action=f"This sign-in lacks {', '.join(scopes)}.")


async def refused(on: Desk, *scopes: str) -> FakeCall:
    """A call of the tool in view that was refused for want of permissions."""
    call = await on.run(query="x")
    call.refuse(lacking(*scopes))
    await until(lambda: on.place.page.tool.session is not None and on.place.page.tool.session.phase is CallPhase.FAILED)
    await settle()
    return call


async def permissions(on: Desk, *, server: Any = None) -> FakeBackend:
    backend = await on.show(FakeBackend([server or own()], {(server or own()).id: [tool("send_message")]}))
    await on.open(f"{(server or own()).id}/send_message")
    return backend


async def test_a_missing_permission_is_named_and_not_now_leaves_everything_as_it_is(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await permissions(on)
        await refused(on, "gmail.send")
        assert on.card.text() == (
            "send_message needs gmail.send You already granted 4 permissions."
            " Only this call waits. It runs as soon as you allow it."
        )
        assert on.navigator.said[-1] == on.card.text()
        assert list(actions(on.card)) == ["Allow in browser", "Not now"]
        assert nameless(on.place) == []
        actions(on.card)["Not now"]()
        await settle()
        assert not on.place.page.tool.result.isVisible()
        assert on.navigator.allowing == []
        assert on.place.page.tool.form.arguments() == {"query": "x"}


@pytest.mark.parametrize(("granted", "words"), [("one", "You already granted 1 permission."), ("", "")])
async def test_how_much_is_granted_is_told_where_it_is_known(qapp: QApplication, granted: str, words: str) -> None:
    async with desk(qapp) as on:
        backend = await permissions(on)
        backend.grants(granted)
        await refused(on, "a", "b", "c", "d", "e", "f")
        assert on.card.text().startswith(f"send_message needs a, b, c, d, e … {words}".strip())


async def test_while_the_browser_is_open_the_card_waits_and_then_the_call_is_made_once_more(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await permissions(on)
        await refused(on, "gmail.send", "gmail.read")
        actions(on.card)["Allow in browser"]()
        await until(lambda: on.navigator.allowing)
        await settle()
        [(scopes, answer)] = on.navigator.allowing
        assert scopes == ("gmail.send", "gmail.read")
        assert on.card.text() == (
            "Waiting for your browser… It asks you to allow gmail.send, gmail.read."
            " send_message runs as soon as you allow it."
        )
        assert actions(on.card) == {}
        page = on.place.page.tool
        assert page.words.text() == ""
        assert not page.can_run
        assert page.cancel_button.isVisible()
        page.run()
        page.run_again()
        await settle()
        assert len(backend.servers.calls) == 1
        backend.grants("user:read gmail.send gmail.read")
        answer.set_result(None)
        await until(lambda: len(backend.servers.calls) == 2)
        assert backend.servers.calls[1].arguments == backend.servers.calls[0].arguments
        backend.servers.calls[1].give(text_answer("sent"))
        assert page.session is not None
        await until(lambda: page.session is not None and page.session.phase is CallPhase.DONE)
        await settle()
        assert len(backend.servers.calls) == 2


async def test_what_is_not_granted_is_offered_once_more_and_then_no_more(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await permissions(on)
        await refused(on, "gmail.send")
        for number, failure in enumerate((None, SignInNeeded("Denied.", Facts(code="access_denied")))):
            actions(on.card)["Allow in browser"]()
            await until(lambda number=number: len(on.navigator.allowing) > number)
            answer = on.navigator.allowing[-1][1]
            answer.set_result(None) if failure is None else answer.set_exception(failure)
            await until(lambda: "Not granted" in on.card.text())
            if failure is None:
                assert on.card.text() == (
                    "Not granted send_message still needs gmail.send. You already granted 4 permissions."
                    " You can try once more."
                )
        await until(lambda: "twice" in on.card.text())
        assert actions(on.card) == {}
        assert len(backend.servers.calls) == 1
        # Once more by hand: nobody is asked again.
        await refused(on, "gmail.send")
        assert on.card.text().startswith("send_message needs gmail.send You were already asked twice.")
        assert actions(on.card) == {}


async def test_a_permission_that_is_refused_though_granted_is_not_offered(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await permissions(on)
        await refused(on, "gmail.send")
        actions(on.card)["Allow in browser"]()
        await until(lambda: on.navigator.allowing)
        backend.grants("gmail.send")
        on.navigator.allowing[-1][1].set_result(None)
        await until(lambda: len(backend.servers.calls) == 2)
        backend.servers.calls[-1].refuse(lacking("gmail.send"))
        await until(lambda: "Not permitted" in on.card.text())
        assert "PostHog refused it although gmail.send is granted." in on.card.text()
        assert list(actions(on.card)) == ["Run again"]


async def test_whoever_could_not_be_asked_is_told_why_and_can_be_asked_again(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await permissions(on)
        await refused(on, "gmail.send")
        for failure in (Offline("No network."), SignInNeeded("Cancelled.", Facts(code="cancelled"))):
            actions(on.card)["Allow in browser"]()
            await until(lambda: on.navigator.allowing and not on.navigator.allowing[-1][1].done())
            on.navigator.allowing[-1][1].set_exception(failure)
            await until(lambda: on.place.page.tool.session.phase is CallPhase.FAILED)  # type: ignore[union-attr]
            await settle()
            assert list(actions(on.card)) == ["Allow in browser", "Not now"]
            if isinstance(failure, Offline):
                assert on.card.text().startswith("Offline No network. send_message still needs gmail.send.")
        assert on.card.text().startswith("send_message needs gmail.send You already granted 4 permissions.")


async def test_cancelling_and_leaving_end_the_wait_for_the_browser(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await permissions(on)
        await refused(on, "gmail.send")
        for leave in (on.place.page.tool.cancel, lambda: on.place.set_backend(None)):
            actions(on.card)["Allow in browser"]()
            await until(lambda: on.navigator.allowing and not on.navigator.allowing[-1][1].done())
            leave()
            await until(lambda: on.navigator.allowing[-1][1].cancelled())
            await settle()
        assert len(on.navigator.allowing) == 2


async def test_a_personal_key_and_a_vendor_are_told_apart_from_the_persons_sign_in(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await permissions(on)
        backend.grant = replace_grant(backend.grant, client_id="")
        await refused(on, "gmail.send")
        assert "A personal API key cannot get more permissions." in on.card.text()
        assert actions(on.card) == {}
    async with desk(qapp) as on:
        await permissions(on, server=VENDOR)
        await refused(on, "gmail.send")
        assert on.card.text().startswith("Not permitted This needs more.")
        assert list(actions(on.card)) == ["Run again"]
