"""The window: one bar for sign-in, places by keyboard, nothing shown that heals by itself."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QAccessible, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPushButton, QWidget

from app.core.auth.status import CredentialState, CredentialStatus, Trouble
from app.core.errors import Offline, SignInNeeded
from app.ui.bridge import Bridge
from app.ui.places import PLACES
from app.ui.shell import credential_words, signin_bar
from app.ui.shell.fuzzy import ranked, score
from app.ui.shell.key_sheet import KeySheet
from app.ui.shell.keymap import portable
from app.ui.shell.navigation import History
from app.ui.shell.window import MainWindow
from app.ui.signin.connector import HostConnector
from app.ui.signin.first_run import FirstRun
from app.ui.theme import theme
from tests.ui._screens import nameless, render
from tests.ui._shell_fakes import FakeBackend, FakePlace, FakeServices


def make(services: FakeServices, bridge: Bridge, built: list[str] | None = None) -> MainWindow:
    def place(name: str) -> Callable[[Any], FakePlace]:
        def build(context: Any) -> FakePlace:
            if built is not None:
                built.append(name)
            return FakePlace(context, name)

        return build

    places = [info._replace(make=place(info.id)) for info in PLACES]
    connector = HostConnector(
        services,  # type: ignore[arg-type]
        bridge,
        choose=lambda: window.choose_host(),
        stay=lambda: window.stay_here(),
    )
    window = MainWindow(services, bridge, places, connector)  # type: ignore[arg-type]
    return window


@asynccontextmanager
async def opened(services: FakeServices) -> AsyncIterator[MainWindow]:
    bridge = Bridge()
    window = make(services, bridge)
    window.show()
    window.activateWindow()
    await until(window.isActiveWindow)
    try:
        yield window
    finally:
        await bridge.close()
        window.close()
        window.deleteLater()


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - Qt state has no event to wait for
            await asyncio.sleep(0.005)


def place(window: MainWindow, name: str = "tasks") -> FakePlace:
    widget = window.place(name)
    assert isinstance(widget, FakePlace)
    return widget


def button(root: QWidget, words: str) -> QPushButton:
    return next(each for each in root.findChildren(QPushButton) if each.text() == words and each.isVisibleTo(root))


def shows(root: QWidget, words: str) -> bool:
    return any(each.text() == words and each.isVisible() for each in root.findChildren(QPushButton))


def press(widget: QWidget, key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    QTest.keyClick(widget, key, modifier)


# What the offscreen platform says of dialogs and menus; real ones do it.
pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

CONTROL, SHIFT, ALT = (
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.AltModifier,
)


# The sign-in bar


async def test_a_short_renewal_shows_nothing_at_all() -> None:
    backend = FakeBackend()
    async with opened(FakeServices(backend)) as window:
        backend.credential.become(refreshing_since=monotonic())
        await asyncio.sleep(0)
        await until(lambda: window.corner.word.state is not None)
        assert window.corner.word.state.word == "Signed in"
        assert not window.bar.isVisible()


async def test_a_renewal_of_more_than_two_seconds_is_a_word_in_the_corner_and_no_bar() -> None:
    backend = FakeBackend()
    async with opened(FakeServices(backend)) as window:
        backend.credential.become(refreshing_since=monotonic() - 1.9)
        await until(lambda: window.corner.word.state.word == "Renewing sign-in…")
        assert not window.bar.isVisible()
        backend.credential.become(refreshing_since=None)
        await until(lambda: window.corner.word.state.word == "Signed in")


async def test_a_renewal_that_gets_two_seconds_old_while_it_is_looked_at_is_a_word_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = FakeBackend()
    async with opened(FakeServices(backend)) as window:
        monkeypatch.setattr(credential_words, "monotonic", lambda: 1001.99)
        backend.credential.become(refreshing_since=1000.0)
        await until(window.corner._timer.isActive)
        looks = itertools.count()
        monkeypatch.setattr(credential_words, "monotonic", lambda: 1001.9999 + next(looks) * 0.001)
        await until(lambda: window.corner.word.state.word == "Renewing sign-in…")


@pytest.mark.parametrize(("trouble", "word"), [(Trouble.OFFLINE, "Offline"), (Trouble.SERVER, "Server error")])
async def test_offline_and_server_trouble_are_a_word_never_a_sign_out(trouble: Trouble, word: str) -> None:
    backend = FakeBackend()
    async with opened(FakeServices(backend)) as window:
        backend.credential.become(trouble=trouble)
        await until(lambda: window.corner.word.state.word == word)
        assert not window.bar.isVisible()
        assert place(window).isVisible()


async def test_a_revoked_grant_shows_one_bar_and_keeps_the_place_and_its_text() -> None:
    backend = FakeBackend()
    async with opened(FakeServices(backend)) as window:
        place(window).edit.setText("half a thought")
        backend.credential.become(
            state=CredentialState.NEEDS_SIGN_IN, reason="The server no longer accepts this sign-in."
        )
        await until(window.bar.isVisible)
        assert "Sign in again" in window.bar.text()
        assert len([each for each in window.findChildren(QPushButton) if each.text() == "Sign in"]) == 1
        assert place(window).edit.text() == "half a thought"
        assert place(window).isVisible()


async def test_the_bar_counts_what_waits() -> None:
    backend = FakeBackend(status=CredentialStatus(CredentialState.NEEDS_SIGN_IN))
    async with opened(FakeServices(backend)) as window:
        window.bar.set_waiting_work(backend.credential.key.text, 2)
        assert "2 waiting changes are kept" in window.bar.text()


async def test_signing_in_waits_for_the_browser_and_says_when_it_is_back() -> None:
    backend = FakeBackend(status=CredentialStatus(CredentialState.NEEDS_SIGN_IN))
    async with opened(FakeServices(backend)) as window:
        button(window.bar, "Sign in").click()
        await until(lambda: "browser" in window.bar.text())
        sign_in = backend.credential.sign_in
        assert sign_in is not None
        button(window.bar, "Open again").click()
        assert sign_in.opened == 1
        button(window.bar, "Copy link").click()
        assert QGuiApplication.clipboard().text() == sign_in.url
        sign_in.end()
        backend.credential.become(state=CredentialState.SIGNED_IN)
        await until(lambda: window.bar.text() == "Signed in.")
        await until(lambda: not window.bar.isVisible())


async def test_cancelling_the_browser_brings_the_bar_back_without_an_error() -> None:
    backend = FakeBackend(status=CredentialStatus(CredentialState.NEEDS_SIGN_IN))
    async with opened(FakeServices(backend)) as window:
        window.sign_in()
        await until(lambda: "browser" in window.bar.text())
        button(window.bar, "Cancel").click()
        await until(lambda: "Sign in again" in window.bar.text())
        assert "failed" not in window.bar.text()


async def test_a_failed_sign_in_says_why_in_the_same_bar() -> None:
    backend = FakeBackend(status=CredentialStatus(CredentialState.NEEDS_SIGN_IN))
    async with opened(FakeServices(backend)) as window:
        window.sign_in()
        await until(lambda: backend.credential.sign_in is not None and "browser" in window.bar.text())
        assert backend.credential.sign_in is not None
        backend.credential.sign_in.end(SignInNeeded("Access was denied in the browser."))
        await until(lambda: "Access was denied" in window.bar.text())
        assert button(window.bar, "Sign in").isVisible()


@pytest.mark.parametrize(
    ("trouble", "words"), [(Trouble.VAULT_LOCKED, "Unlock your keyring"), (Trouble.VAULT_ABSENT, "There is no keyring")]
)
async def test_a_keyring_that_cannot_be_used_offers_three_choices(trouble: Trouble, words: str) -> None:
    backend = FakeBackend(status=CredentialStatus(CredentialState.RESTORING, trouble=trouble))
    async with opened(FakeServices(backend)) as window:
        assert words in window.bar.text()
        for choice, kind in (
            ("Try again", "keyring"),
            ("Use for this session only", "memory"),
            ("Keep in a private file", "file"),
        ):
            backend.credential.become(trouble=trouble)
            await until(window.bar.isVisible)
            button(window.bar, choice).click()
            await until(lambda kind=kind: kind in backend.credential.stores)
            await until(lambda: not window.bar.isVisible())


async def test_sign_in_needed_is_announced_assertively_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signin_bar, "SAY_AFTER_MS", 50)
    said: list[tuple[str, bool]] = []
    backend = FakeBackend()
    async with opened(FakeServices(backend)) as window:
        monkeypatch.setattr(window, "announce", lambda text, *, assertive=False: said.append((text, assertive)))
        for count in range(1, 4):
            backend.credential.become(state=CredentialState.NEEDS_SIGN_IN)
            window.bar.set_waiting_work(backend.credential.key.text, count)
        await until(lambda: said)
        window.bar.set_waiting_work(backend.credential.key.text, 4)
        await asyncio.sleep(2 * signin_bar.SAY_AFTER_MS / 1000)
        assert said == [("Sign in again to keep going. Your draft and 3 waiting changes are kept.", True)]


@pytest.mark.parametrize(
    ("changes", "calls", "words"),
    [
        (0, 0, "Your drafts are kept."),
        (1, 0, "Your draft and 1 waiting change are kept."),
        (0, 2, "Your draft and 2 waiting calls are kept."),
        (2, 1, "Your draft, 2 waiting changes and 1 waiting call are kept."),
    ],
)
async def test_the_bar_counts_changes_and_calls_that_wait(changes: int, calls: int, words: str) -> None:
    backend = FakeBackend(status=CredentialStatus(CredentialState.NEEDS_SIGN_IN))
    async with opened(FakeServices(backend)) as window:
        window.bar.set_waiting_work(backend.credential.key.text, changes, calls)
        assert words in window.bar.text()


async def test_a_button_of_the_bar_keeps_the_focus_while_its_sentence_changes() -> None:
    def focused() -> str:
        widget = QApplication.focusWidget()
        return widget.text() if isinstance(widget, QPushButton) else ""

    backend = FakeBackend(status=CredentialStatus(CredentialState.NEEDS_SIGN_IN))
    async with opened(FakeServices(backend)) as window:
        await until(lambda: shows(window.bar, "Details"))
        button(window.bar, "Details").setFocus()
        window.bar.set_waiting_work(backend.credential.key.text, 3)
        assert focused() == "Details"
        await until(lambda: shows(window.bar, "Sign in"))
        button(window.bar, "Sign in").setFocus()
        button(window.bar, "Sign in").click()
        await until(lambda: "browser" in window.bar.text())
        assert focused() == "Open again"
        await until(lambda: shows(window.bar, "Cancel"))
        button(window.bar, "Cancel").click()
        await until(lambda: "Sign in again" in window.bar.text())
        assert focused() == "Sign in"


async def test_the_bar_does_not_take_the_focus() -> None:
    backend = FakeBackend()
    async with opened(FakeServices(backend)) as window:
        place(window).edit.setFocus()
        backend.credential.become(state=CredentialState.NEEDS_SIGN_IN)
        await until(window.bar.isVisible)
        assert QApplication.focusWidget() is place(window).edit


# First run, hosts, account


async def test_without_a_host_the_first_page_is_shown_and_no_place_is_built() -> None:
    async with opened(FakeServices(None)) as window:
        assert isinstance(window.findChild(FirstRun), FirstRun)
        assert window.findChild(FakePlace) is None


async def test_a_remembered_host_opens_on_the_places_at_once() -> None:
    services = FakeServices(None)
    services.storage.settings.values["host"] = "us"
    async with opened(services) as window:
        assert place(window).isVisible()
        assert window.findChild(FirstRun) is None


async def test_connecting_from_the_first_page_shows_the_places_only_once_signed_in() -> None:
    services = FakeServices(None)
    async with opened(services) as window:
        first = window.findChild(FirstRun)
        assert first is not None
        backend = FakeBackend(status=CredentialStatus(CredentialState.RESTORING))
        services.switch(backend)
        await until(lambda: window.backend is backend)
        assert first.isVisible()
        backend.credential.become(state=CredentialState.SIGNED_OUT)
        await asyncio.sleep(0.02)
        assert first.isVisible()
        backend.credential.become(state=CredentialState.SIGNED_IN)
        await until(lambda: not first.isVisible())
        assert place(window).isVisible()


async def test_signing_out_leads_to_the_first_page() -> None:
    backend = FakeBackend()
    async with opened(FakeServices(backend)) as window:
        window.sign_ins.sign_out()
        await until(lambda: window.findChild(FirstRun) is not None)
        assert backend.credential.signed_out == 1
        assert not place(window).isVisible()


async def test_another_server_can_be_looked_at_and_left_again() -> None:
    async with opened(FakeServices(FakeBackend())) as window:
        window.choose_host()
        first = window.findChild(FirstRun)
        assert first is not None
        assert first.back_button.isVisible()
        press(window, Qt.Key.Key_Escape)
        assert place(window).isVisible()


async def test_places_hear_of_another_backend_and_project() -> None:
    backend = FakeBackend()
    services = FakeServices(backend)
    async with opened(services) as window:
        assert place(window).backend is backend
        place(window).asked.clear()
        window.select_project(2)
        await until(lambda: "backend" in place(window).asked)
        assert "Mobile app" in window.corner.project.text()
        services.switch(None)
        await until(lambda: place(window).backend is None)


async def test_the_lab_is_offered_only_where_there_is_one() -> None:
    services = FakeServices(FakeBackend())
    async with opened(services) as window:
        assert "lab" not in [line.key for line in window.rail.list.rows.lines()]
        services.switch(FakeBackend(lab=object()))
        await until(lambda: "lab" in [line.key for line in window.rail.list.rows.lines()])


async def test_the_account_menu_says_who_and_offers_the_explicit_actions() -> None:
    async with opened(FakeServices(FakeBackend())) as window:
        QTest.mouseClick(window.corner.account, Qt.MouseButton.LeftButton)
        menu = window.corner.menu
        assert menu is not None
        words = [action.text() for action in menu.actions()]
        assert words[0] == "ana@example.org"
        assert {"Sign in again", "Sign-in details…", "Sign out", "Appearance"} <= set(words)
        menu.close()


# Keyboard


async def test_places_are_built_when_they_are_first_shown() -> None:
    built: list[str] = []
    bridge = Bridge()
    window = make(FakeServices(FakeBackend()), bridge, built)
    window.show()
    assert built == ["tasks"]
    window.go("servers")
    assert built == ["tasks", "servers"]
    await bridge.close()
    window.deleteLater()


async def test_tasks_that_nobody_has_shown_are_built_to_say_what_needs_the_user() -> None:
    built: list[str] = []
    bridge, services = Bridge(), FakeServices(FakeBackend())
    services.storage.settings.values["ui.place"] = "servers"
    window = make(services, bridge, built)
    window.show()
    assert built == ["servers"]
    window.stack.build_telling()
    window.stack.build_telling()
    assert built == ["servers", "tasks"]
    assert window.current == "servers"
    assert not place(window).isVisible()
    await bridge.close()
    window.deleteLater()


async def test_control_and_a_number_go_to_a_place_and_take_the_focus_along() -> None:
    async with opened(FakeServices(FakeBackend())) as window:
        press(window, Qt.Key.Key_2, CONTROL)
        assert window.stack.currentWidget() is place(window, "servers")
        assert place(window, "servers").isAncestorOf(QApplication.focusWidget())
        press(window, Qt.Key.Key_1, CONTROL)
        assert window.stack.currentWidget() is place(window, "tasks")


async def test_arrows_in_the_rail_show_places_and_keep_the_focus_there() -> None:
    async with opened(FakeServices(FakeBackend())) as window:
        window.rail.list.setFocus()
        press(window.rail.list, Qt.Key.Key_Down)
        assert window.stack.currentWidget() is place(window, "servers")
        assert window.rail.list.hasFocus()


async def test_new_task_works_from_another_place() -> None:
    async with opened(FakeServices(FakeBackend())) as window:
        window.go("servers")
        press(window, Qt.Key.Key_N, CONTROL)
        assert "new" in place(window, "tasks").asked
        assert window.stack.currentWidget() is place(window, "tasks")


async def test_add_server_works_before_the_servers_were_ever_shown() -> None:
    async with opened(FakeServices(FakeBackend())) as window:
        press(window, Qt.Key.Key_N, CONTROL | SHIFT)
        assert "new" in place(window, "servers").asked


async def test_refresh_and_filter_go_to_the_place_in_view() -> None:
    async with opened(FakeServices(FakeBackend())) as window:
        press(window, Qt.Key.Key_F5)
        assert "refresh" in place(window).asked
        place(window).list.setFocus()
        press(place(window).list, Qt.Key.Key_Slash)
        assert place(window).filter.hasFocus()


async def test_a_slash_typed_into_text_stays_text() -> None:
    async with opened(FakeServices(FakeBackend())) as window:
        place(window).edit.setFocus()
        QTest.keyClicks(place(window).edit, "a/b")
        assert place(window).edit.text() == "a/b"


async def test_back_and_forward_walk_through_places_and_items() -> None:
    async with opened(FakeServices(FakeBackend())) as window:
        window.go("tasks", "1")
        window.go("servers", "s")
        place(window, "tasks").asked.clear()
        press(window, Qt.Key.Key_Left, ALT)
        assert "open 1" in place(window, "tasks").asked
        press(window, Qt.Key.Key_Right, ALT)
        assert window.stack.currentWidget() is place(window, "servers")


async def test_f6_walks_round_the_panes_and_shift_f6_back() -> None:
    async with opened(FakeServices(FakeBackend())) as window:
        window.rail.list.setFocus()
        press(window, Qt.Key.Key_F6)
        assert place(window).list.hasFocus()
        press(window, Qt.Key.Key_F6)
        assert place(window).page.isAncestorOf(QApplication.focusWidget())
        press(window, Qt.Key.Key_F6)
        assert window.rail.isAncestorOf(QApplication.focusWidget())
        press(window, Qt.Key.Key_F6, SHIFT)
        assert place(window).page.isAncestorOf(QApplication.focusWidget())


async def test_tab_reaches_every_control_and_comes_round() -> None:
    async with opened(FakeServices(FakeBackend())) as window:
        place(window).list.setFocus()
        seen: list[QWidget] = []
        for _ in range(30):
            focused = QApplication.focusWidget()
            assert focused is not None
            if focused in seen:
                break
            seen.append(focused)
            press(focused, Qt.Key.Key_Tab)
        wanted = {window.rail.list, window.corner.project, window.corner.account, place(window).edit}
        assert wanted <= set(seen)


async def test_every_control_of_the_window_has_a_name() -> None:
    services = FakeServices(FakeBackend(status=CredentialStatus(CredentialState.NEEDS_SIGN_IN)))
    services.activity.record("http", "https://us.posthog.com", "GET /api/users/@me/", "200", 12.0)
    async with opened(services) as window:
        window.drawers.toggle()
        window.open_palette()
        assert not nameless(window)
        window.open_key_sheet()
        sheet = window.findChild(KeySheet)
        assert sheet is not None
        assert not nameless(sheet)
        sheet.reject()


async def test_no_key_is_bound_twice() -> None:
    async with opened(FakeServices(FakeBackend())) as window:
        window.go("servers")
        from PySide6.QtGui import QShortcut

        keys = [portable(each.key().toString()) for each in window.findChildren(QShortcut)]
        assert len(keys) == len(set(keys))


async def test_the_window_is_read_aloud_by_place_and_count() -> None:
    async with opened(FakeServices(FakeBackend())) as window:
        interface = QAccessible.queryAccessibleInterface(window.rail.list)
        assert interface.text(QAccessible.Text.Name) == "Places"
        names = [interface.child(number).text(QAccessible.Text.Name) for number in range(interface.childCount())]
        assert "Tasks, 3" in names


# Palette, drawer, key sheet


async def test_the_palette_finds_commands_items_and_projects_and_runs_by_return() -> None:
    backend = FakeBackend()
    async with opened(FakeServices(backend)) as window:
        place(window).list.setFocus()
        press(window, Qt.Key.Key_K, CONTROL)
        palette = window.dialogs.palette
        assert palette is not None
        assert palette.field.hasFocus()
        QTest.keyClicks(palette.field, "backf")
        assert palette.list.current_key() == "tasks.item.2"
        press(palette.field, Qt.Key.Key_Return)
        assert "open 2" in place(window).asked
        assert not palette.isVisible()
        assert place(window).list.hasFocus()
        press(window, Qt.Key.Key_P, CONTROL)
        palette.field.clear()
        QTest.keyClicks(palette.field, "mobile app")
        press(palette.field, Qt.Key.Key_Return)
        await until(lambda: backend.project is not None and backend.project.id == 2)


async def test_the_palette_leaves_out_what_cannot_be_done_and_closes_on_escape() -> None:
    async with opened(FakeServices(FakeBackend())) as window:
        place(window).edit.setFocus()
        window.open_palette("not now")
        palette = window.dialogs.palette
        assert palette is not None
        assert "tasks.off" not in {line.key for line in palette.list.rows.lines()}
        press(palette.field, Qt.Key.Key_Escape)
        assert not palette.isVisible()
        assert place(window).edit.hasFocus()


async def test_arrows_move_in_the_palette_while_typing_goes_on() -> None:
    async with opened(FakeServices(FakeBackend())) as window:
        window.open_palette()
        palette = window.dialogs.palette
        assert palette is not None
        first = palette.list.current_key()
        press(palette.field, Qt.Key.Key_Down)
        assert palette.list.current_key() != first
        press(palette.field, Qt.Key.Key_Up)
        assert palette.list.current_key() == first


def test_letters_that_start_words_win() -> None:
    assert ranked("gt", ["bright", "Go to Tasks"], str) == ["Go to Tasks", "bright"]
    assert ranked("task", ["A stack", "Tasks", "New task"], str)[0] == "Tasks"
    assert score("zz", "tasks") is None
    assert ranked("", ["b", "a"], str) == ["b", "a"]


async def test_the_drawer_lists_filters_copies_and_follows_what_happens(tmp_path: Path) -> None:
    services = FakeServices(FakeBackend())
    services.activity.record("http", "https://us.posthog.com", "GET /api/users/@me/", "200", 12.0)
    services.activity.record("auth", "https://us.posthog.com", "renewal: expired", "renewed", 40.0)
    async with opened(services) as window:
        press(window, Qt.Key.Key_J, CONTROL)
        drawer = window.drawers.drawer
        assert drawer is not None
        assert drawer.filter.hasFocus()
        assert drawer.table.values.rowCount() == 2
        services.activity.record("mcp", "https://us.posthog.com", "tools/list", "ok", 9.0)
        await until(lambda: drawer.table.values.rowCount() == 3)
        QTest.keyClicks(drawer.filter, "tools/li")
        await until(lambda: drawer.table.values.rowCount() == 1)
        press(drawer.filter, Qt.Key.Key_Down)
        assert drawer.table.hasFocus()
        assert "tools/list" in drawer.page.browser.toPlainText()
        drawer.copy_current()
        assert json.loads(QGuiApplication.clipboard().text())["summary"] == "tools/list"
        target = tmp_path / "activity.jsonl"
        drawer.export_to(str(target))
        await until(lambda: target.exists() and len(target.read_text().splitlines()) == 3)
        press(drawer.table, Qt.Key.Key_Escape)
        assert not drawer.isVisible()
        assert place(window).isAncestorOf(QApplication.focusWidget())


async def test_one_more_record_comes_on_top_of_five_thousand() -> None:
    services = FakeServices(FakeBackend())
    for number in range(5000):
        services.activity.record("http", "https://us.posthog.com", f"GET /api/{number}", "200", 1.0)
    async with opened(services) as window:
        window.drawers.toggle()
        assert window.drawers.drawer is not None
        window.drawers.drawer.grab()
        await until(lambda: window.drawers.drawer.table.values.rowCount() == 5000)
        services.activity.record("http", "x", "one more", "200", 1.0)
        await until(lambda: window.drawers.drawer.table.values.item(0).summary == "one more")


async def test_the_key_sheet_lists_the_keys_of_window_and_place() -> None:
    async with opened(FakeServices(FakeBackend())) as window:
        press(window, Qt.Key.Key_Slash, CONTROL)
        sheet = window.findChild(KeySheet)
        assert sheet is not None
        titles = {line.title for line in sheet.list.rows.lines()}
        assert {"Open the command palette", "New in tasks", "Next pane"} <= titles
        sheet.reject()


# What is remembered


async def test_size_place_and_look_survive_a_restart() -> None:
    services = FakeServices(FakeBackend())
    async with opened(services) as window:
        window.resize(900, 600)
        window.go("servers")
        window.appearance.set_mode("dark")
        await until(lambda: services.storage.settings.values.get("ui.mode") == "dark")
        await window.layout_memory.save()
    async with opened(services) as window:
        assert (window.width(), window.height()) == (900, 600)
        assert window.stack.currentWidget() is place(window, "servers")
        assert theme().dark
        window.appearance.set_mode("light")
        await until(lambda: services.storage.settings.values.get("ui.mode") == "light")


async def test_broken_remembered_values_are_ignored() -> None:
    services = FakeServices(FakeBackend())
    services.storage.settings.values.update({"ui.window": ["x"], "ui.place": 7, "ui.mode": [], "ui.drawer": "big"})
    async with opened(services) as window:
        window.drawers.toggle()
        assert place(window).isVisible()


async def test_text_grows_by_key_and_shrinks_back() -> None:
    async with opened(FakeServices(FakeBackend())) as window:
        press(window, Qt.Key.Key_Plus, CONTROL)
        assert theme().scale > 1.0
        press(window, Qt.Key.Key_0, CONTROL)
        assert theme().scale == 1.0


def test_history_forgets_what_lay_ahead() -> None:
    history = History()
    for stop in (("tasks", None), ("tasks", "1"), ("servers", None)):
        history.visit(*stop)
    assert history.back() == ("tasks", "1")
    history.visit("tasks", "2")
    assert history.forward() is None
    assert history.back() == ("tasks", "1")


async def test_pictures_of_the_window_in_every_look(tmp_path: Path) -> None:
    bridge = Bridge()
    services = FakeServices(FakeBackend(status=CredentialStatus(CredentialState.NEEDS_SIGN_IN), lab=object()))
    made = render(lambda: make(services, bridge), "window", tmp_path)
    assert len(made) == 4
    await bridge.close()


@pytest.fixture(autouse=True)
def quick_back(monkeypatch: pytest.MonkeyPatch, qapp: QApplication) -> Iterator[None]:
    monkeypatch.setattr(signin_bar, "BACK_SHOWN_MS", 50)
    from app.ui.theme import apply_theme

    apply_theme(qapp, "light")
    yield
    apply_theme(qapp, "light")


async def test_a_click_on_a_place_in_the_rail_shows_it() -> None:
    async with opened(FakeServices(FakeBackend())) as window:
        rect = window.rail.list.visualRect(window.rail.list.rows.index(1, 0))
        QTest.mouseClick(window.rail.list.viewport(), Qt.MouseButton.LeftButton, pos=rect.center() + QPoint(1, 1))
        assert window.stack.currentWidget() is place(window, "servers")


async def test_an_unreachable_host_while_signing_in_says_so_in_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = FakeBackend(status=CredentialStatus(CredentialState.NEEDS_SIGN_IN))

    async def unreachable(*, open_browser: bool = True) -> None:
        raise Offline("us.posthog.com cannot be reached.")

    monkeypatch.setattr(backend.credential, "begin_sign_in", unreachable)
    async with opened(FakeServices(backend)) as window:
        window.sign_in()
        await until(lambda: "cannot be reached" in window.bar.text())
