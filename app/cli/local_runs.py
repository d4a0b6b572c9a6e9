"""`burrow tasks run --local`: a run that an agent of this machine carries out in the foreground.

Ctrl+C stops the turn; the second time it ends the run.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from app.cli.common import connect, services_of
from app.cli.local_asks import agree_to_setup, answer
from app.cli.run_items import ItemWriter
from app.cli.run_servers import ask_about, served
from app.cli.signals import interruption, to_the_end
from app.cli.task_files import forget_files, waiting_files
from app.cli.tasks import find_task
from app.cli.terminal import output, printable, say
from app.core.errors import BurrowError, Facts, Rejected
from app.core.posthog.run_options import BYPASS_SETTING
from app.core.runs.desk.local_desk import LocalStart
from app.core.runs.desk.memory import SETTING, LocalMemory
from app.core.runs.items import Permission, TurnEnd
from app.core.runs.local.agents import PRESETS, SURVEY, agent_of_command, survey_agent
from app.core.runs.local.mode_names import ACCEPT_EDITS, AUTO, BYPASS, DEFAULT, PLAN
from app.core.runs.local.status import RunPhase
from app.core.runs.worktrees.environments import file_called

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Coroutine

    from app.core.mcp.proxy.approvals import ApprovalQuestion, Approvals
    from app.core.posthog.types import Task
    from app.core.runs.desk.local_conversation import LocalConversation
    from app.core.runs.desk.local_desk import LocalDesk
    from app.core.runs.local.agents import LocalAgent
    from app.core.services import Services

MODES = {
    "plan": PLAN,
    "default": DEFAULT,
    "accept-edits": ACCEPT_EDITS,
    "auto": AUTO,
    "bypass": BYPASS,
    "read-only": PLAN,
}
END_TURN, CANCELLED = "end_turn", "cancelled"
# For a run whose task is not done.
NOT_COMPLETED = 1
# How long the end waits until the server knows of the run.
WRITE_SECONDS = 10.0
OVER = frozenset({RunPhase.ENDED, RunPhase.FAILED, RunPhase.FORGOTTEN})


async def run_here(options: argparse.Namespace) -> int:
    """Run a task on this machine; returns the exit code."""
    if options.model or options.effort:
        raise Rejected(
            "A run on this machine has the model that its agent chooses.",
            Facts(attr="model"),
            action="Choose it in the agent's own settings, or run the task in the cloud, without --local.",
        )
    if options.branch and not options.worktree:
        raise Rejected("--branch is where a worktree begins.", Facts(attr="branch"), action="Add --worktree.")
    async with services_of(options) as services:
        backend = await connect(services, options)
        await backend.ready()
        task = await find_task(backend, options.task)
        desk = services.local_runs
        start = await _start(options, services, desk, task)
        files = await waiting_files(backend, task)
        async with served(services, wanted=not options.no_servers) as approvals:
            conversation = await desk.start(task, start, files)
            if files:
                await forget_files(backend, task)
            record = conversation.record
            say(f"{printable(record.agent.name)} works in {printable(record.folder)}")
            bypass = services.storage.settings.get(BYPASS_SETTING) is True
            run = _ForegroundRun(conversation, ItemWriter(as_json=options.json), approvals, bypass=bypass)
            status = "cancelled"
            try:
                with interruption.before(run.stop_first):
                    code = await run.carry_out()
                status = "completed" if code == 0 else "cancelled" if run.reason == CANCELLED else "failed"
            finally:
                run.flush()
                await to_the_end(_finish(desk, record.id, status))
        if record.branch:
            say(f"Its changes are on the branch {printable(record.branch)}.")
        return code


class _ForegroundRun:
    """Writes what a run says, and asks what its agent asks, until its turn is over."""

    def __init__(
        self, conversation: LocalConversation, writer: ItemWriter, approvals: Approvals | None, *, bypass: bool
    ) -> None:
        """`approvals` are the calls of tools that are asked about here. `bypass`: whether answers are offered after
        which the agent asks for nothing.
        """
        self._conversation, self._writer, self._bypass = conversation, writer, bypass
        self._approvals = approvals
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._stopping: asyncio.Task[None] | None = None
        self._ends = [
            conversation.transcript.changed.subscribe(lambda change: self._changed(change.first)),
            conversation.changed.subscribe(lambda _none: self._news.set()),
        ]
        if approvals is not None:
            self._ends.append(approvals.changed.subscribe(lambda _none: self._news.set()))
        # Nobody needs what was written before, and it has no end.
        output.keeps = False

    def stop_first(self) -> bool:
        """A signal arrived. Whether a turn is stopped by it: then the run goes on."""
        if self._stopping is not None or self._conversation.status.phase is not RunPhase.WORKING:
            return False
        self._loop.call_soon_threadsafe(self._stop)
        return True

    async def carry_out(self) -> int:
        """Returns the exit code."""
        await self._conversation.start()
        while self._conversation.setup is not None:
            await agree_to_setup(self._conversation)
        while True:
            self._news.clear()
            status, state = self._conversation.status, self._conversation.transcript.state
            if status.phase in OVER:
                return self._say_end()
            if status.phase is RunPhase.READY and (status.held or not self._conversation.queued):
                if status.text:
                    say(f"{status.text} {status.advice}")
                return 0 if self.reason == END_TURN and not status.text else NOT_COMPLETED
            asked = [self._item(key) for key in state.waiting]
            if asked and isinstance(asked[0], Permission):
                await self._ask(asked[0])
                continue
            if self._approvals is not None and self._approvals.open:
                await self._approve(self._approvals, self._approvals.open[0])
                continue
            await self._news.wait()

    def flush(self) -> None:
        """Write the rest."""
        for end in self._ends:
            end()
        self._writer.write(self._conversation.transcript, over=True)

    async def _ask(self, asked: Permission) -> None:
        """Ask until it is answered, here or by the end of the turn."""
        asking = answer(self._conversation, asked, bypass=self._bypass)
        await self._until_over(asking, lambda: asked.key in self._conversation.transcript.state.waiting)

    async def _approve(self, approvals: Approvals, question: ApprovalQuestion) -> None:
        """Ask about a call until it is answered, here or in a window that serves meanwhile, or its time is over."""
        await self._until_over(ask_about(approvals, question), lambda: question in approvals.open)

    async def _until_over(self, work: Coroutine[Any, Any, None], still: Callable[[], bool]) -> None:
        asking = asyncio.create_task(work, name="question on the terminal")
        try:
            while not asking.done() and still():
                self._news.clear()
                news = asyncio.create_task(self._news.wait())
                await asyncio.wait((asking, news), return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
        finally:
            asking.cancel()
            found = await asyncio.gather(asking, return_exceptions=True)
        for failure in found:
            if isinstance(failure, Exception):
                raise failure

    def _stop(self) -> None:
        say("Stopping the turn. Press Ctrl+C again to end the run.")
        self._stopping = asyncio.create_task(self._conversation.stop_turn(), name="stop of the turn")

    def _changed(self, first: int) -> None:
        self._writer.write(self._conversation.transcript, first=first)
        self._news.set()

    def _item(self, key: str) -> object:
        transcript = self._conversation.transcript
        index = transcript.index_of(key)
        return None if index is None else transcript.item(index)

    @property
    def reason(self) -> str:
        """Why the last turn ended."""
        transcript = self._conversation.transcript
        ends = (transcript.item(index) for index in reversed(range(len(transcript))))
        return next((each.reason for each in ends if isinstance(each, TurnEnd)), "")

    def _say_end(self) -> int:
        status = self._conversation.status
        for text in (*status.stderr, status.text, status.advice):
            if text:
                say(text)
        return NOT_COMPLETED


async def _start(options: argparse.Namespace, services: Services, desk: LocalDesk, task: Task) -> LocalStart:
    settings = services.storage.settings
    mode = MODES[options.mode] if options.mode else ""
    if mode == BYPASS and settings.get(BYPASS_SETTING) is not True:
        raise Rejected(
            "An agent that asks for nothing was not allowed on this computer.",
            Facts(attr="mode"),
            action="Allow it in the window: Settings, Runs.",
        )
    memory = LocalMemory(settings)
    agent = _named(options.agent) if options.agent else memory.last(task.repository or "").agent
    folder, environment = _absolute(options.folder), ""
    if options.environment:
        environment = file_called(await desk.environments(folder), options.environment)
    start = LocalStart(
        agent=agent or (await desk.agents())[0],
        folder=folder,
        environment=environment,
        worktree=options.worktree,
        base=options.branch or "HEAD",
        mode=mode,
    )
    await settings.set(SETTING, memory.with_last(task.repository or "", start))
    return start


def _absolute(folder: str | None) -> str:
    return os.path.abspath(os.path.expanduser(folder or os.curdir))


def _named(text: str) -> LocalAgent:
    """A known agent by its id, any other by its command."""
    known = {SURVEY: survey_agent(), **{each.id: each for each in reversed(PRESETS)}}
    return known.get(text) or agent_of_command(text)


async def _finish(desk: LocalDesk, run: str, status: str) -> None:
    """End the run, and tell the server."""
    await desk.end(run, status)
    try:
        async with asyncio.timeout(WRITE_SECONDS):
            await desk.write_back(run)
    except (BurrowError, TimeoutError):
        say("The server does not know all of this run yet. It is told when Burrow is used again.")
