"""QueuedList: messages that wait for the turn to end, in the order in which they are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import QBoxLayout, QHBoxLayout, QVBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.theme.state import State, by_name
from app.ui.transcript.shown_text import one_line
from app.ui.translation import marked, translate
from app.ui.widgets.accessible_roles import give_role
from app.ui.widgets.buttons import IconButton, QuietButton
from app.ui.widgets.feedback import Glyph
from app.ui.widgets.guard import guarded
from app.ui.widgets.text import ElidedLabel, Text
from app.ui.widgets.tips import plain_tip

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from PySide6.QtGui import QResizeEvent

    from app.ui.widgets.feedback import DisplayableError

# More are counted.
SHOWN = 5
# Narrower than this, in pixels of the design, buttons stand below a message whose state has a word.
BESIDE = 420


# The glyph of a state and what it says of itself; those that wait need no word.
STATES: Mapping[str, State] = {
    "waiting": State("clock", "", "muted"),
    "sending": State("clock", marked("State", "Sending…"), "info"),
    "sent": State("check", marked("State", "Sent"), "muted"),
    "unknown": State("question", marked("State", "Sent, outcome unknown"), "attention"),
    "refused": State("warning", marked("State", "Not sent"), "bad"),
}
# What can be done with a message in a state.
CHANGED, REMOVED, AGAIN = (
    frozenset({"waiting", "refused"}),
    frozenset({"waiting", "unknown", "refused"}),
    frozenset({"unknown", "refused"}),
)
# Why messages wait, by `core.runs.queued.Hold`.
HOLDS: Mapping[str, str] = {
    "offline": marked("Transcript", "Sent when there is a connection again"),
    "sign_in": marked("Transcript", "Sent when you have signed in again"),
    "connecting": marked("Transcript", "Sent as soon as the run is reached"),
    "starting": marked("Transcript", "Sent as soon as the agent has started"),
    "turn": marked("Transcript", "Sent when the agent has finished its turn"),
    "unsent": marked("Transcript", "An earlier message needs you"),
    "never_started": marked("Transcript", "Not sent: the run failed before its agent had started. Run the task again."),
    "later_run": marked("Transcript", "Sent in the later run of this task"),
    "trouble": marked("Transcript", "Not sent yet: the server does not take it"),
}


class QueuedText(Protocol):
    """A message that waits. `state` is one of `STATES`; `error` says why it was not sent."""

    @property
    def id(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def files(self) -> Sequence[object]: ...
    @property
    def state(self) -> str: ...
    @property
    def error(self) -> DisplayableError | None: ...


class QueuedList(QWidget):
    """`edit_wanted(id)`, `remove_wanted(id)`, `now_wanted(id)`, `again_wanted(id)`. Hidden without messages."""

    edit_wanted = Signal(str)
    remove_wanted = Signal(str)
    now_wanted = Signal(str)
    again_wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setVisible(False)
        self.setAccessibleName(self.tr("Messages that wait"))
        give_role(self, QAccessible.Role.List)
        self._rows: dict[str, _QueuedRow] = {}
        self.title = Text("", "caption", "muted")
        self._box = QVBoxLayout(self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(theme().px(2))
        self._box.addWidget(self.title)
        self._rest = Text("", "caption", "muted")
        self._box.addWidget(self._rest)

    def show_messages(self, messages: Sequence[QueuedText], *, hold: str = "turn", steers: bool = False) -> None:
        """Show these; `hold` is why they wait. Rows that stay keep the focus.

        `steers`: one can be sent while the turn goes on.
        """
        shown = messages[:SHOWN]
        wanted = {message.id for message in shown}
        for key in [key for key in self._rows if key not in wanted]:
            gone = self._rows.pop(key)
            self._box.removeWidget(gone)
            gone.hide()
            gone.deleteLater()
        for place, message in enumerate(shown):
            row = self._rows.get(message.id)
            if row is None:
                row = self._rows[message.id] = _QueuedRow(self, message.id)
            self._box.insertWidget(place + 1, row)
            row.show_message(message, steers=steers)
            row.show()
        words = HOLDS.get(hold, "") if any(message.state in CHANGED for message in messages) else ""
        self.title.setText(translate("Transcript", words) if words else "")
        self.title.setVisible(bool(words))
        rest = len(messages) - len(shown)
        self._rest.setText(self.tr("and {0} more").format(rest))
        self._rest.setVisible(rest > 0)
        self.setVisible(bool(messages))


class _QueuedRow(QWidget):
    def __init__(self, queued: QueuedList, key: str) -> None:
        super().__init__()
        give_role(self, QAccessible.Role.ListItem)
        current = theme()
        self.words = ElidedLabel("", mode=Qt.TextElideMode.ElideRight)
        self.now = QuietButton(queued.tr("Send now"), kind="flat", clicked=lambda: queued.now_wanted.emit(key))
        self.now.setToolTip(queued.tr("The agent reads it while it works"))
        self.edit = IconButton(queued.tr("Edit message"), "edit", clicked=lambda: queued.edit_wanted.emit(key))
        self.remove = IconButton(queued.tr("Remove message"), "cross", clicked=lambda: queued.remove_wanted.emit(key))
        self.again = QuietButton(queued.tr("Send again"), kind="flat", clicked=lambda: queued.again_wanted.emit(key))
        self.glyph = Glyph("clock", "muted")
        self.state = Text("", "caption", "muted")
        self._row = row = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        row.setContentsMargins(0, 0, 0, 0)
        told, buttons = QHBoxLayout(), QHBoxLayout()
        for layout in (row, told, buttons):
            layout.setSpacing(current.px(tokens.SPACE_1))
        told.addWidget(self.glyph)
        told.addSpacing(current.px(tokens.SPACE_1))
        told.addWidget(self.words, 1)
        told.addWidget(self.state)
        buttons.addStretch()
        for button in (self.again, self.now, self.edit, self.remove):
            buttons.addWidget(button)
        row.addLayout(told, 1)
        row.addLayout(buttons)

    def show_message(self, message: QueuedText, *, steers: bool) -> None:
        line = one_line(message.text)
        files = len(message.files)
        if files:
            count = self.tr("1 file") if files == 1 else self.tr("{0} files").format(files)
            line = f"{line}  ·  {count}"
        state = by_name(STATES, message.state)
        self.words.setText(line)
        self.glyph.set_drawing(state.glyph, state.tone)
        why = message.error.cause if message.error is not None else ""
        self.state.setText(state.word)
        self.state.set_tone(state.tone)
        self.state.setToolTip(plain_tip(why))
        self.state.setVisible(bool(state.word))
        self.now.setVisible(steers and message.state == "waiting")
        self.again.setVisible(message.state in AGAIN)
        self.edit.setVisible(message.state in CHANGED)
        self.remove.setVisible(message.state in REMOVED)
        self._arrange()
        told = ", ".join(part for part in (line, state.word, why) if part)
        self.setAccessibleName(told)
        for button in (self.again, self.now, self.edit, self.remove):
            button.setAccessibleDescription(told)

    def _arrange(self) -> None:
        """Its buttons stand below where there is a word of its state and no room for both."""
        below = self.width() < theme().px(BESIDE) and not self.state.isHidden()
        way = QBoxLayout.Direction.TopToBottom if below else QBoxLayout.Direction.LeftToRight
        if self._row.direction() != way:
            self._row.setDirection(way)

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()
