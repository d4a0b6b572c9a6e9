"""The state of a server: header, row and page say the same, and what hangs is told and can be left."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from msgspec.structs import replace as replace_fields
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.core.errors import BurrowError, Facts, Rejected, ServerTrouble, VendorSignInNeeded
from app.core.mcp.servers.definitions import InstalledServer
from app.core.mcp.servers.server import Server, ServerState
from app.core.mcp.tools import ToolInfo
from app.ui.servers.controller import UNUSABLE
from app.ui.servers.wording import state_of
from tests.ui._servers_fakes import FakeBackend, actions, installation, installed, settle, tool, until
from tests.ui.test_servers_place import Desk, desk

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

LEDGER = installation(7, name="Ledger", auth_type="oauth")
# What asking a server for its tools ends with in each state.
FAILURES: dict[ServerState, BurrowError] = {
    ServerState.SIGN_IN: VendorSignInNeeded("Connecting Ledger was not finished.", Facts(code="not-signed-in")),
    ServerState.RECONNECT: VendorSignInNeeded("Its sign-in has ended."),
    ServerState.TROUBLE: ServerTrouble("The server is down."),
}
TO_DO = {
    ServerState.SIGN_IN: ("Not connected yet", "Finish connecting"),
    ServerState.RECONNECT: ("The sign-in has ended", "Reconnect"),
    ServerState.DISABLED: ("Switched off", "Switch on"),
}


def ledger(state: ServerState) -> Server:
    return installed(replace_fields(LEDGER, is_enabled=state is not ServerState.DISABLED), state)


async def become(on: Desk, server: Server) -> None:
    """The list says something else of the only server."""
    assert on.backend is not None
    servers = on.backend.servers
    servers.servers = [server]
    servers.listed = (server,)
    servers.changed.emit(servers.listed)
    await settle()


def said(on: Desk) -> tuple[str | None, ...]:
    """The words for the state: in the header, in the row, among the facts."""
    page = on.place.page
    [row] = on.place.pane.servers.rows.lines()
    facts = [each.accessibleName() for each in page.facts.findChildren(type(page.description))]
    state: Any = row.state  # type: ignore[union-attr]
    return (
        page.page.status.state.word if page.page.status.state else None,
        state.word,
        next((fact.removeprefix("State: ") for fact in facts if fact.startswith("State: ")), None),
    )


def shown(on: Desk) -> tuple[list[str], str]:
    """The tools and, where there are none, what is said instead."""
    tools = on.place.page.tools
    empty = tools.stack.currentWidget() is tools.empty
    return ([] if empty else on.titles()), (tools.empty.accessibleName() if empty else "")


@pytest.mark.parametrize(("before", "after"), list(itertools.permutations(ServerState, 2)))
async def test_header_row_facts_and_page_agree_after_every_change(
    qapp: QApplication, before: ServerState, after: ServerState
) -> None:
    async with desk(qapp) as on:
        backend = FakeBackend([ledger(before)], {"i7": [tool("list_invoices")]})
        if before in FAILURES:
            backend.servers.fail["tools i7"] = FAILURES[before]
        await on.show(backend)
        assert set(said(on)) == {state_of(ledger(before)).word}
        # In the new state the server answers, if it is asked.
        backend.servers.fail.clear()
        await become(on, ledger(after))
        assert set(said(on)) == {state_of(ledger(after)).word}
        tools, words = shown(on)
        if after in UNUSABLE and before in {*FAILURES, ServerState.DISABLED}:
            title, button = TO_DO[after]
            assert tools == []
            assert words.startswith(title)
            assert list(actions(on.place.page.tools.empty)) == [button]
            # One button, where it is explained.
            assert on.place.page.connect_button.isHidden()
        elif before is ServerState.TROUBLE:
            assert words.startswith(ServerTrouble.title) or tools
        else:
            assert tools == ["list_invoices"]


async def test_tools_that_are_known_stay_in_view_with_one_button_in_the_header(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([ledger(ServerState.READY)], {"i7": [tool("list_invoices")]}))
        await become(on, ledger(ServerState.RECONNECT))
        assert shown(on) == (["list_invoices"], "")
        assert on.place.page.connect_button.isVisible()
        assert on.place.page.sign_in_button.isHidden()
        assert on.place.page.page.banner.isHidden()


async def test_an_error_of_a_former_address_goes_with_that_address(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        old = Server(InstalledServer(replace_fields(LEDGER, proxy_url="http://127.0.0.1:9/p")))
        backend = FakeBackend([old], {"i7": [tool("list_invoices")]})
        backend.servers.fail["tools i7"] = Rejected("It is reached through http://127.0.0.1:9.")
        await on.show(backend)
        assert "Not accepted" in shown(on)[1]
        await become(on, Server(InstalledServer(replace_fields(LEDGER, proxy_url="http://127.0.0.1:10/p"))))
        assert shown(on) == (["list_invoices"], "")
        assert on.place.page.page.banner.isHidden()


async def test_a_server_that_keeps_failing_is_not_asked_again_by_its_own_failure(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = FakeBackend([ledger(ServerState.READY)])
        backend.servers.fail["tools i7"] = ServerTrouble("Down.")
        await on.show(backend)
        asked = len([each for each in backend.servers.asked if each[0] == "tools"])
        await become(on, replace(ledger(ServerState.TROUBLE), trouble="Down."))
        await become(on, replace(ledger(ServerState.TROUBLE), trouble="Down again."))
        assert len([each for each in backend.servers.asked if each[0] == "tools"]) == asked


class Hung:
    """A server that does not answer, and a clock that the test moves."""

    def __init__(self, on: Desk, backend: FakeBackend) -> None:
        self.on, self.asked, self.cancelled = on, 0, 0
        self.now = 0.0
        self.answer: Sequence[ToolInfo] | None = None
        backend.servers.tools = self._tools  # type: ignore[method-assign, assignment]
        on.place.page.wait._now = lambda: on.place.controller.asked_at["i7"] + self.now

    async def _tools(self, _server_id: str, *, refresh: bool = False) -> tuple[ToolInfo, ...]:
        self.asked += 1
        if self.answer is not None:
            return tuple(self.answer)
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return ()

    def after(self, seconds: float) -> None:
        self.now = seconds
        self.on.place.page.wait.check()


async def test_a_hung_server_is_named_after_two_seconds_and_can_be_left_after_five(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = FakeBackend([ledger(ServerState.READY)])
        hung = Hung(on, backend)
        await on.show(backend)
        hung.after(1.9)
        assert shown(on) == ([], "")
        hung.after(3.2)
        assert shown(on)[1] == "Connecting to Ledger… 3 s"
        assert actions(on.place.page.tools.empty) == {}
        hung.after(5)
        await settle()
        empty = on.place.page.tools.empty
        assert list(actions(empty)) == ["Cancel"]
        # The seconds go on, and the button keeps the focus.
        on.place.activateWindow()
        button = next(each for each in empty.findChildren(type(on.place.page.remove_button)) if each.isVisible())
        button.setFocus()
        hung.after(9)
        assert shown(on)[1] == "Connecting to Ledger… 9 s"
        assert button.isVisible()
        assert button.hasFocus()
        QTest.keyClick(button, Qt.Key.Key_Space)
        await until(lambda: hung.cancelled)
        assert "Cancelled" in shown(on)[1]
        hung.answer = [tool("list_invoices")]
        actions(empty)["Try again"]()
        await until(lambda: shown(on)[0] == ["list_invoices"])


async def test_a_hung_refresh_says_so_above_the_tools_that_are_known(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = FakeBackend([ledger(ServerState.READY)], {"i7": [tool("list_invoices")]})
        await on.show(backend)
        hung = Hung(on, backend)
        on.place.refresh()
        await until(lambda: hung.asked)
        banner = on.place.page.page.banner
        hung.after(6)
        await settle()
        assert banner.text() == "Connecting to Ledger… 6 s"
        assert shown(on)[0] == ["list_invoices"]
        actions(banner)["Cancel"]()
        await until(lambda: hung.cancelled)
        assert banner.text() == "Cancelled. Showing the last list."
