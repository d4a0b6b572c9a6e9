"""A conversation that records what it is asked to do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from app.core.errors import BurrowError
from app.core.events import Event
from app.core.posthog.types import Task, TaskRun
from app.core.runs.items import Permission, SessionState
from app.ui.tasks.run_pool import OpenedConversation
from app.ui.transcript.answers import RunAnswer
from app.ui.transcript.connection_line import ConnectionKind, ConnectionState
from tests.ui.transcript._items import ListedItems


class WaitingText(NamedTuple):
    id: str
    text: str
    files: tuple[Any, ...] = ()
    state: str = "waiting"
    error: BurrowError | None = None


class RecordedConversation:
    """`done` has what was asked for, in order; `fails` is raised instead, once."""

    steers, hold, stopping, takes_files = True, "turn", False, True

    def __init__(self, run: TaskRun, items: ListedItems | None = None) -> None:
        self.changed: Event[None] = Event()
        self.transcript = items or ListedItems()
        self.run = run
        self.connection = ConnectionState("live")
        self.queued: list[WaitingText] = []
        self.done: list[tuple[Any, ...]] = []
        self.fails: BurrowError | None = None
        self.holds: asyncio.Event | None = None
        self.closed = False

    def tell(self, **changes: Any) -> None:
        """Another state of the session."""
        self.transcript.state = msgspec.structs.replace(self.transcript.state, **changes)
        self.transcript.add()

    def end_run(self, status: str) -> None:
        self.run = msgspec.structs.replace(self.run, status=status)
        self.changed.emit(None)

    def queue(self, *waiting: WaitingText) -> None:
        self.queued = list(waiting)
        self.changed.emit(None)

    async def _do(self, *what: Any) -> None:
        if self.holds is not None:
            await self.holds.wait()
        failure, self.fails = self.fails, None
        if failure is not None:
            raise failure
        self.done.append(what)

    def try_now(self) -> None:
        self.done.append(("try_now",))

    async def send(self, text: str, files: Sequence[object] = (), *, now: bool = False) -> None:
        await self._do("send", text, now, *files)

    async def send_again(self, queued_id: str) -> None:
        await self._do("send_again", queued_id)

    async def remove(self, queued_id: str) -> WaitingText | None:
        await self._do("remove", queued_id)
        found = next(each for each in self.queued if each.id == queued_id)
        self.queue(*(each for each in self.queued if each.id != queued_id))
        return found

    async def send_now(self, queued_id: str) -> None:
        await self._do("send_now", queued_id)

    async def stop_turn(self) -> None:
        await self._do("stop_turn")

    async def end(self) -> None:
        await self._do("end")

    async def answer(self, answer: RunAnswer) -> None:
        await self._do("answer", answer.option_id, answer.text, answer.answers)

    async def dismiss(self, permission: Permission) -> None:
        await self._do("dismiss", permission.request_id)

    async def set_option(self, option_id: str, value: str) -> None:
        await self._do("set_option", option_id, value)


class RecordedRuns:
    """Opens recorded conversations, by the ids of their runs. `kind` is how they are connected at first."""

    def __init__(self, kind: ConnectionKind = "live") -> None:
        self.kind = kind
        self.opened: dict[str, RecordedConversation] = {}

    @property
    def open(self) -> list[str]:
        """The runs that are followed now."""
        return [run_id for run_id, each in self.opened.items() if not each.closed]

    def __call__(self, _backend: object, _task: Task, run: TaskRun) -> OpenedConversation:
        made = self.opened[run.id] = RecordedConversation(run)
        made.connection = ConnectionState(self.kind)
        if self.kind == "live":
            made.transcript.state = SessionState(accepts=True)

        def close() -> None:
            made.closed = True

        return OpenedConversation(made, close)
