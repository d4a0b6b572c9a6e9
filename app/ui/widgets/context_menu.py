"""ContextMenu: the menu of a row, which shows the keys of each entry without binding them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QApplication, QMenu, QWidget

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtCore import QPoint
    from PySide6.QtGui import QAction


class ContextMenu(QMenu):
    """Add entries with `add`, then call `open_at`. It is destroyed when it closes."""

    def __init__(self, name: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)

    def add(self, words: str, act: Callable[[], object], keys: str = "", *, enabled: bool = True) -> QAction:
        """An entry. `keys` are those that the list or the window has bound to the same action."""
        shown = QKeySequence(keys).toString(QKeySequence.SequenceFormat.NativeText)
        # An ampersand in a name would underline the next letter.
        label = words.replace("&", "&&")
        entry = self.addAction(f"{label}\t{shown}" if shown else label)
        # The signal carries whether the entry is checked.
        entry.triggered.connect(lambda _checked=False: act())
        entry.setEnabled(enabled)
        return entry

    def open_at(self, at: QPoint) -> None:
        """Open at a position of the screen."""
        # A menu key may arrive twice: as a key, and as the request for a menu that the platform makes of it.
        if QApplication.activePopupWidget() is None:
            self.popup(at)
        else:
            self.deleteLater()
