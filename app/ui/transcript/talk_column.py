"""TalkColumn: what is below the transcript. It would like to be as tall as its parts, and gives way in a low page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QSize, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from PySide6.QtGui import QResizeEvent


class TalkColumn(QWidget):
    """Add to `.box`. `rearranged()`: a part came, went or changed its size."""

    rearranged = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.box = QVBoxLayout(self)

    def hasHeightForWidth(self) -> bool:
        # A scroll area takes the height that wrapped text would like to have for the least.
        return False

    def sizeHint(self) -> QSize:
        hint = super().sizeHint()
        wanted = self.box.heightForWidth(self.width()) if self.box.hasHeightForWidth() else hint.height()
        return QSize(hint.width(), wanted)

    def minimumSizeHint(self) -> QSize:
        hint = super().minimumSizeHint()
        if self.box.hasHeightForWidth():
            # By itself a text that wraps is as high as where it is narrowest.
            hint.setHeight(min(hint.height(), self.box.minimumHeightForWidth(self.width())))
        return hint

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self.updateGeometry()

    @guarded(default=False)
    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
            self.rearranged.emit()
        return super().event(event)
