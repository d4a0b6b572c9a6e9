"""A table over objects: a column for each name, sorted by any of them, with exact values on the clipboard."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from time import monotonic
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, QPoint, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QGuiApplication, QKeySequence
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QMenu, QTableView, QWidget

from app.marks import revealed_name
from app.ui.theme import theme, tokens
from app.ui.widgets.guard import guarded
from app.ui.widgets.tips import plain_tip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from PySide6.QtGui import QKeyEvent

Index = QModelIndex | QPersistentModelIndex

SHOWN_CHARACTERS = 300
COLUMN_WIDTH = 160
NARROWEST, WIDEST = 60, 320
MEASURED_ROWS = 50
# Python refuses to write integers of more than 4,300 digits.
LONG_NUMBER_BITS = 10_000
COPY_SECONDS = 0.02
ABSENT = object()


class ObjectModel(QAbstractTableModel):
    """Rows are objects, columns names of their members. A row that lacks a name has an empty cell."""

    def __init__(self, write: Callable[[Any], str], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._write = write
        self._rows: list[dict[str, Any]] = []
        self._given: Sequence[dict[str, Any]] = ()
        self._columns: tuple[str, ...] = ()

    def set_rows(self, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
        """Show these in their order."""
        self.beginResetModel()
        self._given, self._rows, self._columns = rows, list(rows), tuple(columns)
        self.endResetModel()

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return self._columns

    @property
    def rows(self) -> Sequence[dict[str, Any]]:
        """The rows in the order in which they are shown."""
        return self._rows

    def value(self, index: Index) -> Any:
        """The value of a cell; `ABSENT` when its row has none."""
        return self._rows[index.row()].get(self._columns[index.column()], ABSENT)

    def text(self, value: Any) -> str:
        """A value as text: strings as they are, everything else as JSON, nothing for an absent one."""
        if value is ABSENT:
            return ""
        # Most cells, and a table may have a million: writing JSON in general takes ten times as long.
        match value:
            case str():
                return value
            case None:
                return "null"
            case bool():
                return "true" if value else "false"
            case int() if value.bit_length() < LONG_NUMBER_BITS:
                return str(value)
        try:
            return self._write(value)
        except (ValueError, RecursionError):
            return ""

    @guarded()
    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column: numbers by size, then texts; without a value last. -1 is the order of the server."""
        self.layoutAboutToBeChanged.emit()
        if column < 0:
            self._rows = list(self._given)
        else:
            name = self._columns[column]
            there = [row for row in self._given if _sortable(row.get(name, ABSENT))]
            rest = [row for row in self._given if not _sortable(row.get(name, ABSENT))]
            there.sort(key=lambda row: _order(row[name]), reverse=order == Qt.SortOrder.DescendingOrder)
            self._rows = there + rest
        self.layoutChanged.emit()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._columns)

    @guarded()
    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role == Qt.ItemDataRole.DisplayRole:
            if orientation == Qt.Orientation.Horizontal:
                return revealed_name(self._columns[section][:SHOWN_CHARACTERS])
            return str(section + 1)
        if role == Qt.ItemDataRole.TextAlignmentRole and orientation == Qt.Orientation.Horizontal:
            return Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        return None

    @guarded()
    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        value = self.value(index)
        if role == Qt.ItemDataRole.DisplayRole:
            return self._shown(value)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{revealed_name(self._columns[index.column()][:SHOWN_CHARACTERS])}: {self._shown(value)}"
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if _is_number(value) else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.ForegroundRole and (value is None or isinstance(value, dict | list)):
            return QColor(theme().colour("muted"))
        if role == Qt.ItemDataRole.ToolTipRole and isinstance(value, str | dict | list):
            words = value[:2_000] if isinstance(value, str) else self._shown(value)
            return plain_tip(revealed_name(words)) if len(words) > 20 else None
        return None

    def _shown(self, value: Any) -> str:
        match value:
            case dict():
                return self.tr("1 field") if len(value) == 1 else self.tr("{0} fields").format(len(value))
            case list():
                return self.tr("1 item") if len(value) == 1 else self.tr("{0} items").format(len(value))
            case str():
                shown = revealed_name(value[:SHOWN_CHARACTERS])
                return f"{shown}…" if len(value) > SHOWN_CHARACTERS else shown
            case _:
                return self.text(value)[:SHOWN_CHARACTERS]


class JsonTable(QTableView):
    """A table of objects. Ctrl+C copies the cells that are selected, the menu offers other forms.

    A press on a heading sorts by it, up, down, and as the server sent it. `write` makes the JSON text of a value.
    Emits `copied(text)` after something was put on the clipboard, `opened(value)` for a cell with a value of its own.
    """

    copied = Signal(str)
    opened = Signal(object)

    def __init__(self, name: str, *, write: Callable[[Any], str] | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setProperty("padded", "true")
        self.setProperty("ground", "page")
        self.values = ObjectModel(write if write is not None else _written, self)
        self.setModel(self.values)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.verticalHeader().setVisible(False)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setMinimumSectionSize(1)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setSectionsClickable(True)
        header.setSortIndicatorShown(True)
        header.setSortIndicatorClearable(True)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        header.sortIndicatorChanged.connect(lambda column, order: self.values.sort(column, order))
        self._parts: Iterator[str] = iter(())
        self._made: list[str] = []
        self._next = QTimer(self, singleShot=True, interval=0)
        self._next.timeout.connect(self._copy_next)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(lambda at: self._menu(at, self.indexAt(at).column()))
        self.doubleClicked.connect(self._open)
        self._apply_theme()
        theme().changed.connect(self._apply_theme)

    def set_rows(self, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
        """Show objects in their order; `columns` are the names to show."""
        header = self.horizontalHeader()
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.values.set_rows(rows, columns)
        narrow, wide, gap = theme().px(NARROWEST), theme().px(WIDEST), theme().px(tokens.SPACE_5)
        metrics = self.fontMetrics()
        for number in range(len(columns)):
            cells = [str(self.values.index(row, number).data() or "") for row in range(min(len(rows), MEASURED_ROWS))]
            longest = max([*cells, columns[number][:SHOWN_CHARACTERS] + "  "], key=len)
            header.resizeSection(number, min(wide, max(narrow, metrics.horizontalAdvance(longest) + gap)))
        if rows and columns:
            self.setCurrentIndex(self.values.index(0, 0))

    def sort_by_current(self) -> None:
        """Sort by the column of the current cell: up, then down, then as the server sent it."""
        header, column = self.horizontalHeader(), self.currentIndex().column()
        if header.sortIndicatorSection() != column:
            header.setSortIndicator(column, Qt.SortOrder.AscendingOrder)
        elif header.sortIndicatorOrder() == Qt.SortOrder.AscendingOrder:
            header.setSortIndicator(column, Qt.SortOrder.DescendingOrder)
        else:
            header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)

    def copy_cells(self) -> None:
        """Put the selected cells on the clipboard: one as it is, several as lines with tabs between."""
        cells = self._selected_cells()
        if sum(len(columns) for columns in cells.values()) <= 1:
            current = self.currentIndex()
            self._copy(self.values.text(self.values.value(current)) if current.isValid() else "")
            return
        self._copy_soon(self._tabbed(cells))

    def copy_rows(self) -> None:
        """Put the selected rows on the clipboard as JSON: one as an object, several as a list."""
        rows = self._selected_rows()
        if len(rows) == 1:
            self._copy(self.values.text(rows[0]))
        elif rows:
            self._copy_soon(self._listed(rows))

    def copy_rows_csv(self) -> None:
        """Put the selected rows on the clipboard as CSV with the names of the columns (RFC 4180)."""
        self._copy_soon(self.csv(self._selected_rows()))

    def copy_all_csv(self) -> None:
        """Put the whole table on the clipboard as CSV."""
        self._copy_soon(self.csv(self.values.rows))

    def csv(self, rows: Iterable[dict[str, Any]]) -> Iterator[str]:
        """Rows as lines of CSV, the names of the columns first."""
        names = self.values.columns
        yield _csv_line(names)
        for row in rows:
            yield _csv_line(self.values.text(row.get(name, ABSENT)) for name in names)

    def _tabbed(self, cells: dict[int, set[int]]) -> Iterator[str]:
        for place, row in enumerate(sorted(cells)):
            indexes = (self.values.index(row, column) for column in sorted(cells[row]))
            line = "\t".join(self.values.text(self.values.value(index)) for index in indexes)
            yield f"\n{line}" if place else line

    def _listed(self, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
        for place, row in enumerate(rows):
            yield ("[" if place == 0 else ",\n ") + self.values.text(row)
        yield "]"

    def _selected_cells(self) -> dict[int, set[int]]:
        """The columns of the selected cells of each row."""
        cells: dict[int, set[int]] = {}
        # Asking for each index would take a second for a table that is selected as a whole.
        for part in self.selectionModel().selection().toList():
            columns = range(part.left(), part.right() + 1)
            for row in range(part.top(), part.bottom() + 1):
                cells.setdefault(row, set()).update(columns)
        return cells

    def _selected_rows(self) -> list[dict[str, Any]]:
        chosen = sorted(self._selected_cells()) or [self.currentIndex().row()]
        return [self.values.rows[row] for row in chosen if row >= 0]

    def _copy_soon(self, parts: Iterator[str]) -> None:
        """Put text on the clipboard, a part of which is made in each turn of the loop if there is much of it."""
        self._parts, self._made = parts, []
        self._copy_next()

    def _copy_next(self) -> None:
        end = monotonic() + COPY_SECONDS
        for part in self._parts:
            self._made.append(part)
            if monotonic() > end:
                self._next.start()
                return
        self._copy("".join(self._made))
        self._made = []

    def _copy(self, text: str) -> None:
        QGuiApplication.clipboard().setText(text)
        self.copied.emit(text)

    def _open(self, index: Index) -> None:
        value = self.values.value(index) if index.isValid() else ABSENT
        if isinstance(value, dict | list):
            self.opened.emit(value)

    def add_copy_actions(self, menu: QMenu) -> None:
        """Add to a menu what can be copied of the selected cells and of the table."""
        menu.addAction(self.tr("Copy value"), QKeySequence(QKeySequence.StandardKey.Copy), self.copy_cells)
        menu.addAction(self.tr("Copy row as JSON"), self.copy_rows)
        menu.addAction(self.tr("Copy rows as CSV"), self.copy_rows_csv)
        menu.addAction(self.tr("Copy table as CSV"), self.copy_all_csv)

    def _menu(self, at: QPoint, column: int) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.add_copy_actions(menu)
        menu.addSeparator()
        menu.addAction(self.tr("Sort by this column"), QKeySequence("S"), self.sort_by_current).setEnabled(column >= 0)
        menu.popup(self.viewport().mapToGlobal(at))

    def _apply_theme(self) -> None:
        self.setFont(theme().font("body"))
        self.verticalHeader().setDefaultSectionSize(theme().px(tokens.ROW_DENSE))

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        key, plain = event.key(), event.modifiers() == Qt.KeyboardModifier.NoModifier
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy_cells()
        elif key == Qt.Key.Key_Menu:
            index = self.currentIndex()
            self._menu(self.visualRect(index).bottomLeft(), index.column())
        elif plain and key == Qt.Key.Key_S:
            self.sort_by_current()
        elif plain and key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._open(self.currentIndex())
        elif plain and key == Qt.Key.Key_Escape:
            event.ignore()
        else:
            super().keyPressEvent(event)


def _csv_line(cells: Iterable[str]) -> str:
    made = io.StringIO()
    csv.writer(made).writerow(cells)
    return made.getvalue()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _sortable(value: Any) -> bool:
    return isinstance(value, str | int | Decimal) or (isinstance(value, float) and value == value)


def _order(value: Any) -> tuple[int, Any]:
    if isinstance(value, bool):
        return (0, value)
    return (1, value) if _is_number(value) else (2, value)


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
