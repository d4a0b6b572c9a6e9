"""TextSelection: the selected text of one item."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.ui.transcript.drawn import TextPlace


class TextSelection:
    """`key` is the key of the item."""

    def __init__(self) -> None:
        self.key = ""
        self.selecting = False
        self._first: TextPlace | None = None
        self._last: TextPlace | None = None

    @property
    def span(self) -> tuple[TextPlace, TextPlace] | None:
        """Its ends in order; None if nothing is selected."""
        if self._first is None or self._last is None or self._first == self._last:
            return None
        return min(self._first, self._last), max(self._first, self._last)

    def begin(self, key: str, place: TextPlace) -> None:
        """Begin where the mouse was pressed."""
        self.key, self._first, self._last, self.selecting = key, place, place, True

    def extend(self, place: TextPlace | None) -> None:
        """Move its end."""
        if place is not None:
            self._last = place

    def end(self) -> None:
        """The mouse was released."""
        self.selecting = False

    def take(self, key: str, span: tuple[TextPlace, TextPlace]) -> None:
        """Select a part."""
        self.key, (self._first, self._last), self.selecting = key, span, False

    def clear(self) -> None:
        """Select nothing."""
        self.key, self._first, self._last, self.selecting = "", None, None, False
