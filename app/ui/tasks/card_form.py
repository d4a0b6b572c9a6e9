"""CardForm: a form in a card, below what it belongs to, until it is closed or has done its work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame

from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from PySide6.QtGui import QKeyEvent


class CardForm(QFrame):
    """Hidden until it is opened. Ctrl+Return submits it; `closed` after Esc or `close_now`."""

    closed = Signal()

    def close_now(self) -> None:
        """Hide it."""
        if not self.isHidden():
            self.setVisible(False)
            self.closed.emit()

    def _submit(self) -> None:
        raise NotImplementedError

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        plain = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if event.key() == Qt.Key.Key_Escape and plain == Qt.KeyboardModifier.NoModifier:
            self.close_now()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and plain == Qt.KeyboardModifier.ControlModifier:
            self._submit()
        else:
            super().keyPressEvent(event)
