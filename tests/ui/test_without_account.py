"""The window without an account: the user's own MCP servers, and nothing that would need a sign-in to PostHog."""

from __future__ import annotations

import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.core.auth.vault.base import StoreKind
from app.core.services import Services
from app.ui.bridge import Bridge
from app.ui.places import PLACES
from app.ui.servers.place import ServersPlace
from app.ui.servers.tool_session import CallPhase
from app.ui.shell.window import MainWindow
from app.ui.signin.connector import HostConnector
from app.ui.signin.first_run import FirstRun
from app.ui.theme import apply_theme
from tests.conftest import RunningWorkspace
from tests.core.test_own_servers import AN_HOUR, LEDGER, agree, lab_of
from tests.ui._servers_fakes import actions
from tests.ui._tasks_fakes import settle, until
from tests.ui._window import sign_in_before

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support|propagateSizeHints", extend=True)

ONLY_SERVERS = "Use MCP servers without an account"


class Opened:
    """A window on a data folder, and shorthands for what a person sees and does."""

    def __init__(self, window: MainWindow, services: Services) -> None:
        self.window, self.services = window, services

    @property
    def first(self) -> FirstRun | None:
        """The first page, while it is in view."""
        page = self.window.findChild(FirstRun)
        return page if page is not None and page.isVisible() else None

    @property
    def servers(self) -> ServersPlace:
        place = self.window.place("servers")
        assert isinstance(place, ServersPlace)
        return place

    @property
    def rail(self) -> list[str]:
        return [line.title for line in self.window.rail.list.rows.lines()]

    @property
    def shows_servers(self) -> bool:
        return self.window.pages.shows_places and self.window.current == "servers"

    def menu(self) -> dict[str, object]:
        """The entries of the account menu by their words."""
        self.window.corner.account.click()
        assert self.window.corner.menu is not None
        return {action.text(): action for action in self.window.corner.menu.actions() if action.text()}

    async def use_servers_only(self) -> None:
        await until(lambda: self.first is not None)
        assert self.first is not None
        self.first.servers_button.click()
        # The page turns with the setting; rail and corner follow the end of the backend, which is told a turn later.
        await until(lambda: self.shows_servers and "Tasks" not in self.rail and self.window.corner.account.isVisible())


@asynccontextmanager
async def opened(qapp: QApplication, folder: Path, *, named: str | None = None) -> AsyncIterator[Opened]:
    apply_theme(qapp, "light", 1.0)
    services, bridge = Services(folder, store=StoreKind.FILE), Bridge()
    failures: list[BaseException] = []
    bridge.crashed.connect(failures.append)
    connecting = HostConnector(services, bridge, choose=lambda: window.choose_host(), stay=lambda: window.stay_here())
    window = MainWindow(services, bridge, PLACES, connecting)
    window.resize(1100, 720)
    window.show()
    window.activateWindow()
    try:
        connecting.begin(named)
        yield Opened(window, services)
        assert failures == []
    finally:
        await window.stack.flush()
        await bridge.close()
        await services.close()
        window.close()
        window.deleteLater()
        await settle()


async def test_the_first_page_leads_to_the_servers_and_the_next_start_opens_on_them(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with opened(qapp, tmp_path) as on:
        await until(lambda: on.first is not None)
        assert on.first is not None
        assert on.first.servers_button.text() == ONLY_SERVERS
        await on.use_servers_only()
        assert on.rail == ["Servers", "Connect"]
        assert on.window.corner.account.isVisible()
        await until(lambda: on.servers.controller.loaded)
    async with opened(qapp, tmp_path) as on:
        await until(lambda: on.shows_servers)
        assert on.first is None
        assert on.rail == ["Servers", "Connect"]


async def test_a_place_that_needs_an_account_is_reached_neither_by_key_nor_by_name(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with opened(qapp, tmp_path) as on:
        await on.use_servers_only()
        QTest.keyClick(on.window, Qt.Key.Key_1, Qt.KeyboardModifier.ControlModifier)
        on.window.go("tasks")
        await settle()
        assert on.shows_servers
        assert on.window.place("tasks") is None


async def test_the_account_menu_leads_to_the_first_page_and_escape_leads_back(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with opened(qapp, tmp_path) as on:
        await on.use_servers_only()
        entries = on.menu()
        assert {"Sign in…", "Appearance"} == set(entries)
        entries["Sign in…"].trigger()  # type: ignore[attr-defined]
        await until(lambda: on.first is not None)
        QTest.keyClick(on.window, Qt.Key.Key_Escape)
        await until(lambda: on.shows_servers)


async def test_an_account_that_is_left_for_the_servers_alone_stays_signed_in(
    qapp: QApplication, tmp_path: Path, workspace: RunningWorkspace
) -> None:
    await sign_in_before(tmp_path, workspace)
    async with opened(qapp, tmp_path, named=workspace.url) as on:
        await until(lambda: on.window.current == "tasks", 10)
        on.window.choose_host()
        await on.use_servers_only()
        await until(lambda: on.rail == ["Servers", "Connect"])
        assert on.services.backend is None
        [known] = on.services.accounts.all()
        entries = on.menu()
        [entry] = [entries[words] for words in entries if known.name in words]
        entry.trigger()  # type: ignore[attr-defined]
        await until(lambda: on.services.backend is not None and on.services.backend.project is not None, 10)
        await until(lambda: "Tasks" in on.rail)
        assert not on.services.without_account


async def test_an_own_server_is_added_signed_in_to_and_healed_with_no_account_anywhere(
    qapp: QApplication, tmp_path: Path, workspace: RunningWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser: list[str] = []
    monkeypatch.setattr(webbrowser, "open", browser.append)
    async with opened(qapp, tmp_path) as on:
        await on.use_servers_only()
        place = on.servers
        await until(lambda: place.controller.loaded)
        place.selection.add_server()
        form = place.pages.custom
        form.name.edit.setText("Ledger")
        form.url.edit.setText(workspace.url + LEDGER)
        form.submit()
        await until(lambda: "Sign in" in actions(place.page.tools.empty), 10)
        actions(place.page.tools.empty)["Sign in"]()
        await until(lambda: browser, 10)
        await agree(browser[-1])
        [server] = on.services.own_servers.servers
        await until(lambda: place.controller.tools.get(server.id), 10)
        place.open_item(f"{server.id}/list_invoices")
        await until(lambda: place.page.tool.session is not None, 10)
        session = place.page.tool.session
        assert session is not None
        await lab_of(workspace).expire(AN_HOUR)
        session.ask({})
        await until(lambda: session.phase is CallPhase.DONE, 10)
        assert not on.window.bar.isVisible()
