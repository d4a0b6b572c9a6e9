"""Fields of one line: nothing that is pasted is cut."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QLineEdit

from app.ui.widgets.fields import FilterField
from app.ui.widgets.line_edit import LineEdit

UI = Path(__file__).parents[2] / "app" / "ui"
LONG = "x" * 100_000


@pytest.mark.parametrize("make", [LineEdit, lambda: FilterField("Filter")], ids=["line", "filter"])
def test_a_long_paste_is_kept_whole(qapp: QApplication, make: type[QLineEdit]) -> None:
    line = make()
    QGuiApplication.clipboard().setText(LONG)
    line.paste()
    assert line.text() == LONG


def test_every_line_of_the_window_is_one_that_cuts_nothing() -> None:
    made = [
        f"{path.relative_to(UI)}:{node.lineno}"
        for path in sorted(UI.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "QLineEdit"
    ]
    assert made == []
