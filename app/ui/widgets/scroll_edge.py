"""A line under a head while something is scrolled beneath it."""

from __future__ import annotations

from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractScrollArea, QSizePolicy, QWidget

from app.ui.theme import theme
from app.ui.widgets.guard import guarded


class ScrollEdge(QWidget):
    """Put it between the head and what scrolls, and name that with `follow`. It keeps its pixel while it is not seen.

    Of several areas, such as the pages of a stack, those in view count.
    """

    def __init__(self, *areas: QAbstractScrollArea, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(1)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._areas: list[QAbstractScrollArea] = []
        for area in areas:
            self.follow(area)

    def follow(self, area: QAbstractScrollArea) -> None:
        """Show the line while this area is scrolled."""
        self._areas.append(area)
        bar = area.verticalScrollBar()
        bar.valueChanged.connect(self._moved)
        bar.rangeChanged.connect(self._moved)

    @property
    def seen(self) -> bool:
        """Whether the line is painted."""
        return any(
            area.isVisible() and area.verticalScrollBar().value() > area.verticalScrollBar().minimum()
            for area in self._areas
        )

    def _moved(self, *_: int) -> None:
        self.update()

    @guarded()
    def paintEvent(self, event: QPaintEvent) -> None:
        if self.seen:
            painter = QPainter(self)
            painter.fillRect(self.rect(), theme().colour("border"))
            painter.end()
