"""Paints rows of a difference: numbers, signs, grounds and words. What a row looks like is decided here."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QColor, QFontMetrics

from app.marks import revealed
from app.ui.theme import theme, tokens
from app.ui.widgets.diff_rows import DiffRow, DiffRowLine, same_ends, shown

if TYPE_CHECKING:
    from PySide6.QtGui import QPainter

GROUNDS = {"-": "bad_fill", "+": "good_fill", "@": "info_fill"}
TONES = {"-": "bad", "+": "good", "@": "info"}
# What changed within a line stands on a ground with so much of its tone.
STRONGER = 0.22
# Lines that have less in common than so many characters are other lines.
LEAST_COMMON = 3


class DiffMetrics(NamedTuple):
    """Lengths in pixels: of a row, of a letter, of the numbers' column and of that of the signs."""

    height: int
    letter: float
    numbers: int
    sign: int
    gap: int

    @staticmethod
    def of(digits: int) -> DiffMetrics:
        """For numbers of so many digits, at the text size in force."""
        current = theme()
        metrics = QFontMetrics(current.font("mono"))
        letter = metrics.horizontalAdvance("0" * 100) / 100
        gap = current.px(tokens.SPACE_2)
        height = metrics.height() + current.px(tokens.SPACE_1)
        return DiffMetrics(height, letter, round(letter * max(2, digits)) + 2 * gap, round(letter) + gap, gap)


class DiffPainter:
    """Paints into `painter`, whose font it sets. Nothing is mirrored: code reads from left to right everywhere."""

    def __init__(self, painter: QPainter, metrics: DiffMetrics, offset: int) -> None:
        self._painter, self._metrics, self._offset = painter, metrics, offset
        painter.setFont(theme().font("mono"))
        painter.setLayoutDirection(Qt.LayoutDirection.LeftToRight)

    def unified(self, row: DiffRow, rect: QRect, *, twin: DiffRowLine | None = None) -> None:
        """One row of one column: the numbers of both files, then the line."""
        line = row.new or row.old
        if line is None:
            return
        if row.is_heading:
            self._heading(line, rect)
            return
        wide = self._metrics.numbers
        self._ground(line, rect)
        for at, side in ((0, row.old), (1, row.new)):
            self._number(side, QRect(rect.left() + at * wide, rect.top(), wide, rect.height()))
        self._line(line, rect.adjusted(2 * wide, 0, 0, 0), twin)

    def beside(self, row: DiffRow, rect: QRect) -> None:
        """One row of two columns."""
        if row.is_heading and row.old is not None:
            self._heading(row.old, rect)
            return
        half = rect.width() // 2
        left = QRect(rect.left(), rect.top(), half, rect.height())
        right = QRect(rect.left() + half, rect.top(), rect.width() - half, rect.height())
        for side, other, area in ((row.old, row.new, left), (row.new, row.old, right)):
            if side is None:
                self._painter.fillRect(area, theme().colour("raised"))
                continue
            self._ground(side, area)
            wide = self._metrics.numbers
            self._number(side, QRect(area.left(), area.top(), wide, area.height()))
            self._line(side, area.adjusted(wide, 0, 0, 0), other if side.mark != " " else None)
        self._painter.fillRect(QRect(right.left(), rect.top(), 1, rect.height()), theme().colour("border"))

    def _ground(self, line: DiffRowLine, rect: QRect) -> None:
        self._painter.fillRect(rect, theme().colour(GROUNDS.get(line.mark, "surface")))

    def _heading(self, line: DiffRowLine, rect: QRect) -> None:
        self._painter.fillRect(rect, theme().colour(GROUNDS["@"]))
        self._painter.setPen(theme().colour("muted"))
        words = rect.adjusted(self._metrics.gap, 0, -self._metrics.gap, 0)
        self._painter.drawText(words, _WORDS, revealed(shown(line.text)))

    def _number(self, line: DiffRowLine | None, rect: QRect) -> None:
        if line is None or not line.number:
            return
        self._painter.setPen(theme().colour("muted"))
        words = rect.adjusted(0, 0, -self._metrics.gap, 0)
        self._painter.drawText(
            words, int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter), str(line.number)
        )

    def _line(self, line: DiffRowLine, rect: QRect, twin: DiffRowLine | None) -> None:
        painter, metrics = self._painter, self._metrics
        if line.mark != " ":
            painter.setPen(theme().colour(TONES[line.mark]))
            painter.drawText(QRect(rect.left(), rect.top(), metrics.sign, rect.height()), _WORDS, line.mark)
        area = rect.adjusted(metrics.sign, 0, 0, 0)
        painter.save()
        painter.setClipRect(area, Qt.ClipOperation.IntersectClip)
        text = shown(line.text)
        if twin is not None:
            self._changed_part(text, shown(twin.text), line.mark, area)
        # Only what is in view: a line may be long, and the left of it is behind the numbers.
        first = max(0, int(self._offset / metrics.letter) - 1) if text.isascii() else 0
        count = int(area.width() / metrics.letter) + 3 if text.isascii() else len(text)
        words = revealed(text[first : first + count])
        left = area.left() + round(first * metrics.letter) - self._offset
        painter.setPen(theme().colour("text"))
        painter.drawText(QRect(left, area.top(), 1 << 22, area.height()), _WORDS, words)
        if line.open:
            end = left + painter.fontMetrics().horizontalAdvance(words) + metrics.gap
            painter.setPen(theme().colour("muted"))
            painter.drawText(QRect(end, area.top(), 1 << 22, area.height()), _WORDS, _no_line_break())
        painter.restore()

    def _changed_part(self, text: str, other: str, mark: str, area: QRect) -> None:
        """The part of a line that its twin does not have, if that is not nearly all of it."""
        start, end = same_ends(text, other)
        length = len(text) - start - end
        common = len(text[:start].strip()) + len(text[len(text) - end :].strip())
        if not text.isascii() or common < LEAST_COMMON or length <= 0:
            return
        letter = self._metrics.letter
        left = area.left() + round(start * letter) - self._offset
        part = QRect(left, area.top(), max(2, round(length * letter)), area.height())
        self._painter.fillRect(part, _stronger(mark, theme().colours))


_WORDS = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter | Qt.TextFlag.TextSingleLine)


@lru_cache(maxsize=16)
def _stronger(mark: str, colours: tokens.Colours) -> QColor:
    ground, tone = QColor(getattr(colours, GROUNDS[mark])), QColor(getattr(colours, TONES[mark]))
    mixed = (
        round(low + (high - low) * STRONGER)
        for low, high in zip(ground.getRgb()[:3], tone.getRgb()[:3], strict=True)  # type: ignore[index]
    )
    return QColor(*mixed)


def _no_line_break() -> str:
    from PySide6.QtCore import QCoreApplication

    return QCoreApplication.translate("DiffView", "no line break at the end")
