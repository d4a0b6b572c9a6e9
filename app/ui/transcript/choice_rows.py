"""Choices of a question as rows that wrap: one of several (`RadioRow`), or any of them (`CheckRow`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter, QPen
from PySide6.QtWidgets import QAbstractButton, QCheckBox, QRadioButton, QSizePolicy

from app.ui.theme import theme, tokens
from app.ui.theme.icons import paint_icon
from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from PySide6.QtGui import QPaintEvent

    _Button = QAbstractButton
else:
    # A class has one base of Qt at most: the button that this is mixed into.
    _Button = object

TALLEST = 10_000
# In pixels of the design. A row takes all the width that there is.
LEAST_WIDTH = 120


class _ChoiceRow(_Button):
    """Paints number, label and description beside its mark. Mixed into a button that says whether others go off."""

    # The class it is mixed into has a role of its own for assistive technology.
    _label = _about = _number = ""

    def show_choice(self, number: int, label: str, about: str) -> None:
        """Show these; up to 9 with the number that chooses it."""
        self._label, self._about = label, about
        self._number = str(number) if number <= 9 else ""
        self.setAccessibleName(label)
        self.setAccessibleDescription(about)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def sizeHint(self) -> QSize:
        return self.minimumSizeHint()

    def minimumSizeHint(self) -> QSize:
        return QSize(theme().px(LEAST_WIDTH), self.heightForWidth(max(self.width(), theme().px(LEAST_WIDTH))))

    def hasHeightForWidth(self) -> bool:
        return True

    @guarded(default=0)
    def heightForWidth(self, width: int) -> int:
        label, about = self._places(width)
        bottom = about.bottom() if self._about else label.bottom()
        return max(theme().px(tokens.TARGET), bottom + theme().px(tokens.SPACE_1))

    def hitButton(self, pos: QPoint) -> bool:
        return self.rect().contains(pos)

    def _places(self, width: int) -> tuple[QRect, QRect]:
        """Where label and description stand, from the left."""
        current = theme()
        inset = current.px(tokens.SPACE_1)
        left = inset + current.px(tokens.ICON + tokens.SPACE_2) + (current.px(tokens.SPACE_4) if self._number else 0)
        room, top = max(1, width - left - inset), inset
        flags = Qt.TextFlag.TextWordWrap
        rows = []
        for text, role in ((self._label, "body"), (self._about, "caption")):
            font = current.font("body" if role == "body" else "caption")
            box = QFontMetrics(font).boundingRect(QRect(0, 0, room, TALLEST), int(flags), text)
            rows.append(QRect(left, top, room, box.height()))
            top += box.height()
        return rows[0], rows[1]

    @guarded()
    def paintEvent(self, event: QPaintEvent) -> None:
        current = theme()
        # Within the frame that shows the focus.
        side, inset = current.px(tokens.ICON), current.px(tokens.SPACE_1)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        label, about = self._places(self.width())
        line = QFontMetrics(current.font("body")).height()
        mark = QRect(inset, label.top() + (line - side) // 2, side, side)
        self._paint_mark(painter, QRectF(self._mirrored(mark)))
        align = Qt.AlignmentFlag.AlignRight if self.isRightToLeft() else Qt.AlignmentFlag.AlignLeft
        flags = int(Qt.TextFlag.TextWordWrap) | int(align)
        painter.setFont(current.font("body"))
        if self._number:
            painter.setPen(current.colour("muted"))
            at = QRect(inset + side + current.px(tokens.SPACE_2), label.top(), current.px(tokens.SPACE_4), line)
            painter.drawText(self._mirrored(at), int(align), self._number)
        painter.setPen(current.colour("text"))
        painter.drawText(self._mirrored(label), flags, self._label)
        if self._about:
            painter.setFont(current.font("caption"))
            painter.setPen(current.colour("muted"))
            painter.drawText(self._mirrored(about), flags, self._about)
        painter.end()

    def _paint_mark(self, painter: QPainter, box: QRectF) -> None:
        current, on, single = theme(), self.isChecked(), isinstance(self, QRadioButton)
        painter.setPen(QPen(current.colour("accent" if on else "muted"), 1))
        painter.setBrush(current.colour("accent" if on else "surface"))
        edge = box.adjusted(0.5, 0.5, -0.5, -0.5)
        radius = edge.width() / 2 if single else current.px(tokens.SPACE_1)
        painter.drawRoundedRect(edge, radius, radius)
        if on:
            paint_icon(painter, "dot" if single else "check", box.adjusted(2, 2, -2, -2), current.colour("on_accent"))
        painter.setBrush(Qt.BrushStyle.NoBrush)

    def _mirrored(self, rect: QRect) -> QRect:
        if self.isRightToLeft():
            rect = QRect(rect)
            rect.moveLeft(self.width() - rect.left() - rect.width())
        return rect


class RadioRow(_ChoiceRow, QRadioButton):
    """One of several choices."""


class CheckRow(_ChoiceRow, QCheckBox):
    """One choice of several that go together."""
