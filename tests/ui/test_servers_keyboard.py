"""Servers by keyboard alone: nothing that goes away takes the focus out of the place, and a held key does nothing."""

from __future__ import annotations

from typing import cast

import pytest
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QInputMethodEvent, QKeyEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPlainTextEdit, QPushButton, QWidget

from app.core.errors import BurrowError
from app.core.mcp.servers.server import ServerState
from app.ui.servers.tool_session import CallPhase
from app.ui.widgets.focus_keeper import keep_focus
from tests.ui._servers_fakes import FakeBackend, installation, installed, own, settle, tool, until
from tests.ui.test_servers_place import VENDOR, Desk, desk

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)


def focused() -> QWidget:
    return cast(QWidget, QApplication.focusWidget())


def button(parent: QWidget, words: str) -> QPushButton:
    return next(each for each in parent.findChildren(QPushButton) if each.text() == words and each.isVisible())


async def in_window(on: Desk, backend: FakeBackend) -> FakeBackend:
    # As the window does.
    keep_focus(on.place)
    on.place.activateWindow()
    await on.show(backend)
    return backend


async def test_switching_a_server_off_and_on_leaves_the_focus_on_the_switch(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await in_window(on, FakeBackend([VENDOR], {"i1": [tool("find")]}))
        switch = on.place.page.enabled
        switch.setFocus()
        QTest.keyClick(switch, Qt.Key.Key_Space)
        # Again before the store has answered: that changes nothing.
        QTest.keyClick(switch, Qt.Key.Key_Space)
        await until(lambda: on.place.page.server.state is ServerState.DISABLED)  # type: ignore[union-attr]
        await settle()
        assert focused() is switch
        assert not switch.isChecked()
        assert [each for each in backend.store.asked if each[0] == "update"] == [("update", "i1", False)]


async def test_after_connecting_the_focus_is_on_what_took_the_place_of_the_button(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = FakeBackend([installed(installation(), ServerState.SIGN_IN)], {"i1": [tool("find")]})
        await in_window(on, backend)
        connect = button(on.place.page.tools.empty, "Finish connecting")
        connect.setFocus()
        backend.servers.servers = [VENDOR]
        backend.servers.listed = (VENDOR,)
        backend.servers.changed.emit((VENDOR,))
        await until(lambda: on.titles() == ["find"])
        await settle()
        assert focused() is on.place.page.tools.table


async def test_after_a_server_is_removed_the_focus_stays_in_the_place(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await in_window(on, FakeBackend([VENDOR, own()], {"i1": [tool("find")]}))
        page = on.place.page
        page.tabs.setCurrentIndex(1)
        page.ask_remove()
        await settle()
        remove = button(page.page.card, "Remove")
        remove.setFocus()
        QTest.keyClick(remove, Qt.Key.Key_Space)
        await until(lambda: len(on.place.controller.servers) == 1)
        await settle()
        assert on.place.isAncestorOf(focused())


async def test_run_and_cancel_take_each_others_place(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await in_window(on, FakeBackend([own()], {"posthog": [tool("find")]}))
        session = await on.open("posthog/find")
        form = on.place.page.tool.form
        form.show_model(form.model, form.model.draft_from({"query": "x"}))
        page = on.place.page.tool
        page.run_button.setFocus()
        QTest.keyClick(page.run_button, Qt.Key.Key_Space)
        await until(lambda: session.running)
        await settle()
        assert focused() is page.cancel_button
        QTest.keyClick(page.cancel_button, Qt.Key.Key_Space)
        await until(lambda: session.phase is CallPhase.CANCELLED)
        await settle()
        assert page.isAncestorOf(focused())
        assert len(backend.servers.calls) == 1


async def test_esc_in_the_list_of_tools_cancels_the_call(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await in_window(on, FakeBackend([own()], {"posthog": [tool("find"), tool("other", 1)]}))
        session = await on.open("posthog/find")
        await on.run(query="x")
        table = on.place.page.tools.table
        table.setFocus()
        QTest.keyClick(table, Qt.Key.Key_Escape)
        await until(lambda: session.phase is CallPhase.CANCELLED)


async def test_tab_reaches_every_argument_before_run(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await in_window(on, FakeBackend([own()], {"posthog": [tool("find"), tool("other", 1)]}))
        # The fields are made anew for each tool.
        await on.open("posthog/other")
        await on.open("posthog/find")
        page = on.place.page.tool
        page.policy.setFocus()
        on.place.page.tools.table.setFocus()
        passed: list[QWidget] = []
        for _ in range(40):
            QTest.keyClick(focused(), Qt.Key.Key_Tab)
            passed.append(focused())
            if focused() is page.run_button:
                break
        assert passed[-1] is page.run_button
        fields = [row for row in page.form.rows.values() if any(row.isAncestorOf(each) for each in passed)]
        assert fields == list(page.form.rows.values())


async def test_running_takes_over_what_an_input_method_composes(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(qapp) as on:
        backend = await in_window(on, FakeBackend([own()], {"posthog": [tool("find")]}))
        await on.open("posthog/find")
        page = on.place.page.tool
        editor = page.form.rows["query"].editor
        assert isinstance(editor, QPlainTextEdit)
        editor.setFocus()

        def commit() -> None:
            event = QInputMethodEvent()
            event.setCommitString("日本")
            QApplication.sendEvent(editor, event)

        # The offscreen platform has no input method to ask.
        monkeypatch.setattr("app.ui.servers.tool_page.commit_composition", commit)
        page.run()
        await until(lambda: backend.servers.calls)
        assert backend.servers.calls[0].arguments == {"query": "日本"}


@pytest.mark.parametrize("key", [Qt.Key.Key_A, Qt.Key.Key_K, Qt.Key.Key_B])
async def test_a_held_policy_key_changes_nothing(qapp: QApplication, key: Qt.Key) -> None:
    async with desk(qapp) as on:
        backend = await in_window(on, FakeBackend([VENDOR], {"i1": [tool("a", policy="approved")]}))
        table = on.place.page.tools.table
        table.setFocus()
        table.select_first()
        for _ in range(5):
            none = Qt.KeyboardModifier.NoModifier
            QApplication.sendEvent(table, QKeyEvent(QEvent.Type.KeyPress, key, none, chr(key).lower(), True))
        await settle()
        assert not [each for each in backend.servers.asked if each[0] == "policy"]


@pytest.mark.parametrize("change", ["filter", "selection", "server", "tools", "account"])
async def test_a_question_about_several_tools_goes_with_what_it_is_about(qapp: QApplication, change: str) -> None:
    async with desk(qapp) as on:
        tools = [tool(f"t{n}", n, policy="needs_approval") for n in range(4)]
        backend = await in_window(on, FakeBackend([VENDOR, own()], {"i1": tools, "posthog": [tool("find")]}))
        pane = on.place.page.tools
        pane.table.selectAll()
        pane.want_policy("approved")
        assert pane.question.open
        if change == "filter":
            pane.filter.setText("t1")
        elif change == "selection":
            pane.table.select_key(pane.table.selected_keys()[0])
        elif change == "server":
            on.place.open_item("posthog")
        elif change == "tools":
            backend.servers.kept["i1"] = [*tools, tool("t9", 9)]
            on.place.refresh()
        else:
            await on.show(FakeBackend([VENDOR], {"i1": tools}))
        await until(lambda: not pane.question.open)
        assert not [each for each in backend.servers.asked if each[0] == "policy"]


async def test_a_failure_about_a_server_that_is_no_longer_in_view_names_it(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(qapp) as on:
        backend = await in_window(on, FakeBackend([VENDOR, own()], {"i1": [tool("a", policy="approved")]}))

        async def refuse(*_: object) -> None:
            on.place.open_item("posthog")
            raise BurrowError("The team does not allow this.")

        monkeypatch.setattr(backend.servers, "set_policy", refuse)
        on.place.controller.set_policies("i1", ["a"], "do_not_use")
        await until(lambda: "could not be set" in on.place.page.page.card.text())
        assert on.place.page.page.card.text().startswith("Vendor 1: 1 of 1 could not be set to Block")
