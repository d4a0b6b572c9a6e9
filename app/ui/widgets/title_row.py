"""The head of a page: title at the left, controls at the right; below the title where both do not fit side by side."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QRect, QSize
from PySide6.QtWidgets import QLayoutItem, QStyle, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.guard import guarded
from app.ui.widgets.item_layout import ItemLayout

# The room that a title needs at least to have the controls beside it.
LEAST_TITLE = 160


class TitleRow(ItemLayout):
    """Its first line is as high as a control, so that titles are at one height on every page.

    Nothing stands before the title, so that titles begin at one place too. Add the controls with `addWidget`.
    """

    def __init__(self, title: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSpacing(theme().px(tokens.SPACE_3))
        self._beside: list[QWidget] = []
        self.addWidget(title)

    def add_beside(self, control: QWidget) -> None:
        """Add a control that stays beside the title however narrow the row is."""
        self._beside.append(control)
        self.addWidget(control)

    @guarded(default=0)
    def heightForWidth(self, width: int) -> int:
        lines = self._lines(width)
        return sum(self._height(line) for line in lines) + theme().px(tokens.SPACE_1) * (len(lines) - 1)

    def sizeHint(self) -> QSize:
        shown = self._shown()
        return QSize(self._width(shown), self._height(shown))

    def minimumSize(self) -> QSize:
        width = max((item.minimumSize().width() for item in self._shown()), default=0)
        return QSize(width, theme().px(tokens.CONTROL))

    @guarded()
    def setGeometry(self, rect: QRect) -> None:
        super().setGeometry(rect)
        y = rect.y()
        for number, line in enumerate(self._lines(rect.width())):
            height = self._height(line)
            self._place(line, QRect(rect.x(), y, rect.width(), height), first=number == 0)
            y += height + theme().px(tokens.SPACE_1)

    def _place(self, line: list[QLayoutItem], rect: QRect, *, first: bool) -> None:
        """Put items into a line. In the first one the title takes the room that the others leave."""
        left = rect.width() - self._width(line)
        x = rect.x()
        for item in line:
            size = item.sizeHint()
            if first and item is self._title():
                size.setWidth(max(size.width() + left, 0))
            size = size.boundedTo(rect.size())
            corner = QPoint(x, rect.y() + (rect.height() - size.height()) // 2)
            item.setGeometry(QStyle.visualRect(self.direction(), rect, QRect(corner, size)))
            x += size.width() + self.spacing()

    def _lines(self, width: int) -> list[list[QLayoutItem]]:
        """The items of each line: all in one, or the controls in lines below the title."""
        shown, title = self._shown(), self._title()
        others = [item for item in shown if item is not title]
        head = [item for item in shown if item is title or item.widget() in self._beside]
        controls = [item for item in shown if item not in head]
        room = width - self._width(others) - (self.spacing() if others else 0)
        if not controls or room >= min(title.sizeHint().width(), theme().px(LEAST_TITLE)):
            return [shown]
        lines = [head]
        for item in controls:
            if lines[-1] is not head and self._width([*lines[-1], item]) <= width:
                lines[-1].append(item)
            else:
                lines.append([item])
        return lines

    def _title(self) -> QLayoutItem:
        return self._items[0]

    def _shown(self) -> list[QLayoutItem]:
        return [item for item in self._items if not item.isEmpty()]

    def _width(self, line: list[QLayoutItem]) -> int:
        return sum(item.sizeHint().width() for item in line) + self.spacing() * max(0, len(line) - 1)

    def _height(self, line: list[QLayoutItem]) -> int:
        return max([theme().px(tokens.CONTROL), *(item.sizeHint().height() for item in line)])
