"""RawLog: which entries of the log made which item, as they came."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.core.runs.spill import SpillFile

# Bytes that are kept where they cannot be written to a file.
MOST_IN_MEMORY = 8 * 1024 * 1024
LEFT_OUT = b'{"left out": "Burrow keeps no more of the log on this machine. The server has it."}'


class RawMark(NamedTuple):
    """How much was noted."""

    entries: int
    last: int


class RawLog:
    """Entries by the item that they made. Those that follow each other and made the same item are one range."""

    def __init__(self, spill: SpillFile | None) -> None:
        self._spill = spill
        self._items = array("I")
        self._places = array("Q")
        self._lengths = array("Q")
        self._kept: dict[int, bytes] = {}
        self._kept_bytes = 0
        # Places of what is kept in memory are beyond those of any file.
        self._next = _BEYOND

    def note(self, indexes: set[int], raw: bytes) -> None:
        """An entry made or changed these items."""
        place, length = self._store(raw), len(raw) + 1
        items, places, lengths = self._items, self._places, self._lengths
        for index in indexes:
            if len(indexes) == 1 and items and items[-1] == index and places[-1] + lengths[-1] == place:
                lengths[-1] += length
                return
            items.append(index)
            places.append(place)
            lengths.append(length)

    def lines(self, index: int) -> Iterator[bytes]:
        """The entries that made an item, the oldest first. Raises `OSError` when the disk fails."""
        at = -1
        while True:
            try:
                at = self._items.index(index, at + 1)
            except ValueError:
                return
            yield from self._read(self._places[at], self._lengths[at]).rstrip(b"\n").split(b"\n")

    def all_lines(self) -> Iterator[bytes]:
        """All entries that made or changed an item, as they came. Raises `OSError` when the disk fails."""
        # More may come meanwhile.
        at, last = 0, -1
        while at < len(self._places):
            place, length = self._places[at], self._lengths[at]
            if place != last:
                yield from self._read(place, length).rstrip(b"\n").split(b"\n")
            at, last = at + 1, place

    def mark(self) -> RawMark:
        return RawMark(len(self._items), self._lengths[-1] if self._lengths else 0)

    def copy(self, mark: RawMark) -> RawLog:
        """What was noted until `mark`, with the same file."""
        other = RawLog(self._spill)
        other._items, other._places = self._items[: mark.entries], self._places[: mark.entries]
        other._lengths = self._lengths[: mark.entries]
        if other._lengths:
            other._lengths[-1] = mark.last
        other._kept, other._kept_bytes, other._next = self._kept.copy(), self._kept_bytes, self._next
        return other

    def _store(self, raw: bytes) -> int:
        # A line break in an entry is white space between two parts of it.
        line = (raw.replace(b"\n", b" ") if b"\n" in raw else raw) + b"\n"
        if self._spill is not None and self._spill.failure is None:
            return self._spill.append(line)
        place, self._next = self._next, self._next + len(line)
        self._kept[place] = line
        self._kept_bytes += len(line)
        while self._kept_bytes > MOST_IN_MEMORY and len(self._kept) > 1:
            self._kept_bytes -= len(self._kept.pop(next(iter(self._kept))))
        return place

    def _read(self, place: int, length: int) -> bytes:
        if place < _BEYOND:
            return LEFT_OUT if self._spill is None else self._spill.read(place, length)
        found, end = bytearray(), place + length
        while place < end:
            line = self._kept.get(place)
            if line is None:
                return LEFT_OUT
            found += line
            place += len(line)
        return bytes(found)


_BEYOND = 1 << 60
