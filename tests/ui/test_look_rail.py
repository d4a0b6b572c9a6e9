"""The rail in a narrow window: icons with their words in tooltips and names, and nothing that is left unsaid."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import QApplication

from app.ui.theme import apply_theme, theme, tokens
from tests.ui._tasks_fakes import settle
from tests.ui._window import living

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)


async def test_a_narrow_window_has_a_rail_of_icons_and_a_wide_one_words(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path, size=(720, 420)) as alive:
        rail, corner = alive.window.rail, alive.window.corner
        assert rail.narrow
        assert rail.width() == theme().px(tokens.RAIL_NARROW)
        index = rail.list.rows.index(0, 0)
        assert index.data() == ""
        assert "Tasks" in index.data(Qt.ItemDataRole.AccessibleTextRole)
        assert index.data(Qt.ItemDataRole.ToolTipRole).startswith("Tasks")
        for button in (corner.project, corner.account):
            assert button.shown(0) == ("", "")
            assert button.toolTip()
            assert QAccessible.queryAccessibleInterface(button).text(QAccessible.Text.Name)
        assert corner.word.toolTip() == corner.word.accessibleName() == "Signed in"
        alive.window.resize(1100, 720)
        await settle()
        assert not rail.narrow
        assert rail.width() == theme().px(tokens.RAIL)
        assert index.data() == "Tasks"


async def test_larger_text_makes_the_rail_narrow_and_smaller_text_wide_again(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with living(qapp, tmp_path, size=(1100, 720)) as alive:
        assert not alive.window.rail.narrow
        apply_theme(qapp, "light", 1.6)
        assert alive.window.rail.narrow
        apply_theme(qapp, "light", 1.0)
        assert not alive.window.rail.narrow


async def test_what_the_narrow_corner_cannot_say_stands_below_the_place(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path, size=(720, 420)) as alive:
        window = alive.window
        assert not window.footnote.isVisible()
        window.status("The server did not answer")
        await settle()
        assert window.footnote.isVisible()
        assert window.footnote.words.text() == "The server did not answer"
        assert not window.corner.note.isVisible()
        window.resize(1100, 720)
        await settle()
        assert not window.footnote.isVisible()
        assert window.corner.note.isVisible()


async def test_a_count_is_seen_beside_its_icon(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path, size=(720, 420)) as alive:
        rail = alive.window.rail
        rail.set_count("tasks", 12)
        row = rail.list.rows.row("tasks")
        assert row is not None
        assert (row.trailing, row.spoken()) == ("9+", "Tasks, 12")
        assert callable(row.tooltip) or row.tooltip.startswith("Tasks, 12")
