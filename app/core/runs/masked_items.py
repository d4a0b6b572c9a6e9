"""MaskedItems: the items of a transcript without credentials. Those that were asked for last are kept."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from app.core.runs.item_text import characters_to_mask, masking, without_texts
from app.core.runs.long_texts import in_one
from app.core.runs.slices import SLICE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from app.core.runs.item_list import ItemList
    from app.core.runs.items import Item

# Items that are shown are asked for again and again: so many, and so many characters of them.
KEPT_ITEMS, KEPT_CHARACTERS = 256, 16_000_000
# Characters that are masked while somebody waits for it: 8 to 30 ms.
AT_ONCE = 256 * 1024
# The same of an item that was shown and has changed: a text that grows does so many times a second.
AGAIN_AT_ONCE = 64 * 1024


class _Kept(NamedTuple):
    revision: int
    item: Item


class _Work(NamedTuple):
    items: ItemList
    revision: int
    steps: Generator[None, None, Item]


class MaskedItems:
    """By their index. `changed` is called with that of an item that `soon` gave without its texts, or as it was."""

    def __init__(self, changed: Callable[[int], None]) -> None:
        self._changed = changed
        self._kept: dict[int, _Kept] = {}
        self._characters = 0
        self._work: dict[int, _Work] = {}
        self._next: asyncio.Handle | None = None

    def clear(self) -> None:
        """The items are others now, or there are no more."""
        self._kept.clear()
        self._characters = 0
        self._work.clear()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def steps(self, items: ItemList, index: int) -> Generator[None, None, Item]:
        """An item, masked in steps of a few milliseconds. Raises `OSError` when the disk fails."""
        revision = items.revision(index)
        kept = self._kept.get(index)
        if kept is not None and kept.revision == revision:
            return kept.item
        item = yield from masking(items.item(index))
        self._keep(items, index, _Kept(revision, item))
        return item

    def whole(self, items: ItemList, index: int) -> Item:
        """An item. Raises `OSError` when the disk fails."""
        return in_one(self.steps(items, index))

    def soon(self, items: ItemList, index: int) -> Item:
        """An item; a very long one without its texts until they are masked, or as it was when they last were.

        It is masked in slices of the running loop. Raises `OSError` when the disk fails.
        """
        revision = items.revision(index)
        kept = self._kept.get(index)
        if kept is not None and kept.revision == revision:
            return kept.item
        item = items.item(index)
        most = AT_ONCE if kept is None else AGAIN_AT_ONCE
        if characters_to_mask(item) <= most or not _has_loop():
            return self.whole(items, index)
        if index not in self._work:
            self._work[index] = _Work(items, revision, masking(item))
            self._go_on_later()
        return without_texts(item) if kept is None else kept.item

    def _go_on_later(self) -> None:
        if self._next is None and self._work:
            self._next = asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._next = None
        until = perf_counter() + SLICE_SECONDS
        while self._work and perf_counter() < until:
            index, work = next(iter(self._work.items()))
            try:
                next(work.steps)
            except StopIteration as done:
                del self._work[index]
                # What is shown of it is of a former revision, also if it did not change meanwhile.
                work.items.touch(index)
                former = work.revision + 1 != work.items.revision(index)
                self._keep(work.items, index, _Kept(work.revision + (0 if former else 1), done.value))
                self._changed(index)
            except BaseException:
                del self._work[index]
                raise
        self._go_on_later()

    def _keep(self, items: ItemList, index: int, kept: _Kept) -> None:
        self._kept.pop(index, None)
        self._kept[index] = kept
        self._characters += items.head(index).characters
        if len(self._kept) > KEPT_ITEMS or self._characters > KEPT_CHARACTERS:
            # It is roughly known how much it is; what is looked at now is there again at once.
            self._kept = {index: kept}
            self._characters = items.head(index).characters


def _has_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
