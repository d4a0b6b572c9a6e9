"""A column of widgets that are built when they come into view, so that its length costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QPoint, QTimer, Signal
from PySide6.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.feedback import clear_layout
from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from PySide6.QtGui import QResizeEvent

# How many widgets are built at a time.
PORTION = 10
# How many parts a layout has: of thousands each change would take long.
BRANCHES = 40
# How many portions stay built. Those that are farthest from the view are taken down first.
KEPT_PORTIONS = 30
UNLIMITED = 16_777_215


class Viewed(NamedTuple):
    """A widget to be. `height` is about how tall it will be, in pixels of the design."""

    build: Callable[[], QWidget]
    height: int


class _Portion(QWidget):
    """Some of the widgets, or the room that they take. Many of them are divided into further portions."""

    grew = Signal(object, int)

    def __init__(self, parts: list[Viewed]) -> None:
        super().__init__()
        self._parts = parts
        self.built = False
        self.inner: list[_Portion] = []
        self._box = QVBoxLayout(self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(theme().px(tokens.SPACE_3))
        gaps = theme().px(tokens.SPACE_3) * (len(parts) - 1)
        # Of thousands of parts only the sum is scaled.
        self.setFixedHeight(gaps + theme().px(sum(part.height for part in parts)))

    @property
    def is_leaf(self) -> bool:
        return len(self._parts) <= PORTION

    def build(self) -> None:
        """Make the widgets, or the portions that they are divided into."""
        if self.built:
            return
        self.built = True
        if self.is_leaf:
            for part in self._parts:
                self._box.addWidget(part.build())
        else:
            self.inner = _portions(self._parts)
            for portion in self.inner:
                portion.grew.connect(self.grew)
                self._box.addWidget(portion)
        self.setMinimumHeight(0)
        self.setMaximumHeight(UNLIMITED)

    def take_down(self) -> None:
        """Leave only the room of the widgets."""
        self.built = False
        self.setFixedHeight(self.height())
        clear_layout(self._box)

    def leaves(self) -> Iterator[_Portion]:
        """The portions of widgets that are built, from the top."""
        if self.is_leaf:
            if self.built:
                yield self
            return
        for portion in self.inner:
            yield from portion.leaves()

    def widgets(self) -> list[QWidget]:
        items = (self._box.itemAt(place) for place in range(self._box.count()))
        return [widget for item in items if item is not None and (widget := item.widget()) is not None]

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        grown = event.size().height() - event.oldSize().height()
        if grown and event.oldSize().height() > 0 and self.is_leaf:
            self.grew.emit(self, grown)


def _portions(parts: list[Viewed]) -> list[_Portion]:
    """A few portions for any number of parts."""
    each = PORTION
    while each * BRANCHES < len(parts):
        each *= BRANCHES
    return [_Portion(parts[at : at + each]) for at in range(0, len(parts), each)]


class ViewedColumn(QScrollArea):
    """Shows widgets below each other. `set_parts` replaces them, `add_parts` adds more and shows those."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._portions: list[_Portion] = []
        self._column = QWidget()
        outer = QVBoxLayout(self._column)
        outer.setContentsMargins(0, 0, 0, 0)
        self._box = QVBoxLayout()
        self._box.setSpacing(theme().px(tokens.SPACE_3))
        outer.addLayout(self._box)
        outer.addStretch()
        self.setAccessibleName(name)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidget(self._column)
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
            self._build_first(self._portions[0])
        self._soon.start()

    def add_parts(self, parts: Iterable[Viewed]) -> None:
        """Show these below the rest, and scroll to them."""
        first = len(self._portions)
        self._append(parts)
        if len(self._portions) == first:
            return
        added = self._portions[first]
        self._build_first(added)
        # It has a place once the layout has seen it.
        QTimer.singleShot(0, added, lambda: self.ensureWidgetVisible(added, 0, theme().px(tokens.SPACE_6)))

    def built_widgets(self) -> list[QWidget]:
        """The widgets that are built, from the top."""
        return [widget for leaf in self._leaves() for widget in leaf.widgets()]

    def _leaves(self) -> Iterator[_Portion]:
        for portion in self._portions:
            yield from portion.leaves()

    def _append(self, parts: Iterable[Viewed]) -> None:
        for portion in _portions(list(parts)):
            portion.grew.connect(self._keep_place)
            self._portions.append(portion)
            self._box.addWidget(portion)

    def _build_first(self, portion: _Portion) -> None:
        portion.build()
        while portion.inner:
            portion = portion.inner[0]
            portion.build()

    def _top(self, portion: _Portion) -> int:
        return portion.mapTo(self._column, QPoint(0, 0)).y()

    @guarded()
    def _keep_place(self, portion: _Portion, grown: int) -> None:
        """What is in view stays where it is when a portion above it takes more or less room than expected."""
        bar = self.verticalScrollBar()
        if self._top(portion) + portion.height() - grown <= bar.value():
            bar.setValue(bar.value() + grown)

    @guarded()
    def _build_next(self) -> None:
        """Build one portion that is in view or a page away from it, and look again in the next turn."""
        top, page = self.verticalScrollBar().value(), max(1, self.viewport().height())
        waiting = list(self._unbuilt(self._portions, top - page, top + 2 * page))
        if not waiting:
            return
        # What is in view goes before what is only near it.
        min(waiting, key=lambda found: abs(found[0] + found[1].height() / 2 - top - page / 2))[1].build()
        self._take_down_far(top + page // 2)
        self._soon.start()

    def _unbuilt(self, portions: list[_Portion], first: int, last: int) -> Iterator[tuple[int, _Portion]]:
        """The portions between two heights that are not built, each with its own height."""
        for portion in portions:
            top = self._top(portion)
            if top < last and top + portion.height() > first:
                if not portion.built:
                    yield top, portion
                else:
                    yield from self._unbuilt(portion.inner, first, last)

    def _take_down_far(self, middle: int) -> None:
        built = list(self._leaves())
        if len(built) <= KEPT_PORTIONS:
            return
        for leaf in sorted(built, key=lambda leaf: abs(self._top(leaf) - middle))[KEPT_PORTIONS:]:
            if not _has_focus(leaf):
                leaf.take_down()

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._soon.start()


def _has_focus(widget: QWidget) -> bool:
    focused = widget.window().focusWidget()
    return bool(focused) and widget.isAncestorOf(focused)
