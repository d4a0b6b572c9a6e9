"""A table with a few columns over a snapshot of values: records, steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, QPoint, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFont, QPalette
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from app.ui.theme import theme, tokens
from app.ui.theme.icons import glyph_icon
from app.ui.widgets.guard import guarded
from app.ui.widgets.tips import plain_tip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtGui import QFocusEvent, QKeyEvent, QResizeEvent

    from app.ui.theme.tokens import Tone

T = TypeVar("T")
Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """`width` in pixels of the design, 0 for the one that takes the rest. `tone` colours a cell by its value, `glyph`
    names a drawing before its text.

    A column with `drop_below` is left out while the table is narrower than that, in pixels of the design.
    """

    title: str
    text: Callable[[T], str]
    width: int = 0
    right: bool = False
    mono: bool = False
    drop_below: int = 0
    tone: Callable[[T], Tone] | None = None
    glyph: Callable[[T], str] | None = None
    tooltip: Callable[[T], str] | None = None


class ColumnModel(QAbstractTableModel, Generic[T]):
    """Values as rows. `key` names a value so that the selection can follow it."""

    def __init__(self, columns: Sequence[Column[T]], key: Callable[[T], Any], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._columns = tuple(columns)
        self._key = key
        self._items: list[T] = []

    def set_items(self, items: Sequence[T]) -> None:
        """Swap the snapshot: values added in front or behind are inserted, anything else resets."""
        new, old = list(items), self._items
        if old and len(new) > len(old):
            extra = len(new) - len(old)
            if self._identical(new[extra:], old):
                self._insert(0, extra, new)
                return
            if self._identical(new[: len(old)], old):
                self._insert(len(old), extra, new)
                return
        elif self._identical(new, old):
            return
        self.beginResetModel()
        self._items = new
        self.endResetModel()

    def item(self, row: int) -> T | None:
        """The value of a row."""
        return self._items[row] if 0 <= row < len(self._items) else None

    def items(self) -> Sequence[T]:
        """The snapshot."""
        return self._items

    def place(self, key: Any) -> int:
        """Row of a key, -1 when it is not there."""
        return next((number for number, item in enumerate(self._items) if self._key(item) == key), -1)

    def key(self, item: T) -> Any:
        """Identity of a value."""
        return self._key(item)

    def _identical(self, first: Sequence[T], second: Sequence[T]) -> bool:
        # By identity: the values do not change, and comparing thousands of them takes time.
        return len(first) == len(second) and all(a is b for a, b in zip(first, second, strict=True))

    def _insert(self, at: int, count: int, items: list[T]) -> None:
        self.beginInsertRows(QModelIndex(), at, at + count - 1)
        self._items = items
        self.endInsertRows()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._items)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._columns)

    @guarded()
    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        column = self._columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.title
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if column.right else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        return None

    @guarded()
    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        item = self.item(index.row()) if index.isValid() else None
        if item is None:
            return None
        column = self._columns[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.text(item)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{column.title}: {column.text(item)}"
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if column.right else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.FontRole:
            return QFont(theme().font("mono")) if column.mono else None
        if role == Qt.ItemDataRole.ForegroundRole and column.tone is not None:
            return QColor(theme().colour(column.tone(item)))
        if role == Qt.ItemDataRole.DecorationRole and column.glyph is not None:
            return glyph_icon(column.glyph(item), column.tone(item) if column.tone is not None else "text")
        if role == Qt.ItemDataRole.ToolTipRole:
            return plain_tip(column.tooltip(item)) if column.tooltip is not None else None
        return None


class _CellDelegate(QStyledItemDelegate):
    """A cell keeps the colour of its tone while its row is selected."""

    @guarded()
    def initStyleOption(self, option: QStyleOptionViewItem, index: Index) -> None:
        super().initStyleOption(option, index)
        colour = index.data(Qt.ItemDataRole.ForegroundRole)
        if colour is not None:
            option.palette.setColor(QPalette.ColorRole.HighlightedText, colour)


class DataTable(QTableView, Generic[T]):
    """A table of `Column`s. Signals: `picked(value|None)`, `opened(value)`, `menu_wanted(value, position)`."""

    picked = Signal(object)
    opened = Signal(object)
    menu_wanted = Signal(object, QPoint)

    def __init__(
        self, name: str, columns: Sequence[Column[T]], key: Callable[[T], Any], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setProperty("padded", "true")
        self.setProperty("ground", "page")
        self._columns = tuple(columns)
        self.values: ColumnModel[T] = ColumnModel(columns, key, self)
        self.setModel(self.values)
        self.setItemDelegate(_CellDelegate(self))
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.verticalHeader().setVisible(False)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setMinimumSectionSize(1)
        self.horizontalHeader().setHighlightSections(False)
        self.horizontalHeader().setMinimumSectionSize(1)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._emit_menu_wanted)
        self.doubleClicked.connect(lambda index: self.opened.emit(self.values.item(index.row())))
        self._fit()
        theme().changed.connect(self._fit)

    def set_items(self, items: Sequence[T]) -> None:
        """Show a snapshot; the current value stays current."""
        current = self.current()
        at_top = self.verticalScrollBar().value() == 0
        self.values.set_items(items)
        if current is not None and self.current() is not current:
            place = self.values.place(self.values.key(current))
            if place >= 0:
                self.selectRow(place)
        # Whoever looks at the newest line goes on seeing the newest.
        if at_top:
            self.verticalScrollBar().setValue(0)

    def current(self) -> T | None:
        """The current value."""
        return self.values.item(self.currentIndex().row())

    def _fit(self) -> None:
        current = theme()
        side = current.px(tokens.GLYPH)
        self.setIconSize(QSize(side, side))
        self.verticalHeader().setDefaultSectionSize(current.px(tokens.ROW_DENSE))
        header = self.horizontalHeader()
        for number, column in enumerate(self._columns):
            if column.width:
                header.setSectionResizeMode(number, QHeaderView.ResizeMode.Interactive)
                self.setColumnWidth(number, current.px(column.width))
            else:
                header.setSectionResizeMode(number, QHeaderView.ResizeMode.Stretch)

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        for number, column in enumerate(self._columns):
            if column.drop_below:
                self.setColumnHidden(number, self.width() < theme().px(column.drop_below))

    @guarded()
    def currentChanged(self, current: Index, previous: Index) -> None:
        super().currentChanged(current, previous)
        if current.row() != previous.row():
            self.picked.emit(self.values.item(current.row()))

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        key, plain = event.key(), event.modifiers() == Qt.KeyboardModifier.NoModifier
        if plain and key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.current() is not None:
            self.opened.emit(self.current())
        elif plain and key in (Qt.Key.Key_Home, Qt.Key.Key_End):
            self.selectRow(0 if key == Qt.Key.Key_Home else self.values.rowCount() - 1)
        elif plain and key == Qt.Key.Key_Escape:
            event.ignore()
        else:
            super().keyPressEvent(event)

    @guarded()
    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        if event.reason() != Qt.FocusReason.MouseFocusReason and not self.currentIndex().isValid():
            self.selectRow(0)

    def _emit_menu_wanted(self, at: QPoint) -> None:
        item = self.values.item(self.rowAt(at.y()))
        if item is not None:
            self.menu_wanted.emit(item, self.viewport().mapToGlobal(at))
