"""Selector: selects text of a view with mouse and keyboard, across items, and copies it."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QPoint, QTimer, Signal

from app.ui.theme import theme, tokens
from app.ui.transcript.copier import SLICE_SECONDS, put_on_clipboard
from app.ui.transcript.drawn import AFTER, BEFORE
from app.ui.transcript.text_selection import TextSelection
from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.ui.transcript.drawn import TextPlace
    from app.ui.transcript.painted_items import PaintedItems
    from app.ui.transcript.placing import VisibleItem

# What a clipboard and the program that pastes from it take without trouble, in characters.
LONGEST_SELECTION = 2_000_000
SCROLL_MS = 30


class Selector(QObject):
    """`selection` is what is selected. `said(str)`: what was done; `too_long()`: it would be too much to copy."""

    said = Signal(str)
    too_long = Signal()

    def __init__(self, view: PaintedItems) -> None:
        super().__init__(view)
        self._view = view
        self.selection = TextSelection(view.items.place_of)
        self.selecting = False
        self._at = QPoint()
        # The items between which the keyboard selects: where it began, and where it is.
        self._items: tuple[str, str] | None = None
        self._scroll = QTimer(self, interval=SCROLL_MS)
        self._scroll.timeout.connect(self._scroll_on)
        self._rest: Iterator[str] = iter(())
        self._copied: list[str] = []
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._copy_more)

    @property
    def some(self) -> bool:
        """Whether anything is selected."""
        return self.selection.ends is not None

    def clear(self) -> None:
        """Select nothing."""
        self.selection.clear()
        self._items = None
        self.end()
        self._view.viewport().update()

    def press(self, shown: VisibleItem, at: QPoint, *, extend: bool) -> None:
        """Begin where the mouse was pressed; `extend` the selection to there instead."""
        place = _position(shown, at)
        key = self._view.items.key(shown.place)
        if extend and self.selection.anchor is not None:
            self.selection.extend(key, place)
        else:
            self.selection.begin(key, place)
        self._items, self.selecting, self._at = None, True, at
        # What is selected stays where it is meanwhile.
        self._view.pause()
        self._view.viewport().update()

    def drag(self, at: QPoint) -> None:
        """Select up to where the mouse is. Beyond the view it goes on by itself."""
        self._at = at
        self._reach(at)
        if not self._beyond:
            self._scroll.stop()
        elif not self._scroll.isActive():
            self._scroll.start()

    def end(self) -> None:
        """The mouse was released."""
        self.selecting = False
        self._scroll.stop()

    def extend_to(self, place: int, begin: int) -> None:
        """Select whole items with the keyboard up to one; from `begin` if it selects none yet."""
        items = self._view.items
        first = self._items[0] if self._items is not None and self.some else items.key(begin)
        if items.place_of(first) < 0:
            return
        self._items = first, items.key(place)
        self.selection.take_items(*self._items)
        count = sum(1 for _ in self._places())
        self.said.emit(self.tr("1 entry selected") if count == 1 else self.tr("{0} entries selected").format(count))
        self._view.viewport().update()

    def select_all(self) -> None:
        """Select everything, unless that is too much to copy."""
        items = self._view.items
        if not len(items):
            return
        if self._longer_than_allowed(0, len(items) - 1):
            self.too_long.emit()
            return
        self._items = items.key(0), items.key(len(items) - 1)
        self.selection.take_items(*self._items)
        self.said.emit(self.tr("The whole transcript is selected"))
        self._view.viewport().update()

    def copy(self) -> None:
        """Put what is selected on the clipboard, as it is shown."""
        ends = self.selection.ends
        if ends is None:
            return
        if ends[0][0] != ends[1][0] and self._longer_than_allowed(ends[0][0], ends[1][0]):
            self.too_long.emit()
            return
        self._copied, self._rest = [], self._texts()
        self._copy_more()
        if self._soon.isActive():
            self.said.emit(self.tr("Copying…"))

    def _copy_more(self) -> None:
        """Copy in slices: what is not in view is laid out for it."""
        until = perf_counter() + SLICE_SECONDS
        for text in self._rest:
            self._copied.append(text)
            if perf_counter() > until:
                self._soon.start()
                return
        put_on_clipboard("\n\n".join(text for text in self._copied if text))
        self._copied = []
        self.said.emit(self.tr("Copied the selection"))

    def _texts(self) -> Iterator[str]:
        items = self._view.items
        for place in self._places():
            span = self.selection.span_in(place)
            if span is not None and place < len(items):
                yield items.lay_out(place).selected_text(*span)

    def _places(self) -> Iterator[int]:
        """The items that are selected, without those that are folded away."""
        ends = self.selection.ends
        for place in range(ends[0][0], ends[1][0] + 1) if ends is not None else ():
            if place < len(self._view.items) and not self._view.placed.is_hidden(place):
                yield place

    def _longer_than_allowed(self, first: int, last: int) -> bool:
        source, characters = self._view.source, 0
        for place in range(first, last + 1) if source is not None else ():
            assert source is not None
            characters += source.head(place).characters
            if characters > LONGEST_SELECTION:
                return True
        return False

    @property
    def _beyond(self) -> int:
        """How far the mouse is below the view, in pixels; less than 0 above it."""
        y, high = self._at.y(), self._view.viewport().height()
        return y if y < 0 else max(0, y - high + 1)

    @guarded()
    def _scroll_on(self) -> None:
        beyond = self._beyond
        if not self.selecting or not beyond:
            self._scroll.stop()
            return
        bar, step = self._view.verticalScrollBar(), theme().px(tokens.SPACE_5)
        bar.setValue(bar.value() + max(-4 * step, min(4 * step, beyond)))
        self._view.settle()
        self._reach(self._at)

    def _reach(self, at: QPoint) -> None:
        visible = self._view.visible
        if not visible:
            return
        shown = self._view.item_at(at.y()) or (visible[0] if at.y() < visible[0].top else visible[-1])
        self.selection.extend(self._view.items.key(shown.place), _position(shown, at))
        self._view.viewport().update()


def _position(shown: VisibleItem, at: QPoint) -> TextPlace:
    """The position in an item that is nearest: in its text, or before or after all of it."""
    drawn, y = shown.drawn, at.y() - shown.top
    if drawn is None or not drawn.texts:
        return BEFORE if drawn is None or y < drawn.height // 2 else AFTER
    if y < drawn.texts[0].rect.top():
        return BEFORE
    return drawn.place_at(at.x(), y) or AFTER
