"""NewLinesPill: says over the end of the transcript how many lines were added, and leads to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QLocale, QObject, Signal

from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

MOST = 9_999


class NewLinesPill(QuietButton):
    """Stands at the bottom of a widget, which it is made for. `pressed_follow()` when the person presses it."""

    pressed_follow = Signal()

    def __init__(self, over: QWidget) -> None:
        super().__init__("", "chevron-down", keys="End", clicked=lambda: self.pressed_follow.emit(), parent=over)
        self._over = over
        self.hide()
        over.installEventFilter(self)

    def show_behind(self, lines: int, *, following: bool) -> None:
        """Show how many lines are new; without any the way back to the end. Hidden while it follows."""
        if following:
            self.hide()
            return
        count = QLocale().toString(min(lines, MOST)) + ("+" if lines > MOST else "")
        if lines == 1:
            words = self.tr("1 new line · Follow")
        else:
            words = self.tr("{0} new lines · Follow").format(count) if lines else self.tr("Follow")
        self.setText(words)
        self.setAccessibleName(words)
        self.adjustSize()
        self._place()
        self.show()
        self.raise_()

    def _place(self) -> None:
        gap = theme().px(tokens.SPACE_3)
        self.move((self._over.width() - self.width()) // 2, self._over.height() - self.height() - gap)

    @guarded(default=False)
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self._over and event.type() == QEvent.Type.Resize:
            self._place()
        return False
