"""What the palette and the keys of Servers reach besides running a tool, and what is said of a whole list of tools."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QLabel

from app.core.mcp.protocol.pages import MORE, REPEATS
from app.ui.servers.result import CONTENT, HISTORY
from app.ui.shell.key_sheet import KeySheet
from app.ui.widgets.rows import Row
from tests.ui._servers_fakes import READS, FakeBackend, own, text_answer, tool, until
from tests.ui.test_call_history_page import ran
from tests.ui.test_servers_place import desk

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)


async def test_a_list_of_tools_that_does_not_end_says_so_above_the_tools(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        server = replace(own(), tools_note=REPEATS)
        backend = await on.show(FakeBackend([server], {"posthog": [tool("find")]}))
        on.place.open_item("posthog")
        note = on.place.page.tools.note
        await until(note.isVisible)
        assert note.text() == REPEATS
        backend.servers.servers = [own()]
        await backend.servers.list()
        await until(lambda: not note.isVisible())


async def test_a_list_without_a_tool_says_what_is_odd_about_it(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([replace(own(), tools_note=MORE)], {"posthog": []}))
        on.place.open_item("posthog")
        empty = on.place.page.tools.empty
        await until(lambda: MORE in [label.text() for label in empty.findChildren(QLabel)])


async def test_the_palette_copies_the_call_and_opens_the_history(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()], {"posthog": [tool("find", annotations=READS)]}))
        commands = {command.id: command for command in on.place.commands()}
        assert not commands["tool.copy.curl"].enabled()
        await on.open("posthog/find")
        assert commands["tool.copy.curl"].enabled()
        assert not commands["tool.history"].enabled()
        await ran(on, text_answer("one"), query="first")
        commands["tool.copy.curl"].run()
        assert "curl -sS" in QGuiApplication.clipboard().text()
        commands["tool.copy.python"].run()
        assert "from mcp import" in QGuiApplication.clipboard().text()
        result = on.place.page.tool.result
        assert result.tabs.currentIndex() == CONTENT
        commands["tool.history"].run()
        assert result.tabs.currentIndex() == HISTORY
        assert result.tabs.isTabVisible(CONTENT)


async def test_the_key_sheet_has_the_keys_that_copy_a_call_and_open_the_history(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([own()], {"posthog": [tool("find")]}))
        sheet = KeySheet(on.place.commands(), on.place)
        shown = {row.title: row.trailing for row in sheet.list.rows.lines() if isinstance(row, Row)}
        assert shown["Show earlier calls of the tool"] == "Ctrl+Shift+H"
        assert shown["Copy the result, or the call as curl, Python or a command"] == "Ctrl+Shift+C"
