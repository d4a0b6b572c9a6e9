"""CommitBar: the message of a commit, and the button that makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import PrimaryButton
from app.ui.widgets.fields import FieldError
from app.ui.widgets.guard import guarded
from app.ui.widgets.text import Text
from app.ui.widgets.text_field import TextField

if TYPE_CHECKING:
    from PySide6.QtGui import QKeyEvent

ENTER = (Qt.Key.Key_Return, Qt.Key.Key_Enter)


class CommitBar(QWidget):
    """`committed(message)`: the person wants the kept files committed. `edited(message)` while it is typed."""

    committed = Signal(str)
    edited = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._kept = 0
        self._busy = False
        current = theme()
        self.message = TextField(self.tr("Commit message"), lines=1, most=6)
        self.message.setPlaceholderText(self.tr("Say in a line what changed"))
        self.message.edited.connect(lambda text: self._edited(str(text)))
        self.error = FieldError(self.message)
        self.button = PrimaryButton(self.tr("Commit"), "check", keys="Ctrl+Return", clicked=self.press)
        self.hint = Text(
            self.tr("Keep files to commit them. Nothing else is committed."), "caption", "muted", wrap=True
        )
        row = QHBoxLayout()
        row.setSpacing(current.px(tokens.SPACE_2))
        row.addWidget(self.message, 1)
        row.addWidget(self.button, 0, Qt.AlignmentFlag.AlignTop)
        box = QVBoxLayout(self)
        wide = current.px(tokens.SPACE_4)
        box.setContentsMargins(wide, current.px(tokens.SPACE_2), wide, current.px(tokens.SPACE_3))
        box.setSpacing(current.px(tokens.SPACE_1))
        box.addLayout(row)
        box.addWidget(self.error)
        box.addWidget(self.hint)

    def show_kept(self, number: int) -> None:
        """So many files would be committed."""
        self._kept = number
        words = {0: self.tr("Commit"), 1: self.tr("Commit 1 file")}
        self.button.setText(words.get(number, self.tr("Commit {0} files").format(number)))
        self.hint.setVisible(number == 0)
        if number:
            self.error.say("")
        self._enable()

    def show_busy(self, *, busy: bool) -> None:
        """Whether a commit is being made."""
        self._busy = busy
        self._enable()

    def show_message(self, text: str) -> None:
        """Show what was typed before, without `edited`."""
        if text != self.message.text():
            self.message.blockSignals(True)
            self.message.set_text(text)
            self.message.blockSignals(False)

    def press(self) -> None:
        """Commit, or say what is missing."""
        if self._busy:
            return
        if not self._kept:
            self.error.say(self.tr("Keep at least one file first."))
        elif not self.message.text().strip():
            self.error.say(self.tr("The commit has no message. Say in a line what changed."))
            self.message.setFocus(Qt.FocusReason.OtherFocusReason)
        else:
            self.error.say("")
            self.committed.emit(self.message.text())

    def _edited(self, text: str) -> None:
        self.error.say("")
        self.edited.emit(text)

    def _enable(self) -> None:
        self.button.set_main(self._kept > 0)
        self.button.setEnabled(not self._busy)

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        control = event.modifiers() & Qt.KeyboardModifier.ControlModifier
        if event.key() in ENTER and (control or self.message.hasFocus()) and not event.isAutoRepeat():
            self.press()
        else:
            super().keyPressEvent(event)
