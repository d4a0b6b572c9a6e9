"""The Data page of a result: its value as a tree, and each list of objects in it as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QMenu, QStackedWidget, QVBoxLayout, QWidget

from app.core.mcp.json_text import write_json
from app.core.mcp.results.exact import DEPTH, Exact, written
from app.marks import revealed_name
from app.ui.theme import theme, tokens
from app.ui.widgets.choices import Select
from app.ui.widgets.jsontable import JsonTable
from app.ui.widgets.jsontree import JsonTree
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

TREE = "tree"
LONGEST_PATH = 80


class DataPage(QWidget):
    """Shows an `Exact`. Emits `copied(text)` after something was put on the clipboard."""

    copied = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._data = Exact()
        self.view = Select(self.tr("Data as"))
        self.view.setSizeAdjustPolicy(Select.SizeAdjustPolicy.AdjustToContents)
        self.view.currentIndexChanged.connect(lambda _place: self._show())
        self._note = Text("", "caption", "muted", wrap=True)
        self.tree = JsonTree(self.tr("Structured result"), write=written)
        self.table = JsonTable(
            self.tr("Structured result as a table"), write=lambda value: write_json(value, indent=None, depth=DEPTH)
        )
        self.tree.copied.connect(self.copied)
        self.table.copied.connect(self.copied)
        self.table.opened.connect(self._show_part)
        self._stack = QStackedWidget()
        self._stack.addWidget(self.tree)
        self._stack.addWidget(self.table)
        line = QHBoxLayout()
        line.setSpacing(theme().px(tokens.SPACE_3))
        line.addWidget(self.view)
        line.addWidget(self._note, 1)
        line.addStretch()
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(theme().px(tokens.SPACE_1))
        box.addLayout(line)
        box.addWidget(self._stack, 1)

    def show_data(self, data: Exact) -> None:
        """Show a value: as a table if it is a list of objects, else as a tree."""
        self._data = data
        self.tree.set_value(data.value if data.present else {})
        self.view.blockSignals(True)
        self.view.clear()
        self.view.addItem(self.tr("Tree"), TREE)
        for number, table in enumerate(data.tables):
            where = revealed_name(table.path.removeprefix("$").removeprefix(".")[-LONGEST_PATH:])
            words = self.tr("Table of {0}").format(where) if where else self.tr("Table")
            self.view.addItem(f"{words} · {_rows(table.rows)}", number)
        self.view.setVisible(bool(data.tables))
        whole = bool(data.tables) and data.tables[0].path == "$"
        self.view.setCurrentIndex(1 if whole else 0)
        self.view.blockSignals(False)
        self._show()

    def show_reading(self) -> None:
        """Say that a large value is being read."""
        self.show_data(Exact())
        self._note.setText(self.tr("Reading…"))
        self._note.setVisible(True)

    def add_copy_actions(self, menu: QMenu) -> None:
        """Add to a menu what can be copied of the part that has the focus, if one has."""
        for part in (self.tree, self.table):
            if part.hasFocus():
                part.add_copy_actions(menu)
                menu.addSeparator()

    def _show(self) -> None:
        chosen = self.view.currentData()
        words = []
        if self._data.inexact:
            words.append(self.tr("Numbers may be rounded: {0}. Raw has the exact answer.").format(self._data.inexact))
        if isinstance(chosen, int) and chosen < len(self._data.tables):
            table = self._data.tables[chosen]
            self.table.set_rows(table.rows, table.columns)
            if table.more_columns:
                words.append(self.tr("{0} more columns are in the tree.").format(table.more_columns))
            self._stack.setCurrentWidget(self.table)
        else:
            self.tree.set_value(self._data.value if self._data.present else {})
            self._stack.setCurrentWidget(self.tree)
        self._note.setText(" ".join(words))
        self._note.setVisible(bool(words))

    def _show_part(self, value: Any) -> None:
        """Show a value inside a cell of the table as a tree. The list above leads back."""
        self.view.blockSignals(True)
        self.view.setCurrentIndex(-1)
        self.view.blockSignals(False)
        self.tree.set_value(value)
        self._stack.setCurrentWidget(self.tree)
        self.tree.setFocus()


def _rows(rows: Sequence[object]) -> str:
    from app.ui.servers.wording import tr

    return tr("1 row") if len(rows) == 1 else tr("{0} rows").format(len(rows))
