"""FilterPopup: a filter above a list of choices, as a popup below a control; and the model of such a list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPoint,
    QSize,
    Qt,
)
from PySide6.QtWidgets import QFrame, QListView, QVBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.fields import FilterField
from app.ui.widgets.guard import guarded
from app.ui.widgets.tips import plain_tip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
AnyIndex = QModelIndex | QPersistentModelIndex


class ChoiceRows(QAbstractListModel, Generic[T]):
    """The choices that are shown. `text` is asked only for those in view."""

    def __init__(self, text: Callable[[T], str], parent: QObject) -> None:
        super().__init__(parent)
        self._text = text
        self.rows: Sequence[T] = ()

    def put(self, rows: Sequence[T]) -> None:
        """Show these. What is only added at the end moves nothing."""
        former = len(self.rows)
        if len(rows) > former and list(rows[:former]) == list(self.rows):
            self.beginInsertRows(QModelIndex(), former, len(rows) - 1)
            self.rows = rows
            self.endInsertRows()
        elif list(rows) != list(self.rows):
            self.beginResetModel()
            self.rows = rows
            self.endResetModel()

    def rowCount(self, parent: AnyIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    @guarded()
    def data(self, index: AnyIndex, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return self._text(self.rows[index.row()])
            case Qt.ItemDataRole.ToolTipRole:
                return plain_tip(self._text(self.rows[index.row()]))
            case Qt.ItemDataRole.SizeHintRole:
                return QSize(0, theme().px(tokens.ROW_DENSE))
            case _:
                return None


class FilterPopup(QFrame, Generic[T]):
    """The keyboard stays in the filter: arrows move the current choice, Enter takes it, Escape closes.

    Whoever derives from it names the filter, and says what typing does (`_typed`) and what is taken (`_take`).
    """

    # How many choices it shows at most.
    ROWS = 10

    def __init__(self, model: ChoiceRows[T], name: str, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setProperty("card", "true")
        model.setParent(self)
        self._model = model
        self.filter = FilterField("")
        # Each key at once: Enter right after a key must not choose what the key has just filtered out.
        self.filter.textChanged.connect(self._typed)
        self.filter.installEventFilter(self)
        self.list = QListView()
        self.list.setAccessibleName(name)
        self.list.setModel(model)
        self.list.setUniformItemSizes(True)
        self.list.setEditTriggers(QListView.EditTrigger.NoEditTriggers)
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.clicked.connect(lambda index: self._take(index.row()))
        self.box = QVBoxLayout(self)
        edge = theme().px(tokens.SPACE_1)
        self.box.setContentsMargins(edge, edge, edge, edge)
        self.box.setSpacing(edge)
        self.box.addWidget(self.filter)
        self.box.addWidget(self.list)

    @property
    def row(self) -> int:
        """The row of the current choice, -1 without one."""
        return self.list.currentIndex().row()

    def choose_row(self, row: int) -> None:
        """Make a choice the current one."""
        self.list.setCurrentIndex(self._model.index(row))

    def _show_below(self, control: QWidget, rows: int, least_width: int) -> None:
        """Show it below a control, or above where there is no room, with the focus in the filter."""
        row = max(self.list.sizeHintForRow(0), theme().px(tokens.ROW_DENSE))
        self.list.setFixedHeight(row * rows + 2)
        self.setFixedWidth(max(control.width(), theme().px(least_width)))
        self.adjustSize()
        at = control.mapToGlobal(QPoint(0, control.height()))
        room = control.screen().availableGeometry()
        if at.y() + self.height() > room.bottom():
            at = control.mapToGlobal(QPoint(0, -self.height()))
        self.move(max(room.left(), min(at.x(), room.right() - self.width())), max(room.top(), at.y()))
        self.show()
        self.filter.setFocus(Qt.FocusReason.PopupFocusReason)

    @guarded(default=False)
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() != QEvent.Type.KeyPress:
            return False
        key: Qt.Key = event.key()  # type: ignore[attr-defined] # the type says that it is a key
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            modifiers: Qt.KeyboardModifier = event.modifiers()  # type: ignore[attr-defined] # as above
            if not modifiers & ~Qt.KeyboardModifier.KeypadModifier:
                self._take(self.row)
            return True
        page = self.ROWS
        steps = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1, Qt.Key.Key_PageDown: page, Qt.Key.Key_PageUp: -page}
        if key in steps:
            last = len(self._model.rows) - 1
            if last >= 0:
                row = min(max(self.row + steps[key], 0), last)
                self.choose_row(row)
                self._moved(row)
            return True
        if key == Qt.Key.Key_Escape and not self.filter.text():
            self.close()
            return True
        return False

    def _typed(self, text: str) -> None:
        """The text of the filter is another one."""

    def _moved(self, row: int) -> None:
        """A key made the choice of a row the current one."""

    def _take(self, row: int) -> None:
        """Choose what is shown in a row, and close. There may be no such row."""
