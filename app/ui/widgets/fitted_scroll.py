"""A scroll area that is as high as its content, and scrolls where there is less room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, QSize, Qt
from PySide6.QtWidgets import QFrame, QScrollArea, QSizePolicy, QWidget

from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QResizeEvent


class FittedScroll(QScrollArea):
    """`least` bounds its height in pixels; `most` is asked for an upper bound each time."""

    def __init__(self, content: QWidget, *, least: int = 0, most: Callable[[], int] | None = None) -> None:
        super().__init__()
        self._content, self._most = content, most
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        if least:
            self.setMinimumHeight(least)
        self.setWidget(content)
        content.installEventFilter(self)

    def sizeHint(self) -> QSize:
        height = max(self.wanted, self.minimumHeight())
        return QSize(self.width(), height if self._most is None else min(height, self._most()))

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        # The height of wrapped text depends on the width.
        if event.size().width() != event.oldSize().width():
            self.updateGeometry()
        self._fit()

    @guarded(default=False)
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
            self._fit()
        return False

    @property
    def wanted(self) -> int:
        """The height of the content without a scroll bar."""
        return self._content.heightForWidth(max(self.width(), 1))

    def _fit(self) -> None:
        """Have no scroll bar where none is needed: the width that one takes may make the content need it."""
        fits = self.wanted <= self.height()
        policy = Qt.ScrollBarPolicy.ScrollBarAlwaysOff if fits else Qt.ScrollBarPolicy.ScrollBarAsNeeded
        if self.verticalScrollBarPolicy() != policy:
            self.setVerticalScrollBarPolicy(policy)
