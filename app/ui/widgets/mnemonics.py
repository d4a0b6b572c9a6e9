"""The letters that Alt leads to are underlined while Alt is held. `show_mnemonics(window)` once a top-level window.

A style could answer this for all of Qt. One in Python would cost 3 µs for each of the thousands of questions that a
window asks its style, so the few widgets with such letters paint them with `mnemonic_flag` instead.
"""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QWidget

from app.ui.widgets.guard import guarded

_held = False


def mnemonic_flag() -> Qt.TextFlag:
    """How to paint a text whose `&` marks a letter."""
    return Qt.TextFlag.TextShowMnemonic if _held else Qt.TextFlag.TextHideMnemonic


class AltWatch(QObject):
    """Follows the Alt key in a window, and repaints what is in it when that changes."""

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window = window
        window.installEventFilter(self)

    @guarded(default=False)
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        kind = event.type()
        if watched is self._window:
            handle = self._window.windowHandle()
            if kind == QEvent.Type.Show and handle is not None:
                # Keys reach the window of the platform first, whichever widget has the focus.
                handle.installEventFilter(self)
            elif kind == QEvent.Type.WindowDeactivate:
                self._hold(False)
        elif isinstance(event, QKeyEvent) and event.key() == Qt.Key.Key_Alt:
            self._hold(kind == QEvent.Type.KeyPress)
        return False

    def _hold(self, held: bool) -> None:
        global _held
        if held != _held:
            _held = held
            for widget in self._window.findChildren(QWidget):
                if widget.isVisible():
                    widget.update()


def show_mnemonics(window: QWidget) -> AltWatch:
    """Underline the letters of a window while Alt is held in it."""
    return AltWatch(window)
