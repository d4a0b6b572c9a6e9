"""The port of the proxy, and what changing it means for the clients that were set up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.fields import FieldError
from app.ui.widgets.guard import guarded
from app.ui.widgets.line_edit import LineEdit
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from PySide6.QtGui import QKeyEvent

    from app.ui.widgets.question import InlineQuestion

# Below 1024 a program needs a privilege (RFC 6335, section 6).
LEAST, MOST = 1024, 65535
FIELD = 96


class PortForm(QWidget):
    """Emits `port_wanted(int)` once the user has said yes to what it means. `question` is where the page asks."""

    port_wanted = Signal(int)

    def __init__(self, question: InlineQuestion, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.question = question
        self._port = 0
        current = theme()
        self.edit = LineEdit()
        self.edit.setAccessibleName(self.tr("Port"))
        self.edit.setMaxLength(5)
        self.edit.returnPressed.connect(self.submit)
        self.edit.textEdited.connect(lambda _text: self._typed())
        self.change = QuietButton(self.tr("Change"), clicked=self.submit)
        self.change.setAccessibleName(self.tr("Change the port"))
        self.error = FieldError(self.edit)
        caption = Text(self.tr("Port"), "strong")
        caption.setBuddy(self.edit)
        words = self.tr("Clients that were set up have the port in their settings. After a change, set each up again.")
        line = QHBoxLayout()
        line.setSpacing(current.px(tokens.SPACE_2))
        line.addWidget(self.edit)
        line.addWidget(self.change)
        line.addStretch()
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(current.px(tokens.SPACE_1))
        box.addWidget(caption)
        box.addLayout(line)
        box.addWidget(Text(words, "caption", "muted", wrap=True))
        box.addWidget(self.error)
        self._fit()
        theme().changed.connect(self._fit)

    @property
    def typed(self) -> str:
        """What was typed and not put in force; empty if nothing."""
        text = self.edit.text().strip()
        return text if text and text != str(self._port) else ""

    def show_port(self, port: int) -> None:
        """Show the port in force; what is being typed stays."""
        if port != self._port:
            if not self.typed or self.typed == str(port):
                self.edit.setText(str(port) if port else "")
            self._port = port
            self.question.withdraw()
        self.change.setEnabled(bool(self.typed))

    def take_focus(self) -> None:
        """Put the focus on the port, all of it selected."""
        self.edit.setFocus(Qt.FocusReason.OtherFocusReason)
        self.edit.selectAll()

    def submit(self) -> None:
        """Check the port, then ask."""
        text = self.typed
        if not text:
            return
        port = int(text) if text.isascii() and text.isdecimal() else 0
        if not LEAST <= port <= MOST:
            self.error.say(self.tr("Enter a number from {0} to {1}.").format(LEAST, MOST))
            return
        self.error.say("")
        words = self.tr("Serve on port {0}? Every client that was set up has to be set up again.").format(port)
        self.question.ask(words, self.tr("Change port"), lambda: self.port_wanted.emit(port))

    def _typed(self) -> None:
        self.error.say("")
        self.question.withdraw()
        self.change.setEnabled(bool(self.typed))

    def _fit(self) -> None:
        self.edit.setFixedWidth(theme().px(FIELD))

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self.typed:
            self.edit.setText(str(self._port))
            self._typed()
        else:
            super().keyPressEvent(event)
