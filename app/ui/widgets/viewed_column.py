"""A column of widgets that are built when they come into view, so that its length costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.feedback import clear_layout
from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from PySide6.QtGui import QResizeEvent

PORTION = 10
# How many portions stay built. Those that are farthest from the view are taken down first.
KEPT_PORTIONS = 30
UNLIMITED = 16_777_215


class Viewed(NamedTuple):
    """A widget to be. `height` is about how tall it will be, in pixels of the design."""

    build: Callable[[], QWidget]
    height: int


class _Portion(QWidget):
    """Some of the widgets, or the room that they take."""

    grew = Signal(int)

    def __init__(self, parts: list[Viewed]) -> None:
        super().__init__()
        self._parts = parts
        self.built = False
        self._box = QVBoxLayout(self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(theme().px(tokens.SPACE_3))
        gaps = theme().px(tokens.SPACE_3) * (len(parts) - 1)
        self.setFixedHeight(gaps + sum(theme().px(part.height) for part in parts))

    def build(self) -> None:
        if not self.built:
            self.built = True
            for part in self._parts:
                self._box.addWidget(part.build())
            self.setMinimumHeight(0)
            self.setMaximumHeight(UNLIMITED)

    def take_down(self) -> None:
        self.built = False
        self.setFixedHeight(self.height())
        clear_layout(self._box)

    def widgets(self) -> list[QWidget]:
        items = (self._box.itemAt(place) for place in range(self._box.count()))
        return [widget for item in items if item is not None and (widget := item.widget()) is not None]

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if (grown := event.size().height() - event.oldSize().height()) and event.oldSize().height() > 0:
            self.grew.emit(grown)


class ViewedColumn(QScrollArea):
    """Shows widgets below each other. `set_parts` replaces them, `add_parts` adds more and shows those."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._portions: list[_Portion] = []
        column = QWidget()
        outer = QVBoxLayout(column)
        outer.setContentsMargins(0, 0, 0, 0)
        self._box = QVBoxLayout()
        self._box.setSpacing(theme().px(tokens.SPACE_3))
        outer.addLayout(self._box)
        outer.addStretch()
        self.setAccessibleName(name)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidget(column)
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._build_next)
        self.verticalScrollBar().valueChanged.connect(lambda _value: self._soon.start())
        self.verticalScrollBar().rangeChanged.connect(lambda _low, _high: self._soon.start())

    def set_parts(self, parts: Iterable[Viewed]) -> None:
        """Show these and nothing else, from the top."""
        self._portions.clear()
        clear_layout(self._box)
        self.verticalScrollBar().setValue(0)
        self._append(parts)
        if self._portions:
            self._portions[0].build()
        self._soon.start()

    def add_parts(self, parts: Iterable[Viewed]) -> None:
        """Show these below the rest, and scroll to them."""
        first = len(self._portions)
        self._append(parts)
        if len(self._portions) == first:
            return
        added = self._portions[first]
        added.build()
        # It has a place once the layout has seen it.
        QTimer.singleShot(0, added, lambda: self.ensureWidgetVisible(added, 0, theme().px(tokens.SPACE_6)))

    def built_widgets(self) -> list[QWidget]:
        """The widgets that are built, from the top."""
        return [widget for portion in self._portions if portion.built for widget in portion.widgets()]

    def _append(self, parts: Iterable[Viewed]) -> None:
        waiting = list(parts)
        for at in range(0, len(waiting), PORTION):
            portion = _Portion(waiting[at : at + PORTION])
            portion.grew.connect(lambda grown, portion=portion: self._keep_place(portion, grown))
            self._portions.append(portion)
            self._box.addWidget(portion)

    def _keep_place(self, portion: _Portion, grown: int) -> None:
        """What is in view stays where it is when a portion above it takes more or less room than expected."""
        bar = self.verticalScrollBar()
        if portion.y() + portion.height() - grown <= bar.value():
            bar.setValue(bar.value() + grown)

    @guarded()
    def _build_next(self) -> None:
        """Build one portion that is in view or a page away from it, and look again in the next turn."""
        top, page = self.verticalScrollBar().value(), max(1, self.viewport().height())
        near = [
            portion
            for portion in self._portions
            if portion.y() < top + 2 * page and portion.y() + portion.height() > top - page
        ]
        waiting = [portion for portion in near if not portion.built]
        if not waiting:
            return
        # What is in view goes before what is only near it.
        min(waiting, key=lambda portion: abs(portion.y() + portion.height() / 2 - top - page / 2)).build()
        self._take_down_far(top + page // 2)
        self._soon.start()

    def _take_down_far(self, middle: int) -> None:
        built = [portion for portion in self._portions if portion.built and not _has_focus(portion)]
        for portion in sorted(built, key=lambda portion: abs(portion.y() - middle))[KEPT_PORTIONS:]:
            portion.take_down()

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._soon.start()


def _has_focus(widget: QWidget) -> bool:
    focused = widget.window().focusWidget()
    return bool(focused) and widget.isAncestorOf(focused)
