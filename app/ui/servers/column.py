"""A page of words and controls that scrolls: as tall as its content needs at the width it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from PySide6.QtGui import QPaintEvent


class _Column(QWidget):
    """Wrapped labels would otherwise ask for the height of one word a line."""

    def minimumSizeHint(self) -> QSize:
        return QSize(1, 1)


class ScrollColumn(QScrollArea):
    """Add widgets to `.box`. Takes the keyboard focus, so that arrows and page keys scroll it."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        wide = theme().px(tokens.SPACE_4)
        column = _Column()
        column.setMaximumWidth(theme().px(tokens.READING_WIDTH) + 2 * wide)
        self.box = QVBoxLayout(column)
        self.box.setContentsMargins(wide, theme().px(tokens.SPACE_2), wide, wide)
        self.box.setSpacing(theme().px(tokens.SPACE_2))
        self.setAccessibleName(name)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(column)


class Hairline(QWidget):
    """A line of the border's colour."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(1)

    @guarded()
    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), theme().colour("border"))
        painter.end()
