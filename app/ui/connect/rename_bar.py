"""A bar with the name of a client, to be changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget
from shiboken6 import isValid

from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.fields import FieldError
from app.ui.widgets.focus_chain import holds_focus
from app.ui.widgets.guard import guarded
from app.ui.widgets.line_edit import LineEdit

if TYPE_CHECKING:
    from PySide6.QtGui import QKeyEvent

LONGEST_NAME = 100


class RenameBar(QFrame):
    """Hidden until `begin`. Emits `renamed(name)`. Esc changes nothing; the focus goes back to where it was."""

    renamed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setVisible(False)
        self.setProperty("bar", "info")
        self.setAccessibleName(self.tr("Rename the client"))
        self._name = ""
        self._back: QWidget | None = None
        self.edit = LineEdit()
        self.edit.setAccessibleName(self.tr("Name of the client"))
        self.edit.setMaxLength(LONGEST_NAME)
        self.error = FieldError(self.edit)
        self.edit.returnPressed.connect(self.submit)
        self.edit.textEdited.connect(lambda _text: self.error.say(""))
        current = theme()
        line = QHBoxLayout()
        line.setSpacing(current.px(tokens.SPACE_2))
        line.addWidget(self.edit, 1)
        line.addWidget(QuietButton(self.tr("Rename"), keys="Return", clicked=self.submit))
        line.addWidget(QuietButton(self.tr("Cancel"), keys="Esc", clicked=self.leave))
        box = QVBoxLayout(self)
        wide, gap = current.px(tokens.SPACE_4), current.px(tokens.SPACE_2)
        box.setContentsMargins(wide, gap, wide, gap)
        box.setSpacing(current.px(tokens.SPACE_1))
        box.addLayout(line)
        box.addWidget(self.error)

    @property
    def typed(self) -> str:
        """What was typed and not taken over yet; empty if nothing."""
        text = self.edit.text().strip()
        return text if not self.isHidden() and text != self._name else ""

    def begin(self, name: str) -> None:
        """Ask for another name."""
        if self.isHidden():
            self._back = self.window().focusWidget()
            self._name = name
            self.edit.setText(name)
            self.error.say("")
            self.setVisible(True)
        self.edit.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.edit.selectAll()

    def submit(self) -> None:
        """Take the name over."""
        name = " ".join(self.edit.text().split())
        if not name:
            self.error.say(self.tr("This field is required."))
            return
        changed = name != self._name
        self.leave()
        if changed:
            self.renamed.emit(name)

    def leave(self) -> None:
        """Change nothing."""
        if self.isHidden():
            return
        held = holds_focus(self)
        # Before it hides: Qt gives the focus of a hidden widget to any other one.
        if held and self._back is not None and isValid(self._back):
            self._back.setFocus(Qt.FocusReason.OtherFocusReason)
        self._back = None
        self.setVisible(False)

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.leave()
        else:
            super().keyPressEvent(event)
