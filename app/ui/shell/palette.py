"""The command palette: everything the window can do or show, found by a few letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtWidgets import QApplication, QFrame, QVBoxLayout, QWidget
from shiboken6 import isValid

from app.ui.shell.fuzzy import ranked
from app.ui.shell.keymap import native
from app.ui.theme import theme, tokens
from app.ui.widgets.guard import guarded
from app.ui.widgets.line_edit import LineEdit
from app.ui.widgets.lists import ListTable
from app.ui.widgets.rows import Row
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.ui.context import Command

WIDTH = 560
SHOWN_ROWS = 11


class Palette(QFrame):
    """An overlay at the top of the window: a field and the matches. Esc, a choice or losing the focus closes it."""

    def __init__(self, window: QWidget, commands: Callable[[], Sequence[Command]]) -> None:
        super().__init__(window)
        self.setVisible(False)
        self.setProperty("card", "true")
        self._commands = commands
        self._found: dict[str, Command] = {}
        self._all: list[Command] = []
        # The widget that had the focus, which gets it back.
        self._focused_before: QWidget | None = None
        self.field = LineEdit()
        self.field.setPlaceholderText(self.tr("Go to a task, a server, a command…"))
        self.field.setAccessibleName(self.tr("Palette"))
        self.field.textChanged.connect(lambda _text: self._show())
        self.field.installEventFilter(self)
        self.list = ListTable(self.tr("Matches"), type_ahead=False)
        # The field keeps the focus and passes the arrow keys on.
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.clicked.connect(lambda _index: self.run_current())
        self._nothing = Text(self.tr("No matches."), tone="muted")
        current = theme()
        self._box = box = QVBoxLayout(self)
        gap = current.px(tokens.SPACE_2)
        box.setContentsMargins(gap, gap, gap, gap)
        box.setSpacing(gap)
        box.addWidget(self.field)
        box.addWidget(self._nothing)
        box.addWidget(self.list)
        window.installEventFilter(self)
        app = QApplication.instance()
        if isinstance(app, QApplication):
            app.focusChanged.connect(self._focus_moved)

    def open(self, typed: str = "") -> None:
        """Open with the focus in the field."""
        if not self.isVisible():
            self._focused_before = QApplication.focusWidget()
        self._all = [command for command in self._commands() if command.enabled()]
        self.field.setText(typed)
        self._show()
        self._place()
        self.setVisible(True)
        self.raise_()
        self.field.setFocus(Qt.FocusReason.ShortcutFocusReason)
        # What the caller typed is the beginning of a query: the next key must not replace it.
        self.field.deselect()

    def close_back(self) -> None:
        """Close, and give the focus back to the widget that had it."""
        before, self._focused_before = self._focused_before, None
        had_focus = self.isAncestorOf(QApplication.focusWidget() or self)
        self.setVisible(False)
        # A place may have destroyed it while the palette was open.
        if had_focus and before is not None and isValid(before) and before.isVisible():
            before.setFocus(Qt.FocusReason.PopupFocusReason)

    def run_current(self) -> None:
        """Close, and run the selected command."""
        command = self._found.get(self.list.current_key() or "")
        # First: a command that puts the focus somewhere has the last word.
        self.close_back()
        if command is not None:
            command.run()

    def _show(self) -> None:
        found = ranked(self.field.text(), self._all, lambda command: f"{command.title} {command.group}")
        self._found = {command.id: command for command in found}
        self.list.set_rows(
            [
                Row(command.id, command.title, _beside(command), trailing=native(command.keys))
                for command in self._found.values()
            ]
        )
        self.list.select_first(quiet=True)
        self.list.verticalScrollBar().setValue(0)
        self.list.setVisible(bool(found))
        self._nothing.setVisible(not found)
        self._place()

    def _place(self) -> None:
        current = theme()
        window = self.parentWidget()
        if window is None:
            return
        rows = min(max(len(self._found), 1), SHOWN_ROWS)
        self.list.setFixedHeight(rows * self.list.row_height() + 2)
        width = min(current.px(WIDTH), window.width() - current.px(tokens.SPACE_6))
        height = self._box.sizeHint().height()
        self.setGeometry((window.width() - width) // 2, current.px(tokens.SPACE_6), width, height)

    @guarded()
    def _focus_moved(self, _old: QWidget | None, new: QWidget | None) -> None:
        # None: no widget of Burrow has the focus, and the palette waits. Else the user went elsewhere, to stay there.
        if self.isVisible() and new is not None and not self.isAncestorOf(new):
            self._focused_before = None
            self.setVisible(False)

    @guarded(default=False)
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.parentWidget() and event.type() == QEvent.Type.Resize and self.isVisible():
            self._place()
        if watched is self.field and event.type() == QEvent.Type.KeyPress:
            key = event.key()  # type: ignore[attr-defined]
            if key in (Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown):
                self._move({Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1, Qt.Key.Key_PageUp: -10}.get(key, 10))
                return True
            if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self.run_current()
                return True
            if key == Qt.Key.Key_Escape:
                self.close_back()
                return True
        return False

    def _move(self, step: int) -> None:
        count = self.list.rows.rowCount()
        if count:
            here = max(self.list.currentIndex().row(), 0)
            place = (here + step) % count if abs(step) == 1 else min(max(here + step, 0), count - 1)
            index = self.list.rows.index(place, 0)
            self.list.setCurrentIndex(index)
            self.list.scrollTo(index)


def _beside(command: Command) -> str:
    """The group of a command, unless its title begins with the same words."""
    return "" if command.title.casefold().startswith(command.group.casefold()) else command.group
