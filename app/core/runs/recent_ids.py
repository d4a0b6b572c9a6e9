"""RecentIds: which events came lately. A stream repeats what is near the place where it is resumed."""

from __future__ import annotations

from collections import deque

REMEMBERED = 4_096


class RecentIds:
    """The last 4,096 ids."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._order: deque[str] = deque()

    def is_new(self, event_id: str) -> bool:
        """Whether an event has not come before. One without an id always is."""
        if not event_id:
            return True
        if event_id in self._known:
            return False
        self._known.add(event_id)
        self._order.append(event_id)
        if len(self._order) > REMEMBERED:
            self._known.discard(self._order.popleft())
        return True

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()
        self._order.clear()
