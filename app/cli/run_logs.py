"""`burrow tasks logs`, and what follows a run: its transcript on standard output, each item once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from app.cli.common import backend_of
from app.cli.run_items import ItemWriter
from app.cli.tasks import find_task, latest_run
from app.cli.terminal import output, say
from app.core.posthog.runs import Runs
from app.core.runs.items import TurnEnd

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from app.core.backend import Backend
    from app.core.errors import BurrowError
    from app.core.posthog.types import Task, TaskRun
    from app.core.runs.follower import FollowStatus, RunFollower
    from app.core.runs.kept_stops import KeptStops
    from app.core.runs.transcript import Change

ITEMS = 200
COMPLETED, END_TURN = "completed", "end_turn"
# For what was followed to an end at which the task is not done.
NOT_COMPLETED = 1


def add_arguments(group: Any, add: Callable[..., argparse.ArgumentParser], positive: Callable[[str], int]) -> None:
    """The command and its options. `positive` reads a number."""
    logs = add(group, "logs", show_logs, "Show what the agent of a task's run said and did.")
    logs.add_argument("task", help="its id or short name, such as HED-1")
    logs.add_argument("--run", metavar="ID", help="which run of the task; the latest one by default")
    logs.add_argument("--follow", action="store_true", help="go on until the run ends; Ctrl+C leaves it alone")
    logs.add_argument("--limit", type=positive, default=ITEMS, help=f"the last so many entries ({ITEMS})")
    logs.add_argument("--full", action="store_true", help="do not shorten long texts")


async def show_logs(options: argparse.Namespace) -> int:
    async with backend_of(options) as backend:
        task = await find_task(backend, options.task)
        run_id = options.run or latest_run(task).id
        writer = ItemWriter(as_json=options.json, full=options.full, last=options.limit)
        if options.follow:
            return await follow(backend, task, run_id, writer)
        return await _write_stored(backend, task, run_id, writer)


async def _write_stored(backend: Backend, task: Task, run_id: str, writer: ItemWriter) -> int:
    from app.core.runs.history import StoredLog
    from app.core.runs.transcript import Transcript

    runs = Runs(backend.fetcher, backend.require_project)
    run = await runs.get(task.id, run_id)
    log, transcript = StoredLog(runs, task.id, run_id), Transcript(run_id)
    try:
        stops = _stops_of(backend, task)
        if stops is not None:
            await stops.tell(transcript)
        await log.read_ancestors(run, transcript.apply)
        await log.read(transcript.apply)
        writer.write(transcript, over=True)
        if not len(transcript):
            say("The run has said nothing yet.")
    finally:
        transcript.close()
    if not run.finished:
        say(f"The run is {run.status}. Go on with: burrow tasks logs {task.slug or task.id} --follow")
    return 0


async def follow(backend: Backend, task: Task, run_id: str, writer: ItemWriter, *, one_turn: bool = False) -> int:
    """Write what a run says until it ends, or with `one_turn` until the agent's turn is over; returns the exit code.

    A signal leaves the run alone.
    """
    from app.core.runs.follower import RunFollower

    # Nobody needs what was written before, and it has no end.
    output.keeps = False
    named = task.slug or task.id
    goes_on = f"The run goes on. Follow it again with: burrow tasks logs {named} --follow"
    calls = Runs(backend.fetcher, backend.require_project)
    follower = RunFollower(calls, task.id, run_id, stops=_stops_of(backend, task))
    voice = _Voice(follower, writer, named)
    subscriptions = [follower.transcript.changed.subscribe(voice.changed), follower.status.subscribe(voice.say_status)]
    work: set[asyncio.Task[object]] = {
        asyncio.create_task(follower.follow(), name="followed run"),
        asyncio.create_task(voice.unread.wait(), name="end of the reader"),
    }
    if one_turn:
        work.add(asyncio.create_task(voice.turn_over.wait(), name="end of the turn"))
    try:
        await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        say(goes_on)
        raise
    finally:
        for unsubscribe in subscriptions:
            unsubscribe()
        for each in work:
            each.cancel()
        found = await asyncio.gather(*work, return_exceptions=True)
        voice.flush()
        follower.close()
    for failure in found:
        if isinstance(failure, Exception):
            raise failure
    if follower.now.error is not None:
        raise follower.now.error
    if voice.unread.is_set():
        say(goes_on)
        return 0
    if follower.run is not None and not follower.run.finished:
        say(f"The agent waits. Go on with: burrow tasks say {named} TEXT, or end it with: burrow tasks stop {named}")
        return 0 if voice.reason == END_TURN else NOT_COMPLETED
    return _ended(follower.run)


def _stops_of(backend: Backend, task: Task) -> KeptStops | None:
    """What the window keeps of stopped turns."""
    from app.core.runs.kept_stops import KeptStops

    return None if backend.scope is None else KeptStops(backend.storage.stops, backend.scope, task.id)


class _Voice:
    """Writes what a follower finds, and says what it waits for.

    `turn_over` is set once the agent has ended a turn and waits; `reason` is why it ended. `unread` is set once the
    output cannot be written any more.
    """

    def __init__(self, follower: RunFollower, writer: ItemWriter, named: str) -> None:
        self.turn_over, self.unread = asyncio.Event(), asyncio.Event()
        self.reason = ""
        self._follower, self._writer, self._named = follower, writer, named
        self._waits_for: type[BurrowError] | None = None
        self._asked: set[str] = set()

    def changed(self, change: Change) -> None:
        """Nothing is written before the history is there: what is in the middle of it would come first."""
        if self._follower.now.kind == "live":
            self._write(change.first)

    def say_status(self, status: FollowStatus) -> None:
        """Say once for each trouble that it is tried again, however often it is."""
        if status.kind == "waiting" and status.error is not None and type(status.error) is not self._waits_for:
            self._waits_for = type(status.error)
            say(f"{status.error.cause} Trying again.")
        elif status.kind == "live":
            if self._waits_for is not None:
                say("Connected again.")
            self._waits_for = None
            self._write(None)

    def flush(self) -> None:
        """Write what is left, whole or not."""
        self._writer.write(self._follower.transcript, over=self._follower.now.kind == "ended")

    def _write(self, first: int | None) -> None:
        transcript = self._follower.transcript
        self._writer.write(transcript, first=first)
        if output.failure is not None:
            self.unread.set()
        asked = set(transcript.state.waiting) - self._asked
        if asked:
            self._asked |= asked
            say(
                f"The agent waits for an answer. Give it in the window, or end the run: burrow tasks stop {self._named}"
            )
        last = transcript.item(len(transcript) - 1) if len(transcript) else None
        if isinstance(last, TurnEnd) and not transcript.state.busy:
            self.reason = last.reason
            self.turn_over.set()
        else:
            self.turn_over.clear()


def _ended(run: TaskRun | None) -> int:
    if run is None:
        return NOT_COMPLETED
    words = f": {run.error_message}" if run.error_message else "."
    say(f"The run has ended: {run.status}{words}")
    link = (run.output or {}).get("pr_url")
    if isinstance(link, str):
        say(f"Pull request: {link}")
    return 0 if run.status == COMPLETED else NOT_COMPLETED
