"""Transcript: the log of a run as a list of items that grows (`items.py`).

It is idempotent for doubles: entries by their event id; tool calls, prompts, permissions and steps by their own ids;
a stored message replaces the live chunks that it consists of. The same log always leads to the same keys.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from app.core.events import Event
from app.core.redaction import redact_text
from app.core.runs.item_list import ItemHead, ItemList
from app.core.runs.item_text import searched
from app.core.runs.methods import apply
from app.core.runs.reducer import Reducer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from app.core.runs.items import Item, SessionState
    from app.core.runs.log_entries import LogEntry

__all__ = ["Change", "ItemHead", "Transcript"]

# A stream repeats what is near the place where it was resumed.
REMEMBERED_EVENTS = 16_384


class Change(NamedTuple):
    """What one `apply` did.

    `first` is the lowest index whose item differs or was added; everything before it is as it was. `appended` is how
    many items were added at the end, `replaced` the indexes below the former end whose items changed. After `restart`
    everything from `first` on is to be read anew, and `appended` may be negative.
    """

    first: int
    appended: int
    replaced: tuple[int, ...]


class Transcript:
    """The items of one run, and of the runs that it resumes."""

    def __init__(self, run_id: str = "") -> None:
        """With a `run_id`, the session `accepts` messages from when that run has started."""
        self.changed: Event[Change] = Event()
        self._items = ItemList()
        self._reducer = Reducer(self._items, run_id)
        self._seen: set[str] = set()
        self._order: deque[str] = deque()
        self._raw: dict[int, list[bytes]] = {}
        # How many items there were before `restart`.
        self._former: int | None = None

    @property
    def state(self) -> SessionState:
        return self._reducer.at.state

    def apply(self, entries: Sequence[LogEntry]) -> Change | None:
        """Add entries, in their order. Doubles change nothing; None where nothing changed."""
        reducer, items = self._reducer, self._items
        before, state = len(items), reducer.at.state
        touched: set[int] = set()
        for entry in entries:
            if entry.event_id and not self._is_new(entry.event_id):
                continue
            reducer.touched.clear()
            apply(reducer, entry)
            for index in reducer.touched:
                self._raw.setdefault(index, []).append(entry.raw)
            touched |= reducer.touched
        return self._tell(before, state, touched)

    def restart(self) -> None:
        """Forget everything: the whole history follows. Items get the same keys again."""
        self._former = len(self._items)
        self._reducer.clear()
        self._seen.clear()
        self._order.clear()
        self._raw.clear()

    def __len__(self) -> int:
        return len(self._items)

    def head(self, index: int) -> ItemHead:
        """What is known of an item without reading it."""
        return self._items.head(index)

    def item(self, index: int) -> Item:
        return self._items.item(index)

    def index_of(self, key: str) -> int | None:
        return self._items.index_of(key)

    def turns(self) -> Sequence[int]:
        """The index of the first item of each turn, in order."""
        return self._reducer.turns

    def find(self, text: str, *, after: int = -1, backwards: bool = False) -> int | None:
        """The index of the next item that has `text`, in any case, or None."""
        sought = text.casefold()
        start = (after if after >= 0 else len(self)) - 1 if backwards else after + 1
        indexes = range(start, -1, -1) if backwards else range(start, len(self))
        return next((index for index in indexes if sought in searched(self.item(index))), None)

    def raw(self, index: int) -> Iterator[str]:
        """The entries of the log that made an item, without secrets."""
        for line in self._raw.get(index, ()):
            yield redact_text(line.decode("utf-8", "replace"))

    def close(self) -> None:
        """Free what it holds."""
        self._reducer.clear()

    def _is_new(self, event_id: str) -> bool:
        if event_id in self._seen:
            return False
        self._seen.add(event_id)
        self._order.append(event_id)
        if len(self._order) > REMEMBERED_EVENTS:
            self._seen.discard(self._order.popleft())
        return True

    def _tell(self, before: int, state: SessionState, touched: set[int]) -> Change | None:
        former, self._former = self._former, None
        after = len(self._items)
        if former is not None:
            change = Change(0, after - former, tuple(range(min(former, after))))
        else:
            replaced = tuple(sorted(index for index in touched if index < before))
            if after == before and not replaced and state is self._reducer.at.state:
                return None
            change = Change(replaced[0] if replaced else before, after - before, replaced)
        self.changed.emit(change)
        return change
