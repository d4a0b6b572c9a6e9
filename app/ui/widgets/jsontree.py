"""A tree over a JSON value. Nodes are made when they are opened, so a result of any size is shown at once."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import (
    QAbstractItemModel,
    QCoreApplication,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPoint,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor, QGuiApplication, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QAbstractItemView, QMenu, QStyledItemDelegate, QStyleOptionViewItem, QTreeView, QWidget

from app.marks import revealed
from app.ui.theme import theme, tokens
from app.ui.widgets.guard import guarded
from app.ui.widgets.tips import plain_tip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Index = QModelIndex | QPersistentModelIndex

FETCH = 500
SHOWN_CHARACTERS = 300


# "Expand all below" opens no more lines than this: each takes time, and a value may have millions.
OPENED_LINES = 2_000
LONGEST_NAME = 200


class _Node:
    __slots__ = ("children", "key", "members", "parent", "place", "value")

    def __init__(self, parent: _Node | None, place: int, key: str, value: Any) -> None:
        self.parent, self.place, self.key, self.value = parent, place, key, value
        self.children: list[_Node] = []
        # The members that have no node yet.
        self.members: Iterator[tuple[str, Any]] | None = None

    def total(self) -> int:
        return len(self.value) if isinstance(self.value, dict | list | tuple) else 0

    @property
    def fetched(self) -> int:
        return len(self.children)

    def fetch(self, count: int) -> None:
        if self.members is None:
            value = self.value
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            self.members = ((str(key), child) for key, child in pairs)
        for key, child in islice(self.members, count):
            self.children.append(_Node(self, len(self.children), key, child))

    def path(self) -> str:
        """As in `$.items[3].name`."""
        parts: list[str] = []
        node = self
        while (above := node.parent) is not None:
            if not isinstance(above.value, dict):
                parts.append(f"[{node.key}]")
            else:
                parts.append(f".{node.key}" if node.key.isidentifier() else f"[{json.dumps(node.key)}]")
            node = above
        return "$" + "".join(reversed(parts))


class JsonModel(QAbstractItemModel):
    """Two columns: name and value; children in portions of 500."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._root = _Node(None, 0, "", {})

    def set_value(self, value: Any) -> None:
        """Show a value; a scalar shows as one line."""
        self.beginResetModel()
        plain = value if isinstance(value, dict | list | tuple) else {"value": value}
        self._root = _Node(None, 0, "", plain)
        self._root.fetch(FETCH)
        self.endResetModel()

    def node(self, index: Index) -> _Node:
        """The node of an index; the root's for none."""
        found = index.internalPointer() if index.isValid() else None
        return found if isinstance(found, _Node) else self._root

    def index(self, row: int, column: int, parent: Index = QModelIndex()) -> QModelIndex:  # noqa: B008
        node = self.node(parent)
        # An index holds only the address of its node. The tree keeps the nodes alive until the next reset, which ends
        # every index.
        if 0 <= row < len(node.children) and 0 <= column < 2:
            return self.createIndex(row, column, node.children[row])
        return QModelIndex()

    def parent(self, index: Index = QModelIndex()) -> QModelIndex:  # type: ignore[override] # noqa: B008
        above = self.node(index).parent if index.isValid() else None
        if above is None or above is self._root:
            return QModelIndex()
        return self.createIndex(above.place, 0, above)

    @guarded(default=0)
    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.column() > 0 else len(self.node(parent).children)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 2

    @guarded(default=False)
    def hasChildren(self, parent: Index = QModelIndex()) -> bool:  # noqa: B008
        return parent.column() <= 0 and self.node(parent).total() > 0

    @guarded(default=False)
    def canFetchMore(self, parent: Index) -> bool:
        node = self.node(parent)
        return node.fetched < node.total()

    @guarded()
    def fetchMore(self, parent: Index) -> None:
        node = self.node(parent)
        count = min(FETCH, node.total() - node.fetched)
        if count <= 0:
            return
        self.beginInsertRows(parent, node.fetched, node.fetched + count - 1)
        node.fetch(count)
        self.endInsertRows()

    @guarded()
    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return (_tr("Name"), _tr("Value"))[section]
        return None

    @guarded()
    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        node = self.node(index)
        if role == Qt.ItemDataRole.DisplayRole:
            return revealed(node.key[:LONGEST_NAME]) if index.column() == 0 else _shown(node)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{revealed(node.key[:LONGEST_NAME])}: {_shown(node)}"
        if role == Qt.ItemDataRole.ForegroundRole:
            return QColor(theme().colour("muted" if index.column() == 0 else _tone(node.value)))
        if role == Qt.ItemDataRole.ToolTipRole and index.column() == 1 and isinstance(node.value, str):
            return plain_tip(revealed(node.value[:2000])) if len(node.value) > SHOWN_CHARACTERS else None
        return None


class _LineDelegate(QStyledItemDelegate):
    @guarded(default=QSize(40, tokens.ROW_DENSE))
    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(super().sizeHint(option, index).width(), theme().row(tokens.ROW_DENSE))


class JsonTree(QTreeView):
    """A JSON value as a tree: arrows open and close, Ctrl+C copies the value of the current line.

    `write` makes the JSON text of a value; it may raise `ValueError` or `RecursionError`. Emits `copied(text)` after
    something was put on the clipboard.
    """

    copied = Signal(str)

    def __init__(self, name: str, parent: QWidget | None = None, *, write: Callable[[Any], str] | None = None) -> None:
        super().__init__(parent)
        self._write = write if write is not None else _written
        self.setProperty("ground", "page")
        self.setAccessibleName(name)
        self.values = JsonModel(self)
        self.setModel(self.values)
        self.setUniformRowHeights(True)
        self.setItemDelegate(_LineDelegate(self))
        self.setHeaderHidden(True)
        self.setAlternatingRowColors(False)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._menu)
        self._apply_theme()
        theme().changed.connect(self._apply_theme)

    def set_value(self, value: Any, *, open_levels: int = 1) -> None:
        """Show a value with its first levels open."""
        self.values.set_value(value)
        # Opening the children of many lines at once would take as long as building the whole tree.
        if open_levels > 0 and self.values.rowCount() <= 50:
            self.expandToDepth(open_levels - 1)
        self.resizeColumnToContents(0)
        self.setColumnWidth(0, min(self.columnWidth(0), theme().px(280)))

    def current_text(self) -> str:
        """The current line's value: strings as they are, everything else as JSON. Empty if it is nested too deeply."""
        node = self.values.node(self.currentIndex())
        if isinstance(node.value, str):
            return node.value
        try:
            return self._write(node.value)
        except (ValueError, RecursionError):
            return ""

    def copy_json(self) -> None:
        """Put the current line's value on the clipboard as JSON, strings in quotes."""
        value = self.values.node(self.currentIndex()).value
        self._copy(json.dumps(value, ensure_ascii=False) if isinstance(value, str) else self.current_text())

    def copy_value(self) -> None:
        """Put the current line's value on the clipboard."""
        self._copy(self.current_text())

    def copy_path(self) -> None:
        """Put the path of the current line on the clipboard, as in `$.items[3].name`."""
        self._copy(self.values.node(self.currentIndex()).path())

    def _copy(self, text: str) -> None:
        QGuiApplication.clipboard().setText(text)
        self.copied.emit(text)

    def _apply_theme(self) -> None:
        self.setFont(theme().font("mono"))
        self.setIndentation(theme().px(tokens.SPACE_4))

    def _menu(self, at: QPoint) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.add_copy_actions(menu)
        menu.addSeparator()
        menu.addAction(self.tr("Expand all below"), QKeySequence("*"), self.expand_below)
        menu.popup(self.viewport().mapToGlobal(at))

    def add_copy_actions(self, menu: QMenu) -> None:
        """Add to a menu what can be copied of the current line."""
        menu.addAction(self.tr("Copy value"), QKeySequence(QKeySequence.StandardKey.Copy), self.copy_value)
        menu.addAction(self.tr("Copy as JSON"), self.copy_json)
        menu.addAction(self.tr("Copy path"), self.copy_path)

    def expand_below(self) -> None:
        """Open what is below the current line, the nearest first, up to a bound."""
        # With a layout due, a line is only marked as open. A layout for each costs time by its depth: seconds in all.
        self.scheduleDelayedItemsLayout()
        waiting, left = [self.currentIndex()], OPENED_LINES
        while waiting and left > 0:
            index = waiting.pop(0)
            if not self.values.rowCount(index):
                self.values.fetchMore(index)
            self.expand(index)
            rows = min(self.values.rowCount(index), left)
            left -= rows
            children = (self.values.index(row, 0, index) for row in range(rows))
            waiting.extend(child for child in children if self.values.hasChildren(child))

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy_value()
        elif event.key() == Qt.Key.Key_Asterisk:
            self.expand_below()
        elif event.key() == Qt.Key.Key_Menu or (
            event.key() == Qt.Key.Key_F10 and event.modifiers() == Qt.KeyboardModifier.ShiftModifier
        ):
            self._menu(self.visualRect(self.currentIndex()).bottomLeft())
        elif event.key() == Qt.Key.Key_Escape:
            event.ignore()
        else:
            super().keyPressEvent(event)


def _shown(node: _Node) -> str:
    value = node.value
    if isinstance(value, dict):
        return _tr("1 field") if len(value) == 1 else _tr("%n fields", len(value))
    if isinstance(value, list | tuple):
        return _tr("1 item") if len(value) == 1 else _tr("%n items", len(value))
    if isinstance(value, str):
        cut = value[:SHOWN_CHARACTERS]
        return revealed(json.dumps(cut, ensure_ascii=False)) + ("…" if len(value) > SHOWN_CHARACTERS else "")
    # Python refuses to write integers of more than 4,300 digits.
    return str(value)[:SHOWN_CHARACTERS] if isinstance(value, Decimal) else _scalar(value)


def _scalar(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)[:SHOWN_CHARACTERS]
    except ValueError:
        return f"{value:#x}"[:SHOWN_CHARACTERS]


def _written(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _tone(value: Any) -> str:
    if value is None or isinstance(value, dict | list | tuple):
        return "muted"
    if isinstance(value, bool):
        return "accent"
    return "info" if isinstance(value, int | float | Decimal) else "good"


def _tr(text: str, n: int = -1) -> str:
    return QCoreApplication.translate("JsonTree", text, None, n)
