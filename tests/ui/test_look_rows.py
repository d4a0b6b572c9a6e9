"""What a row elides is in its tooltip."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt

from app.ui.widgets.lists import ListTable
from app.ui.widgets.rows import Row

LONG = "Upgrade the payment library to version 12 and take the old one out of every service"


@pytest.mark.parametrize(
    ("row", "hint"),
    [
        (Row("1", LONG), LONG),
        (Row("1", LONG, "acme/web"), f"{LONG}\nacme/web"),
        (Row("1", LONG, tooltip="https://mcp.example.com"), f"{LONG}\nhttps://mcp.example.com"),
        (Row("1", "Tasks", tooltip="Tasks (Ctrl+1)"), "Tasks (Ctrl+1)"),
        (Row("1", LONG, "acme/web", tooltip=lambda: f"{LONG}\nacme/web\n28/11/2026"), f"{LONG}\nacme/web\n28/11/2026"),
        (Row("1", "", tooltip="Servers (Ctrl+2)"), "Servers (Ctrl+2)"),
    ],
)
def test_the_tooltip_of_a_row_has_all_of_its_words_once(qtbot, row: Row, hint: str) -> None:
    table = ListTable("Tasks", two_lines=True)
    qtbot.addWidget(table)
    table.set_rows([row])
    assert table.rows.index(0, 0).data(Qt.ItemDataRole.ToolTipRole) == hint
