"""BarStack: the bars above everything. Several scroll in a share of the window, so that the place keeps room."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QSize
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.ui.widgets.fitted_scroll import FittedScroll
from app.ui.widgets.guard import guarded

LARGEST_SHARE = 0.35


class BarStack(FittedScroll):
    """Hidden while none of its bars is shown."""

    def __init__(self) -> None:
        column = QWidget()
        self._box = QVBoxLayout(column)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(0)
        super().__init__(column, most=self._highest)
        self.setAccessibleName(self.tr("Messages"))
        self.setVisible(False)

    def put(self, bar: QWidget) -> None:
        """Have a bar above the others."""
        self._box.insertWidget(0, bar)
        bar.installEventFilter(self)
        self._follow()

    @guarded(default=False)
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.ShowToParent, QEvent.Type.HideToParent):
            self._follow()
        return super().eventFilter(watched, event)

    @guarded(default=QSize(1, 1))
    def minimumSizeHint(self) -> QSize:
        # The first bar is whole, however little room the place has below.
        shown = self._shown()
        first = shown[0].heightForWidth(max(self.width(), 1)) if shown else 0
        return QSize(1, max(first, shown[0].minimumSizeHint().height()) if shown else 0)

    def _shown(self) -> list[QWidget]:
        bars = (item.widget() for at in range(self._box.count()) if (item := self._box.itemAt(at)) is not None)
        return [bar for bar in bars if bar is not None and not bar.isHidden()]

    def _follow(self) -> None:
        self.setVisible(bool(self._shown()))
        self.updateGeometry()

    def _highest(self) -> int:
        # One bar is shown whole.
        whole = self.window().height()
        return whole if len(self._shown()) < 2 else round(whole * LARGEST_SHARE)
