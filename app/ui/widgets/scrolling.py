"""Parts of a page that give way in a low window: pages that scroll by themselves, and parts that scroll together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, QPoint, QSize, Qt
from PySide6.QtWidgets import QFrame, QScrollArea, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from app.ui.theme import theme
from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from collections.abc import Sequence


class ScrollingPages(QStackedWidget):
    """Pages that scroll. It needs as much height as the one in view, not as the tallest.

    `least` is the height that it has at least, in pixels of the design.
    """

    def __init__(self, least: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._least = least
        self.currentChanged.connect(lambda _page: self.updateGeometry())

    def hasHeightForWidth(self) -> bool:
        # What a page would like to have is no need: it scrolls.
        return False

    def minimumSizeHint(self) -> QSize:
        page, hint = self.currentWidget(), super().minimumSizeHint()
        height = page.minimumSizeHint().height() if page is not None else 0
        return QSize(hint.width(), max(height, theme().px(self._least)))


class LowArea(QScrollArea):
    """Content that gives way down to its least height, and is scrolled where there is less room than that."""

    def __init__(self, name: str, content: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # What appeared last, until the user scrolls: it gets its place only with the layouts that follow.
        self._brought: QWidget | None = None
        self.setAccessibleName(name)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(content)
        self.verticalScrollBar().rangeChanged.connect(lambda *_: self._show_brought())
        self.verticalScrollBar().actionTriggered.connect(lambda _action: self._forget_brought())

    def bring(self, part: QWidget) -> None:
        """Scroll a part into view that has just appeared: all of it, or its beginning if it is higher than the area."""
        self._brought = part
        part.installEventFilter(self)
        self._show_brought()

    @guarded(default=False)
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self._brought and event.type() in (QEvent.Type.Move, QEvent.Type.Resize):
            self._show_brought()
        return super().eventFilter(watched, event)

    def _show_brought(self) -> None:
        part, content, bar = self._brought, self.widget(), self.verticalScrollBar()
        if part is None or content is None or not part.isVisible():
            return
        top = part.mapTo(content, QPoint(0, 0)).y()
        bar.setValue(min(top, max(bar.value(), top + part.height() - self.viewport().height())))

    def _forget_brought(self) -> None:
        self._brought = None


class LowColumn(QWidget):
    """The content of a `LowArea` as a column. Add to `.box`, which has no margins and no spacing."""

    def __init__(self) -> None:
        super().__init__()
        self.box = QVBoxLayout(self)
        self.box.setContentsMargins(0, 0, 0, 0)
        self.box.setSpacing(0)

    def hasHeightForWidth(self) -> bool:
        # The area would take the height that the parts would like to have for the least.
        return False


class LowSplitter(LowArea):
    """Parts below each other with a handle between them. They scroll together where the height is too low for them.

    Make the parts with `.splitter` as their parent, then call `hold`.
    """

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        self.splitter = QSplitter(Qt.Orientation.Vertical)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.setHandleWidth(1)
        super().__init__(name, self.splitter, parent)

    def hold(self, parts: Sequence[QWidget], sizes: Sequence[int]) -> None:
        """Have these parts, in this order, with these heights at first."""
        for part in parts:
            self.splitter.addWidget(part)
        self.splitter.setSizes(list(sizes))
