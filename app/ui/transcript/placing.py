"""PlacedItems: which items are in view, and where. No widget."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from app.ui.transcript.shown_items import ShownItems

if TYPE_CHECKING:
    from app.ui.transcript.drawn import DrawnItem

# So long may laying out delay a frame; what is missing then is painted in the next one.
LAYOUT_SECONDS = 0.007


class VisibleItem(NamedTuple):
    """An item in view: its place, and its top in the view. `drawn` is None until it is laid out."""

    place: int
    top: int
    drawn: DrawnItem | None


class PlacedItems:
    """Keeps one item where it is in the view, the anchor, and places the others around it.

    So what is read stays, whatever the heights above it turn out to be. Without an anchor the end is kept in view.
    """

    def __init__(self) -> None:
        self.items = ShownItems()
        self.visible: list[VisibleItem] = []
        self._anchor: tuple[str, int] | None = None

    def hold(self, place: int, top: int) -> None:
        """Have an item at a place in the view."""
        self._anchor = (self.items.key(place), top)

    def hold_end(self) -> None:
        """Have the end in view."""
        self._anchor = None

    def hold_shown(self) -> None:
        """Have what is in view where it is: the first item whose beginning is, else the first."""
        if self.visible:
            shown = next((one for one in self.visible if one.top >= 0), self.visible[0])
            self.hold(shown.place, shown.top)

    def hold_scrolled(self, moved: int, value: int, page: int, margin: int) -> None:
        """Have everything `moved` pixels further down; far away the item at `value` of the scroll bar."""
        near = [one for one in self.visible if -page < one.top + moved < page]
        if near and abs(moved) < 2 * page:
            shown = next((one for one in near if one.top + moved >= 0), near[-1])
            self.hold(shown.place, shown.top + moved)
        else:
            place = max(0, self.items.heights.at(value - margin))
            self.hold(place, self.items.heights.top(place) + margin - value)

    def top_of(self, place: int) -> int | None:
        """Where an item is in the view; None if it is not."""
        return next((shown.top for shown in self.visible if shown.place == place), None)

    def at(self, y: int) -> VisibleItem | None:
        """The item at a height of the view."""
        for shown in self.visible:
            if shown.top <= y < shown.top + self.items.heights[shown.place]:
                return shown
        return None

    @property
    def complete(self) -> bool:
        """Whether everything in view is laid out."""
        return all(shown.drawn is not None for shown in self.visible)

    def last_place(self) -> int:
        """The last item that is not folded away; -1 without one."""
        place = len(self.items) - 1
        while place > 0 and self.is_hidden(place):
            place -= 1
        return place

    def is_hidden(self, place: int) -> bool:
        """Whether an item is folded away. Its height says it without a look at the item."""
        return self.items.heights[place] == 0

    def settle(self, page: int, margin: int, *, at_end: bool) -> None:
        """Place what is in view of a height of `page`, and lay it out as far as a frame has time."""
        self.visible = []
        if not len(self.items):
            return
        until = perf_counter() + LAYOUT_SECONDS
        place, y = self._anchored(page, margin, until, at_end=at_end)
        heights = self.items.heights
        below: list[VisibleItem] = []
        at, end = place, y
        while at < len(heights) and end < page:
            if not self.is_hidden(at):
                below.append(self._seen(at, end, until))
                end += heights[at]
            at += 1
        above: list[VisibleItem] = []
        at, top = place - 1, y
        while at >= 0 and top > 0:
            if not self.is_hidden(at):
                shown = self._seen(at, 0, until)
                top -= heights[at]
                above.append(shown._replace(top=top))
            at -= 1
        self.visible = [*reversed(above), *below]
        self._shift_to_edges(end, page - margin, margin)
        self.hold_shown()

    def _anchored(self, page: int, margin: int, until: float, *, at_end: bool) -> tuple[int, int]:
        """The item that stays where it is, and its top."""
        if not at_end and self._anchor is not None:
            place = self.items.place_of(self._anchor[0])
            if place >= 0:
                return place, self._anchor[1]
        place = self.last_place()
        self._seen(place, 0, until)
        return place, page - margin - self.items.heights[place]

    def _seen(self, place: int, top: int, until: float) -> VisibleItem:
        drawn = self.items.laid_out(place)
        if drawn is None and perf_counter() < until:
            drawn = self.items.lay_out(place)
        elif drawn is not None:
            self.items.heights.set(place, drawn.height)
        return VisibleItem(place, top, drawn)

    def _shift_to_edges(self, end: int, bottom: int, margin: int) -> None:
        """No empty room above the first item, nor below the last one where more would fit."""
        if not self.visible:
            return
        heights, shift = self.items.heights, 0
        if end < bottom and heights.top(self.visible[-1].place + 1) == heights.total:
            shift = bottom - end
        top = self.visible[0].top + shift
        if top > margin and heights.top(self.visible[0].place) == 0:
            shift -= top - margin
        if shift:
            self.visible = [shown._replace(top=shown.top + shift) for shown in self.visible]
