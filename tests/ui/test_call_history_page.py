"""The history of a tool in the window: what is kept of its calls, using them again, and copying one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.core.errors import ProtocolTrouble
from app.ui.servers.result import HISTORY
from app.ui.servers.tool_session import CallPhase
from tests.ui._screens import nameless
from tests.ui._servers_fakes import READS, FakeBackend, own, settle, text_answer, tool, until
from tests.ui._tasks_fakes import ANA
from tests.ui.test_servers_place import Desk, desk

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

SECRET: dict[str, Any] = {
    "type": "object",
    "properties": {"query": {"type": "string"}, "pin": {"type": "string", "format": "password"}},
}


async def ran(on: Desk, answer: Any, **arguments: Any) -> Any:
    """Call the tool in view and wait until the call is in the history."""
    history = on.place.page.tool.result.history.table
    before = len(history.values.items())
    call = await on.run(**arguments)
    call.refuse(answer) if isinstance(answer, BaseException) else call.give(answer)
    await until(lambda: len(history.values.items()) == before + 1)
    return call


async def test_each_call_is_in_the_history_with_its_outcome(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()], {"posthog": [tool("find", annotations=READS), tool("other", 1)]}))
        await on.open("posthog/find")
        await ran(on, text_answer("one"), query="first")
        await ran(on, text_answer("no", isError=True), query="second")
        await ran(on, ProtocolTrouble("It hung up."), query="third")
        page = on.place.page.tool.result.history
        calls = page.table.values.items()
        assert [call.outcome for call in calls] == ["failed", "tool error", "done"]
        assert [json.loads(call.arguments)["query"] for call in calls] == ["third", "second", "first"]
        on.place.page.tool.result.tabs.setCurrentIndex(HISTORY)
        page.table.selectRow(2)
        assert '"first"' in page.detail.source
        assert '"one"' in page.detail.source
        assert nameless(on.place) == []
        await on.open("posthog/other")
        assert page.table.values.items() == []


async def test_the_history_is_there_before_the_first_call(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()], {"posthog": [tool("find"), tool("other", 1)]}))
        await on.open("posthog/find")
        await ran(on, text_answer(), query="first")
        kept = on.services.calls.kept
        assert list(kept) == [(ANA, "posthog", "find")]
        await on.show(FakeBackend([own()], {"posthog": [tool("find"), tool("other", 1)]}))
        await on.open("posthog/other")
        page = on.place.page.tool
        assert page.history_button.isHidden()
        await on.open("posthog/find")
        await until(lambda: page.history_button.isVisible())
        assert not page.result.isVisible()
        page.history_button.setFocus()
        QTest.keyClick(page.history_button, Qt.Key.Key_Return)
        assert page.result.history.table.isVisible()


async def test_using_a_call_fills_the_form_and_undo_brings_back_what_was_typed(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()], {"posthog": [tool("find")]}))
        session = await on.open("posthog/find")
        page = on.place.page.tool
        await ran(on, text_answer(), query="first", limit=3)
        page.form.show_model(page.form.model, page.form.model.draft_from({"query": "typed"}))
        page.result.history.use.click()
        assert page.form.arguments() == {"query": "first", "limit": 3}
        assert session.touched
        on.place.page.page.undo.undo()
        assert page.form.arguments() == {"query": "typed"}


async def test_running_again_asks_as_a_normal_run(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([own()], {"posthog": [tool("find")]}))
        session = await on.open("posthog/find")
        page = on.place.page.tool
        await ran(on, text_answer(), query="first")
        page.form.show_model(page.form.model, page.form.model.draft_from({"query": "typed"}))
        page.result.history.again.click()
        await until(lambda: len(backend.servers.calls) == 2)
        assert backend.servers.calls[1].arguments == {"query": "first"}
        backend.servers.calls[1].give()
        await until(lambda: session.phase is CallPhase.DONE)


async def test_a_secret_argument_is_not_kept_and_asked_for_again(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([own()], {"posthog": [tool("find", schema=SECRET)]}))
        await on.open("posthog/find")
        page = on.place.page.tool
        await ran(on, text_answer(), query="first", pin="hunter2")
        (kept,) = on.services.calls.kept.values()
        assert "hunter2" not in str(kept)
        page.result.tabs.setCurrentIndex(HISTORY)
        assert "Not kept, because it is secret: pin" in page.result.history.note.text()
        page.result.history.again.click()
        await settle()
        assert len(backend.servers.calls) == 1
        assert page.form.arguments() == {"query": "first"}
        assert any("pin" in words for words in on.navigator.said)


async def test_the_history_of_a_tool_can_be_cleared(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()], {"posthog": [tool("find")]}))
        await on.open("posthog/find")
        await ran(on, text_answer(), query="first")
        on.place.page.tool.result.history.clear_button.click()
        await until(lambda: on.services.calls.kept == {})
        await until(lambda: not on.place.page.tool.result.history.has_calls)


@pytest.mark.parametrize(
    ("form", "words"), [("curl", "curl -sS"), ("python", "from mcp import"), ("command", "burrow")]
)
async def test_a_call_is_copied_with_its_own_arguments(qapp: QApplication, form: str, words: str) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()], {"posthog": [tool("find")]}))
        await on.open("posthog/find")
        await ran(on, text_answer(), query="it's first")
        on.place.page.tool.result.copy_wanted.emit(form)
        copied = QGuiApplication.clipboard().text()
        assert words in copied
        assert "first" in copied


@pytest.mark.parametrize("form", ["curl", "python", "command"])
async def test_a_call_is_copied_without_what_is_secret_and_that_is_said(qapp: QApplication, form: str) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()], {"posthog": [tool("find", schema=SECRET)]}))
        await on.open("posthog/find")
        await ran(on, text_answer(), query="first", pin="hunter2")
        on.place.page.tool.result.copy_wanted.emit(form)
        copied = QGuiApplication.clipboard().text()
        assert "hunter2" not in copied
        assert "first" in copied
        assert "Copied without what is secret: pin." in on.navigator.said
        command = on.place.calls.desk.command_of(on.place.page.server, on.place.page.tool.session.tool)
        assert command is not None
        assert "hunter2" not in command


async def test_what_is_secret_is_in_no_draft(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()], {"posthog": [tool("find", schema=SECRET)]}))
        await on.open("posthog/find")
        form = on.place.page.tool.form
        typed = form.model.draft_from({"query": "first", "pin": "hunter2"})
        for text in (None, '{"query": "first", "pin": "hunter2"}', '{"query": "first", "pin": "hunter2'):
            form.show_model(form.model, typed, text)
            form.changed.emit()
            await on.place.save_typed()
            kept = str(on.services.storage.drafts.kept)
            assert "first" in kept
            assert "hunter2" not in kept


async def test_the_choice_of_formatted_text_is_remembered(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()], {"posthog": [tool("find")]}))
        await on.open("posthog/find")
        await ran(on, text_answer("# Title"), query="x")
        on.place.page.tool.result.formatted.click()
        await until(lambda: on.services.storage.settings.values.get("results.formatted") is True)
