"""PopupSelect: a drop-down list whose popup is another one (`filter_popup.py`). Typing opens it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt

from app.ui.theme import theme, tokens
from app.ui.widgets.choices import Select, typed
from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from PySide6.QtGui import QKeyEvent


class PopupSelect(Select):
    """Whoever derives from it opens the popup in `_open`, with the text that was typed."""

    WIDTH = 360
    OPENING_KEYS: tuple[Qt.Key, ...] = ()

    def sizeHint(self) -> QSize:
        # By itself a drop-down list looks at each of its entries.
        return QSize(theme().px(self.WIDTH), theme().px(tokens.CONTROL))

    def minimumSizeHint(self) -> QSize:
        return QSize(theme().px(self.WIDTH // 3), theme().px(tokens.CONTROL))

    @guarded()
    def showPopup(self) -> None:
        self._open("")

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        text = typed(event)
        if text or event.key() in self.OPENING_KEYS:
            self._open(text)
        else:
            super().keyPressEvent(event)

    def _open(self, text: str) -> None:
        """Open the popup."""
