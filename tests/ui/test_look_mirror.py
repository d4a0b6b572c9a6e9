"""From right to left every painted control is the mirror of itself: nothing overlaps, nothing is cut off."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication, QWidget

from app.ui.theme import State
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.choices import CheckBox, Segmented
from app.ui.widgets.row_button import RowButton
from app.ui.widgets.text import StatusWord
from tests.ui._pixels import colours, painted


def status() -> QWidget:
    word = StatusWord(State("dot", "HHHH", "good"))
    word.set_state(State("dot", "HHHH", "good"), "oo")
    return word


def row_button() -> QWidget:
    button = RowButton("user", "chevron-up")
    button.set_words("HHH", "HHH")
    return button


def segmented() -> QWidget:
    control = Segmented([("a", "HHHH", "check", "good"), ("b", "oo", "", "accent")], "Policy")
    control.set_value("a")
    return control


CONTROLS: list[Callable[[], QWidget]] = [
    status,
    row_button,
    segmented,
    lambda: QuietButton("HHH", "pin"),
    lambda: CheckBox("HHH"),
]


def inked(image: QImage) -> list[int]:
    """The columns in which something is painted inside the border."""
    ground = colours(image, image.rect().adjusted(4, 4, -4, -4)).most_common(1)[0][0]
    inside = range(3, image.width() - 3)
    return [x for x in inside if colours(image, QRect(x, 7, 1, image.height() - 14)).keys() - {ground}]


def blocks(columns: list[int], apart: int = 4) -> list[tuple[int, int]]:
    """First and last column of each word or drawing."""
    found: list[tuple[int, int]] = []
    for x in columns:
        if found and x - found[-1][1] < apart:
            found[-1] = (found[-1][0], x)
        else:
            found.append((x, x))
    return found


@pytest.mark.parametrize("made", CONTROLS, ids=["status", "row", "segmented", "button", "check box"])
def test_a_control_from_right_to_left_is_its_own_mirror(qtbot, made: Callable[[], QWidget]) -> None:
    control = made()
    qtbot.addWidget(control)
    control.resize(max(control.sizeHint().width(), 150 if isinstance(control, RowButton) else 0), 30)
    control.show()
    QApplication.processEvents()
    usual = painted(control)
    control.setLayoutDirection(Qt.LayoutDirection.RightToLeft)
    QApplication.processEvents()
    other = painted(control)
    expected = sorted((usual.width() - 1 - last, usual.width() - 1 - first) for first, last in blocks(inked(usual)))
    found = blocks(inked(other))
    assert len(found) == len(expected), (expected, found)
    for (first, last), (at, end) in zip(expected, found, strict=True):
        assert abs(first - at) <= 3, (expected, found)
        assert abs(last - end) <= 3, (expected, found)
