"""A tree over a JSON value. Nodes are made when they are opened, so a result of any size is shown at once."""

from __future__ import annotations

import json
from typing import Any

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

from app.ui.theme import theme, tokens
from app.ui.widgets.guard import guarded

Index = QModelIndex | QPersistentModelIndex

FETCH = 500
SHOWN_CHARACTERS = 300


class _Node:
    __slots__ = ("children", "fetched", "key", "parent", "place", "value")

    def __init__(self, parent: _Node | None, place: int, key: str, value: Any) -> None:
        self.parent, self.place, self.key, self.value = parent, place, key, value
        self.children: list[_Node] = []
        self.fetched = 0

    def total(self) -> int:
        return len(self.value) if isinstance(self.value, dict | list | tuple) else 0

    def fetch(self, count: int) -> None:
        value = self.value
        names = list(value)[self.fetched : self.fetched + count] if isinstance(value, dict) else None
        for step in range(min(count, self.total() - self.fetched)):
            number = self.fetched + step
            key, child = (str(names[step]), value[names[step]]) if names is not None else (str(number), value[number])
            self.children.append(_Node(self, number, key, child))
        self.fetched = len(self.children)

    def path(self) -> str:
        """As in `$.items[3].name`."""
        if self.parent is None:
            return "$"
        before = self.parent.path()
        if isinstance(self.parent.value, dict):
            return f"{before}.{self.key}" if self.key.isidentifier() else f"{before}[{json.dumps(self.key)}]"
        return f"{before}[{self.key}]"


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
            return node.key if index.column() == 0 else _shown(node)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{node.key}: {_shown(node)}"
        if role == Qt.ItemDataRole.ForegroundRole:
            return QColor(theme().colour("muted" if index.column() == 0 else _tone(node.value)))
        if role == Qt.ItemDataRole.ToolTipRole and index.column() == 1 and isinstance(node.value, str):
            return node.value[:2000] if len(node.value) > SHOWN_CHARACTERS else None
        return None


class _LineDelegate(QStyledItemDelegate):
    @guarded(default=QSize(40, tokens.ROW_DENSE))
    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(super().sizeHint(option, index).width(), theme().px(tokens.ROW_DENSE))


class JsonTree(QTreeView):
    """A JSON value as a tree: arrows open and close, Ctrl+C copies the value of the current line.

    Emits `copied(text)` after something was put on the clipboard.
    """

    copied = Signal(str)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
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
        """The current line's value: strings as they are, everything else as JSON."""
        node = self.values.node(self.currentIndex())
        return node.value if isinstance(node.value, str) else json.dumps(node.value, indent=2, ensure_ascii=False)

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
        menu.addAction(self.tr("Copy value"), self.copy_value)
        menu.addAction(self.tr("Copy path"), self.copy_path)
        menu.addSeparator()
        menu.addAction(self.tr("Expand all below"), lambda: self.expandRecursively(self.currentIndex(), 8))
        menu.popup(self.viewport().mapToGlobal(at))

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy_value()
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
        return json.dumps(cut, ensure_ascii=False) + ("…" if len(value) > SHOWN_CHARACTERS else "")
    return json.dumps(value, ensure_ascii=False, default=str)


def _tone(value: Any) -> str:
    if value is None or isinstance(value, dict | list | tuple):
        return "muted"
    if isinstance(value, bool):
        return "accent"
    return "info" if isinstance(value, int | float) else "good"


def _tr(text: str, n: int = -1) -> str:
    return QCoreApplication.translate("JsonTree", text, None, n)
