"""A word is said once: not again beside a title that begins with it, nor as a bare number beside a percentage."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication, QWidget

from app.ui.context import Command
from app.ui.shell.palette import Palette
from app.ui.shell.settings.look_section import LookSection
from app.ui.theme import apply_theme
from app.ui.widgets.jsontable import JsonTable
from app.ui.widgets.scroll_edge import ScrollEdge
from tests.ui._tasks_fakes import settle, until
from tests.ui._window import living

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints|raise\\(\\)", extend=True)


def test_the_palette_names_a_group_only_beside_a_title_that_does_not_begin_with_it(qtbot) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    commands = [
        Command("a", "Go to Tasks", lambda: None, "Ctrl+1", "Go"),
        Command("b", "Go to server Ledger", lambda: None, "", "Go to server"),
        Command("c", "Delete task", lambda: None, "", "Tasks"),
    ]
    palette = Palette(window, lambda: commands)
    palette.open()
    assert {line.key: line.detail for line in palette.list.rows.lines()} == {"a": "", "b": "", "c": "Tasks"}


@pytest.mark.parametrize("scale", [1.0, 1.35, 1.6])
async def test_the_settings_show_every_text_size_in_percent(qapp: QApplication, tmp_path: Path, scale: float) -> None:
    async with living(qapp, tmp_path, scale=scale, opens=("SettingsPage",)) as alive:
        alive.window.open_settings()
        page = alive.window.dialogs._settings
        assert page is not None
        assert page.section(LookSection).scale.currentText() == f"{round(scale * 100)} %"
        page.reject()
        apply_theme(qapp, "light")


async def test_a_tool_without_arguments_opens_with_the_focus_where_enter_calls_nothing(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with living(qapp, tmp_path, size=(1000, 700)) as alive:
        alive.window.go("servers")
        servers = alive.servers
        await until(lambda: servers.controller.loaded and bool(servers.controller.servers), 10)
        ready = next(each for each in servers.controller.servers if each.title == "Postbox")
        alive.window.go("servers", ready.id)
        await until(lambda: bool(servers.page.tools.table.rows.lines()), 10)
        table = servers.page.tools.table
        table.setFocus()
        first = next(line.key for line in table.rows.lines() if line.title == "List mailboxes")
        table.opened.emit(first)
        await settle()
        assert servers.page.tool.area.hasFocus()
        edges = [each for each in servers.page.tools.findChildren(ScrollEdge) if table in each._areas]
        assert len(edges) == 1


def test_a_table_of_objects_stands_on_the_page_as_every_table_does(qtbot) -> None:
    table = JsonTable("Rows")
    qtbot.addWidget(table)
    assert table.property("ground") == "page"
