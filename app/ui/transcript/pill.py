"""NewLinesPill: says over the end of the transcript how many lines were added, and leads to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QLocale, QObject, QPoint, Signal

from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

MOST = 9_999
AGAIN = frozenset({QEvent.Type.Resize, QEvent.Type.Show, QEvent.Type.Hide})


class NewLinesPill(QuietButton):
    """Stands at the bottom of a widget, while that is in view. `pressed_follow()` when the person presses it.

    Its parent is around that: assistive technology is told only of the parts that Qt knows of a scroll area.
    """

    pressed_follow = Signal()

    def __init__(self, over: QWidget, around: QWidget) -> None:
        super().__init__("", "chevron-down", keys="End", clicked=lambda: self.pressed_follow.emit(), parent=around)
        self._over, self._around, self._wanted = over, around, False
        self.hide()
        over.installEventFilter(self)

    def show_behind(self, lines: int, *, following: bool) -> None:
        """Show how many lines are new; without any the way back to the end. Hidden while it follows."""
        self._wanted = not following
        if not following:
            count = QLocale().toString(min(lines, MOST)) + ("+" if lines > MOST else "")
            if lines == 1:
                words = self.tr("1 new line · Follow")
            else:
                words = self.tr("{0} new lines · Follow").format(count) if lines else self.tr("Follow")
            self.setText(words)
            self.setAccessibleName(words)
            self.adjustSize()
        self._place()

    def _place(self) -> None:
        gap = theme().px(tokens.SPACE_3)
        at = QPoint((self._over.width() - self.width()) // 2, self._over.height() - self.height() - gap)
        self.move(self._over.mapTo(self._around, at))
        self.setVisible(self._wanted and self._over.isVisibleTo(self._around))
        self.raise_()

    @guarded(default=False)
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self._over and event.type() in AGAIN:
            self._place()
        return False
