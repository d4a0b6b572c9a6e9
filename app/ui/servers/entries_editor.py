"""EntriesEditor: values one below the other that are added, removed and brought back, sent as one JSON text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.ui.servers.offer_line import OfferLine
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.lazy_column import LazyColumn

if TYPE_CHECKING:
    from collections.abc import Callable

E = TypeVar("E")

CHUNK = 12


class EntriesEditor(QWidget, Generic[E]):
    """Calls `put` with the JSON text of all entries when one changed.

    A subclass says what an entry and its row are. Parts come into being as they come into view (`LazyColumn`). `height`
    is the estimated height of a row, in device-independent pixels at a scale of 1.
    """

    def __init__(self, entries: list[E], name: str, put: Callable[[str], None], add: str, height: int) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self._name, self._put = name, put
        self._entries = entries
        # Written once for each change of an entry: with thousands of them, writing all would be felt at every key.
        self._texts = [self._text(entry) for entry in entries]
        self._column = LazyColumn(
            len(entries), self._make, self._words, size=CHUNK, estimate=height, spacing=tokens.SPACE_1
        )
        self._add = QuietButton(add, "plus", clicked=self.add)
        self._add.setAccessibleName(f"{add}: {name}")
        self._column.follower = self._add
        self._offer = OfferLine()
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(theme().px(tokens.SPACE_1))
        box.addWidget(self._column)
        box.addWidget(self._add, 0, Qt.AlignmentFlag.AlignLeft)
        box.addWidget(self._offer)
        self.setFocusProxy(self._add)

    def add(self) -> None:
        """Add an entry at the end."""
        raise NotImplementedError

    def insert(self, place: int, entry: E) -> None:
        """Insert an entry, which gets the focus."""
        self._entries.insert(place, entry)
        self._texts.insert(place, self._text(entry))
        self._column.insert(place)
        self._changed()
        self._focus(place)
        self._offer.clear()

    def remove(self, place: int) -> None:
        """Remove an entry, which can be undone."""
        # Before the row goes: Qt would move the focus out of what is hidden, to anywhere.
        self._focus(place + 1 if place + 1 < len(self._entries) else place - 1)
        entry = self._entries.pop(place)
        del self._texts[place]
        self._column.remove(place)
        self._changed()
        words = self._removed_words(place, entry)
        if words:
            undo = self.tr("Undo")
            self._offer.say(words, undo, lambda: self.insert(min(place, len(self._entries)), entry))

    def _set(self, place: int, entry: E) -> None:
        """Take an entry that its row has changed."""
        self._entries[place], self._texts[place] = entry, self._text(entry)
        self._offer.clear()

    def _text(self, entry: E) -> str:
        """The JSON text of an entry."""
        raise NotImplementedError

    def _make(self, place: int) -> QWidget:
        """The row of an entry."""
        raise NotImplementedError

    def _words(self, first: int, last: int) -> str:
        """What is said of rows that are not made yet. `first` and `last` count from 1."""
        raise NotImplementedError

    def _focus(self, place: int) -> None:
        """Put the focus on an entry, or on the button that adds one where there is none."""
        raise NotImplementedError

    def _changed(self) -> None:
        """Entries were added, removed or changed: tell `put`."""
        raise NotImplementedError

    def _removed_words(self, place: int, entry: E) -> str:
        """What the offer to undo says; empty where there is nothing to bring back."""
        raise NotImplementedError
