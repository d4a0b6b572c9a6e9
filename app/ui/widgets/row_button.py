"""A button as wide as its column: an icon, words that elide, a muted tail, and a chevron at the end.

Where there is no room for words only the icon is shown. The tooltip says all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QSizePolicy, QStyle, QStyleOptionButton, QStylePainter, QWidget

from app.ui.theme import theme, tokens
from app.ui.theme.icons import paint_icon
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.guard import guarded
from app.ui.widgets.mirror import mirrored
from app.ui.widgets.tips import plain_tip

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtCore import QSize
    from PySide6.QtGui import QPaintEvent

    from app.ui.widgets.buttons import ButtonKind

# In characters; less of the tail says nothing.
LEAST_TAIL = 6


class RowButton(QuietButton):
    """Its words elide, and the tail follows where there is room. With `keeps_tail` the words give way to the tail."""

    def __init__(
        self,
        icon: str,
        chevron: str,
        *,
        kind: ButtonKind = "flat",
        keeps_tail: bool = False,
        clicked: Callable[[], None] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__("", icon, kind=kind, clicked=clicked, parent=parent)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._chevron, self._keeps_tail = chevron, keeps_tail
        self._words = self._tail = ""

    def set_words(self, words: str, name: str, tail: str = "", tooltip: str = "") -> None:
        """Set what is shown and what is read aloud. `tail` elides in the middle."""
        self._words, self._tail = words, tail
        self.setText(words)
        self.setToolTip(plain_tip(tooltip or (f"{words} · {tail}" if tail else words)))
        self.setAccessibleName(name)

    def shown(self, room: int) -> tuple[str, str]:
        """Words and tail, elided to `room` pixels."""
        if room <= 0:
            return "", ""
        metrics = self.fontMetrics()
        if self._keeps_tail and self._tail:
            tail = metrics.elidedText(f" · {self._tail}", Qt.TextElideMode.ElideMiddle, room // 2)
            left = room - metrics.horizontalAdvance(tail)
            return metrics.elidedText(self._words, Qt.TextElideMode.ElideMiddle, left), tail
        words = metrics.elidedText(self._words, Qt.TextElideMode.ElideRight, room)
        left = room - metrics.horizontalAdvance(f"{words} · ")
        if words != self._words or not self._tail or left < metrics.averageCharWidth() * LEAST_TAIL:
            return words, ""
        return words, " · " + metrics.elidedText(self._tail, Qt.TextElideMode.ElideMiddle, left)

    def minimumSizeHint(self) -> QSize:
        hint = super().minimumSizeHint()
        hint.setWidth(theme().px(tokens.SPACE_6))
        return hint

    @guarded()
    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QStylePainter(self)
        option = QStyleOptionButton()
        self.initStyleOption(option)
        current = theme()
        option.text = ""
        option.icon = QIcon()
        painter.drawControl(QStyle.ControlElement.CE_PushButton, option)
        pad, side, chevron = current.px(tokens.SPACE_2), current.px(tokens.ICON), current.px(12)
        middle = self.height() / 2
        icon = mirrored(QRectF(pad, middle - side / 2, side, side), self)
        paint_icon(painter, self._icon, icon, current.colour("muted"))
        words = self.rect().adjusted(2 * pad + side, 0, -2 * pad - chevron, 0)
        painter.setFont(self.font())
        for text, tone in zip(self.shown(words.width()), ("text", "muted"), strict=True):
            painter.setPen(current.colour(tone))
            painter.drawText(mirrored(words, self), Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)
            words.setLeft(words.left() + self.fontMetrics().horizontalAdvance(text))
        if words.width() <= 0:
            painter.end()
            return
        arrow = QRectF(self.width() - pad - chevron, middle - chevron / 2, chevron, chevron)
        paint_icon(painter, self._chevron, mirrored(arrow, self), current.colour("muted"))
        painter.end()
