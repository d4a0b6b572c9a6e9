"""Conversation: what is said to the agent of a task, in order, each message once (docs/wire.md, "Commands to a run").

A message is stored before anything else. It waits while the run starts, while a turn is under way, and while there is
no connection; those that wait are sent together when they can be. What has not arrived keeps its place. What may have
arrived is looked for in the log, and otherwise sent again by the user only.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from app.core.clock import SystemClock
from app.core.errors import BurrowError, Offline, OutcomeUnknown, SignInNeeded, Throttled, TimedOut, VaultTrouble
from app.core.events import Event
from app.core.posthog.run_errors import AgentNotReady, RunOver, StartedOtherwise
from app.core.posthog.waiting_files import run_files
from app.core.runs.agent_control import AgentControl
from app.core.runs.follow_status import ENDED, LIVE
from app.core.runs.queued import (
    LATER_RUN,
    TURN,
    UNSENT,
    Hold,
    Queued,
    arrived,
    as_queued,
    hold_of,
    is_reached,
    reason_of,
)
from app.core.runs.sent_messages import LOG_SECONDS, SentMessages
from app.core.storage.follow_ups import REFUSED, SENT, UNKNOWN, WAITING, FollowUp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from app.core.clock import Clock
    from app.core.fetcher import Admission
    from app.core.posthog.run_files import RunFile
    from app.core.posthog.runs import Runs
    from app.core.posthog.types import TaskRun
    from app.core.runs.follow_status import FollowStatus
    from app.core.runs.follower import RunFollower
    from app.core.runs.hooks import Admit, ApproveTool, GoOn
    from app.core.runs.transcript import Change
    from app.core.storage import Scope
    from app.core.storage.attachments import Attachment, Attachments
    from app.core.storage.follow_ups import FollowUps

# The agent was not ready although its run is in progress; or the server is busy.
RETRY_SECONDS = 3.0
# As after that, while somebody else is signed in or nobody is.
ASK_AGAIN_SECONDS = 30.0


class Conversation(AgentControl):
    """Its owner runs `run` in a task, and cancels that to stop it; messages are kept."""

    def __init__(
        self,
        follower: RunFollower,
        runs: Runs,
        follow_ups: FollowUps,
        scope: Scope,
        *,
        go_on: GoOn,
        attachments: Attachments,
        admit: Admit | None = None,
        approve_tool: ApproveTool | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Messages are those of `scope`; `admit` raises unless that is who is signed in (`Backend.admit`)."""
        super().__init__(follower, runs, clock=clock or SystemClock(), approve_tool=approve_tool)
        self.changed: Event[None] = Event()
        self.queued: tuple[Queued, ...] = ()
        self.hold = Hold()
        self._follow_ups, self._scope = follow_ups, scope
        self._go_on, self._attachments, self._admit = go_on, attachments, admit
        self._given = SentMessages(follower, runs, follow_ups, self._clock)
        self._rows: tuple[FollowUp, ...] = ()
        self._errors: dict[str, BurrowError] = {}
        # What was written here; and whether the task has a later run, which all else is for.
        self._written: set[str] = set()
        self._earlier = False
        self._wanted = asyncio.Event()
        self._again = asyncio.Event()
        self._trouble: BurrowError | None = None
        self._trouble_until = 0.0

    async def run(self) -> None:
        """Follow the run, and send what waits when it can be sent. Goes on until it is cancelled."""
        ends = [
            self.follower.status.subscribe(self._reached),
            self.follower.run_changed.subscribe(lambda _: self._wake()),
            self.follower.transcript.changed.subscribe(self._heard),
        ]
        following = asyncio.create_task(self._follow(), name="conversation follower")
        delivering = asyncio.create_task(self._deliver(), name="conversation messages")
        try:
            await asyncio.gather(following, delivering)
        finally:
            for end in ends:
                end()
            for task in (following, delivering):
                task.cancel()
            await asyncio.gather(following, delivering, return_exceptions=True)

    def retry(self) -> None:
        """Connect and send again now: the network is back, the user signed in, or the user asks for it."""
        self._trouble = None
        self.follower.nudge()
        self._again.set()
        self._wake()

    # Messages

    async def send(self, text: str, files: Sequence[Attachment] = (), *, steer: bool = False) -> Queued:
        """Store a message, to be sent as soon as it can be; with `steer` into the turn that is under way.

        Raises `StorageTrouble`: then it is not stored.
        """
        item = await self._follow_ups.add(self._scope, self.follower.task, text, files, steer=steer)
        self._written.add(item.id)
        await self._refresh()
        self._wake()
        return as_queued(item, None)

    async def edit(self, id: str, text: str, files: Sequence[Attachment] | None = None) -> bool:  # noqa: A002
        """Change a message; False if it is being sent or was."""
        kept = next((each.files for each in self.queued if each.id == id), ()) if files is None else files
        return await self._touch(id, self._follow_ups.edit(id, text, kept))

    async def send_now(self, id: str) -> bool:  # noqa: A002
        """Send a message that waits into the turn that is under way; False if it is being sent or was."""
        return await self._touch(id, self._follow_ups.steer(id))

    async def remove(self, id: str) -> bool:  # noqa: A002
        """Delete a message; False if it is being sent or was."""
        return await self._touch(id, self._follow_ups.remove(id))

    async def send_again(self, id: str) -> bool:  # noqa: A002
        """Send a message that may have arrived, or was refused."""
        return await self._touch(id, self._follow_ups.again(id))

    async def _touch(self, id: str, work: Awaitable[bool]) -> bool:  # noqa: A002
        done = await work
        if done:
            self._errors.pop(id, None)
        await self._refresh()
        self._wake()
        return done

    async def _follow(self) -> None:
        while True:
            await self.follower.follow()
            # It ended or failed. Another run, or the user, makes it go on.
            await self._again.wait()
            self._again.clear()

    async def _deliver(self) -> None:
        known = False
        self._wake()
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                if not known:
                    await self._refresh()
                    known = True
                pause = await self._deliver_once()
            except BurrowError as trouble:
                # Of the storage: what the run says is shown all the same, and how the messages are is read again.
                known = False
                self._set_hold(Hold(reason_of(trouble), trouble))
                pause = RETRY_SECONDS
            if pause:
                # Without a task of its own: what happens meanwhile wakes this earlier.
                asyncio.get_running_loop().call_later(pause, self._wake)

    async def _deliver_once(self) -> float:
        """Send what can be sent now. Returns in how many seconds to try again by itself; 0: when something happens."""
        await self._settle_unknown()
        if await self._given.settle(self._rows):
            await self._refresh()
        only = self._written if self._earlier else None
        waiting = [each for each in self._rows if each.state == WAITING and (only is None or each.id in only)]
        hold = self._holds()
        steer = hold.reason == TURN and any(each.steer for each in waiting)
        if not waiting or (hold.reason and not steer):
            # Those that are for a later run wait for that one's conversation.
            later = Hold(LATER_RUN) if any(each.state == WAITING for each in self._rows) else Hold()
            self._set_hold(hold if waiting else later)
            return LOG_SECONDS if any(each.state == SENT for each in self._rows) else 0.0
        claimed = await self._follow_ups.claim(self._scope, self.follower.task, steer=steer, only=only)
        if not claimed:
            await self._refresh()
            self._set_hold(Hold(UNSENT) if any(each.state != SENT for each in self._rows) else Hold())
            # Another window may be sending, and end.
            return RETRY_SECONDS if any(each.elsewhere for each in self._rows) else 0.0
        await self._refresh()
        self._set_hold(Hold())
        pause = await self._send(claimed, steer=steer)
        await self._refresh()
        # Whoever waits has a reason in sight at any time.
        waits = any(each.state == WAITING for each in self._rows)
        self._set_hold(self._holds() if pause or waits else Hold())
        if not pause:
            self._wake()
        return pause

    def _holds(self) -> Hold:
        """Why nothing can be sent now."""
        follower = self.follower
        awaits_turn = self._given.awaited(self._rows)
        held = hold_of(follower.run, follower.now, follower.transcript.state, awaits_turn=awaits_turn)
        if self._trouble is not None and self._clock.boot() < self._trouble_until and is_reached(follower.now):
            return Hold(reason_of(self._trouble), self._trouble)
        return held

    async def _send(self, items: Sequence[FollowUp], *, steer: bool) -> float:
        """Send what was claimed, as one message. Returns when to try again if it was given back."""
        ids = [each.id for each in items]
        run = self.follower.run
        assert run is not None
        text = "\n\n".join(each.text for each in items if each.text.strip())
        files = run_files((file for item in items for file in item.files), self._attachments)
        turn = self.follower.transcript.state.turn
        try:
            try:
                admission = None if self._admit is None else await self._admit(self._scope)
                if run.finished:
                    if not self._written.issuperset(ids) and await self._is_earlier(run):
                        self._earlier = True
                        await self._follow_ups.give_back(ids)
                        return 0.0
                    to = await self._go_on(run, text, files)
                else:
                    await self._tell_agent(run, text, files, admission, steer=steer)
                    to = run
            except BurrowError as error:
                if isinstance(error, StartedOtherwise):
                    self._moved(error.run)
                return await self._not_sent(ids, error)
            if to is not run:
                self._moved(to)
            await self._given.begin(ids, to.id, turn)
        except BaseException:
            # It may have left already.
            self._follow_ups.give_back_soon(ids, UNKNOWN)
            raise
        return 0.0

    async def _tell_agent(
        self, run: TaskRun, text: str, files: Sequence[RunFile], admission: Admission | None, *, steer: bool
    ) -> None:
        params: dict[str, object] = {}
        if text:
            params["content"] = text
        if files:
            params["artifact_ids"] = await self._runs.upload(self.follower.task, run.id, files)
        if steer:
            params["steer"] = True
        await self._runs.command(self.follower.task, run.id, "user_message", params, admission=admission)

    async def _not_sent(self, ids: Sequence[str], error: BurrowError) -> float:
        """Put messages back where they were."""
        if isinstance(error, OutcomeUnknown | TimedOut):
            await self._follow_ups.give_back(ids, UNKNOWN)
            self._errors.update(dict.fromkeys(ids, error))
            return 0.0
        if isinstance(error, RunOver | AgentNotReady | Throttled):
            await self._follow_ups.give_back(ids)
            # The run says how it stands.
            self.follower.nudge()
            return error.facts.retry_after or RETRY_SECONDS
        if isinstance(error, Offline | SignInNeeded | VaultTrouble):
            await self._follow_ups.give_back(ids)
            pause = RETRY_SECONDS if isinstance(error, Offline) else ASK_AGAIN_SECONDS
            self._trouble, self._trouble_until = error, self._clock.boot() + pause
            return pause
        if error.retryable:
            await self._follow_ups.give_back(ids)
            return error.facts.retry_after or RETRY_SECONDS
        await self._follow_ups.give_back(ids, REFUSED)
        self._errors.update(dict.fromkeys(ids, error))
        return 0.0

    async def _is_earlier(self, run: TaskRun) -> bool:
        """Whether the task has a later run: another window may have gone on, or the user looks at an old one."""
        newest = (await self._runs.list(self.follower.task, limit=1)).items
        return bool(newest) and newest[0].id != run.id

    def _moved(self, run: TaskRun) -> None:
        self._earlier = False
        self.follower.go_on(run)
        self._again.set()

    async def _say_besides(self, text: str) -> None:
        await self.send(text, steer=True)

    def _heard(self, change: Change) -> None:
        """The transcript changed: a turn may have begun or ended."""
        if any(each.state == SENT for each in self._rows):
            self._list()
        self._wake()

    async def _settle_unknown(self) -> None:
        """Remove what may have arrived and is in the log."""
        there = arrived(self.follower.transcript, [each for each in self._rows if each.state == UNKNOWN])
        if there and self.follower.now.kind in {LIVE, ENDED}:
            await self._follow_ups.finish(there)
            await self._refresh()

    # What is shown

    async def _refresh(self) -> None:
        self._rows = await self._follow_ups.list(self._scope, self.follower.task)
        self._list()

    def _list(self) -> None:
        # What is in the log is shown there, also before it is no longer stored.
        rows = [each for each in self._rows if not self._given.logged(each)]
        queued = tuple(as_queued(each, self._errors.get(each.id)) for each in rows)
        if queued != self.queued:
            self.queued = queued
            self.changed.emit(None)

    def _set_hold(self, hold: Hold) -> None:
        if hold != self.hold:
            self.hold = hold
            self.changed.emit(None)

    def _reached(self, status: FollowStatus) -> None:
        if status.kind in {LIVE, ENDED} and isinstance(self._trouble, Offline):
            self._trouble = None
        if status.kind == LIVE:
            self.end_stopped()
        self._wake()

    def _wake(self) -> None:
        self._wanted.set()
