"""ReplyField: where the person writes to the agent. Enter sends, Shift+Enter starts a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QTextCursor
from PySide6.QtWidgets import QBoxLayout, QHBoxLayout, QVBoxLayout, QWidget

from app.core.storage.attachments import encode
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import PrimaryButton, QuietButton
from app.ui.widgets.feedback import InlineCard
from app.ui.widgets.guard import guarded
from app.ui.widgets.submit_key import commit_composition
from app.ui.widgets.text import Text
from app.ui.widgets.text_field import TextField
from app.ui.widgets.tips import plain_tip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtCore import QMimeData, SignalInstance
    from PySide6.QtGui import QKeyEvent, QResizeEvent

    from app.core.storage.attachments import Attachment
    from app.ui.transcript.queued_list import QueuedText
    from app.ui.widgets.feedback import DisplayableError

MOST_LINES = 10
# Narrower than this, in pixels of the design, two buttons stand below the field.
BESIDE = 420


class FilesBox(Protocol):
    """A widget that has the files of a message. `changed` when the person added or removed one."""

    @property
    def changed(self) -> SignalInstance: ...

    @property
    def files(self) -> tuple[Attachment, ...]: ...

    def text(self) -> str:
        """The files, as they are stored."""

    def put(self, text: str) -> None:
        """Show what is stored."""

    def forget(self, files: Sequence[Attachment]) -> None:
        """They were sent. Others stay."""

    @property
    def copying(self) -> bool:
        """Whether files are being copied that are not in `files` yet."""

    def when_copied(self, work: Callable[[], object]) -> None:
        """Do something once they are; not at all if one could not be copied."""

    def takes(self, data: QMimeData) -> bool:
        """Whether data that is dropped or pasted is files or a picture."""

    def take(self, data: QMimeData) -> bool:
        """Add them; False if it is something else."""


class ReplyField(QWidget):
    """`send_wanted(text, now)`: with `now` while the turn goes on. `edited()`: the text changed by typing.

    A text stays until `sent`: it is never lost to an error.
    """

    send_wanted = Signal(str, bool)
    edited = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        current = theme()
        self._busy = self._steers = self._locked = self._sending = False
        self._setting = self._takes_files = False
        self.field = TextField(self.tr("Message to the agent"), lines=1, most=MOST_LINES)
        self.field.edited.connect(self._edited)
        self.send = PrimaryButton(self.tr("Send"), keys="Return", clicked=lambda: self._send(now=False))
        self.steer = QuietButton(self.tr("Send now"), keys="Ctrl+Return", clicked=lambda: self._send(now=True))
        self.steer.setToolTip(plain_tip(self.tr("The agent reads it while it works (Ctrl+Enter)")))
        self.card = InlineCard()
        self.note = Text("", "caption", "muted", wrap=True)
        self.note.setVisible(False)
        buttons = QHBoxLayout()
        buttons.addStretch()
        self._row = row = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        for layout in (buttons, row):
            layout.setSpacing(current.px(tokens.SPACE_2))
        for button in (self.steer, self.send):
            buttons.addWidget(button, 0, Qt.AlignmentFlag.AlignBottom)
        row.addWidget(self.field, 1)
        row.addLayout(buttons)
        self._files: FilesBox | None = None
        self._box = box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(current.px(tokens.SPACE_2))
        box.addWidget(self.card)
        box.addLayout(row)
        box.addWidget(self.note)
        self.show_turn(busy=False, steers=False)

    def show_files_box(self, taken: bool) -> None:
        """Whether a message can have files. Those that are there stay in view, to be removed."""
        self._takes_files = taken
        if self._files is not None:
            cast("QWidget", self._files).setVisible(taken or bool(self.files))

    def put_files(self, files: FilesBox) -> None:
        """Let messages have files, in this widget."""
        self._files = files
        self._box.addWidget(cast("QWidget", files))
        files.changed.connect(self._files_changed)
        self.field.attach = self

    def takes(self, data: QMimeData) -> bool:
        """Whether data is something that can be attached to the message."""
        return self._files is not None and self._takes_files and self.isVisible() and self._files.takes(data)

    def take(self, data: QMimeData) -> bool:
        """Attach what was dropped or pasted; False if it cannot be."""
        return self.takes(data) and self._files is not None and self._files.take(data)

    @property
    def files(self) -> tuple[Attachment, ...]:
        """The files of the message."""
        return self._files.files if self._files is not None else ()

    @property
    def stored_files(self) -> str:
        """The files of the message, as they are stored; empty for none."""
        return self._files.text() if self._files is not None else ""

    def set_files(self, stored: str) -> None:
        """Show the files of a draft."""
        if self._files is not None:
            self._files.put(stored)
        self._fit()

    @property
    def text(self) -> str:
        """What is typed."""
        return self.field.text()

    def set_text(self, text: str) -> None:
        """Put a text in its place: a draft, or a message that is edited."""
        self._setting = True
        self.field.set_text(text)
        self._setting = False
        self._fit()

    def show_turn(self, *, busy: bool, steers: bool) -> None:
        """Whether the agent works: then a message waits, or is sent at once with `steers`."""
        self._busy, self._steers = busy, steers
        self.send.setText(self.tr("Queue") if busy else self.tr("Send"))
        words = self.tr("Send when the turn has ended (Enter)") if busy else self.tr("Send (Enter)")
        self.send.setToolTip(plain_tip(words))
        self.field.setPlaceholderText(self.tr("Message for after this turn") if busy else self.tr("Message"))
        had_focus = self.steer.hasFocus()
        self.steer.setVisible(busy and steers)
        self._arrange()
        if had_focus and self.steer.isHidden():
            self.field.setFocus(Qt.FocusReason.OtherFocusReason)

    def show_ended(self, ended: bool) -> None:
        """Whether the run has ended: a message then begins another one that goes on with it."""
        if ended:
            self.send.setText(self.tr("Send"))
            self.send.setToolTip(plain_tip(self.tr("Starts another run that goes on where this one ended (Enter)")))
            self.field.setPlaceholderText(self.tr("Message: goes on in another run"))

    def set_busy(self, busy: bool) -> None:
        """Whether a message is being stored or sent. Its text stays until that is done."""
        self._sending = busy
        self._fit()

    def take_back(self, message: QueuedText | None) -> None:
        """Put a message that waited back into the field, before what is typed there; None: it was sent meanwhile."""
        if message is None:
            return
        self.set_text(f"{message.text}\n\n{self.text}" if self.text.strip() else message.text)
        if message.files:
            self.set_files(encode((*cast("tuple[Attachment, ...]", tuple(message.files)), *self.files)))
        self.edited.emit()
        self.focus()

    def show_trouble(self, error: DisplayableError) -> None:
        """Something else than sending did not work."""
        self.card.show_error(error)

    def lock(self, reason: str) -> None:
        """Nothing can be sent, and why. What is typed stays. An empty reason unlocks."""
        self.note.setText(reason)
        self.note.setVisible(bool(reason))
        self._locked = bool(reason)
        self._fit()

    def sent(self, text: str, files: Sequence[Attachment] = ()) -> None:
        """A message is on its way or queued: the field has what was typed and attached since then."""
        self.card.clear()
        self.set_busy(False)
        if text and self.text.startswith(text):
            self.set_text(self.text[len(text) :])
            self.field.moveCursor(QTextCursor.MoveOperation.End)
        if self._files is not None:
            self._files.forget(files)
        self._fit()
        self.edited.emit()

    def _files_changed(self) -> None:
        self._fit()
        self.edited.emit()

    def show_error(self, error: DisplayableError) -> None:
        """It was not sent. The text is still there."""
        self.set_busy(False)
        self.card.show_error(error, [(self.tr("Try again"), lambda: self._send(now=False))])

    def focus(self) -> None:
        """Put the focus into the field, at the end of the text."""
        self.field.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _edited(self, _text: object) -> None:
        self._fit()
        if not self._setting:
            self.edited.emit()

    def _fit(self) -> None:
        self.send.setEnabled(self._can_send)
        self.steer.setEnabled(self._can_send)

    @property
    def _can_send(self) -> bool:
        some = bool(self.text.strip() or self.files) or (self._files is not None and self._files.copying)
        return some and not self._locked and not self._sending

    def _send(self, *, now: bool) -> None:
        commit_composition()
        if not self._can_send:
            return
        self.card.clear()
        if self._files is not None:
            self._files.when_copied(lambda: self._send_all(now=now))
        else:
            self._send_all(now=now)

    def _send_all(self, *, now: bool) -> None:
        if self._can_send:
            self.send_wanted.emit(self.text, now)

    def _arrange(self) -> None:
        below = self.width() < theme().px(BESIDE) and not self.steer.isHidden()
        way = QBoxLayout.Direction.TopToBottom if below else QBoxLayout.Direction.LeftToRight
        if self._row.direction() != way:
            self._row.setDirection(way)

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.field.hasFocus():
            control = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
            if not event.isAutoRepeat():
                self._send(now=control and self._busy and self._steers)
        else:
            super().keyPressEvent(event)
