"""DropFrame: takes what is dropped on a page, and shows a frame and words over it while something can be dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QMimeData, QObject, QRectF, Qt
from PySide6.QtGui import QDragEnterEvent, QDragMoveEvent, QDropEvent, QPainter, QPen
from PySide6.QtWidgets import QAbstractScrollArea, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QPaintEvent


class DropFrame(QWidget):
    """`takes` says whether data can be dropped, `take` takes it. `words` stand in the frame.

    `fields` are the inputs of the page: what the page takes they leave to it, everything else stays theirs.
    """

    def __init__(
        self,
        page: QWidget,
        words: str,
        *,
        takes: Callable[[QMimeData], bool],
        take: Callable[[QMimeData], bool],
        fields: tuple[QWidget, ...] = (),
    ) -> None:
        super().__init__(page)
        self._page = page
        self._words, self._takes, self._take = words, takes, take
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setVisible(False)
        page.setAcceptDrops(True)
        page.installEventFilter(self)
        for field in fields:
            # An area is told of what is dragged over it by its viewport.
            (field.viewport() if isinstance(field, QAbstractScrollArea) else field).installEventFilter(self)

    @guarded(default=False)
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if isinstance(event, QDragEnterEvent | QDragMoveEvent | QDropEvent):
            return self._dragged(event)
        if event.type() == QEvent.Type.DragLeave:
            self.setVisible(False)
        elif event.type() == QEvent.Type.Resize and watched is self._page:
            self.setGeometry(self._page.rect())
        return False

    def _dragged(self, event: QDropEvent) -> bool:
        drops = event.type() == QEvent.Type.Drop
        taken = self._take(event.mimeData()) if drops else self._takes(event.mimeData())
        if taken:
            event.acceptProposedAction()
        self.setVisible(taken and not drops)
        if self.isVisible():
            self.setGeometry(self._page.rect())
            self.raise_()
        return taken

    @guarded()
    def paintEvent(self, event: QPaintEvent) -> None:
        current = theme()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(current.font("strong"))
        accent, radius = current.colour("accent"), current.px(tokens.RADIUS_CARD)
        inset = current.px(tokens.SPACE_1)
        edge = QRectF(self.rect()).adjusted(inset, inset, -inset, -inset)
        painter.setPen(QPen(accent, tokens.RING))
        painter.drawRoundedRect(edge, radius, radius)
        gap = current.px(tokens.SPACE_3)
        words = QRectF(painter.fontMetrics().boundingRect(self._words)).adjusted(-gap, -gap, gap, gap)
        words.moveCenter(edge.center())
        painter.setBrush(current.colour("surface"))
        painter.drawRoundedRect(words, radius, radius)
        painter.setPen(current.colour("text"))
        painter.drawText(words, Qt.AlignmentFlag.AlignCenter, self._words)
        painter.end()
