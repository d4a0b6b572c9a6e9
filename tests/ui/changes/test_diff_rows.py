"""Rows of a difference: paired in two columns, in order in one, and bounded however long a line is."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.ui.theme.tokens import DARK, LIGHT, TONED_FILLS, contrast
from app.ui.widgets.diff_rows import LONGEST_SHOWN, DiffBlock, DiffRow, rows_of, same_ends, shown
from app.ui.widgets.diff_view import DiffView

BLOCK = DiffBlock(
    "Line 1",
    [
        (" ", "same", 1, 1, False),
        ("-", "old one", 2, 0, False),
        ("-", "old two", 3, 0, False),
        ("+", "new one", 0, 2, False),
        (" ", "end", 4, 3, True),
    ],
)


def texts(rows: tuple[DiffRow, ...]) -> list[tuple[str | None, str | None]]:
    return [tuple(None if side is None else f"{side.mark}{side.text}" for side in row) for row in rows]  # type: ignore[misc]


def test_lines_that_replace_each_other_stand_beside_each_other() -> None:
    found = rows_of([BLOCK], beside=True)
    assert texts(found.rows) == [
        ("@Line 1", None),
        (" same", " same"),
        ("-old one", "+new one"),
        ("-old two", None),
        (" end", " end"),
    ]
    assert (found.starts, found.digits) == ((2,), 1)
    unified = rows_of([BLOCK], beside=False)
    assert [old or new for old, new in texts(unified.rows)][1:5] == [" same", "-old one", "-old two", "+new one"]


def test_a_line_of_a_million_letters_costs_what_is_shown() -> None:
    long = "x" * 1_000_000
    assert len(shown(long)) == LONGEST_SHOWN + 1
    assert rows_of([DiffBlock("", [("+", long, 0, 1, False)])], beside=False).columns == LONGEST_SHOWN + 1
    assert same_ends("call(one, two)", "call(one, 2)") == (10, 1)


def test_signs_and_words_of_a_difference_can_be_read_on_their_grounds() -> None:
    for colours in (LIGHT, DARK):
        for ground in TONED_FILLS:
            tone = ground.removesuffix("_fill")
            for ink in ("text", "muted", tone):
                assert contrast(getattr(colours, ink), getattr(colours, ground)) >= 4.5


def test_a_difference_is_read_and_copied_by_keys(qapp: QApplication) -> None:
    view = DiffView("Difference")
    said: list[str] = []
    view.said.connect(said.append)
    view.resize(500, 200)
    view.show_rows(rows_of([BLOCK], beside=True), beside=True)
    view.show()
    QTest.keyClick(view, Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
    assert view.current == 2
    assert view.accessibleDescription() == "removed, line 2: old one; added, line 2: new one"
    QTest.keyClick(view, Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
    QTest.keyClick(view, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == "new one\nold two"
    QTest.keyClick(view, Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
    assert said == ["Copied", "No further change"]
    view.close()
