"""The popup of a drop-down list whose choices come in pages from somewhere else, which also searches them.

`ChoiceSource` says where from. What is wrong with it is said inside the popup, beside what is there already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPoint,
    QSize,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtWidgets import QFrame, QHBoxLayout, QListView, QVBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.announce import announce
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.fields import FilterField
from app.ui.widgets.guard import guarded
from app.ui.widgets.text import Text
from app.ui.widgets.tips import plain_tip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


ROWS = 8
# So many rows before the last one the next page is asked for.
AHEAD = 10
AnyIndex = QModelIndex | QPersistentModelIndex


class PagedChoice(NamedTuple):
    """One choice: what it is, and its words."""

    value: str
    text: str


class ChoicesPage(NamedTuple):
    """A part of the choices. `following` is the offset of the next part, None at the end.

    `note` is said below them, with a button for `action` (its words, what it does).
    """

    choices: Sequence[PagedChoice]
    following: int | None = None
    note: str = ""
    action: tuple[str, Callable[[], object]] | None = None


class ChoiceSource(Protocol):
    """Where choices come from. `owner` is who waits: with it the work ends; a later question replaces the earlier.

    `refreshable` says whether the list can be made anew where it comes from.
    """

    refreshable: bool

    def known(self) -> Sequence[PagedChoice]:
        """The choices that can be shown at once, before any answer."""

    def ask(
        self,
        owner: QObject,
        search: str,
        offset: int,
        done: Callable[[ChoicesPage], object],
        failed: Callable[[str], object],
    ) -> None:
        """Ask for the choices that match; one of `done` and `failed` (the cause) is called later."""

    def refresh(self, owner: QObject, done: Callable[[], object], failed: Callable[[str], object]) -> None:
        """Have the list made anew; one of `done` and `failed` (the cause) is called later."""


class PagedPopup(QFrame):
    """A filter above the choices of a source. `chosen(value, text)`."""

    chosen = Signal(str, str)

    def __init__(
        self,
        source: ChoiceSource,
        name: str,
        first: Sequence[PagedChoice],
        free: Callable[[str], bool] | None,
        parent: QWidget,
    ) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setProperty("card", "true")
        current = theme()
        self._source, self._first, self._free = source, first, free
        self._mark = ""
        self._asked = ""
        self._following: int | None = None
        self._busy = False
        # What the choices that are there were asked for with.
        self._loaded_for: str | None = None
        self._loaded: list[PagedChoice] = list(source.known())
        self._model = _Rows(self)
        self.filter = FilterField(self.tr("Search"))
        self.filter.setAccessibleName(self.tr("Search the choices of {0}").format(name))
        self.filter.installEventFilter(self)
        # Each key narrows what is there at once; the source is asked when typing has paused.
        self.filter.textChanged.connect(lambda _text: self._narrow())
        self.filter.changed.connect(self._search)
        self.list = QListView()
        self.list.setAccessibleName(name)
        self.list.setModel(self._model)
        self.list.setUniformItemSizes(True)
        self.list.setEditTriggers(QListView.EditTrigger.NoEditTriggers)
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.clicked.connect(lambda index: self._take(index.row()))
        self.list.verticalScrollBar().valueChanged.connect(lambda _value: self._more_if_near())
        self.state = Text(role="caption", tone="muted", wrap=True)
        self.again = QuietButton(self.tr("Try again"), kind="flat", clicked=self._repeat)
        self.refresh = QuietButton(self.tr("Refresh the list"), kind="flat", clicked=self._refresh)
        self._action: Callable[[], object] | None = None
        self.action = QuietButton("", kind="flat", clicked=self._act)
        for button in (self.again, self.refresh, self.action):
            button.setVisible(False)
        foot = QHBoxLayout()
        foot.setSpacing(current.px(tokens.SPACE_2))
        foot.addWidget(self.state, 1)
        foot.addWidget(self.again)
        foot.addWidget(self.refresh)
        foot.addWidget(self.action)
        box = QVBoxLayout(self)
        edge = current.px(tokens.SPACE_1)
        box.setContentsMargins(edge, edge, edge, edge)
        box.setSpacing(edge)
        box.addWidget(self.filter)
        box.addWidget(self.list)
        box.addLayout(foot)

    def open_below(self, control: QWidget, value: str, text: str) -> None:
        """Show the popup below a control, with `value` marked, and ask for the choices."""
        self._mark = value
        self.list.setFixedHeight(max(self.list.sizeHintForRow(0), theme().px(tokens.ROW_DENSE)) * ROWS + 2)
        self.setFixedWidth(max(control.width(), theme().px(300)))
        self.adjustSize()
        at = control.mapToGlobal(QPoint(0, control.height()))
        room = control.screen().availableGeometry()
        if at.y() + self.height() > room.bottom():
            at = control.mapToGlobal(QPoint(0, -self.height()))
        self.move(max(room.left(), min(at.x(), room.right() - self.width())), max(room.top(), at.y()))
        self.show()
        self.filter.setFocus(Qt.FocusReason.PopupFocusReason)
        if text:
            self.filter.set_text_quietly(text)
        self._narrow()
        self._search(text)

    def texts(self) -> list[str]:
        """The choices that are shown."""
        return [each.text for each in self._model.choices]

    @guarded(default=False)
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() != QEvent.Type.KeyPress:
            return False
        key: Qt.Key = event.key()  # type: ignore[attr-defined] # the type says that it is a key
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._take(self.list.currentIndex().row())
            return True
        steps = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1, Qt.Key.Key_PageDown: ROWS, Qt.Key.Key_PageUp: -ROWS}
        if key in steps:
            last = len(self._model.choices) - 1
            if last >= 0:
                row = min(max(self.list.currentIndex().row() + steps[key], 0), last)
                self.list.setCurrentIndex(self._model.index(row))
                self._mark = self._model.choices[row].value
                self._more_if_near()
            return True
        if key == Qt.Key.Key_Escape and not self.filter.text():
            self.close()
            return True
        return False

    def _search(self, text: str) -> None:
        """Ask for the choices that match, from the first."""
        self._asked = text.strip()
        self._ask(0)

    def _ask(self, offset: int) -> None:
        self._busy = True
        self._say(self.tr("Loading more…") if offset else self.tr("Loading…"))
        self._source.ask(self, self._asked, offset, lambda page: self._came(page, offset), self._failed)

    def _came(self, page: ChoicesPage, offset: int) -> None:
        self._busy = False
        self._following, self._loaded_for = page.following, self._asked
        self._loaded = [*self._loaded, *page.choices] if offset else list(page.choices)
        self._narrow()
        count = len(self._loaded)
        if not self._model.choices:
            said = self.tr("Nothing matches “{0}”").format(self._asked) if self._asked else self.tr("There is none")
        else:
            said = self.tr("{0} and more").format(count) if page.following is not None else page.note
        self._say(said)
        if page.action is not None:
            words, self._action = page.action
            self.action.setText(words)
            self.action.setVisible(True)
            # There is nothing yet to be made anew.
            self.refresh.setVisible(False)
        if not offset:
            announce(self.filter, said or self.tr("{0} choices").format(count))
        # What is shown may not fill the list, or the mark may be at its end.
        QTimer.singleShot(0, self, self._more_if_near)

    def _failed(self, cause: str) -> None:
        self._busy = False
        self._say(cause, trouble=True)

    def _repeat(self) -> None:
        self.filter.setFocus(Qt.FocusReason.OtherFocusReason)
        self._ask((self._following or 0) if self._loaded_for == self._asked else 0)

    def _refresh(self) -> None:
        self.filter.setFocus(Qt.FocusReason.OtherFocusReason)
        self._say(self.tr("Refreshing…"))
        self._source.refresh(self, lambda: self._search(self.filter.text()), self._failed)

    def _act(self) -> None:
        act = self._action
        self.close()
        if act is not None:
            act()

    def _say(self, words: str, *, trouble: bool = False) -> None:
        self.state.setText(words)
        self.state.set_tone("bad" if trouble else "muted")
        self.again.setVisible(trouble)
        self.action.setVisible(False)
        self.refresh.setVisible(self._source.refreshable and not trouble and not self._busy)

    def _narrow(self) -> None:
        """Show of what is there what matches what is typed; nothing that it excludes can be chosen any more."""
        wanted = self.filter.text().strip()
        folded = wanted.casefold()
        # The source knows what matches: it may find more than what contains the text.
        answered = wanted == self._loaded_for
        found = [each for each in self._first if folded in each.text.casefold()]
        found += [each for each in self._loaded if answered or folded in each.text.casefold()]
        shown = list({each.value: each for each in found}.values())
        if self._free is not None and wanted and self._free(wanted) and wanted not in {each.value for each in shown}:
            shown.append(PagedChoice(wanted, self.tr("Use “{0}”").format(wanted)))
        self._model.put(shown)
        row = next((number for number, each in enumerate(shown) if each.value == self._mark), 0)
        if shown:
            self.list.setCurrentIndex(self._model.index(row))

    def _more_if_near(self) -> None:
        bar = self.list.verticalScrollBar()
        near = bar.value() >= bar.maximum() - AHEAD or self.list.currentIndex().row() >= len(self._loaded) - AHEAD
        if near and self._following is not None and not self._busy and self.again.isHidden():
            self._ask(self._following)

    def _take(self, row: int) -> None:
        if 0 <= row < len(self._model.choices):
            value, text = self._model.choices[row]
            free = value if text != value and value == self.filter.text().strip() else text
            self.close()
            self.chosen.emit(value, free)


class _Rows(QAbstractListModel):
    """The choices that are shown."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.choices: Sequence[PagedChoice] = ()

    def put(self, choices: Sequence[PagedChoice]) -> None:
        """Show these. What is only added at the end moves nothing."""
        former = len(self.choices)
        if former and len(choices) > former and list(choices[:former]) == list(self.choices):
            self.beginInsertRows(QModelIndex(), former, len(choices) - 1)
            self.choices = choices
            self.endInsertRows()
        elif list(choices) != list(self.choices):
            self.beginResetModel()
            self.choices = choices
            self.endResetModel()

    def rowCount(self, parent: AnyIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self.choices)

    @guarded()
    def data(self, index: AnyIndex, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return self.choices[index.row()].text
            case Qt.ItemDataRole.ToolTipRole:
                return plain_tip(self.choices[index.row()].text)
            case Qt.ItemDataRole.SizeHintRole:
                return QSize(0, theme().px(tokens.ROW_DENSE))
            case _:
                return None
