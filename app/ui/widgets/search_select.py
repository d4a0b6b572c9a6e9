"""A drop-down list for many choices, whose popup has a filter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPoint,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtWidgets import QComboBox, QFrame, QListView, QVBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.choices import Select, typed
from app.ui.widgets.fields import FilterField
from app.ui.widgets.guard import guarded
from app.ui.widgets.text import Text
from app.ui.widgets.tips import plain_tip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtGui import QKeyEvent

ROWS = 10
AnyIndex = QModelIndex | QPersistentModelIndex


class SearchSelect(Select):
    """A `Select` whose popup is filtered by typing. What is chosen is a place in the list, never a text.

    Typing opens the popup. Nothing is chosen before Enter or a click. `text(place)` is asked only for what is shown.
    """

    WIDTH = 360

    def __init__(
        self, name: str, count: int, text: Callable[[int], str], placeholder: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(name, parent=parent)
        self.setPlaceholderText(placeholder)
        # A drop-down list lays out its own view, although the popup is another, whenever it gets a font or a style.
        view = QListView()
        view.setUniformItemSizes(True)
        view.setLayoutMode(QListView.LayoutMode.Batched)
        self.setView(view)
        choices = _Choices(text, self)
        self.setModel(choices)
        # Only now: a drop-down list chooses the first entry that its model has.
        choices.extend(count)

    def sizeHint(self) -> QSize:
        # By itself a drop-down list looks at each of its entries.
        return QSize(theme().px(self.WIDTH), theme().px(tokens.CONTROL))

    def minimumSizeHint(self) -> QSize:
        return QSize(theme().px(self.WIDTH // 3), theme().px(tokens.CONTROL))

    @guarded()
    def showPopup(self) -> None:
        self._open("")

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        text = typed(event)
        if text:
            self._open(text)
        else:
            super().keyPressEvent(event)

    def _open(self, text: str) -> None:
        popup = ChoicePopup(self.count(), self.itemText, self.accessibleName(), self)
        popup.chosen.connect(self._choose)
        popup.open_below(self, self.currentIndex(), text)

    def _choose(self, place: int) -> None:
        self.setCurrentIndex(place)
        self.activated.emit(place)
        self.setFocus(Qt.FocusReason.PopupFocusReason)


class ChoicePopup(QFrame):
    """A filter above the choices that match it. `chosen(place)` counts in the whole list."""

    chosen = Signal(int)

    def __init__(self, count: int, text: Callable[[int], str], name: str, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setProperty("card", "true")
        current = theme()
        self._count, self._text = count, text
        self._model = _Choices(text, self)
        self._model.extend(count)
        self.filter = FilterField(self.tr("Filter"))
        self.filter.setAccessibleName(self.tr("Filter the choices of {0}").format(name))
        # Each key at once: Enter right after a key must not choose what the key has just filtered out.
        self.filter.textChanged.connect(self._filter)
        self.filter.installEventFilter(self)
        self.list = QListView()
        self.list.setAccessibleName(name)
        self.list.setModel(self._model)
        self.list.setUniformItemSizes(True)
        self.list.setEditTriggers(QListView.EditTrigger.NoEditTriggers)
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.clicked.connect(lambda index: self._take(index.row()))
        self._none = Text(self.tr("No choice matches"), tone="muted")
        self._none.setVisible(False)
        box = QVBoxLayout(self)
        edge = current.px(tokens.SPACE_1)
        box.setContentsMargins(edge, edge, edge, edge)
        box.setSpacing(edge)
        box.addWidget(self.filter)
        box.addWidget(self.list)
        box.addWidget(self._none)

    def open_below(self, control: QWidget, place: int, text: str) -> None:
        """Show the popup below a control, with the choice at `place` as the current one."""
        row = max(self.list.sizeHintForRow(0), theme().px(tokens.ROW_DENSE))
        self.list.setFixedHeight(row * min(ROWS, max(1, self._count)) + 2)
        self.setFixedWidth(max(control.width(), theme().px(240)))
        self.adjustSize()
        at = control.mapToGlobal(QPoint(0, control.height()))
        room = control.screen().availableGeometry()
        if at.y() + self.height() > room.bottom():
            at = control.mapToGlobal(QPoint(0, -self.height()))
        self.move(max(room.left(), min(at.x(), room.right() - self.width())), max(room.top(), at.y()))
        self.show()
        self.filter.setFocus(Qt.FocusReason.PopupFocusReason)
        self._mark(place)
        if text:
            self.filter.setText(text)

    def texts(self) -> list[str]:
        """The choices that are shown."""
        return [self._text(place) for place in self._model.places]

    @guarded(default=False)
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() != QEvent.Type.KeyPress:
            return False
        key: Qt.Key = event.key()  # type: ignore[attr-defined] # the type says that it is a key
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            modifiers: Qt.KeyboardModifier = event.modifiers()  # type: ignore[attr-defined] # as above
            if modifiers & ~Qt.KeyboardModifier.KeypadModifier:
                return True
            self._take(self.list.currentIndex().row())
            return True
        if key in (Qt.Key.Key_Down, Qt.Key.Key_Up, Qt.Key.Key_PageDown, Qt.Key.Key_PageUp):
            by = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1, Qt.Key.Key_PageDown: ROWS, Qt.Key.Key_PageUp: -ROWS}[key]
            last = len(self._model.places) - 1
            if last >= 0:
                row = min(max(self.list.currentIndex().row() + by, 0), last)
                self.list.setCurrentIndex(self._model.index(row))
            return True
        if key == Qt.Key.Key_Escape and not self.filter.text():
            self.close()
            return True
        return False

    def _filter(self, text: str) -> None:
        wanted = text.strip().casefold()
        current = self.list.currentIndex().row()
        place = self._model.places[current] if 0 <= current < len(self._model.places) else -1
        self._model.keep([n for n in range(self._count) if wanted in self._text(n).casefold()])
        self._mark(place)
        self._none.setVisible(not self._model.places)

    def _mark(self, place: int) -> None:
        """Make the choice at a place the current one, or the first that is shown."""
        places = self._model.places
        row = places.index(place) if place in places else 0
        if places:
            self.list.setCurrentIndex(self._model.index(row))

    def _take(self, row: int) -> None:
        if 0 <= row < len(self._model.places):
            place = self._model.places[row]
            self.close()
            self.chosen.emit(place)


class _Choices(QAbstractListModel):
    """The choices that match, as places in the whole list."""

    def __init__(self, text: Callable[[int], str], parent: QObject) -> None:
        super().__init__(parent)
        self._text = text
        self.places: Sequence[int] = ()

    def extend(self, count: int) -> None:
        """Have the choices from the first to `count`."""
        if count:
            self.beginInsertRows(QModelIndex(), 0, count - 1)
            self.places = range(count)
            self.endInsertRows()

    def keep(self, places: list[int]) -> None:
        self.beginResetModel()
        self.places = places
        self.endResetModel()

    def rowCount(self, parent: AnyIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self.places)

    @guarded()
    def data(self, index: AnyIndex, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return self._text(self.places[index.row()])
            case Qt.ItemDataRole.ToolTipRole:
                return plain_tip(self._text(self.places[index.row()]))
            case Qt.ItemDataRole.SizeHintRole:
                return QSize(0, theme().px(tokens.ROW_DENSE))
            case _:
                return None


def fit_to_contents(select: QComboBox) -> None:
    """Limit the width of a drop-down list, whose choices may be of any length."""
    select.setMaximumWidth(theme().px(360))
    select.setMinimumContentsLength(12)
    select.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
