"""LocalConversation: a local run with its transcript and its messages, as a window or a terminal shows it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.errors import NotFound, Rejected, StorageTrouble
from app.core.events import Event
from app.core.runs.agent_environment import agent_environment
from app.core.runs.answers import answered_questions, chosen_option
from app.core.runs.desk.elsewhere import LogTail
from app.core.runs.desk.kept_files import keep_file
from app.core.runs.desk.task_runs import IN_PROGRESS, STATUS_OF_PHASE, run_of
from app.core.runs.items import TurnEnd
from app.core.runs.local.ends import status_after
from app.core.runs.local.record import FILES, folder_of
from app.core.runs.local.replay import PROMPT
from app.core.runs.local.run import LocalRun
from app.core.runs.local.status import RunPhase
from app.core.runs.local.unsent import Unsent, UnsentFile
from app.core.runs.transcript import Transcript
from app.core.runs.worktrees.environments import actions_of, find_environments, lacks, setup_of
from app.core.runs.worktrees.preparation import bring_files
from app.core.runs.worktrees.setup import SetupConsent, SetupNotAgreed, run_command, set_up

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.core.posthog.types import TaskRun
    from app.core.runs.answers import QuestionAnswer
    from app.core.runs.items import Permission
    from app.core.runs.local.claim import RunClaim, RunHolder
    from app.core.runs.local.folder import WorkingFolder
    from app.core.runs.local.record import LocalRecord
    from app.core.runs.local.run_log import RunLog
    from app.core.runs.local.servers import RunServers
    from app.core.runs.local.status import LocalStatus, WaitingPrompt
    from app.core.runs.local.versions import AgentVersions
    from app.core.runs.log_entries import LogEntry
    from app.core.runs.worktrees.environments import EnvironmentAction

# Entries that are read between two turns of the loop.
READ_AT_ONCE = 500
# What an agent is told that was interrupted. The person sees it before.
GO_ON = "Go on where you were interrupted."
NOT_RUNNING = frozenset({RunPhase.NEW, RunPhase.ENDED, RunPhase.FAILED})


class LocalConversation:
    """One run. `open` reads what is stored; whoever opened it awaits `close`.

    `changed` is emitted when status, run or messages are others. `elsewhere` is the other process that carries the run
    out, if one does: then it is read only, by `look`. `setup` is what waits for the person's consent,
    `actions` are the commands of the repository's environment. Methods raise `BurrowError`.
    """

    def __init__(
        self,
        data: Path,
        record: LocalRecord,
        folder: WorkingFolder,
        *,
        consent: SetupConsent,
        claim: RunClaim,
        servers: RunServers | None = None,
        environment: Mapping[str, str] | None = None,
        burrow: str = "",
        versions: AgentVersions | None = None,
        spill: Path | None = None,
    ) -> None:
        self.changed: Event[None] = Event()
        self.transcript = Transcript(record.id, folder=spill)
        self.setup: SetupNotAgreed | None = None
        self.elsewhere: RunHolder | None = None
        self.actions: tuple[EnvironmentAction, ...] = ()
        self.local = LocalRun(
            *(data, record, folder),
            servers=servers,
            prepare=self._prepare,
            environment=environment,
            burrow=burrow,
            versions=versions,
        )
        self._environment = agent_environment() if environment is None else dict(environment)
        # Consent counts for the repository that a worktree was made from.
        self._repository = record.repository or record.folder
        self._consent = consent
        self._without_setup = False
        self._unsent = UnsentFile(folder_of(data, record.id), self.local.log.flush)
        # The ids of those that the log has.
        self._prompts: set[str] = set()
        self._tail = LogTail(self.local.log.path)
        self._files = folder_of(data, record.id) / FILES
        self._claim, self._claimed = claim, False
        self._opened: asyncio.Task[None] | None = None
        self._acting: asyncio.Task[int] | None = None
        self._ends = [
            self.local.changed.subscribe(lambda _status: self._tell()),
            self.local.waiting.changed.subscribe(lambda _none: self._waiting_changed()),
        ]

    @property
    def record(self) -> LocalRecord:
        return self.local.record

    @property
    def status(self) -> LocalStatus:
        return self.local.status

    @property
    def queued(self) -> tuple[WaitingPrompt, ...]:
        """The messages that wait, in order."""
        return self.local.waiting.all

    @property
    def run(self) -> TaskRun:
        """The run in the form of a task's runs. `state` has its folder."""
        record, phase = self.record, self.status.phase
        return run_of(record, IN_PROGRESS if self.elsewhere else STATUS_OF_PHASE.get(phase, IN_PROGRESS))

    @property
    def steers(self) -> bool:
        """Whether a message can be sent into the turn that is under way."""
        return self.local.can_steer

    async def open(self) -> None:
        """Read the stored transcript, and the messages that were not sent. Returns when they are there."""
        if self._opened is None:
            self._opened = asyncio.create_task(self._read(), name="local run reads")
        await asyncio.wait((self._opened,))
        self._opened.result()

    async def start(self) -> None:
        """Start the agent, or start it again, with the session that it had.

        Raises `Rejected` for a run that is carried out by another process.
        """
        await self.open()
        await self.claim()
        await self.local.keep(ended="", ended_at=0.0, left="", cut=False)
        await self.local.start()

    async def go_on(self) -> None:
        """Have the agent go on with the turn that was cut off when Burrow ended."""
        await self.send(GO_ON)

    async def start_anew(self) -> None:
        """Go on in a new session, and tell the agent with the next message what was said before."""
        await self.local.start_anew()

    async def keep_file(self, name: str, content: bytes) -> str:
        """Keep a file of a message where the agent can read it; returns its path. Raises `StorageTrouble`."""
        try:
            return await asyncio.to_thread(keep_file, self._files, name, content)
        except OSError as failure:
            raise StorageTrouble(f"{name} cannot be stored: {failure.strerror or failure}.") from None

    async def send(self, text: str, files: tuple[str, ...] = (), *, now: bool = False) -> None:
        """Send a message, or keep it until the agent takes one; `now` into the turn under way, if the agent can.

        It is on the disk when this returns. An agent that is not running is started.
        """
        await self.open()
        if now:
            await self.local.steer(text, files)
        else:
            self.local.say(text, files)
        await self._unsent.flush()
        if self.status.phase in NOT_RUNNING:
            await self.start()

    async def remove(self, number: str) -> str:
        """Take a message out of the queue; returns its text. Raises `NotFound` when it was sent already."""
        taken = self.local.waiting.take_back(_number(number))
        await self._unsent.flush()
        return taken.text

    async def send_now(self, number: str) -> None:
        """Send a message that waits into the turn under way. Raises `NotFound` when it was sent already."""
        await self.local.send_now(_number(number))
        await self._unsent.flush()

    async def send_held(self) -> None:
        """Send what waits since a turn was stopped or failed."""
        waiting = self.local.waiting.take_all()
        if waiting:
            self.local.waiting.put_back(waiting[:-1])
            self.local.say(waiting[-1].text, waiting[-1].files)

    async def answer(
        self,
        permission: Permission,
        option_id: str = "",
        text: str = "",
        answers: Sequence[QuestionAnswer] = (),
    ) -> None:
        """Answer what the agent asks: with an option and a text beside it, or with `answers` to its questions.

        Raises `NotFound` when its turn is over, `Rejected` for an answer that was not offered or is incomplete.
        """
        given = answered_questions(permission, answers) if permission.questions else None
        if given is None or (option_id and not answers):
            given = chosen_option(permission, option_id, text)
        self.local.answer(permission.request_id, given.option_id, text=given.text, answers=given.answers)
        if given.separate:
            await self.send(given.separate, now=True)

    async def stop_turn(self) -> None:
        """Stop what the agent does. What it asks is answered with `cancelled`."""
        self.transcript.stop_turn()
        await self.local.stop_turn()

    async def set_option(self, option: str, value: str) -> None:
        """Change a setting of the session."""
        await self.local.set_option(option, value)

    async def sign_in(self, method: str) -> None:
        """Have the agent sign in, then send what waits."""
        await self.local.sign_in(method)
        await self.send_held()

    async def agree_to_setup(self) -> None:
        """The person read the setup script: let it run, then start the agent."""
        if self.setup is not None:
            await self._consent.agree(self._repository, self.setup.environment)
            self.setup = None
            await self.start()

    async def skip_setup(self) -> None:
        """Start the agent without the setup script."""
        self._without_setup, self.setup = True, None
        await self.start()

    async def act(self, action: EnvironmentAction) -> int:
        """Run a command of the environment in the run's folder. Returns its exit code; its output is in the transcript.

        Raises `Rejected` while another one runs.
        """
        if self._acting is not None and not self._acting.done():
            raise Rejected("Another command of this run has not ended yet.", action="Wait for its end.")
        work = run_command(Path(self.record.folder), action.command, self.local.log, self._environment)
        self._acting = asyncio.create_task(work, name="local run action")
        return await asyncio.shield(self._acting)

    async def end(self, status: str = "completed") -> None:
        """End the run. It can be taken up again by a message."""
        await self.local.keep(ended=status, ended_at=time.time(), cut=False)
        await self._end_agent()
        self._tell()

    @property
    def running(self) -> bool:
        """Whether this process carries the run out."""
        return self._claimed

    async def rest(self) -> None:
        """End the agent and everything it started. The run is not over: a message, or `start`, takes it up again."""
        await self._end_agent(leaves=True)
        self._tell()

    async def close(self) -> None:
        """As `rest`, and listen to nothing more."""
        await self._end_agent(leaves=True)
        for end in self._ends:
            end()
        if self._opened is not None:
            self._opened.cancel()
            await asyncio.gather(self._opened, return_exceptions=True)
        await self._unsent.flush()

    async def look(self, record: LocalRecord, elsewhere: RunHolder | None) -> None:
        """Show what another process wrote, which carries the run out or did so until now. Raises `StorageTrouble`."""
        begins = self.elsewhere is None
        await self.open()
        self.local.know(record)
        if begins:
            self.elsewhere = elsewhere
            self.local.waiting.take_all()
        await self._read_on(anew=begins)
        self.elsewhere = elsewhere
        if elsewhere is None:
            self.transcript.finish()
            await self._wait_for_unsent()
        self._tell()

    async def claim(self) -> None:
        """Carry the run out in this process. Raises `Rejected` where another one does."""
        self._claimed = self._claimed or await self._claim.take()
        if not self._claimed:
            raise Rejected("This run goes on in another process of Burrow.", action="Go on with it there.")

    async def _end_agent(self, *, leaves: bool = False) -> None:
        """With `leaves` it is Burrow that ends, and not the run."""
        if self._acting is not None:
            self._acting.cancel()
            await asyncio.gather(self._acting, return_exceptions=True)
            self._acting = None
        cut = leaves and self.status.phase is RunPhase.WORKING
        failed = self.status.phase is RunPhase.FAILED
        await self.local.close(cut=leaves)
        if leaves and self._claimed and not self.record.ended:
            status = "failed" if failed else "cancelled" if cut else status_after(self._last_reason())
            await self.local.keep(left=status, cut=cut)
        if self._claimed:
            self._claimed = False
            await self._claim.give_up()

    def _last_reason(self) -> str:
        """Why the last turn ended; empty before the first one."""
        transcript = self.transcript
        ends = (transcript.item(index) for index in reversed(range(len(transcript))))
        return next((each.reason for each in ends if isinstance(each, TurnEnd)), "")

    async def _read(self) -> None:
        if await self._read_on() and self.elsewhere is None:
            # Burrow may have been killed in the middle of a turn.
            self.transcript.finish()
        self._ends.append(self.local.log.added.subscribe(self._added))
        if self.elsewhere is None:
            await self._wait_for_unsent()
        found = await asyncio.to_thread(find_environments, Path(self.record.folder))
        self.actions = actions_of(found, self.record.environment)
        self._tell()

    async def _read_on(self, *, anew: bool = False) -> bool:
        """Read what the log has besides, or all of it once more; whether it has anything."""
        try:
            entries = await asyncio.to_thread(lambda: self._tail.read(anew=anew))
        except OSError as failure:
            raise StorageTrouble(f"The log of this run cannot be read: {failure.strerror or failure}.") from None
        rebuild = self.transcript.rebuild() if anew else None
        for first in range(0, len(entries), READ_AT_ONCE):
            some = entries[first : first + READ_AT_ONCE]
            (rebuild or self.transcript).apply(some)
            self._prompts.update(each.message.id for each in some if each.message.method == PROMPT)
            await asyncio.sleep(0)
        if rebuild is not None:
            rebuild.finish()
        return bool(entries)

    async def _wait_for_unsent(self) -> None:
        for each in await self._unsent.load():
            # Its process may have been killed between the log and what was not sent.
            if not each.prompt or each.prompt not in self._prompts:
                self.local.waiting.add(each.text, each.files)

    def _added(self, entries: Sequence[LogEntry]) -> None:
        self.transcript.apply(entries)

    async def _prepare(self, run_log: RunLog) -> None:
        """Bring a worktree of the run's own its files, and set it up, once, after the person agreed to the script."""
        self.setup = None
        if not self.record.worktree:
            return
        folder = Path(self.record.folder)
        await bring_files(Path(self._repository), folder, run_log)
        if self._without_setup:
            return
        found = await asyncio.to_thread(find_environments, folder)
        for name, wrong in found.wrong:
            run_log.notify("_posthog/console", level="warn", message=f"{name}: {wrong}")
        if lacks(found, self.record.environment):
            text = f"{self.record.environment} is not in this worktree, so no setup script was run."
            run_log.notify("_posthog/console", level="warn", message=text)
        environment = setup_of(found, self.record.environment)
        if environment is None:
            return
        try:
            await set_up(folder, self._repository, environment, self._consent, run_log)
        except SetupNotAgreed as asked:
            self.setup = asked
            raise

    def _waiting_changed(self) -> None:
        if self.elsewhere is None:
            # Else it is the other process that keeps them.
            waiting = self.local.waiting
            sending = (Unsent(each.text, each.files, prompt) for each, prompt in waiting.sending)
            self._unsent.put((*sending, *(Unsent(each.text, each.files) for each in waiting.all)))
        self._tell()

    def _tell(self) -> None:
        over = self.status.phase in {RunPhase.ENDED, RunPhase.FAILED} and self.elsewhere is None
        if over and self.transcript.state.accepts:
            self.transcript.finish()
        self.changed.emit(None)


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise NotFound("The message was sent already.") from None
