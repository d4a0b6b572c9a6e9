"""Transcript: the log of a run as a list of items that grows (`items.py`).

It is idempotent for doubles: entries by their event id; tool calls, prompts, permissions and steps by their own ids;
a stored message replaces the live chunks that it consists of. The same log always leads to the same keys.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from app.core.events import Event
from app.core.redaction import redact_text
from app.core.runs.body import TranscriptBody, TranscriptMark
from app.core.runs.item_list import ItemHead
from app.core.runs.item_text import searched
from app.core.runs.items import Notice
from app.core.runs.masked_items import MaskedItems
from app.core.runs.recent_ids import RecentIds
from app.core.runs.reducer import OURS, StoppedTurn
from app.core.runs.spill import SpillFile
from app.core.storage.stops import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    from app.core.runs.item_list import ItemList
    from app.core.runs.items import Item, SessionState
    from app.core.runs.log_entries import LogEntry

__all__ = ["Change", "ItemHead", "Transcript"]

TROUBLE_KEY = "storage"
# Of a part that was read again, so many items are compared with what was shown.
COMPARED = 1_000
SEARCHED_AT_ONCE = 200


class Change(NamedTuple):
    """What one `apply` did.

    `first` is the lowest index whose item differs or was added; everything before it is as it was. `appended` is how
    many items were added at the end, `replaced` the indexes below the former end whose items changed. After `restart`
    and `rebuild` everything from `first` on is to be read anew, and `appended` may be negative.
    """

    first: int
    appended: int
    replaced: tuple[int, ...]


class Transcript:
    """The items of one run, and of the runs that it resumes."""

    def __init__(self, run_id: str = "", *, folder: Path | None = None) -> None:
        """With a `run_id`, the session `accepts` messages from when that run has started.

        Older items go to a private file in `folder`; without one, all stay in memory and are cut where they are long.
        """
        self.changed: Event[Change] = Event()
        self._run_id = run_id
        self._folder = folder
        self._stopped: dict[str, StoppedTurn] = {}
        self._body = self._new_body()
        self._seen = RecentIds()
        self._masked = MaskedItems(lambda index: self.changed.emit(Change(index, 0, (index,))))
        # How many items there were before `restart`.
        self._former: int | None = None

    @property
    def state(self) -> SessionState:
        return self._body.reducer.at.state

    def apply(self, entries: Sequence[LogEntry]) -> Change | None:
        """Add entries, in their order. Doubles change nothing; None where nothing changed.

        It takes about 8 µs an entry: many of them belong into a `rebuild`, which can be done in slices.
        """
        body = self._body
        before, state = len(body.items), body.reducer.at.state
        touched = body.apply([each for each in entries if self._seen.is_new(each.event_id)])
        self._say_trouble(touched)
        former, self._former = self._former, None
        after = len(body.items)
        if former is not None:
            return self._tell(Change(0, after - former, tuple(range(min(former, after)))))
        replaced = tuple(sorted(index for index in touched if index < before))
        if after == before and not replaced and state is body.reducer.at.state:
            return None
        return self._tell(Change(replaced[0] if replaced else before, after - before, replaced))

    def restart(self) -> None:
        """Forget everything: the whole history follows. Items get the same keys again."""
        former = len(self)
        self._replace_body(self._new_body())
        self._former = former

    def mark(self) -> TranscriptMark:
        """Where the transcript is now, to read what follows again (`rebuild`)."""
        return self._body.mark()

    def rebuild(self, mark: TranscriptMark | None = None) -> Rebuild:
        """Read the log again, from `mark` or from its beginning. What is shown stays until `Rebuild.finish`."""
        body = self._new_body() if mark is None else self._body.copy(mark)
        return Rebuild(self, body, 0 if mark is None else mark.items)

    @property
    def turn(self) -> Stop:
        """The turn under way as one that is stopped now."""
        reducer = self._body.reducer
        return Stop(reducer.turn_name, reducer.turn_items, time.time())

    @property
    def stopped_at(self) -> float | None:
        """When the user stopped the turn that is still under way, in Unix seconds; None where there is none."""
        stop = self._stopped.get(self._body.reducer.turn_name) if self.state.busy else None
        return None if stop is None else stop.at

    def stop_turn(self) -> bool:
        """The user stopped the turn under way. Whatever the agent says of its end, it was cancelled.

        False if it has ended.
        """
        done = []
        self._change(lambda: done.append(self._body.reducer.cancel_turn(time.time())))
        return done == [True]

    def know_stops(self, stops: Iterable[Stop]) -> None:
        """Before the log is read: the user stopped these turns earlier."""
        for stop in stops:
            self._stopped.setdefault(stop.turn, StoppedTurn(stop.items, stop.at))

    def give_up_turn(self, words: str) -> None:
        """The agent does not answer any more: its turn ends here, cancelled, and `words` say why."""

        def work() -> None:
            self._body.reducer.close_text()
            self._body.reducer.add_notice(f"given-up:{self.state.turn}", words, "warn", OURS)
            self._body.reducer.end_turn("cancelled")

        self._change(work)

    def answer(self, key: str, option_id: str) -> None:
        """A permission was answered from here, which the log will say later."""
        self._change(lambda: self._body.reducer.answer(key, option_id))

    def follow_on(self, run_id: str) -> None:
        """The run goes on in another one, whose log is read next (`rebuild`)."""
        self._run_id = run_id

    def finish(self) -> None:
        """The run ended: nothing is under way, and nobody waits for an answer."""
        self._change(self._body.reducer.finish)

    def __len__(self) -> int:
        return len(self._body.items)

    def head(self, index: int) -> ItemHead:
        """What is known of an item without reading it."""
        return self._body.items.head(index)

    def item(self, index: int) -> Item:
        """An item, without credentials. One that the disk does not give back is a notice that says so."""
        return self._read(index, self._masked.whole)

    def shown(self, index: int) -> Item:
        """As `item`, but a very long one is without its texts at first; `changed` tells when it has them."""
        return self._read(index, self._masked.soon)

    def item_steps(self, index: int) -> Generator[None, None, Item]:
        """As `item`, in steps of a few milliseconds."""
        try:
            return (yield from self._masked.steps(self._body.items, index))
        except OSError as failure:
            return self._unreadable(index, failure)

    def _read(self, index: int, how: Callable[[ItemList, int], Item]) -> Item:
        try:
            return how(self._body.items, index)
        except OSError as failure:
            return self._unreadable(index, failure)

    def _unreadable(self, index: int, failure: OSError) -> Item:
        head = self.head(index)
        words = f"This cannot be read from this machine's disk: {failure}. The server has it."
        return Notice(key=head.key, turn=head.turn, parent=head.parent, text=words, level="error", source="storage")

    def index_of(self, key: str) -> int | None:
        return self._body.items.index_of(key)

    def turns(self) -> Sequence[int]:
        """The index of the first item of each turn, in order."""
        return self._body.reducer.turns

    def find(self, text: str, *, after: int = -1, backwards: bool = False) -> int | None:
        """The index of the next item that has `text`, in any case, or None. `search` does it in slices."""
        found = None
        for found in self.search(text, after=after, backwards=backwards):  # noqa: B007 - the last one counts
            pass
        return found

    def search(self, text: str, *, after: int = -1, backwards: bool = False) -> Iterator[int | None]:
        """As `find`: yields None after each few items that have it not, and the index of the one that has it."""
        items, sought = self._body.items, text.casefold()
        start = (after if after >= 0 else len(self)) - 1 if backwards else after + 1
        order = range(start, -1, -1) if backwards else range(start, len(self))
        for looked, index in enumerate(order, 1):
            if items.may_have(index, sought) and (yield from self._has(index, sought)):
                yield index
                return
            if looked % SEARCHED_AT_ONCE == 0:
                yield None
        yield None

    def _has(self, index: int, sought: str) -> Generator[None, None, bool]:
        try:
            item = yield from self._masked.steps(self._body.items, index)
        except OSError:
            return False
        return sought in searched(item)

    def raw(self, index: int) -> Iterator[str]:
        """The entries of the log that made an item, without secrets. Raises `OSError` when the disk fails."""
        for line in self._body.raw.lines(index):
            yield redact_text(line.decode("utf-8", "replace"))

    def raw_log(self) -> Iterator[str]:
        """All entries of the log that made items, in their order, without secrets. Raises `OSError` as `raw`."""
        for line in self._body.raw.all_lines():
            yield redact_text(line.decode("utf-8", "replace"))

    def close(self) -> None:
        """Delete the file. Everything is forgotten."""
        spill = self._body.spill
        self._body = TranscriptBody(self._run_id, None)
        self._masked.clear()
        if spill is not None:
            spill.close()

    def _new_body(self) -> TranscriptBody:
        body = TranscriptBody(self._run_id, None if self._folder is None else SpillFile(self._folder))
        body.reducer.stopped = self._stopped
        return body

    def _replace_body(self, body: TranscriptBody) -> None:
        former, self._body = self._body, body
        self._masked.clear()
        self._seen.clear()
        if former.spill is not None and former.spill is not body.spill:
            former.spill.close()

    def _rebuilt(self, body: TranscriptBody, since: int) -> Change | None:
        """Show what was read again, from the index `since` on."""
        former = self._body
        if body.reducer.turn_name in self._stopped:
            # The log does not say it yet, or never will.
            body.reducer.cancel_turn()
        first, replaced = _difference(former, body, since)
        unchanged = not replaced and len(former.items) == len(body.items)
        same_state = former.reducer.at.state == body.reducer.at.state
        self._replace_body(body)
        if unchanged and same_state:
            return None
        return self._tell(Change(first, len(body.items) - len(former.items), replaced))

    def _change(self, work: Callable[[], None]) -> None:
        """Let something that is no entry of the log change the transcript."""
        body = self._body
        before, state = len(body.items), body.reducer.at.state
        body.reducer.touched.clear()
        work()
        replaced = tuple(sorted(index for index in body.reducer.touched if index < before))
        if replaced or len(body.items) > before or state is not body.reducer.at.state:
            self._tell(Change(replaced[0] if replaced else before, len(body.items) - before, replaced))

    def _say_trouble(self, touched: set[int]) -> None:
        """Say once that less of this run is kept than usual."""
        items = self._body.items
        if not items.trouble or items.index_of(TROUBLE_KEY) is not None:
            return
        text = f"{items.trouble} Long outputs of earlier tools are cut here; the server has them."
        notice = Notice(key=TROUBLE_KEY, turn=self.state.turn, at=datetime.now(UTC), text=text, level="warn")
        self._body.reducer.close_text()
        touched.add(items.append(notice))

    def _tell(self, change: Change) -> Change:
        self.changed.emit(change)
        return change


class Rebuild:
    """A transcript's log, read again beside what is shown."""

    def __init__(self, transcript: Transcript, body: TranscriptBody, since: int) -> None:
        self._transcript = transcript
        self._body = body
        self._since = since

    def apply(self, entries: Iterable[LogEntry]) -> None:
        """Add entries, which may be few at a time."""
        self._body.apply(entries)

    def end_run(self) -> None:
        """What was added so far is of a run that has ended: nothing is under way, and what follows is not late."""
        self._body.reducer.end_run()

    @property
    def state(self) -> SessionState:
        return self._body.reducer.at.state

    def __len__(self) -> int:
        return len(self._body.items)

    def mark(self) -> TranscriptMark:
        """Where the log is now, to read what follows again after `finish`."""
        return self._body.mark()

    def finish(self) -> Change | None:
        """Show it in the place of what was shown. None where nothing differs."""
        return self._transcript._rebuilt(self._body, self._since)


def _difference(former: TranscriptBody, body: TranscriptBody, since: int) -> tuple[int, tuple[int, ...]]:
    """The first index whose item differs, and all of them below the end of both."""
    end = min(len(former.items), len(body.items))
    if end - since > COMPARED:
        return since, tuple(range(since, end))
    differing = tuple(index for index in range(since, end) if not former.items.same(index, body.items))
    return differing[0] if differing else end, differing
