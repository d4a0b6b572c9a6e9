"""TextSelection: the selected text, from a position in one item to one in the same or another item."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from app.ui.transcript.drawn import AFTER, BEFORE

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.ui.transcript.drawn import TextPlace


class SelectionEnd(NamedTuple):
    """A position in the item with a key."""

    key: str
    at: TextPlace


class TextSelection:
    """From `anchor`, where it was begun, to `head`. `place_of` gives the place of an item by its key, -1 for none."""

    def __init__(self, place_of: Callable[[str], int]) -> None:
        self.anchor: SelectionEnd | None = None
        self.head: SelectionEnd | None = None
        self._place_of = place_of

    @property
    def ends(self) -> tuple[tuple[int, TextPlace], tuple[int, TextPlace]] | None:
        """The place and the position of both ends, in order; None if nothing is selected."""
        if self.anchor is None or self.head is None or self.anchor == self.head:
            return None
        one, other = ((self._place_of(end.key), end.at) for end in (self.anchor, self.head))
        return None if min(one[0], other[0]) < 0 else (min(one, other), max(one, other))

    def span_in(self, place: int) -> tuple[TextPlace, TextPlace] | None:
        """What of an item is selected, in order; None for nothing."""
        ends = self.ends
        if ends is None or not ends[0][0] <= place <= ends[1][0]:
            return None
        return (ends[0][1] if place == ends[0][0] else BEFORE, ends[1][1] if place == ends[1][0] else AFTER)

    def begin(self, key: str, at: TextPlace) -> None:
        """Begin at a position."""
        self.anchor = self.head = SelectionEnd(key, at)

    def extend(self, key: str, at: TextPlace) -> None:
        """Move its end."""
        self.head = SelectionEnd(key, at)

    def take(self, key: str, span: tuple[TextPlace, TextPlace]) -> None:
        """Select a part of an item."""
        self.anchor, self.head = (SelectionEnd(key, at) for at in span)

    def take_items(self, first: str, last: str) -> None:
        """Select whole items, from `first`, where it was begun, to `last`, which may be above it."""
        down = self._place_of(first) <= self._place_of(last)
        self.anchor = SelectionEnd(first, BEFORE if down else AFTER)
        self.head = SelectionEnd(last, AFTER if down else BEFORE)

    def clear(self) -> None:
        """Select nothing."""
        self.anchor = self.head = None
