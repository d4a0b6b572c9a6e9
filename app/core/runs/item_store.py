"""ItemStore: recent items in memory, older ones in a file (`spill.py`).

Where no file can be written, older items stay in memory, and what is long in them is cut: the server has the whole.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import msgspec

from app.core.runs.items import (
    DiffPart,
    FilePart,
    Item,
    OtherPart,
    Permission,
    ShellCommand,
    TextPart,
    ToolCall,
    Unknown,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.runs.items import Part
    from app.core.runs.spill import SpillFile

# What stays in memory: a few screens of what a person looks at, and what running tools still change.
RECENT_ITEMS, RECENT_CHARACTERS = 2_000, 8_000_000
ITEM_WEIGHT = 500
# Room is made for some at a time.
SLACK = 1.25
NEVER_SPILLED = 16
# Where there is no file: what may stay whole, and what is left of longer texts beyond it.
CHARACTERS_IN_MEMORY, CUT_TO = 32_000_000, 2_000
CUT = "\n… (cut: Burrow cannot keep more of it on this machine)"

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[type[Item], msgspec.msgpack.Decoder[Any]] = {}


class ItemStore:
    """Items by their index."""

    def __init__(self, spill: SpillFile | None) -> None:
        self._spill = spill
        self.trouble = ""
        self._items: list[Item | None] = []
        self._places = array("Q")
        # The length in the file; 0 while it is not there.
        self._lengths = array("I")
        # Every item before this one is in the file, or cut.
        self._first_kept = 0
        self._weights = array("Q")
        self._characters = 0

    def append(self, item: Item) -> None:
        self._items.append(item)
        self._places.append(0)
        self._lengths.append(0)
        self._weights.append(ITEM_WEIGHT)
        self._characters += ITEM_WEIGHT
        if self._characters > RECENT_CHARACTERS * SLACK or len(self._items) - self._first_kept > RECENT_ITEMS * SLACK:
            self._make_room()

    def replace(self, index: int, item: Item) -> None:
        """Put another item in its place."""
        if index >= self._first_kept or not self._write(index, item):
            self._items[index] = item

    def weigh(self, index: int, characters: int) -> None:
        """An entry of so many characters is a part of an item. It is enough to know roughly how much is in memory."""
        if index >= self._first_kept:
            self._weights[index] += characters
            self._characters += characters

    def item(self, index: int, kind: type[Item]) -> Item:
        """An item, of that kind. Raises `OSError` when the disk fails."""
        item = self._items[index]
        if item is not None:
            return item
        assert self._spill is not None
        decoder = _decoders.get(kind)
        if decoder is None:
            decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
        return decoder.decode(self.encoded(index))  # type: ignore[no-any-return]

    def in_memory(self, index: int) -> bool:
        return self._items[index] is not None

    def encoded(self, index: int) -> bytes:
        """An item of the file as it is there; empty for one in memory. Strings in it are UTF-8."""
        if self._items[index] is not None or self._spill is None:
            return b""
        return self._spill.read(self._places[index], self._lengths[index])

    def copy(self, length: int) -> ItemStore:
        """The first `length` items, with the same file."""
        other = ItemStore(self._spill)
        other.trouble = self.trouble
        other._items, other._places, other._lengths = (
            self._items[:length],
            self._places[:length],
            self._lengths[:length],
        )
        other._weights = self._weights[:length]
        other._first_kept = min(self._first_kept, length)
        other._characters = sum(other._weights[other._first_kept :])
        return other

    def _make_room(self) -> None:
        spilled = self._spill is not None and self._spill.failure is None
        last = len(self._items) - NEVER_SPILLED
        if not spilled:
            if self._spill is not None and self._spill.failure is not None:
                self.trouble = f"The log of this run cannot be written to this machine's disk: {self._spill.failure}."
            self._cut(last)
            return
        while self._first_kept < last and (
            len(self._items) - self._first_kept > RECENT_ITEMS or self._characters > RECENT_CHARACTERS
        ):
            item = self._items[self._first_kept]
            self._characters -= self._weights[self._first_kept]
            if item is not None:
                self._write(self._first_kept, item)
            self._first_kept += 1

    def _write(self, index: int, item: Item) -> bool:
        if self._spill is None or self._spill.failure is not None:
            return False
        content = _encoder.encode(item)
        self._places[index] = self._spill.append(content)
        self._lengths[index] = len(content)
        self._items[index] = None
        return True

    def _cut(self, last: int) -> None:
        if self._characters <= CHARACTERS_IN_MEMORY:
            return
        if not self.trouble:
            self.trouble = "There is no folder for the log of this run."
        while self._first_kept < last and self._characters > CHARACTERS_IN_MEMORY:
            item = self._items[self._first_kept]
            if item is not None:
                self._items[self._first_kept] = shortened(item)
                # What is left of it is not counted any more.
                self._characters -= self._weights[self._first_kept]
            self._first_kept += 1


def shortened(item: Item) -> Item:
    """An item without most of what tools returned. What people and the agent said stays whole."""
    fields = _LONG.get(type(item))
    if fields is None:
        return item
    changed: dict[str, Any] = {}
    for name in fields:
        value = getattr(item, name)
        changed[name] = (
            _cut_text(value) if isinstance(value, str) else tuple(_PARTS[type(each)](each) for each in value)
        )
    return msgspec.structs.replace(item, **changed)


def _cut_text(text: str) -> str:
    return text if len(text) <= CUT_TO + len(CUT) else text[:CUT_TO] + CUT


def _cut_diff(part: DiffPart) -> Part:
    if len(part.old or "") + len(part.new) <= CUT_TO:
        return part
    # A diff of halves would say what is not so.
    return TextPart(f"{part.path}{CUT}")


_PARTS: dict[type, Callable[[Any], Part]] = {
    TextPart: lambda part: TextPart(_cut_text(part.text), part.terminal),
    DiffPart: _cut_diff,
    FilePart: lambda part: FilePart(part.name, part.uri, part.media_type),
    OtherPart: lambda part: OtherPart(_cut_text(part.text)),
}
_LONG: dict[type[Item], tuple[str, ...]] = {
    ToolCall: ("parts", "input", "output"),
    Permission: ("parts", "input"),
    ShellCommand: ("output",),
    Unknown: ("text",),
}
