"""TranscriptBody: the items of a transcript, how they are made, and the log that they are made of, as one thing.

A history is read into a new body beside the one that is shown, so that it can be read in slices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from app.core.runs.item_list import ItemList
from app.core.runs.items import Message, Permission, Thought
from app.core.runs.methods import apply
from app.core.runs.raw_log import RawLog
from app.core.runs.reducer import ELSEWHERE, Reducer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.core.runs.items import Item
    from app.core.runs.log_entries import LogEntry
    from app.core.runs.raw_log import RawMark
    from app.core.runs.reducer import Position
    from app.core.runs.spill import SpillFile


class TranscriptMark(NamedTuple):
    """A place in a log: what was made of the entries before it.

    `growing` are the items that later entries add to, by their indexes, as they were there.
    """

    items: int
    position: Position
    turns: int
    raw: RawMark
    growing: tuple[tuple[int, Item], ...]


class TranscriptBody:
    """Without a `spill` all of it stays in memory."""

    def __init__(self, run_id: str, spill: SpillFile | None) -> None:
        self.spill = spill
        self.items = ItemList(spill)
        self.reducer = Reducer(self.items, run_id)
        self.raw = RawLog(spill)

    def apply(self, entries: Iterable[LogEntry]) -> set[int]:
        """Add entries; returns the indexes of the items that were added or may have changed."""
        reducer, raw, items = self.reducer, self.raw, self.items
        touched: set[int] = set()
        for entry in entries:
            reducer.touched.clear()
            apply(reducer, entry)
            if reducer.touched:
                raw.note(reducer.touched, entry.raw)
                items.weigh(reducer.touched, len(entry.raw))
                touched |= reducer.touched
        return touched

    def mark(self) -> TranscriptMark:
        last = len(self.items) - 1
        growing = {*self.reducer.at.running.values()}
        if last >= 0 and self.items.kind(last) in {Message, Thought}:
            growing.add(last)
        return TranscriptMark(
            last + 1,
            self.reducer.at.copy(),
            len(self.reducer.turns),
            self.raw.mark(),
            tuple((index, self.items.item(index)) for index in sorted(growing)),
        )

    def copy(self, mark: TranscriptMark) -> TranscriptBody:
        """A body that has what this one had at `mark`. Both go on with the same file.

        Other items before the mark than the growing ones keep what came to them later. To apply later entries again
        changes nothing in them.
        """
        other = TranscriptBody(self.reducer.run_id, self.spill)
        other.items = self.items.copy(mark.items)
        other.raw = self.raw.copy(mark.raw)
        other.reducer.items = other.items
        other.reducer.at = mark.position.copy()
        other.reducer.turns = self.reducer.turns[: mark.turns]
        other.reducer.stopped = self.reducer.stopped
        for index, item in mark.growing:
            other.items.replace(index, item)
        for key, index in tuple(other.reducer.at.waiting.items()):
            asked = other.items.item(index)
            if isinstance(asked, Permission) and asked.answer == ELSEWHERE:
                # The log says so again, unless a stream only seemed to: one that repeats what was before the question.
                other.items.replace(index, msgspec.structs.replace(asked, answer="", answer_name=""))
            elif isinstance(asked, Permission) and asked.answer:
                # By this person, whose answer may not be in the log.
                other.reducer.answer(key, asked.answer)
        return other
