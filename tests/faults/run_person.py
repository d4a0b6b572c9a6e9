"""Person: who uses the Tasks place during a soak, at random, and what must be true when a run has ended."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import monotonic

from PySide6.QtCore import QObject

from app.core.backend import Backend
from app.core.errors import BurrowError
from app.core.posthog.run_options import RunOptions
from app.core.posthog.types import NewTask, Task, TaskRun
from app.core.runs.history import StoredLog
from app.core.runs.items import Item, Prompt
from app.core.runs.log_entries import LogEntry
from app.core.runs.transcript import Transcript
from app.core.services import Services
from app.core.storage.follow_ups import UNKNOWN
from app.ui.bridge import Bridge
from app.ui.tasks.place import TasksPlace
from app.ui.tasks.run_conversations import ConversationOpener
from app.ui.tasks.run_page import TRANSCRIPT
from app.ui.tasks.run_pool import OpenedConversation
from app.ui.transcript.conversation import RunConversation
from app.ui.transcript.page import TranscriptPage
from app.ui.transcript.source import ItemSource
from tests.faults.run_checks import broken_off, difference, misplaced
from tests.ui._tasks_fakes import until

MOST_TASKS = 4
# What a person waits for at most before they do something else.
PATIENCE = 8.0
FINISH_SECONDS = 90.0
# After so long a turn is stopped rather than waited for.
ENOUGH_SECONDS = 40.0
# A run that waits for so long has no room.
ROOM_SECONDS = 3.0
MODES = ("plan", "default", "acceptEdits", "bypassPermissions")
WISHES = ("", "only read", "ask me", "ask me twice", "take your time", "say much", "only read, take your time")
RARE = ("fail on purpose", "refuse on purpose", "crash on purpose")


class Opened:
    """Opens conversations as the window does, and knows the one of each task."""

    def __init__(self, services: Services, bridge: Bridge, owner: QObject) -> None:
        self._open = ConversationOpener(services, bridge, owner)
        self.by_task: dict[str, RunConversation] = {}

    def __call__(self, backend: Backend, task: Task, run: TaskRun) -> OpenedConversation:
        opened = self._open(backend, task, run)
        self.by_task[task.id] = opened.conversation

        def close() -> None:
            if self.by_task.get(task.id) is opened.conversation:
                del self.by_task[task.id]
            opened.close()

        return OpenedConversation(opened.conversation, close)


class Person:
    """`do` returns how it went, in words; `trouble` is the first thing that is wrong."""

    def __init__(
        self, chance: random.Random, place: TasksPlace, services: Services, opened: Opened, folder: Path
    ) -> None:
        """Logs that are compared may use `folder`."""
        self._random, self._place, self._services, self._opened = chance, place, services, opened
        self._folder = folder
        self.trouble: str | None = None
        # What was typed for each task; and what was sent again without knowing whether it had arrived.
        self._typed: dict[str, list[str]] = {}
        self._again: set[str] = set()
        self._said = self._compared = self._items = 0
        self._at = ""
        self._actions: dict[str, tuple[int, Callable[[], Awaitable[str]]]] = {
            "begin a run": (3, self._begin),
            "look at another run": (6, self._look),
            "say something": (5, self._say),
            "say something now": (2, self._steer),
            "answer": (9, self._answer),
            "refuse": (1, self._dismiss),
            "stop the turn": (2, self._stop),
            "end the run": (1, self._end),
            "try again": (2, self._try_again),
        }

    def next(self) -> str:
        weights = [weight for weight, _ in self._actions.values()]
        return self._random.choices(list(self._actions), weights)[0]

    async def do(self, action: str) -> str:
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._actions[action][1]()
        except TimeoutError:
            return "not now"
        except BurrowError as failure:
            return f"{type(failure).__name__}: {failure.cause}"

    def pause(self) -> float:
        return self._random.uniform(0.05, 0.8)

    def tally(self) -> str:
        return f"{len(self._typed)} tasks, {self._said} messages, {self._compared} logs of {self._items} items compared"

    # The window

    @property
    def _backend(self) -> Backend:
        backend = self._services.backend
        assert backend is not None
        return backend

    @property
    def _page(self) -> TranscriptPage:
        assert self._place.pages.detail is not None
        views = self._place.pages._views
        assert views is not None
        return views.transcript

    @property
    def _shown(self) -> RunConversation | None:
        driver = self._place.runs._driver
        return None if driver is None else driver.conversation

    async def _begin(self) -> str:
        if sum(not each.run.finished for each in self._opened.by_task.values()) >= MOST_TASKS:
            return "enough are under way"
        wish = self._random.choice(WISHES)
        mode = self._random.choice(MODES)
        made = await self._backend.tasks.create(
            NewTask(title=f"Survey {len(self._typed)}", description=f"Survey it. {wish}", repository="hedgerow/shop")
        )
        self._typed[made.id] = []
        await self._open(made.id)
        self._place.controller.run(made.id, RunOptions(adapter="claude", mode=mode))
        await until(lambda: made.id in self._opened.by_task, PATIENCE)
        return f"{made.id[:8]} in mode {mode}, {wish or 'as usual'}"

    async def _open(self, task: str) -> None:
        self._at = task
        self._place.open_item(task)
        await until(lambda: self._place.pages.task_id == task, PATIENCE)
        views = self._place.pages._views
        assert views is not None
        views.turn_to(TRANSCRIPT)

    async def _look(self) -> str:
        if not self._typed:
            return "there is none"
        task = self._random.choice(list(self._typed))
        former = self._at
        if former in self._opened.by_task and former != task:
            await self._check(former)
        await self._open(task)
        await until(lambda: task in self._opened.by_task and self._shown is self._opened.by_task[task], 3)
        shown = self._opened.by_task[task]
        run, why = shown.run, f" ({shown.run.error_message})" if shown.run.error_message else ""
        return f"{task[:8]} {run.status}{why}, {shown.connection.kind}, {len(shown.transcript)} items"

    def _text(self) -> str:
        self._said += 1
        wish = self._random.choice(RARE if self._random.random() < 0.08 else WISHES)
        return f"#{self._said:04} {wish or 'Once more'}"

    async def _say(self, *, now: bool = False) -> str:
        shown, page = self._shown, self._page
        button = page.reply.steer if now else page.reply.send
        if shown is None or not shown.run.id or page.reply.text or (now and button.isHidden()):
            return "not now"
        task = self._at
        text = self._text()
        page.reply.set_text(text)
        self._typed[task].append(text)
        button.click()
        await until(lambda: page.reply.text != text, 5)
        return f"{text!r} to {task[:8]} ({shown.run.status}, {shown.hold or 'at once'})"

    async def _steer(self) -> str:
        return await self._say(now=True)

    async def _answer(self) -> str:
        ask = self._page.ask
        if ask.isHidden() or ask.permission is None:
            return "nothing is asked"
        title = ask.permission.title
        if ask.permission.questions:
            for _ in ask.permission.questions:
                ask.press_number(1)
            ask.buttons[0].click()
            return f"the questions: {title}"
        number = self._random.randint(1, len(ask.buttons))
        ask.press_number(number)
        if not ask.text.isHidden():
            ask.text.set_text("Leave the notes alone")
            ask.press_number(number)
        return f"{number}: {title}"

    async def _dismiss(self) -> str:
        ask = self._page.ask
        if ask.isHidden() or ask.permission is None:
            return "nothing is asked"
        title = ask.permission.title
        ask.dismiss.click()
        return title

    async def _stop(self) -> str:
        shown = self._shown
        if shown is None or not shown.transcript.state.busy or self._page.header.stop.isHidden():
            return "nothing to stop"
        self._page.header.stop.click()
        return self._at[:8]

    async def _end(self) -> str:
        shown = self._shown
        if shown is None or shown.run.finished:
            return "nothing to end"
        await shown.end()
        return self._at[:8]

    async def _try_again(self) -> str:
        """What a person does about whatever asks them to."""
        shown, page = self._shown, self._page
        if shown is None:
            return "nothing to try"
        unknown = [each for each in shown.queued if each.state == UNKNOWN]
        if shown.connection.kind in {"failed", "waiting"}:
            page.connection.again_wanted.emit()
            return f"the connection, {shown.connection.kind}"
        if unknown:
            self._again.update(each.text for each in unknown)
            page.queued.again_wanted.emit(unknown[0].id)
            return f"message {unknown[0].text!r}"
        return "nothing to try"

    # What must be true

    async def finish(self, say: Callable[[str], None]) -> str:
        """End every run, and compare. Call it once nothing fails any more."""
        left = sorted(self._typed, key=self._is_queued)
        last = monotonic() + FINISH_SECONDS * len(left)
        while left:
            task = left.pop(0)
            try:
                async with asyncio.timeout(FINISH_SECONDS):
                    if not await self._finish(task, alone=not left or monotonic() > last):
                        # It gets room once others have ended.
                        left.append(task)
                        continue
            except (TimeoutError, BurrowError):
                self._found(f"task {task} does not come to its end: {await self._how_it_stands(task)}")
            say(f"      {task[:8]} {self.trouble or 'the same'}")
            if self.trouble is not None:
                break
        return self.trouble or "the same in the window and in the log"

    def _is_queued(self, task: str) -> bool:
        shown = self._opened.by_task.get(task)
        return shown is not None and shown.run.status == "queued"

    async def _how_it_stands(self, task: str) -> str:
        shown = self._opened.by_task.get(task)
        if shown is None:
            return "not open"
        queued = [(each.text, each.state) for each in shown.queued]
        state, (log, broken) = shown.transcript.state, await self._stored(shown.run, shown)
        found = difference(_without(_items(shown.transcript), broken), _without(log, broken))
        return (
            f"{shown.run.status}, {shown.connection}, queued {queued} because of {shown.hold!r}, busy {state.busy} in"
            f" turn {state.turn}, waiting for {state.waiting}; {found or 'as its log'}; the end of the log: {log[-3:]}"
        )

    async def _finish(self, task: str, *, alone: bool) -> bool:
        """End the run of a task. False if it waits for room, which there is none for; not if it is `alone`."""
        await self._open(task)
        if (await self._backend.tasks.get(task)).latest_run is None:
            return True
        await until(lambda: task in self._opened.by_task and self._shown is self._opened.by_task[task], 20)
        shown = self._opened.by_task[task]
        shown.try_now()
        began = monotonic()
        while True:
            await asyncio.sleep(0.2)
            if monotonic() - began > ENOUGH_SECONDS:
                await self._stop()
            shown = self._opened.by_task[task]
            if not alone and shown.run.status == "queued" and monotonic() - began > ROOM_SECONDS:
                return False
            await self._answer()
            if shown.connection.kind == "failed":
                shown.try_now()
            state, held = shown.transcript.state, [each for each in shown.queued if each.state != UNKNOWN]
            settled = shown.connection.kind in {"live", "ended"} and not state.busy
            if settled and (not held or shown.hold not in {"", "turn", "connecting", "starting"}):
                break
        if not shown.run.finished:
            await shown.end()
        await until(lambda: shown.connection.kind == "ended", 30)
        await self._check(task)
        return True

    async def _check(self, task: str) -> None:
        """Compare a run that has ended, if its log can be read now."""
        shown = self._opened.by_task.get(task)
        if shown is None or not _is_over(shown):
            return
        run, before = shown.run, _items(shown.transcript)
        try:
            log, broken = await self._stored(run, shown)
        except BurrowError:
            return
        if shown.run != run or not _is_over(shown) or _items(shown.transcript) != before:
            # It went on meanwhile.
            return
        self._compared += 1
        self._items += len(log)
        found = difference(_without(before, broken), _without(log, broken))
        waiting = {each.text: each.state if each.state != "waiting" else shown.hold for each in shown.queued}
        prompts = [each for each in log if isinstance(each, Prompt)]
        lost = misplaced(self._typed[task], prompts, waiting, excused=frozenset(self._again))
        if found or lost:
            queued = [(each.text, each.state) for each in shown.queued]
            self._found(
                f"task {task}, run {run.id} {run.status}: {found or lost}; queued {queued} because of {shown.hold!r}"
            )

    def _found(self, trouble: str) -> None:
        """The first trouble counts."""
        self.trouble = self.trouble or trouble

    async def _stored(self, run: TaskRun, shown: RunConversation) -> tuple[list[Item], frozenset[int]]:
        """What the server's log alone leads to, and the turns in which it breaks off: the window may know more of them.

        A turn that this person stopped counts as cancelled, also where it had ended by itself before the server knew.
        """
        plain, transcript = Transcript(run.id), Transcript(run.id, folder=self._folder)
        transcript = Transcript(run.id, folder=self._folder)
        theirs = shown.transcript
        assert isinstance(theirs, Transcript)
        transcript._stopped.update(theirs._stopped)
        try:
            again = transcript.rebuild()
            log = StoredLog(self._backend.run_calls, run.task or "", run.id)

            def add(entries: Sequence[LogEntry]) -> None:
                again.apply(entries)
                plain.apply(entries)

            await log.read_ancestors(run, add)
            again.end_run()
            await log.read(add)
            again.finish()
            transcript.finish()
            return _items(transcript), broken_off(_items(plain))
        finally:
            transcript.close()
            plain.close()


def _is_over(shown: RunConversation) -> bool:
    """Whether the run has ended, and all of its log was read."""
    return shown.run.finished and shown.connection.kind == "ended"


def _without(items: Sequence[Item], turns: frozenset[int]) -> list[Item]:
    return [item for item in items if item.turn not in turns]


def _items(transcript: ItemSource) -> list[Item]:
    return [transcript.item(index) for index in range(len(transcript))]
