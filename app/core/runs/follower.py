"""RunFollower: the log of one run as it is and as it grows, without a gap and without doubles.

The stored log is what counts; the stream is how it is seen early. A stream is opened first, then the log is read, then
what the stream has sent meanwhile is added. After anything that may have left a gap, the log is read again from where
it was read before, as soon as no turn is under way (docs/wire.md, "Run stream").
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from app.core.clock import SystemClock
from app.core.errors import BurrowError, NotFound, Offline, PermissionMissing, ServerTrouble, SignInNeeded, VaultTrouble
from app.core.events import Event
from app.core.runs.backoff import Backoff
from app.core.runs.follow_status import CONNECTING, ENDED, FAILED, LIVE, WAITING, FollowStatus
from app.core.runs.history import StoredLog
from app.core.runs.overlap import COMPARED, Overlap
from app.core.runs.recent_ids import RecentIds
from app.core.runs.run_events import ERROR, ROTATED, STREAM_END, changed_run, read_event
from app.core.runs.transcript import Transcript

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from app.core.clock import Clock
    from app.core.posthog.runs import Runs, StreamedEvent
    from app.core.posthog.types import TaskRun
    from app.core.runs.body import TranscriptMark
    from app.core.runs.kept_stops import KeptStops
    from app.core.runs.log_entries import LogEntry
    from app.core.runs.transcript import Rebuild

__all__ = ["CONNECTING", "ENDED", "FAILED", "LIVE", "WAITING", "FollowStatus", "RunFollower"]

# A stream says something every 20 seconds. Sockets of a machine that slept may be dead without a word.
IDLE_SECONDS = 90.0
# Changes are shown together: so many entries, or those of a frame.
BATCH, FRAME_SECONDS = 50, 0.016
# How often the end of a log is asked for again that is not stored yet, and the pause in between.
CATCH_UP_TRIES, CATCH_UP_SECONDS = 5, 1.0
# How often a log that is not streamed is read.
POLL_SECONDS = 5.0
HOPELESS = (NotFound, PermissionMissing)
# Nothing is wrong with the server. The first needs the network, the others the user.
NOT_ITS_FAULT = (Offline, SignInNeeded, VaultTrouble)


class RunFollower:
    """`task` and `run_id` are ids. Its owner runs `follow` in a task, and cancels that to stop it."""

    def __init__(
        self,
        runs: Runs,
        task: str,
        run_id: str,
        *,
        folder: Path | None = None,
        clock: Clock | None = None,
        stops: KeptStops | None = None,
    ) -> None:
        """Older items of the transcript go to a private file in `folder`. `stops` are the turns that were stopped."""
        self.task, self.run_id = task, run_id
        self.run: TaskRun | None = None
        self.run_changed: Event[TaskRun] = Event()
        self.status: Event[FollowStatus] = Event()
        self.now = FollowStatus(CONNECTING)
        self.transcript = Transcript(run_id, folder=folder)
        self.stops = stops
        self._runs = runs
        self._clock = clock or SystemClock()
        self._backoff = Backoff(self._clock)
        self._log = StoredLog(runs, task, run_id)
        self._arrived: deque[LogEntry] = deque()
        self._news = asyncio.Event()
        self._nudged = asyncio.Event()
        self._last_id = ""
        self._heard = 0.0
        self._seen = RecentIds()
        # How many entries of the stored log the transcript has, and the place after them. None before it was read.
        self._stored = 0
        self._mark: TranscriptMark | None = None
        # Whether something may be missing after the mark, and what was added since no turn is under way.
        self._doubt = False
        self._idle_entries: list[LogEntry] = []
        self._tries = 0
        # The end of the stored log, while the stream may still repeat it.
        self._overlap: Overlap | None = None

    async def follow(self) -> None:
        """Follow the run until it has ended, or until it is no use: `now` says which.

        May be called again, and goes on from where it was.
        """
        self._backoff.reset()
        if self.stops is not None and not len(self.transcript):
            await self.stops.tell(self.transcript)
        while True:
            self._set(FollowStatus(CONNECTING))
            self._nudged.clear()
            failure: BurrowError | None = None
            try:
                if await self._attempt():
                    self._set(FollowStatus(ENDED))
                    return
            except BurrowError as error:
                failure = error
            pause = self._pause_after(failure)
            if pause is None:
                self._set(FollowStatus(FAILED, error=failure))
                return
            if pause:
                self._set(FollowStatus(WAITING, pause, failure))
                await self._wait(pause)

    def nudge(self) -> None:
        """Connect again now: the network is back, the user signed in, or the machine slept and sockets may be dead."""
        self._nudged.set()
        self._news.set()

    def go_on(self, run: TaskRun) -> None:
        """Follow another run, that goes on from this one, in the same transcript. The next `follow` does so."""
        self.run_id = run.id
        self._log = StoredLog(self._runs, self.task, run.id)
        self.transcript.follow_on(run.id)
        self._stored, self._mark, self._overlap = 0, None, None
        self._last_id = ""
        self._doubt = False
        self._arrived.clear()
        self._seen.clear()
        self._tell_run(run)

    def close(self) -> None:
        """Delete what is kept of the transcript."""
        self.transcript.close()

    async def _attempt(self) -> bool:
        """Follow the stream, unless the run has ended. True when all of it is read."""
        run = await self._runs.get(self.task, self.run_id)
        self._tell_run(run)
        if run.finished:
            await self._finish(run)
            return True
        resumed = bool(self._last_id) and self._mark is not None
        opened = False
        try:
            async with self._runs.stream(self.task, self.run_id, last_event_id=self._last_id, latest=True) as events:
                opened = True
                await self._live(run, events, resumed=resumed)
        except NotFound:
            if opened:
                raise
            await self._poll(run)
        return False

    async def _poll(self, run: TaskRun) -> None:
        """Read the log again and again, where the server streams nothing. Returns when the run has ended."""
        while not run.finished:
            again, stored, _ = await self._read_log(run)
            self._accept(again, again.mark(), stored)
            self._set(FollowStatus(LIVE))
            await self._wait(POLL_SECONDS)
            self._nudged.clear()
            run = await self._runs.get(self.task, self.run_id)
            self._tell_run(run)

    async def _live(self, run: TaskRun, events: AsyncIterator[StreamedEvent], *, resumed: bool) -> None:
        """Show what arrives until the stream is over. Raises what broke it."""
        self._backoff.connected()
        self._heard = self._clock.boot()
        reading = asyncio.create_task(self._read(events), name="run stream")
        watching = asyncio.create_task(self._watch_silence(), name="run stream silence")
        try:
            for task in (reading, watching):
                task.add_done_callback(lambda _: self._news.set())
            if resumed:
                self._doubt, self._tries = True, 0
            else:
                await self._join(run)
            self._set(FollowStatus(LIVE))
            while True:
                over = reading.done() or watching.done() or self._nudged.is_set()
                await self._show()
                await self._catch_up(run)
                if over:
                    break
                await self._wait_for_news()
            for task in (reading, watching):
                if task.done():
                    task.result()
        finally:
            for task in (reading, watching):
                task.cancel()
            await asyncio.gather(reading, watching, return_exceptions=True)

    async def _read(self, events: AsyncIterator[StreamedEvent]) -> None:
        """Take in what the stream says, until it is over. What it says of its end is not taken for the run's."""
        async for event in events:
            self._heard = self._clock.boot()
            found = read_event(event)
            if found.signal == ERROR:
                raise ServerTrouble(f"The server ended the stream of the run: {found.detail or 'it gave no reason'}.")
            if found.signal in {ROTATED, STREAM_END}:
                return
            if found.change is not None and self.run is not None:
                self._tell_run(changed_run(self.run, found.change))
            if found.entry is not None and self._seen.is_new(found.entry.event_id):
                self._arrived.append(found.entry)
                self._news.set()
            if found.id:
                self._last_id = found.id
        raise ServerTrouble("The stream of the run broke off.")

    async def _watch_silence(self) -> None:
        while (left := self._heard + IDLE_SECONDS - self._clock.boot()) > 0:
            await self._clock.sleep(left)
        raise ServerTrouble(f"The stream of the run has been silent for {IDLE_SECONDS:.0f} seconds.")

    async def _wait_for_news(self) -> None:
        """Wait for the next entries, and for those that come within the same frame."""
        behind = self._doubt and not self.transcript.state.busy and 0 < self._tries < CATCH_UP_TRIES
        held = self._overlap is not None and self._overlap.holds
        try:
            async with asyncio.timeout(CATCH_UP_SECONDS if behind or held else None):
                await self._news.wait()
        except TimeoutError:
            if self._overlap is not None and held:
                self._arrived.extendleft(reversed(self._overlap.give_up()))
            return
        self._news.clear()
        if len(self._arrived) < BATCH:
            await asyncio.sleep(FRAME_SECONDS)

    async def _show(self) -> None:
        """Add what has arrived, and let others run in between."""
        while self._arrived:
            some = [self._arrived.popleft() for _ in range(min(BATCH, len(self._arrived)))]
            if self._overlap is not None:
                some = self._overlap.new(some)
                if self._overlap.done:
                    self._overlap = None
            self.transcript.apply(some)
            if self.transcript.state.busy:
                self._idle_entries.clear()
                self._tries = 0
            elif self._doubt:
                self._idle_entries += some
            if self._arrived:
                await asyncio.sleep(0)

    async def _join(self, run: TaskRun) -> None:
        """Read the log from where it was read before, while the stream is open, and put both together."""
        again, stored, tail = await self._read_log(run)
        self._accept(again, again.mark(), stored)
        self._overlap = Overlap(tail)
        # In the middle of a turn the beginning of a message may be neither stored yet nor sent again.
        self._doubt, self._tries = self.transcript.state.busy, 0

    async def _catch_up(self, run: TaskRun) -> None:
        """Read what was stored since, where something may be missing, and no turn is under way."""
        if not self._doubt or self.transcript.state.busy or self._tries >= CATCH_UP_TRIES:
            return
        self._tries += 1
        again, stored, tail = await self._read_log(run)
        if again.state.busy or again.state.turn < self.transcript.state.turn:
            # The agent stores what it said a moment later.
            return
        mark = again.mark()
        # What came on the stream after the end of the turn, and is not stored yet.
        self._overlap = Overlap(tail)
        again.apply(self._overlap.new(self._idle_entries))
        self._accept(again, mark, stored)
        self._doubt = False

    async def _finish(self, run: TaskRun) -> None:
        """Read all that a run has said that has ended."""
        for last_try in (*(False,) * (CATCH_UP_TRIES - 1), True):
            again, stored, _ = await self._read_log(run)
            ours, theirs = self.transcript.state, again.state
            unseen = not len(self.transcript) or theirs.turn > ours.turn
            # Without the end of the turn, what was seen of it stays.
            ended = unseen or (theirs.turn == ours.turn and (ours.busy or not theirs.busy))
            if ended and (last_try or len(again) >= len(self.transcript)):
                self._accept(again, again.mark(), stored)
                self._doubt = False
                if not theirs.busy:
                    break
            # An agent may store its last words a moment later.
            if not last_try:
                await self._clock.sleep(CATCH_UP_SECONDS)
        self.transcript.finish()

    async def _read_log(self, run: TaskRun) -> tuple[Rebuild, int, Sequence[LogEntry]]:
        """What follows the mark in the stored log, or all of it; how many entries it has, and its last ones."""
        tail: deque[LogEntry] = deque(maxlen=COMPARED)
        again = self.transcript.rebuild(self._mark)

        def add(entries: Sequence[LogEntry]) -> None:
            again.apply(entries)
            tail.extend(entries)

        if self._mark is None:
            await self._log.read_ancestors(run, again.apply)
            again.end_run()
        stored = await self._log.read(add, offset=self._stored)
        return again, stored, tail

    def _accept(self, again: Rebuild, mark: TranscriptMark, stored: int) -> None:
        self._mark, self._stored = mark, stored
        again.finish()
        self._idle_entries.clear()

    def _pause_after(self, failure: BurrowError | None) -> float | None:
        """Seconds until the next attempt, or None when it is no use."""
        if self._nudged.is_set():
            return 0.0
        if failure is None:
            return self._backoff.ended()
        if isinstance(failure, HOPELESS):
            return None
        if isinstance(failure, NOT_ITS_FAULT):
            return self._backoff.offline()
        return self._backoff.failed(failure.facts.retry_after or 0.0)

    async def _wait(self, seconds: float) -> None:
        waits = [asyncio.create_task(self._clock.sleep(seconds)), asyncio.create_task(self._wait_for_nudge())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _wait_for_nudge(self) -> None:
        await self._nudged.wait()

    def _tell_run(self, run: TaskRun) -> None:
        if run != self.run:
            self.run = run
            self.run_changed.emit(run)

    def _set(self, status: FollowStatus) -> None:
        if status != self.now:
            self.now = status
            self.status.emit(status)
