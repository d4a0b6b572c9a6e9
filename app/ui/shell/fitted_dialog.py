"""FittedDialog: a dialog of a few sentences, as high as they are at its width."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QDialog, QLayout, QVBoxLayout

from app.ui.theme import theme, tokens
from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from PySide6.QtGui import QResizeEvent
    from PySide6.QtWidgets import QWidget


class FittedDialog(QDialog):
    """`box` is its column. Of its own Qt would keep room for the sentences wrapped at their narrowest."""

    def __init__(self, width: int, parent: QWidget | None = None) -> None:
        """`width` is the least one, in pixels of the design."""
        super().__init__(parent)
        current = theme()
        self._wide = 0
        self.box = QVBoxLayout(self)
        self.box.setSizeConstraint(QLayout.SizeConstraint.SetNoConstraint)
        self.box.setContentsMargins(*([current.px(tokens.SPACE_4)] * 4))
        self.box.setSpacing(current.px(tokens.SPACE_3))
        self.setMinimumWidth(current.px(width))
        self.resize(self.minimumWidth(), 1)

    @guarded(default=False)
    def event(self, event: QEvent) -> bool:
        # The content has changed, or is shown for the first time.
        if event.type() in (QEvent.Type.LayoutRequest, QEvent.Type.Polish):
            self._fit()
        return super().event(event)

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self.width() != self._wide:
            self._fit()

    def _fit(self) -> None:
        self._wide = max(self.width(), self.box.totalMinimumSize().width())
        room = self.screen().availableGeometry().height()
        self.setMinimumHeight(min(self.box.totalMinimumHeightForWidth(self._wide), room))
        self.resize(self._wide, min(self.box.totalHeightForWidth(self._wide), room))
