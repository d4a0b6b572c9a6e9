"""A layout for a row of controls that wraps where the window is too narrow."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtWidgets import QLayoutItem, QStyle, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.guard import guarded
from app.ui.widgets.item_layout import ItemLayout


class FlowLayout(ItemLayout):
    """Items keep their size hints; lines are as high as their tallest item. Mirrored right to left.

    Its least height is that of all lines at the width it has: splitters and scroll areas ask only for that.
    """

    def __init__(self, parent: QWidget | None = None, *, centred: bool = False) -> None:
        super().__init__(parent)
        self._centred = centred
        # 0 until it was laid out.
        self._width_had = 0
        self.setSpacing(theme().px(tokens.SPACE_2))

    def expandingDirections(self) -> Qt.Orientation:
        return Qt.Orientation(0)

    @guarded(default=0)
    def heightForWidth(self, width: int) -> int:
        lines = self._lines(width)
        return sum(_height(line) for line in lines) + self.spacing() * max(0, len(lines) - 1)

    @guarded()
    def setGeometry(self, rect: QRect) -> None:
        super().setGeometry(rect)
        before, self._width_had = self._width_had, rect.width()
        if before != rect.width() and self.heightForWidth(before) != self.heightForWidth(rect.width()):
            self.update()
        y = rect.y()
        for line in self._lines(rect.width()):
            x = rect.x() + (max(0, rect.width() - self._width(line)) // 2 if self._centred else 0)
            for item in line:
                size = QSize(min(item.sizeHint().width(), rect.width()), item.sizeHint().height())
                item.setGeometry(QStyle.visualRect(self.direction(), rect, QRect(QPoint(x, y), size)))
                x += size.width() + self.spacing()
            y += _height(line) + self.spacing()

    def sizeHint(self) -> QSize:
        return QSize(self._width(self._shown()), self.minimumSize().height())

    def minimumSize(self) -> QSize:
        size = QSize()
        for item in self._shown():
            size = size.expandedTo(item.minimumSize())
        if self._width_had:
            size.setHeight(max(size.height(), self.heightForWidth(self._width_had)))
        return size

    def _shown(self) -> list[QLayoutItem]:
        return [item for item in self._items if not item.isEmpty()]

    def _width(self, line: list[QLayoutItem]) -> int:
        return sum(item.sizeHint().width() for item in line) + self.spacing() * max(0, len(line) - 1)

    def _lines(self, width: int) -> list[list[QLayoutItem]]:
        lines: list[list[QLayoutItem]] = []
        for item in self._shown():
            if lines and self._width([*lines[-1], item]) <= width:
                lines[-1].append(item)
            else:
                lines.append([item])
        return lines


def _height(line: list[QLayoutItem]) -> int:
    return max(item.sizeHint().height() for item in line)
