"""What happens in runs, as it happens: the events that open streams wait for (docs/wire.md, "Run stream").

A feed holds the newest events of one run in memory. An event that is stored in the run's log knows its position there,
so a stream can continue from the log without a gap: what is not stored yet is always still in the feed.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Stored events beyond these are dropped from memory, the oldest first.
MOST_EVENTS = 4000
MOST_CHARACTERS = 8 * 1024 * 1024
LOG_MARK = "log-"


@dataclass
class FeedEvent:
    """One event. `position` is that of the log entry that has it, or that it was joined into; None until then."""

    number: int
    id: str
    data: str
    position: int | None = None


class RunFeed:
    """The events of one run, numbered from 1.

    An event's id is `EPOCH-NUMBER`, and another feed has another epoch. Events that were stored before they were
    published have the id of their entry in the log, `log-POSITION`.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.version = 0
        """Grows when the run itself changed: its status, its output, its state."""
        self.questions: dict[str, str] = {}
        """Permission requests that nobody has answered yet, by their ids. Each new stream begins with them."""
        self.users = 0
        self._events: deque[FeedEvent] = deque()
        self._characters = 0
        self._number = 0
        self._news = asyncio.Event()

    def publish(self, data: str, position: int | None = None) -> FeedEvent:
        """Add an event, which every open stream sends at once."""
        self._number += 1
        event_id = f"{self.epoch}-{self._number}" if position is None else f"{LOG_MARK}{position}"
        event = FeedEvent(self._number, event_id, data, position)
        self._events.append(event)
        self._characters += len(data)
        while self._full() and self._events[0].position is not None:
            self._characters -= len(self._events.popleft().data)
        self._tell()
        return event

    def changed(self) -> None:
        """The run itself changed."""
        self.version += 1
        self._tell()

    def after(self, number: int, most: int = 200) -> list[FeedEvent]:
        """The next events after `number` that are still held."""
        skipped = max(0, number - self.first + 1)
        return list(islice(self._events, skipped, skipped + most))

    @property
    def first(self) -> int:
        """The number of the oldest event that is still held, or of the next one."""
        return self._events[0].number if self._events else self._number + 1

    def resumed(self, event_id: str) -> int | None:
        """The number in an id of this feed if everything after it is still held."""
        epoch, _, number = event_id.partition("-")
        if epoch != str(self.epoch) or not number.isascii() or not number.isdigit() or len(number) > 18:
            return None
        return int(number) if self.first - 1 <= int(number) <= self._number else None

    async def wait(self, number: int, version: int, seconds: float) -> None:
        """Until there is an event after `number` or a version other than `version`; at most `seconds`."""
        if number < self._number or version != self.version:
            return
        news = self._news
        try:
            async with asyncio.timeout(seconds):
                await news.wait()
        except TimeoutError:
            return

    def _tell(self) -> None:
        # Those who wait have the old one; who comes later waits for the next.
        self._news.set()
        self._news = asyncio.Event()

    def _full(self) -> bool:
        return len(self._events) > MOST_EVENTS or self._characters > MOST_CHARACTERS


class RunFeeds:
    """The feeds that somebody writes or reads; one of these for each running workspace."""

    def __init__(self) -> None:
        self._feeds: dict[str, RunFeed] = {}
        self._epoch = int(time.time() * 1000)

    @contextmanager
    def following(self, run_id: str) -> Iterator[RunFeed]:
        """The feed of a run, which is kept meanwhile."""
        feed = self._feeds.get(run_id)
        if feed is None:
            # Two feeds never share an epoch, even within a millisecond.
            self._epoch = max(self._epoch + 1, int(time.time() * 1000))
            feed = self._feeds[run_id] = RunFeed(self._epoch)
        feed.users += 1
        try:
            yield feed
        finally:
            feed.users -= 1
            if not feed.users:
                self._feeds.pop(run_id, None)

    def appended(self, run_id: str, entries: Iterable[tuple[int, object]]) -> None:
        """Pass on entries that a client added to the log: each with its position there."""
        feed = self._feeds.get(run_id)
        if feed is not None:
            for position, entry in entries:
                feed.publish(json.dumps(entry, separators=(",", ":")), position)

    def changed(self, run_id: str) -> None:
        feed = self._feeds.get(run_id)
        if feed is not None:
            feed.changed()
