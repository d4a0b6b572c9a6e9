"""The context menus of Servers: they act on their row, show the keys, and offer only what can be done."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QPoint
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QMenu

from app.core.auth.key import CredentialKey
from app.core.links import ServerLink, parse_link
from app.core.mcp.servers.definitions import HttpServer, ServerAuthorization
from app.core.mcp.servers.server import Server, ServerState
from app.ui.widgets.lists import ListTable
from tests.ui._servers_fakes import FakeBackend, installation, installed, own, settle, tool, until
from tests.ui.test_servers_place import VENDOR, desk

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

MINE = Server(HttpServer("own-1", "Mine", "https://mine.example/mcp", ServerAuthorization(CredentialKey("https://a"))))


@pytest.fixture(autouse=True)
def closed_menus() -> Iterator[None]:
    yield
    popup = QApplication.activePopupWidget()
    if popup is not None:
        popup.close()


def menu_of(table: ListTable, key: str) -> QMenu:
    """Ask for the menu of a row, as a right click does."""
    table.menu_wanted.emit(key, table.mapToGlobal(QPoint(5, 5)))
    popup = QApplication.activePopupWidget()
    assert isinstance(popup, QMenu)
    return popup


def entries(menu: QMenu) -> list[str]:
    return [action.text().replace("\t", " | ") for action in menu.actions() if action.text()]


def choose(menu: QMenu, words: str) -> None:
    next(action for action in menu.actions() if action.text().split("\t")[0] == words).trigger()
    menu.close()


async def test_what_cannot_be_done_with_a_server_is_not_offered(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own(), VENDOR, installed(installation(2), ServerState.SIGN_IN), MINE]))
        table = on.place.pane.servers
        assert entries(menu_of(table, "posthog")) == [
            "Open | Return",
            "Load the tools again | F5",
            "Copy name",
            "Copy address",
            "Copy link for Burrow",
        ]
        QApplication.activePopupWidget().close()
        assert entries(menu_of(table, "i1")) == [
            "Open | Return",
            "Switch off | Space",
            "Load the tools again | F5",
            "Copy name",
            "Copy address",
            "Copy link for Burrow",
            "Remove…",
        ]
        choose(menu_of(table, "i1"), "Copy link for Burrow")
        copied = parse_link(QGuiApplication.clipboard().text())
        assert isinstance(copied, ServerLink)
        assert on.place.controller.titled(copied.server) is on.place.controller.server("i1")
        assert "Finish connecting" in entries(menu_of(table, "i2"))
        QApplication.activePopupWidget().close()
        assert {"Sign in to this server again", "Disconnect", "Remove…"} <= set(entries(menu_of(table, "own-1")))


async def test_the_menu_of_a_row_acts_on_that_row(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([own(), VENDOR, MINE], {"i1": [tool("find")]}))
        table = on.place.pane.servers
        assert on.place.page.server is not None
        assert on.place.page.server.id == "posthog"
        choose(menu_of(table, "i1"), "Remove…")
        await settle()
        assert "Remove Vendor 1?" in on.place.page.question.text
        choose(menu_of(table, "i1"), "Switch off")
        await until(lambda: ("update", "i1", False) in backend.store.asked)
        choose(menu_of(table, "own-1"), "Copy address")
        assert QGuiApplication.clipboard().text() == "https://mine.example/mcp"
        choose(menu_of(table, "own-1"), "Disconnect")
        await until(lambda: on.services.own_servers.signed_out == ["own-1"])


async def test_the_menu_of_tools_sets_policies_and_copies(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        tools = [tool("find", policy="approved"), tool("send", 1, policy="approved", locked=True)]
        backend = await on.show(FakeBackend([VENDOR], {"i1": tools}))
        table = on.place.page.tools.table
        menu = menu_of(table, "0:find")
        assert entries(menu) == [
            "Open | Return", "Allow | A", "Ask | K", "Block | B", "Copy name", "Copy as a command",
        ]  # fmt: skip
        choose(menu, "Block")
        await until(lambda: ("policy", "find", "do_not_use") in backend.servers.asked)
        locked = menu_of(table, "1:send")
        assert not next(action for action in locked.actions() if action.text().startswith("Ask")).isEnabled()
        choose(locked, "Copy as a command")
        assert "burrow mcp call" in QGuiApplication.clipboard().text()
        assert "send" in QGuiApplication.clipboard().text()
        table.selectAll()
        several = menu_of(table, "0:find")
        assert entries(several) == ["Allow | A", "Ask | K", "Block | B", "Copy names"]
        choose(several, "Copy names")
        assert QGuiApplication.clipboard().text() == "find\nsend"


async def test_the_open_tool_can_be_run_from_its_menu(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([own()], {"posthog": [tool("find", schema={"type": "object"})]}))
        await on.open("posthog/find")
        menu = menu_of(on.place.page.tools.table, "0:find")
        assert "Run | Ctrl+Return" in entries(menu)
        choose(menu, "Run")
        await until(lambda: backend.servers.calls)
