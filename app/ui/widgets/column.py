"""A column of text and controls that scrolls, limited to reading width."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from app.ui.theme import theme, tokens


class FittedColumn(QWidget):
    """Has no minimum size of its own: that of wrapped labels would be their height with one word on each line."""

    def minimumSizeHint(self) -> QSize:
        return QSize(1, 1)


class ScrollColumn(QScrollArea):
    """Add widgets to `.box`. It takes the keyboard focus, so that arrow and page keys scroll it; set `NoFocus` where
    its controls should have it. `side` and `top` are margins."""

    def __init__(
        self, name: str, parent: QWidget | None = None, *, side: int = tokens.SPACE_4, top: int = tokens.SPACE_3
    ) -> None:
        super().__init__(parent)
        current = theme()
        wide = current.px(side)
        column = FittedColumn()
        column.setMaximumWidth(current.px(tokens.READING_WIDTH) + 2 * wide)
        self.box = QVBoxLayout(column)
        self.box.setContentsMargins(wide, current.px(top), wide, current.px(tokens.SPACE_4))
        self.box.setSpacing(current.px(tokens.SPACE_2))
        self.setAccessibleName(name)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(column)
