"""A row whose end goes below its start where both do not fit side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, Qt
from PySide6.QtWidgets import QBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from PySide6.QtGui import QResizeEvent
    from PySide6.QtWidgets import QLayout


class FoldingRow(QWidget):
    """`start` takes what `end` leaves, and at least `least` device-independent pixels."""

    def __init__(self, start: QLayout, end: QWidget, least: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._end, self._least = end, least
        self._box = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(theme().px(tokens.SPACE_2))
        self._box.addLayout(start, 1)
        self._box.addWidget(end, 0, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    @guarded(default=False)
    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.LayoutRequest:
            self._fit()
        return super().event(event)

    def _fit(self) -> None:
        end = 0 if self._end.isHidden() else self._end.sizeHint().width() + self._box.spacing()
        beside = self.width() - end >= theme().px(self._least)
        wanted = QBoxLayout.Direction.LeftToRight if beside else QBoxLayout.Direction.TopToBottom
        if self._box.direction() != wanted:
            self._box.setDirection(wanted)
            self._box.setSpacing(theme().px(tokens.SPACE_2 if beside else 0))
