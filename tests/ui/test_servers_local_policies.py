"""Policies of the user's own servers in the Servers place: shown, set, undone, and asked about before a call."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from app.core.mcp.servers.definitions import HttpServer
from app.core.mcp.servers.local_policies import ASK, BLOCK
from app.ui.servers.policy import Policy
from app.ui.servers.tool_session import CallPhase
from tests.core._mcp_server import Scripted
from tests.core.test_services import services_in
from tests.ui._servers_fakes import settle, until
from tests.ui.test_servers_own import Shown, shown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from PySide6.QtWidgets import QApplication

    from app.core.services import Services

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)


class Own:
    """An own server with the tools `echo` and `count`, shown in the place."""

    def __init__(self, on: Shown, services: Services, server: Scripted, server_id: str) -> None:
        self.on, self.services, self.server, self.id = on, services, server, server_id

    @property
    def tools(self) -> Any:
        return self.on.place.page.tools

    @property
    def page(self) -> Any:
        return self.on.place.page.tool

    def words(self) -> list[str]:
        """What is said of the policies in the list."""
        return ["" if line.side is None else line.side.word for line in self.tools.table.rows.lines()]

    async def open(self, tool: str = "") -> Any:
        self.on.place.open_item(f"{self.id}/{tool}" if tool else self.id)
        await until(lambda: len(self.tools.table.rows.lines()) == 2 and (not tool or self.page.session is not None))
        await settle()
        return self.page.session

    def state_of(self, tool: str) -> str:
        return self.services.local_policies.state_of(self.id, tool)


@asynccontextmanager
async def own(qapp: QApplication, folder: Path) -> AsyncIterator[Own]:
    async with Scripted() as server, services_in(folder) as services:
        kept = await services.own_servers.add(HttpServer("", "Echo", server.url))
        await services.use_no_account()
        async with shown(qapp, services) as on:
            on.place.controller.start(None)
            await until(lambda: on.titles == ["Echo"])
            yield Own(on, services, server, kept.id)


async def test_what_is_simply_allowed_says_nothing_in_the_list_and_allow_on_its_page(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with own(qapp, tmp_path) as at:
        await at.open("echo")
        assert at.words() == ["", ""]
        assert at.page.policy.isVisibleTo(at.page)
        assert at.page.policy.value() == Policy.ALLOW


async def test_a_policy_that_is_set_on_the_page_is_kept_shown_and_undone(qapp: QApplication, tmp_path: Path) -> None:
    async with own(qapp, tmp_path) as at:
        session = await at.open("echo")
        at.page.policy_wanted.emit(BLOCK)
        await until(lambda: at.words() == ["Block", ""])
        assert at.state_of("echo") == BLOCK
        assert at.page.policy.value() == Policy.BLOCK
        session.ask({})
        await until(lambda: session.phase is CallPhase.BLOCKED)
        bar = at.on.place.page.page.undo
        assert bar.open
        bar.undo()
        await until(lambda: at.words() == ["", ""])
        assert at.page.policy.value() == Policy.ALLOW
        session.ask({})
        await until(lambda: session.phase is CallPhase.DONE)
        assert at.server.count("tools/call") == 1


async def test_several_tools_are_set_at_once_by_a_key_after_a_question(qapp: QApplication, tmp_path: Path) -> None:
    async with own(qapp, tmp_path) as at:
        await at.open()
        at.tools.table.setFocus()
        at.tools.table.selectAll()
        QTest.keyClick(at.tools.table, Qt.Key.Key_K)
        await settle()
        assert "Set 2 tools to Ask?" in at.tools.question.text
        at.tools.question.yes.click()
        await until(lambda: at.words() == ["Ask", "Ask"])
        assert {at.state_of("echo"), at.state_of("count")} == {ASK}
        at.on.place.page.page.undo.undo()
        await until(lambda: at.words() == ["", ""])


async def test_a_tool_that_asks_runs_once_and_asks_again_until_it_is_always_allowed(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with own(qapp, tmp_path) as at:
        session = await at.open("echo")
        at.page.policy_wanted.emit(ASK)
        await until(lambda: at.words() == ["Ask", ""])
        for count in (1, 2):
            session.ask({})
            await until(lambda: session.phase is CallPhase.ASKING)
            # Nothing but this call is allowed by it, unlike with the store's policies.
            assert "allows this call only" in at.page.question.words.text()
            # It does not claim to destroy anything.
            assert not at.page.question.claim.isVisibleTo(at.page.question)
            at.page.question.once.click()
            await until(lambda: session.phase is CallPhase.DONE)
            assert at.server.count("tools/call") == count
            assert at.state_of("echo") == ASK
        session.ask({})
        await until(lambda: session.phase is CallPhase.ASKING)
        at.page.question.always.click()
        await until(lambda: session.phase is CallPhase.DONE and at.words() == ["", ""])
        session.ask({})
        await until(lambda: at.server.count("tools/call") == 4)


async def test_a_policy_that_another_process_has_set_is_asked_about_and_then_shown(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with own(qapp, tmp_path) as at, services_in(tmp_path) as elsewhere:
        session = await at.open("echo")
        await elsewhere.servers.set_policy(at.id, "echo", ASK)
        await at.services.local_policies.refresh()
        session.ask({})
        await until(lambda: session.phase is CallPhase.ASKING)
        await until(lambda: at.words() == ["Ask", ""])
        assert at.server.count("tools/call") == 0
