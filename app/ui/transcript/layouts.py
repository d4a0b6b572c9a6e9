"""Keeps the layouts of the items that were in view last."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.runs.items import Item
    from app.ui.transcript.drawn import DrawnItem, Look

# Some pages: scrolling back and forth lays nothing out anew.
KEPT = 160


class _KeptLayout(NamedTuple):
    revision: int
    look: Look
    is_open: bool
    item: Item
    epoch: int
    drawn: DrawnItem


class Layouts:
    """By the keys of items. The one that was asked for longest ago is forgotten first."""

    def __init__(self, most: int = KEPT) -> None:
        self._most = most
        self._kept: OrderedDict[str, _KeptLayout] = OrderedDict()
        self._epoch = 0

    def __len__(self) -> int:
        return len(self._kept)

    def doubt(self) -> None:
        """Revisions count anew: each layout is compared with its item once before it is used again."""
        self._epoch += 1

    def get(self, key: str, revision: int, look: Look, item: Callable[[], Item], *, is_open: bool) -> DrawnItem | None:
        """The layout of an item as it is now; None if there is none."""
        kept = self._kept.get(key)
        if kept is None or (kept.look, kept.is_open) != (look, is_open):
            return None
        if kept.epoch != self._epoch:
            if kept.item != item():
                return None
            kept = self._kept[key] = kept._replace(revision=revision, epoch=self._epoch)
        elif kept.revision != revision:
            return None
        self._kept.move_to_end(key)
        return kept.drawn

    def former(self, key: str) -> DrawnItem | None:
        """The last layout of an item, of whichever revision and width."""
        kept = self._kept.get(key)
        return kept.drawn if kept is not None else None

    def put(self, key: str, revision: int, item: Item, drawn: DrawnItem) -> None:
        """Keep a layout."""
        self._kept[key] = _KeptLayout(revision, drawn.look, drawn.is_open, item, self._epoch, drawn)
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def drop(self, key: str) -> None:
        """Forget the layout of an item."""
        self._kept.pop(key, None)

    def clear(self) -> None:
        """Forget all: the theme changed."""
        self._kept.clear()
