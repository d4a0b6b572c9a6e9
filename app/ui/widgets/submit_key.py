"""Ctrl+Enter, which submits a form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication

if TYPE_CHECKING:
    from PySide6.QtGui import QKeyEvent


def is_submit(event: QKeyEvent) -> bool:
    """Whether this is Ctrl+Enter, with either Enter key. A held key submits once."""
    modifiers = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
    enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
    return enter and modifiers == Qt.KeyboardModifier.ControlModifier and not event.isAutoRepeat()


def commit_composition() -> None:
    """Take over what an input method is still composing: a form that is read before that lacks the last words.

    To be called before the fields are read, and while the field has the focus.
    """
    QGuiApplication.inputMethod().commit()
