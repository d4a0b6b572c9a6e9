"""Undo: what was done in the last seconds stands in one bar, and one button takes all of it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

UNDO_SECONDS = 8.0
NAME_LIMIT = 60


class UndoKind(NamedTuple):
    """How a kind of action is worded. `one` takes a name, `many` a number: `“{0}” deleted`, `{0} tasks deleted`."""

    one: str
    many: str


class Undoable(NamedTuple):
    """An action that can be undone.

    `subjects` has the id and the name of each thing that it changed. `undo` takes the action back. `settle` is called
    instead when the time to undo is over. An action is told apart from an equal one by identity.
    """

    kind: UndoKind
    subjects: Mapping[str, str]
    undo: Callable[[], None]
    settle: Callable[[], None] | None = None


class UndoBar(QFrame):
    """Names the actions that can still be undone. Hidden while there is none.

    An action that is added joins those in the bar, and the time starts again. It is longer, within a limit, while the
    bar has pointer or focus. `changed` when the actions changed, `expired` when the time was over.
    """

    EXTENSION_MS = 2000
    MOST_EXTENSIONS = 15

    changed = Signal()
    expired = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setVisible(False)
        self.setProperty("bar", "info")
        self._pending: list[Undoable] = []
        self._extensions = 0
        self._text = Text(wrap=True)
        self._button = QuietButton(self.tr("Undo"), keys="Ctrl+Z", clicked=self.undo)
        current = theme()
        row = QHBoxLayout(self)
        row.setContentsMargins(
            *(current.px(m) for m in (tokens.SPACE_4, tokens.SPACE_1, tokens.SPACE_2, tokens.SPACE_1))
        )
        row.addWidget(self._text, 1)
        row.addWidget(self._button)
        self._timer = QTimer(self, singleShot=True)
        self._timer.timeout.connect(self._end)

    @property
    def pending(self) -> tuple[Undoable, ...]:
        """The actions that `undo` would take back, the oldest first."""
        return tuple(self._pending)

    @property
    def open(self) -> bool:
        """Whether there is something to undo."""
        return bool(self._pending)

    @property
    def text(self) -> str:
        """What the bar says."""
        return self._text.text()

    def holds(self, kind: UndoKind) -> bool:
        """Whether an action of this kind can still be undone."""
        return any(action.kind == kind for action in self._pending)

    def add(self, action: Undoable, seconds: float = UNDO_SECONDS) -> None:
        """Name an action that was just done. All actions of the bar can be undone for `seconds` from now on."""
        self._pending.append(action)
        self._extensions = 0
        self._timer.start(round(seconds * 1000))
        self._show()

    def withdraw(self, action: Undoable) -> None:
        """Take an action out of the bar that did not take effect. It is neither undone nor settled."""
        kept = [each for each in self._pending if each is not action]
        if len(kept) != len(self._pending):
            self._pending = kept
            self._show()

    def undo(self) -> None:
        """Take back everything that the bar names, the latest action first."""
        for action in reversed(self._take()):
            action.undo()

    def settle(self) -> None:
        """End the time to undo now."""
        actions = self._take()
        for action in actions:
            if action.settle is not None:
                action.settle()
        if actions:
            self.expired.emit()

    def drop(self) -> None:
        """Forget the actions: they belong to something that is not shown any more."""
        self._take()

    def _take(self) -> list[Undoable]:
        # First: undoing an action may add another one.
        actions, self._pending = self._pending, []
        self._show()
        return actions

    def _show(self) -> None:
        if not self._pending:
            self._timer.stop()
        else:
            words = undo_words(self._pending)
            self._text.setText(words)
            self._button.setAccessibleName(self.tr("Undo: {0}").format(words))
        self.setVisible(self.open)
        self.changed.emit()

    def _end(self) -> None:
        if self._extensions < self.MOST_EXTENSIONS and (self.underMouse() or self._button.hasFocus()):
            self._extensions += 1
            self._timer.start(self.EXTENSION_MS)
        else:
            self.settle()


def undo_words(actions: list[Undoable]) -> str:
    """What was done, each kind once, in the order in which it first happened."""
    by_kind: dict[UndoKind, dict[str, str]] = {}
    for action in actions:
        by_kind.setdefault(action.kind, {}).update(action.subjects)
    parts = []
    for kind, subjects in by_kind.items():
        if len(subjects) == 1:
            (name,) = subjects.values()
            parts.append(kind.one.format(name if len(name) <= NAME_LIMIT else name[: NAME_LIMIT - 1] + "…"))
        else:
            parts.append(kind.many.format(len(subjects)))
    return ", ".join(parts)
