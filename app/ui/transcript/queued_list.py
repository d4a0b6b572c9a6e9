"""QueuedList: messages that wait for the turn to end, in the order in which they are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.transcript.shown_text import one_line
from app.ui.widgets.buttons import IconButton, QuietButton
from app.ui.widgets.feedback import Glyph
from app.ui.widgets.text import ElidedLabel, Text

if TYPE_CHECKING:
    from collections.abc import Sequence

# More are counted.
SHOWN = 5


class QueuedText(Protocol):
    """A message that waits. `state` is `waiting`, `sending` or `unknown`; `error` says why it was not sent."""

    @property
    def id(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def files(self) -> Sequence[object]: ...


class QueuedList(QWidget):
    """`edit_wanted(id)`, `remove_wanted(id)`, `now_wanted(id)`. Hidden without messages."""

    edit_wanted = Signal(str)
    remove_wanted = Signal(str)
    now_wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setVisible(False)
        self.setAccessibleName(self.tr("Messages that wait"))
        self._rows: dict[str, _QueuedRow] = {}
        self.title = Text("", "caption", "muted")
        self._box = QVBoxLayout(self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(theme().px(2))
        self._box.addWidget(self.title)
        self._rest = Text("", "caption", "muted")
        self._box.addWidget(self._rest)

    def show_messages(self, messages: Sequence[QueuedText], *, steers: bool = False) -> None:
        """Show these. Rows that stay keep the focus. `steers`: one can be sent while the turn goes on."""
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
        self.title.setText(self.tr("Sent when the agent has finished its turn"))
        rest = len(messages) - len(shown)
        self._rest.setText(self.tr("and {0} more").format(rest))
        self._rest.setVisible(rest > 0)
        self.setVisible(bool(messages))


class _QueuedRow(QWidget):
    def __init__(self, queued: QueuedList, key: str) -> None:
        super().__init__()
        current = theme()
        self.words = ElidedLabel("", mode=Qt.TextElideMode.ElideRight)
        self.now = QuietButton(queued.tr("Send now"), kind="flat", clicked=lambda: queued.now_wanted.emit(key))
        self.now.setToolTip(queued.tr("The agent reads it while it works"))
        self.edit = IconButton(queued.tr("Edit message"), "edit", clicked=lambda: queued.edit_wanted.emit(key))
        self.remove = IconButton(queued.tr("Remove message"), "cross", clicked=lambda: queued.remove_wanted.emit(key))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(current.px(tokens.SPACE_1))
        row.addWidget(Glyph("clock", "muted"))
        row.addSpacing(current.px(tokens.SPACE_1))
        row.addWidget(self.words, 1)
        for button in (self.now, self.edit, self.remove):
            row.addWidget(button)

    def show_message(self, message: QueuedText, *, steers: bool) -> None:
        line = one_line(message.text)
        files = len(message.files)
        if files:
            count = self.tr("1 file") if files == 1 else self.tr("{0} files").format(files)
            line = f"{line}  ·  {count}"
        self.words.setText(line)
        self.now.setVisible(steers)
        self.setAccessibleName(line)
        for button in (self.now, self.edit, self.remove):
            button.setAccessibleDescription(line)
