"""The head of something: words, and controls beside them or below where both do not fit side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QRect, QSize
from PySide6.QtWidgets import QLayoutItem, QSizePolicy, QStyle, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.guard import guarded
from app.ui.widgets.item_layout import ItemLayout
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence


class HeadRow(QWidget):
    """`words` flow over as many lines as they need. `controls` stand at the end of the first line, or below.

    Words that wrap get a line of their own before they do. Words whose size policy is Expanding take what the others
    leave, and elide.
    """

    def __init__(
        self, words: Sequence[QWidget], controls: QWidget, *, gap: int = tokens.SPACE_2, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setLayout(_HeadLayout(words, controls, theme().px(gap)))
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)


class _Places(NamedTuple):
    """Where each item goes, and how high that is together."""

    rects: list[tuple[QLayoutItem, QRect]]
    height: int


class _HeadLayout(ItemLayout):
    """Decides from the width alone, so that the height for a width is true before the row has that width."""

    def __init__(self, words: Sequence[QWidget], controls: QWidget, gap: int) -> None:
        # Before the layout is made, because Qt may invalidate it meanwhile.
        self._known: dict[int, _Places] = {}
        super().__init__()
        self._gap = gap
        for widget in (*words, controls):
            self.addWidget(widget)

    @guarded(default=0)
    def heightForWidth(self, width: int) -> int:
        return self._places(width).height

    @guarded()
    def setGeometry(self, rect: QRect) -> None:
        super().setGeometry(rect)
        for item, place in self._places(rect.width()).rects:
            item.setGeometry(QStyle.visualRect(self.direction(), rect, place.translated(rect.topLeft())))

    def sizeHint(self) -> QSize:
        shown = self._shown()
        width = sum(_natural(item) for item in shown) + self._gap * max(0, len(shown) - 1)
        return QSize(width, self._places(width).height)

    def minimumSize(self) -> QSize:
        widths = [0 if _wraps(item) else _natural(item) for item in self._shown()]
        return QSize(max(widths, default=0), max((item.minimumSize().height() for item in self._shown()), default=0))

    def _shown(self) -> list[QLayoutItem]:
        return [item for item in self._items if not item.isEmpty() and item.sizeHint().width() > 0]

    @guarded()
    def invalidate(self) -> None:
        self._known.clear()
        super().invalidate()

    def _places(self, width: int) -> _Places:
        if width not in self._known:
            self._known[width] = self._place(width)
        return self._known[width]

    def _place(self, width: int) -> _Places:
        shown = self._shown()
        controls = self._items[-1] if self._items and self._items[-1] in shown else None
        words = [item for item in shown if item is not controls]
        if controls is None:
            return self._flow(words, width, 0)
        size = controls.sizeHint()
        room = width - size.width() - self._gap
        # What would take more than half of the width wraps beside the controls.
        if words and room < min(_natural(words[0]), width // 2):
            flowed = self._flow(words, width, 0)
            rect = QRect(0, flowed.height, min(width, size.width()), size.height())
            return _Places([*flowed.rects, (controls, rect)], flowed.height + size.height())
        flowed = self._flow(words, room, size.height())
        rect = QRect(width - size.width(), 0, size.width(), size.height())
        return _Places([*flowed.rects, (controls, rect)], max(flowed.height, size.height()))

    def _flow(self, words: list[QLayoutItem], width: int, first: int) -> _Places:
        """The words in lines of a width; the first line is at least `first` high."""
        lines: list[list[QLayoutItem]] = []
        used = 0
        for item in words:
            wanted = _natural(item)
            if lines and used + self._gap + wanted <= width:
                lines[-1].append(item)
                used += self._gap + wanted
            else:
                lines.append([item])
                used = wanted
        rects: list[tuple[QLayoutItem, QRect]] = []
        y = 0
        for number, line in enumerate(lines):
            free = width - sum(_natural(item) for item in line) - self._gap * (len(line) - 1)
            sizes = [QSize(w := self._width(item, width, free), _height(item, w)) for item in line]
            high = max(*(size.height() for size in sizes), first if number == 0 else 0)
            x = 0
            for item, size in zip(line, sizes, strict=True):
                rects.append((item, QRect(x, y + (high - size.height()) // 2, size.width(), size.height())))
                x += size.width() + self._gap
            y += high
        return _Places(rects, y)

    def _width(self, item: QLayoutItem, width: int, free: int) -> int:
        grows = max(0, free) if _expands(item) else 0
        return max(1, min(width, _natural(item) + grows))


def _expands(item: QLayoutItem) -> bool:
    widget = item.widget()
    return widget is not None and widget.sizePolicy().horizontalPolicy() == QSizePolicy.Policy.Expanding


def _wraps(item: QLayoutItem) -> bool:
    widget = item.widget()
    return isinstance(widget, Text) and widget.wordWrap()


def _natural(item: QLayoutItem) -> int:
    """The width of an item on one line."""
    widget = item.widget()
    if isinstance(widget, Text) and widget.wordWrap():
        return widget.line_width()
    return item.minimumSize().width() if _expands(item) else item.sizeHint().width()


def _height(item: QLayoutItem, width: int) -> int:
    return item.heightForWidth(width) if item.hasHeightForWidth() else item.sizeHint().height()
