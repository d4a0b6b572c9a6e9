"""The list of tasks by keyboard alone, in the real window on the embedded workspace."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMenu, QWidget

from tests.ui._tasks_fakes import settle, until
from tests.ui._window import living

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

SHIFT, CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier


async def press(key: Qt.Key, modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    """Press a key where the focus is."""
    focused = QApplication.focusWidget()
    assert focused is not None
    QTest.keyClick(focused, key, modifiers)
    await settle()


def focused_within(widget: QWidget) -> bool:
    focused = QApplication.focusWidget()
    return focused is widget or (focused is not None and widget.isAncestorOf(focused))


async def test_the_list_is_walked_filtered_renamed_deleted_and_restored_by_keyboard_alone(
    qapp: QApplication, tmp_path: Path
) -> None:
    async with living(qapp, tmp_path, opens=("QMenu",)) as alive:
        place, table = alive.tasks, alive.tasks.pane.table
        await until(lambda: place.pages.shows_detail)
        await press(Qt.Key.Key_Slash)
        assert place.pane.filter.hasFocus()
        await press(Qt.Key.Key_Escape)
        assert table.hasFocus()
        first = place.selection.shown
        assert table.selected_keys() == first

        await press(Qt.Key.Key_Down)
        while place.selection.shown == first:
            await press(Qt.Key.Key_Down)
        one = place.pages.detail.title.text()
        await press(Qt.Key.Key_F2)
        assert focused_within(place.pages.detail)
        await press(Qt.Key.Key_Escape)
        assert table.hasFocus()
        assert place.pages.detail.title.text() == one

        await press(Qt.Key.Key_Delete)
        assert place.pane.undo.text == f"“{one}” deleted"
        assert table.hasFocus()
        await press(Qt.Key.Key_Delete)
        assert focused_within(place.pane.question)
        await press(Qt.Key.Key_Return)
        assert not place.pane.question.open
        assert table.hasFocus()
        await press(Qt.Key.Key_Z, CONTROL)
        assert not place.pane.undo.open
        assert one in alive.titles()

        await press(Qt.Key.Key_Down, SHIFT)
        await press(Qt.Key.Key_Down, SHIFT)
        await press(Qt.Key.Key_Down, SHIFT)
        count = len(table.selected_keys())
        assert count > 1
        assert place.pages.several.title.text() == f"{count} tasks selected"
        await press(Qt.Key.Key_F10, SHIFT)
        await until(lambda: isinstance(QApplication.activePopupWidget(), QMenu))
        menu = QApplication.activePopupWidget()
        assert menu is not None
        QTest.keyClick(menu, Qt.Key.Key_Escape)
        await settle()
        assert table.hasFocus()
        await press(Qt.Key.Key_Escape)
        assert len(table.selected_keys()) == 1
        assert table.selected_keys() == place.selection.shown

        await press(Qt.Key.Key_N, CONTROL)
        assert focused_within(place.pages.composer)
        assert table.selected_keys() == ()
        await press(Qt.Key.Key_Escape)
        assert table.hasFocus()
        assert table.selected_keys() == place.selection.shown != ()
