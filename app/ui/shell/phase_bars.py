"""Where the time of a request went: a bar for each part, beside its name and its length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.ui.shell.exchange_words import phase_name, phase_tone
from app.ui.theme import theme, tokens
from app.ui.widgets.guard import guarded
from app.ui.widgets.times import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QPaintEvent

    from app.core.diagnostics.exchanges import Phase

LEAST_BAR = 2
NARROW = 360


class PhaseBars(QWidget):
    """One row for each phase. Its accessible description has all of them in words."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._phases: tuple[Phase, ...] = ()
        theme().changed.connect(self.updateGeometry)

    def show_phases(self, phases: Sequence[Phase]) -> None:
        """Show these parts."""
        self._phases = tuple(phases)
        self.setAccessibleDescription(
            ", ".join(f"{phase_name(phase)}: {duration(phase.length / 1000)}" for phase in self._phases)
        )
        self.updateGeometry()
        self.update()

    @guarded(default=QSize(1, 1))
    def sizeHint(self) -> QSize:
        return QSize(theme().px(NARROW), max(1, len(self._phases)) * theme().px(tokens.ROW_DENSE))

    @guarded(default=QSize(1, 1))
    def minimumSizeHint(self) -> QSize:
        return QSize(1, self.sizeHint().height())

    @guarded()
    def paintEvent(self, event: QPaintEvent) -> None:
        current, metrics = theme(), self.fontMetrics()
        gap, row = current.px(tokens.SPACE_3), current.px(tokens.ROW_DENSE)
        names = [phase_name(phase) for phase in self._phases]
        lengths = [duration(phase.length / 1000) for phase in self._phases]
        widest = min(max(map(metrics.horizontalAdvance, names), default=0), self.width() * 3 // 5)
        longest = max(map(metrics.horizontalAdvance, lengths), default=0)
        left, right = widest + gap, self.width() - longest - gap
        total = max((phase.at + phase.length for phase in self._phases), default=0) or 1
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        # Time runs from left to right in every language.
        painter.setLayoutDirection(Qt.LayoutDirection.LeftToRight)
        for number, (phase, name, length) in enumerate(zip(self._phases, names, lengths, strict=True)):
            top = number * row
            painter.setPen(current.colour("text"))
            middle = Qt.AlignmentFlag.AlignVCenter
            painter.drawText(
                QRectF(0, top, widest, row),
                middle | Qt.AlignmentFlag.AlignLeft,
                metrics.elidedText(name, Qt.TextElideMode.ElideRight, widest),
            )
            painter.setPen(current.colour("muted"))
            painter.drawText(QRectF(right, top, longest + gap, row), middle | Qt.AlignmentFlag.AlignRight, length)
            scale = max(0, right - left) / total
            bar = QRectF(left + phase.at * scale, top + row / 4, max(LEAST_BAR, phase.length * scale), row / 2)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(current.colour(phase_tone(phase)))
            painter.drawRoundedRect(bar, LEAST_BAR, LEAST_BAR)
        painter.end()
