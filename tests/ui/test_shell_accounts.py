"""The accounts of this computer, told apart in the menu, the palette and the first page, by keyboard alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMenu

from app.core.auth.status import CredentialState
from app.core.auth.vault.base import StoreKind
from app.core.errors import ServerTrouble
from app.core.hosts import EU, workspace_host
from app.core.posthog.types import Project
from app.ui.shell.palette import Palette
from app.ui.shell.window import MainWindow
from app.ui.signin.first_run import FirstRun
from app.ui.widgets.row_button import RowButton
from tests.ui._screens import nameless
from tests.ui._shell_fakes import FakeBackend, FakeServices
from tests.ui._tasks_fakes import settle
from tests.ui.test_shell import opened, place, press, until

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

EUROPE, AMERICA = "https://eu.posthog.com", "https://us.posthog.com"
SHOP, MOBILE = Project(1, "Web shop"), Project(2, "Mobile & more")
ANA_SHOP, ANA_MOBILE = "ana@example.org (PostHog EU, Web shop)", "ana@example.org (PostHog EU, Mobile & more)"
BEN, ANA_US = "ben@example.org (PostHog EU)", "ana@example.org (PostHog US)"
ALL_FOUR = [ANA_SHOP, ANA_MOBILE, BEN, ANA_US]


def alone() -> FakeServices:
    """Ana at PostHog EU, and nobody else."""
    services = FakeServices(FakeBackend(EU))
    services.storage.settings.values["host"] = "eu"
    services.storage.settings.remember(EUROPE, "ana@example.org", "", SHOP)
    return services


def four() -> FakeServices:
    """Ana twice and Ben at PostHog EU, and Ana at PostHog US."""
    services = alone()
    settings = services.storage.settings
    settings.remember(EUROPE, "ana@example.org", "2", MOBILE)
    settings.remember(EUROPE, "ben@example.org", "work")
    settings.remember(AMERICA, "ana@example.org")
    return services


@asynccontextmanager
async def menu_of(window: MainWindow) -> AsyncIterator[QMenu]:
    """The account menu, opened by keyboard."""
    await until(window.corner.account.isVisible)
    window.corner.account.setFocus()
    press(window.corner.account, Qt.Key.Key_Return)
    menu = window.corner.menu
    assert menu is not None
    assert menu.isVisible()
    yield menu
    menu.close()
    # Offscreen, the window does not become the active one again by itself.
    window.activateWindow()
    await until(window.isActiveWindow)


def words(menu: QMenu) -> list[str]:
    return [action.text().replace("&&", "&") for action in menu.actions() if not action.isSeparator()]


def where(services: FakeServices) -> tuple[str, str]:
    """The host and slot that are connected."""
    assert services.backend is not None
    return services.backend.host.key, services.backend.credential.key.slot


def spoken(window: MainWindow) -> str:
    return QAccessible.queryAccessibleInterface(window.corner.account).text(QAccessible.Text.Name)


async def choose(menu: QMenu, name: str) -> None:
    """Go to an entry with the arrow keys, and press Return."""
    for _ in menu.actions():
        active = menu.activeAction()
        if active is not None and active.text().replace("&&", "&") == name:
            break
        press(menu, Qt.Key.Key_Down)
    press(menu, Qt.Key.Key_Return)
    await settle()


async def test_one_account_alone_is_a_heading_and_another_can_be_added() -> None:
    async with opened(alone()) as window, menu_of(window) as menu:
        assert words(menu)[:2] == ["ana@example.org", "Add account…"]
        assert not menu.actions()[0].isEnabled()


async def test_the_menu_lists_the_accounts_of_all_hosts_told_apart_and_checks_the_current_one() -> None:
    async with opened(four()) as window, menu_of(window) as menu:
        assert words(menu)[:5] == [*ALL_FOUR, "Add account…"]
        assert [action.isChecked() for action in menu.actions()[:4]] == [True, False, False, False]
        interface = QAccessible.queryAccessibleInterface(menu)
        entries = [interface.child(number) for number in range(4)]
        assert [entry.text(QAccessible.Text.Name) for entry in entries] == ALL_FOUR
        assert [bool(entry.state().checked) for entry in entries] == [True, False, False, False]


async def test_another_account_is_switched_to_by_keyboard_alone_and_the_focus_comes_back() -> None:
    services = four()
    async with opened(services) as window:
        assert spoken(window) == f"Account: {ANA_SHOP}, Signed in"
        async with menu_of(window) as menu:
            await choose(menu, BEN)
        await until(lambda: where(services) == ("eu", "work"))
        await until(window.corner.account.hasFocus)
        assert spoken(window) == f"Account: {BEN}, Signed in"
        assert window.corner.account.text() == "Ben"
        assert place(window).backend is services.backend
        async with menu_of(window) as menu:
            await choose(menu, ANA_US)
        await until(lambda: where(services) == ("us", ""))


async def test_the_focus_stays_on_the_account_while_another_one_is_opened() -> None:
    services = four()
    async with opened(services) as window:
        window.corner.account.setFocus()
        window.switch_account(services.accounts.all()[3])
        await until(lambda: where(services) == ("us", ""))
        await until(lambda: window.backend is services.backend)
        assert window.corner.account.hasFocus()


async def test_the_current_account_is_not_connected_anew() -> None:
    services = four()
    async with opened(services) as window:
        before = services.backend
        async with menu_of(window) as menu:
            await choose(menu, ANA_SHOP)
        await settle()
        assert services.backend is before


async def test_two_people_with_one_first_name_are_shown_by_their_addresses() -> None:
    services = alone()
    services.storage.settings.remember(EUROPE, "ana@elsewhere.example", "2")
    async with opened(services) as window:
        assert window.corner.account.text() == "ana@example.org"
        assert spoken(window) == "Account: ana@example.org (PostHog EU), Signed in"


async def test_the_palette_switches_accounts_and_adds_one() -> None:
    services = four()
    async with opened(services) as window:
        palette = opened_palette(window)
        titles = [line.title for line in palette.list.rows.lines()]
        assert [f"Switch to {name}" in titles for name in ALL_FOUR] == [False, True, True, True]
        assert "Add account…" in titles
        QTest.keyClicks(palette.field, "switch to ana us")
        press(palette.field, Qt.Key.Key_Return)
        await until(lambda: where(services) == ("us", ""))


async def test_more_accounts_than_a_menu_holds_are_found_in_the_palette() -> None:
    services = four()
    for number in range(20):
        services.storage.settings.remember(EUROPE, f"person{number}@example.org", f"p{number}")
    async with opened(services) as window:
        async with menu_of(window) as menu:
            assert words(menu)[:2] == ["Switch account…", "Add account…"]
            await choose(menu, "Switch account…")
        palette = window.dialogs.palette
        assert palette is not None
        assert palette.isVisible()
        assert len([line for line in palette.list.rows.lines() if line.title.startswith("Switch to ")]) == 23


async def test_the_embedded_workspace_knows_one_person_and_offers_the_accounts_of_hosts() -> None:
    services = four()
    services.backend = FakeBackend(workspace_host("http://127.0.0.1:1", client_id="c", secret="s"))
    services.storage.settings.remember("workspace", "ana@hedgerow.example")
    async with opened(services) as window:
        async with menu_of(window) as menu:
            assert words(menu)[:5] == [*ALL_FOUR, "ana@hedgerow.example (Workspace)"]
            assert menu.actions()[4].isChecked()
            assert "Add account…" not in words(menu)
        titles = [line.title for line in opened_palette(window).list.rows.lines()]
        assert "Add account…" not in titles
        assert f"Switch to {ANA_US}" in titles


async def test_an_account_that_cannot_be_opened_says_why_and_the_present_one_is_a_step_away() -> None:
    services = four()
    async with opened(services) as window:
        services.fail = ServerTrouble("The workspace did not start.")
        async with menu_of(window) as menu:
            await choose(menu, BEN)
        first = await first_page(window)
        assert "The workspace did not start." in first.shown_error()
        assert first.back_button.isVisible()
        press(window, Qt.Key.Key_Escape)
        assert place(window).isVisible()
        assert where(services) == ("eu", "")
        assert not window.corner.note.isVisible()


# Adding


async def test_adding_shows_the_sign_in_page_of_the_same_host_in_a_free_slot() -> None:
    services = four()
    async with opened(services) as window:
        async with menu_of(window) as menu:
            await choose(menu, "Add account…")
        first = await first_page(window)
        assert where(services) == ("eu", "3")
        assert first.sign_in_button.hasFocus()
        assert first.back_button.text() == "Back to ana@example.org"
        assert not first.try_button.isVisible()
        assert not first.account_buttons
        assert first.accessibleName() == "Add an account: PostHog EU"
        assert nameless(first) == []


@pytest.mark.parametrize("way", ["the button", "Esc"])
async def test_adding_can_be_left_for_the_account_used_before(way: str) -> None:
    services = four()
    await services.accounts.use(EU, "work")
    services.backend = FakeBackend(EU, slot="work")
    async with opened(services) as window:
        window.add_account()
        first = await first_page(window)
        assert first.back_button.text() == "Back to ben@example.org"
        if way == "Esc":
            press(window, Qt.Key.Key_Escape)
        else:
            press(first.back_button, Qt.Key.Key_Return)
        await until(lambda: where(services) == ("eu", "work"))
        await until(place(window).isVisible)
        assert services.accounts.last_slot(EU) == "work"
        assert place(window).isAncestorOf(QApplication.focusWidget())


async def test_adding_can_be_left_while_the_browser_is_open() -> None:
    services = four()
    async with opened(services) as window:
        window.add_account()
        first = await first_page(window)
        first.sign_in_button.click()
        await until(first.cancel_button.isVisible)
        assert where(services) == ("eu", "3")
        first.back_button.click()
        await until(lambda: where(services) == ("eu", "") and place(window).isVisible())
        await settle()
        assert not first.isVisible()


async def test_a_cancelled_browser_leaves_the_page_of_the_addition_and_another_try_succeeds() -> None:
    services = four()
    async with opened(services) as window:
        window.add_account()
        first = await first_page(window)
        first.sign_in_button.click()
        await until(first.cancel_button.isVisible)
        first.cancel_button.click()
        await until(first.sign_in_button.isVisible)
        assert first.shown_error() == ""
        assert first.back_button.text() == "Back to ana@example.org"
        first.sign_in_button.click()
        await until(first.cancel_button.isVisible)
        assert services.backend is not None
        assert services.backend.credential.sign_in is not None
        services.backend.credential.sign_in.end()
        services.backend.credential.become(state=CredentialState.SIGNED_IN)
        await until(place(window).isVisible)
        assert where(services) == ("eu", "3")


# Signed out


async def test_the_page_after_signing_out_offers_the_other_accounts_and_goes_on_as_one() -> None:
    services = four()
    async with opened(services) as window:
        services.storage.settings.values["signed_out:eu"] = True
        window.sign_ins.sign_out()
        first = await first_page(window)
        offered = [each.accessibleName() for each in first.account_buttons]
        assert offered == [
            "Continue as ana@example.org (PostHog EU)",
            "Continue as ben@example.org (PostHog EU)",
            "Continue as ana@example.org (PostHog US)",
        ]
        await until(first.account_buttons[0].hasFocus)
        press(first.account_buttons[0], Qt.Key.Key_Tab)
        press(first.account_buttons[1], Qt.Key.Key_Return)
        await until(lambda: where(services) == ("eu", "work"))
        await until(place(window).isVisible)


async def test_the_choice_of_a_server_offers_the_other_accounts_too() -> None:
    services = four()
    async with opened(services) as window:
        window.choose_host()
        first = await first_page(window)
        assert len(first.account_buttons) == 3
        assert first.back_button.text() == "Back"
        first.account_buttons[-1].click()
        await until(lambda: where(services) == ("us", "") and place(window).isVisible())


async def test_the_page_says_where_a_sign_in_will_be_kept_if_others_are_kept_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    services = four()
    monkeypatch.setattr(services, "usual_store", lambda: StoreKind.FILE)
    async with opened(services) as window:
        window.add_account()
        first = await first_page(window)
        assert "Kept in a private file, like your other sign-ins." in shown_words(first)
        monkeypatch.setattr(services, "usual_store", lambda: StoreKind.KEYRING)
        assert services.backend is not None
        services.backend.credential.become(state=CredentialState.SIGNED_OUT)
        await until(lambda: "private file" not in shown_words(first))


async def test_what_another_process_signed_in_to_is_learnt_when_the_window_is_come_back_to() -> None:
    services = alone()
    async with opened(services) as window:
        assert window._connector is not None
        window._connector.begin(None)
        await settle()
        services.storage.settings.refreshed.clear()
        app = QApplication.instance()
        assert isinstance(app, QApplication)
        app.applicationStateChanged.emit(Qt.ApplicationState.ApplicationActive)
        await settle()
        assert services.storage.settings.refreshed == []
        app.applicationStateChanged.emit(Qt.ApplicationState.ApplicationInactive)
        app.applicationStateChanged.emit(Qt.ApplicationState.ApplicationActive)
        await until(lambda: services.storage.settings.refreshed == ["account:", "signed_out:"])


def test_a_row_of_an_account_keeps_its_host_however_long_the_name_is(qapp: QApplication) -> None:
    row = RowButton("user", "chevron-right", keeps_tail=True)
    row.set_words("a-very-long-name-that-goes-on-and-on@engineering.example.org", "Continue", "PostHog EU")
    name, tail = row.shown(240)
    assert tail == " · PostHog EU"
    assert name.startswith("a-very")
    assert "…" in name
    assert name.endswith("example.org"[-3:])


def opened_palette(window: MainWindow) -> Palette:
    window.open_palette()
    palette = window.dialogs.palette
    assert palette is not None
    return palette


async def first_page(window: MainWindow) -> FirstRun:
    await until(lambda: window.findChild(FirstRun) is not None and window.findChild(FirstRun).isVisible())
    return window.findChild(FirstRun)


def shown_words(first: FirstRun) -> str:
    from PySide6.QtWidgets import QLabel

    return " ".join(label.text() for label in first.findChildren(QLabel) if label.isVisibleTo(first))
