"""LocalConversation: a local run as a page shows runs: its transcript, what waits, and what a person tells the agent.

It has the members of `Conversation` (`app/core/runs/conversation.py`) that a page uses, for a `LocalRun`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from app.core.background import BackgroundTasks
from app.core.errors import ServerTrouble
from app.core.events import Event
from app.core.posthog.types import TaskRun
from app.core.runs.answers import answered_questions, chosen_option, dismissed
from app.core.runs.local.status import RunPhase
from app.core.runs.queued import NEVER_STARTED, STARTING, TROUBLE, TURN, UNSENT, Queued
from app.core.runs.transcript import Transcript

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from app.core.runs.answers import QuestionAnswer
    from app.core.runs.items import Permission
    from app.core.runs.local.run import LocalRun
    from app.core.runs.log_entries import LogEntry

# Entries that are read between two turns of the loop, and how long live ones are collected, in seconds.
SLICE, COLLECT_SECONDS = 500, 0.016
HOLDS = {
    RunPhase.NEW: STARTING,
    RunPhase.STARTING: STARTING,
    RunPhase.WORKING: TURN,
    RunPhase.STOPPING: TURN,
    RunPhase.FAILED: NEVER_STARTED,
    RunPhase.FORGOTTEN: TROUBLE,
    RunPhase.ENDED: TROUBLE,
}
# As runs of PostHog say it (docs/wire.md, "Runs").
STATUSES = {
    RunPhase.NEW: "not_started",
    RunPhase.STARTING: "queued",
    RunPhase.ENDED: "completed",
    RunPhase.FAILED: "failed",
}
STARTABLE = frozenset({RunPhase.NEW, RunPhase.ENDED, RunPhase.FAILED})


class LocalConversation:
    """`changed` says that run, status or what waits are others. `open` first, `close` at the end."""

    def __init__(self, run: LocalRun, *, folder: Path | None = None) -> None:
        """`folder` is where the transcript keeps what is not in view."""
        self.local = run
        self.transcript = Transcript(run.record.id, folder=folder)
        self.changed: Event[None] = Event()
        self._tasks = BackgroundTasks()
        self._entries: list[LogEntry] = []
        self._timer: asyncio.TimerHandle | None = None
        self._ends = [
            run.changed.subscribe(lambda _status: self.changed.emit(None)),
            run.waiting.changed.subscribe(lambda _none: self.changed.emit(None)),
        ]

    async def open(self) -> None:
        """Read what is stored, and follow from there. Raises OSError."""
        await self.local.log.flush()
        stored = await asyncio.to_thread(lambda: list(self.local.log.stored()))
        self._ends.append(self.local.log.added.subscribe(self._added))
        for begin in range(0, len(stored), SLICE):
            self.transcript.apply(stored[begin : begin + SLICE])
            await asyncio.sleep(0)
        self._apply()

    async def close(self) -> None:
        """Listen to nothing, and delete what the transcript has on the disk. The run goes on."""
        for end in self._ends:
            end()
        if self._timer is not None:
            self._timer.cancel()
        await self._tasks.close()
        self.transcript.close()

    @property
    def run(self) -> TaskRun:
        """The run as those of PostHog are described."""
        status, record = self.local.status, self.local.record
        return TaskRun(
            id=record.id,
            task=record.task or None,
            status=STATUSES.get(status.phase, "in_progress"),
            environment="local",
            branch=self.transcript.state.branch or None,
            error_message=status.text or None,
        )

    @property
    def queued(self) -> tuple[Queued, ...]:
        return tuple(Queued(str(each.id), each.text) for each in self.local.waiting.all)

    @property
    def hold(self) -> str:
        """Why messages wait (`Hold.reason`)."""
        if not self.local.waiting.all:
            return ""
        status = self.local.status
        return UNSENT if status.phase is RunPhase.READY and status.held else HOLDS.get(status.phase, "")

    @property
    def stopping(self) -> bool:
        return self.local.status.phase is RunPhase.STOPPING

    @property
    def steers(self) -> bool:
        """Whether a message can be sent while a turn is under way."""
        return self.local.can_steer

    async def send(self, text: str, files: Sequence[str] = (), *, steer: bool = False) -> None:
        """Send a message as soon as it can be, and start the agent if it does not run."""
        if steer:
            await self.local.steer(text, tuple(files))
        else:
            self.local.say(text, tuple(files))
        self.retry()

    def retry(self) -> None:
        """Start the agent if it does not run, and send what waits."""
        if self.local.status.phase in STARTABLE:
            self._tasks.start(self.local.start())
        else:
            self.local.send_now()

    async def edit(self, id: str, text: str) -> bool:  # noqa: A002
        """Change a message that waits; False if it was sent."""
        if not self._waits(id):
            return False
        self.local.waiting.change(int(id), text)
        return True

    async def remove(self, id: str) -> str | None:  # noqa: A002
        """Take a message out of those that wait. Returns its text, None if it was sent."""
        return self.local.waiting.take_back(int(id)).text if self._waits(id) else None

    async def stop_turn(self) -> None:
        await self.local.stop_turn()

    async def end(self) -> None:
        """End the agent. The conversation can go on later."""
        await self.local.close()

    async def answer(
        self, permission: Permission, option_id: str = "", text: str = "", answers: Sequence[QuestionAnswer] = ()
    ) -> None:
        """Answer what the agent asks. Raises `Rejected` for what was not offered, `NotFound` when it is over."""
        given = answered_questions(permission, answers) if permission.questions else None
        if given is None or (option_id and not answers):
            given = chosen_option(permission, option_id, text)
        self.local.answer(permission.request_id, given.option_id, text=given.text, answers=given.answers)
        if given.separate:
            await self.send(given.separate, steer=self.steers)

    async def dismiss(self, permission: Permission) -> None:
        """Answer nothing: the turn is stopped, and with it every question of it."""
        if self.local.status.phase is RunPhase.WORKING:
            await self.local.stop_turn()
            return
        refused = dismissed(permission)
        offered = {each.option_id for each in permission.options}
        if refused.option_id not in offered:
            raise ServerTrouble("The agent offers no answer that refuses.", action="Choose one of its answers.")
        self.local.answer(permission.request_id, refused.option_id)

    async def set_option(self, id: str, value: str) -> None:  # noqa: A002
        await self.local.set_option(id, value)

    def _waits(self, number: str) -> bool:
        return any(str(each.id) == number for each in self.local.waiting.all)

    def _added(self, entries: Sequence[LogEntry]) -> None:
        self._entries.extend(entries)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(COLLECT_SECONDS, self._apply)

    def _apply(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        entries, self._entries = self._entries, []
        if entries:
            self.transcript.apply(entries)
