"""LocalDesk: the runs that agents of this machine carry out: started, listed, opened again, written back, ended."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from app.core.background import BackgroundTasks
from app.core.errors import NotFound
from app.core.events import Event
from app.core.posthog.types import Value
from app.core.runs.agent_environment import agent_environment
from app.core.runs.desk.elsewhere import OtherProcesses
from app.core.runs.desk.kept_files import keep_files
from app.core.runs.desk.local_conversation import LocalConversation
from app.core.runs.desk.task_runs import IN_PROGRESS, PAUSED, run_of
from app.core.runs.desk.works import UNDER_WAY, works_of_runs
from app.core.runs.local.agents import LocalAgent, check_agent, found_agents, survey_agent
from app.core.runs.local.claim import RunClaim
from app.core.runs.local.ends import left
from app.core.runs.local.folder import WorkingFolder
from app.core.runs.local.record import FILES, LocalRecord, folder_of, load_record, load_records, save_record
from app.core.runs.local.versions import AgentVersions
from app.core.runs.local.write_back import WriteBack
from app.core.runs.worktrees.environments import find_environments
from app.core.runs.worktrees.git import GitTrouble, git_line
from app.core.runs.worktrees.run_changes import RunChanges
from app.core.runs.worktrees.setup import SetupConsent
from app.core.runs.worktrees.worktrees import Worktrees

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from app.core.backend import Backend
    from app.core.busy import Busy, Work
    from app.core.posthog.run_files import RunFile
    from app.core.posthog.runs import Runs
    from app.core.posthog.types import Task, TaskRun
    from app.core.runs.desk.elsewhere import Sighting
    from app.core.runs.local.claim import RunHolder
    from app.core.runs.local.servers import RunServers
    from app.core.runs.worktrees.environments import FoundEnvironments
    from app.core.runs.worktrees.setup import ConsentSettings

# How long the end may take that tells the server what it does not know yet. The rest is told after the next start.
LAST_WORDS_SECONDS = 0.5
# How often it is looked whether another process has left a run.
LOOK_SECONDS = 1.0
SPILL = "runs/spill"
# In the folder of a run: what the person discarded of its changes.
DISCARDED = "discarded"


class LocalStart(Value, frozen=True, kw_only=True):
    """What to start. `folder` is where the agent works, or the repository that a `worktree` is made from.

    `base` is the commit or branch that a worktree begins at. An empty `mode` leaves it to the agent. `environment` is
    as in `LocalRecord`.
    """

    agent: LocalAgent
    folder: str
    worktree: bool = False
    base: str = "HEAD"
    mode: str = ""
    environment: str = ""


class ServersOfRuns(Protocol):
    """Which MCP servers runs get (`OfferedServers`)."""

    def of(self, run: str, title: str) -> RunServers | None: ...

    async def revoke(self, client: str) -> None: ...


class LocalDesk:
    """All local runs of a data folder. `changed` has the id of the task whose runs are others, `written` that of the
    task of which the server knows another status.

    One window at a time has it; a command that runs beside it has its own for the one run that it starts. Methods raise
    `BurrowError`.
    """

    def __init__(
        self,
        data: Path,
        settings: ConsentSettings,
        backend: Callable[[], Backend | None],
        busy: Busy,
        *,
        servers: ServersOfRuns | None = None,
        burrow: str = "",
        role: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`role` is what this process is to others that look at its runs."""
        self.changed: Event[str] = Event()
        self.written: Event[str] = Event()
        self.worktrees = Worktrees(data)
        self._data, self._settings, self._backend, self._busy = data, settings, backend, busy
        self._servers, self._burrow, self._role = servers, burrow, role
        self._environment = environment
        self._records: dict[str, LocalRecord] = {}
        self._open: dict[str, LocalConversation] = {}
        self._changes: dict[str, RunChanges] = {}
        self._backs: dict[str, WriteBack] = {}
        self._claims: dict[str, RunClaim] = {}
        self._others = OtherProcesses(data, self._claim_of)
        self._background = BackgroundTasks()
        self._loading: asyncio.Task[None] | None = None
        self._closed = False
        self._unregister = busy.register(self.works)

    async def load(self) -> None:
        """Read which runs there are, and write back what the server does not have. Later calls do nothing."""
        if self._loading is None:
            self._loading = asyncio.create_task(self._load(), name="local runs")
        await asyncio.wait((self._loading,))
        self._loading.result()

    async def look(self) -> None:
        """Learn of what other processes did with runs since the last look. Raises `StorageTrouble`."""
        await self.load()
        await self._others.look(self._seen)

    async def _seen(self, seen: Sighting) -> None:
        if self._closed:
            return
        record, run = seen.record, seen.record.id
        if seen.holder is None and (seen.elsewhere or run not in self._open):
            # Its process may have died.
            record = await left(self._data, record, self._claim_of(run))
        former, conversation = self._records.get(run), self._open.get(run)
        if conversation is None or seen.elsewhere:
            self._records[run] = record
        if conversation is not None and seen.elsewhere:
            await conversation.look(record, seen.holder)
        back = self._write_back(record)
        told = back.written.status
        if (await back.load()).status != told:
            # The other process told the server.
            self.written.emit(record.task)
        if seen.left:
            self._wake(run)
        if former != self._records[run] or seen.holder != seen.before:
            self._tell(record.task)

    def of(self, task: str) -> tuple[TaskRun, ...]:
        """The runs of a task, the latest first. Empty before `load`."""
        found = [each for each in self._records.values() if each.task == task and each.owner == self.owner]
        found.sort(key=lambda each: each.created, reverse=True)
        return tuple([self._run_of(each) for each in found])

    def written_as(self, task: str) -> frozenset[str]:
        """The ids that the server knows local runs of a task by."""
        found: set[str] = set()
        for run, record in self._records.items():
            back = self._backs.get(run)
            if record.task == task and back is not None:
                found |= {back.written.run, *back.written.former}
        return frozenset(found - {""})

    @property
    def cut_off(self) -> frozenset[str]:
        """The tasks with a run that Burrow cut off when it ended, and that nobody has decided about since."""
        return frozenset(each.task for each in self._records.values() if each.cut and each.owner == self.owner)

    def written_for(self, written: str) -> str:
        """The id of the run that the server knows by another id; empty for none."""
        backs = self._backs.items()
        return next((run for run, back in backs if written in {back.written.run, *back.written.former}), "")

    def holder(self, run: str) -> RunHolder | None:
        """Which other process carries a run out, as it was at the last `look`."""
        return self._others.holders.get(run)

    def run(self, run: str) -> TaskRun:
        """A run in the form of a task's runs."""
        return self._run_of(self._records[run])

    def has(self, run: str) -> bool:
        """Whether a run is one of this machine."""
        return run in self._records

    def conversation(self, run: str) -> LocalConversation:
        """The conversation with a run. Raises `NotFound`, and `Rejected` where its folder is gone."""
        found = self._open.get(run)
        if found is None:
            record = self._records.get(run)
            if record is None:
                raise NotFound("This run is not on this machine.")
            found = self._open[run] = self._conversation(record)
        return found

    def changes(self, run: str) -> RunChanges:
        """What a run changed in its folder. Raises `NotFound`."""
        found = self._changes.get(run)
        if found is None:
            record = self._records.get(run)
            if record is None:
                raise NotFound("This run is not on this machine.")
            asides = folder_of(self._data, run) / DISCARDED
            found = self._changes[run] = RunChanges(Path(record.folder), record.base, asides)
        return found

    def works_in(self, folder: Path) -> bool:
        """Whether a turn is under way in a folder, or another process has a run there."""
        return self._elsewhere_in(folder) or any(each.status.phase in UNDER_WAY for each in self._in(folder))

    async def idle_in(self, folder: Path) -> None:
        """Returns when no turn is under way in a folder and its agents have ended. Their runs can go on later."""
        while self._elsewhere_in(folder):
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()
        for each in self._in(folder):
            if each.status.phase in UNDER_WAY:
                over = asyncio.Event()

                def look(_none: None, each: LocalConversation = each, over: asyncio.Event = over) -> None:
                    if each.status.phase not in UNDER_WAY:
                        over.set()

                unsubscribe = each.changed.subscribe(look)
                try:
                    await over.wait()
                finally:
                    unsubscribe()
            await each.local.close()

    def _elsewhere_in(self, folder: Path) -> bool:
        return any(Path(self._records[run].folder) == folder for run in self._others.holders if run in self._records)

    def _in(self, folder: Path) -> list[LocalConversation]:
        return [each for each in self._open.values() if Path(each.record.folder) == folder]

    @property
    def owner(self) -> str:
        """The account and project in use, as records name them; empty without."""
        backend = self._backend()
        if backend is None or backend.scope is None or backend.project is None:
            return ""
        return f"{backend.scope.host}|{backend.scope.account}|{backend.project.id}"

    async def agents(self) -> tuple[LocalAgent, ...]:
        """The known agents that are installed, then the one that comes with Burrow."""
        found = await asyncio.to_thread(found_agents, self._agents_environment())
        return (*found, survey_agent())

    async def environments(self, folder: str) -> FoundEnvironments:
        """Those that a folder's repository keeps. A folder that is not there has none."""
        return await asyncio.to_thread(lambda: find_environments(Path(folder).expanduser()))

    async def start(self, task: Task, wanted: LocalStart, files: Sequence[RunFile] = ()) -> LocalConversation:
        """Start a run of a task: it is there when this returns, and the agent starts by `LocalConversation.start`.

        `files` go with what it is told first. Raises `Rejected` with `attr` `agent` or `folder`, `GitTrouble`,
        `StorageTrouble`; then there is no run.
        """
        await self.load()
        await asyncio.to_thread(check_agent, wanted.agent, self._agents_environment())
        run = secrets.token_hex(8)
        worktree, branch, base = "", "", ""
        folder = str(await asyncio.to_thread(lambda: WorkingFolder(Path(wanted.folder).expanduser()).path))
        repository = folder
        try:
            kept = await keep_files(folder_of(self._data, run) / FILES, files)
            if wanted.worktree:
                made = await self.worktrees.create(
                    Path(folder), task.slug or task.title or "run", wanted.base or "HEAD"
                )
                folder, worktree, branch, repository, base = made.path, made.id, made.branch, made.repository, made.base
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, folder_of(self._data, run), ignore_errors=True)
            raise
        if not wanted.worktree:
            # A folder without git has no changes to show.
            with contextlib.suppress(GitTrouble):
                base = await git_line(Path(folder), "rev-parse", "--verify", "HEAD^{commit}")
        record = LocalRecord(
            id=run,
            agent=wanted.agent,
            folder=folder,
            task=task.id,
            owner=self.owner,
            title=task.title,
            worktree=worktree,
            repository=repository,
            branch=branch,
            base=base,
            mode=wanted.mode,
            environment=wanted.environment,
            created=time.time(),
        )
        conversation = self._conversation(record)
        # Before others can know of it.
        await conversation.claim()
        await asyncio.to_thread(save_record, self._data, record)
        self._records[record.id] = record
        self._open[record.id] = conversation
        self._write_back(record)
        text = prompt_of(task)
        if text or kept:
            # It waits in sight while the agent starts.
            await conversation.open()
            conversation.local.say(text, kept)
        self._tell(task.id)
        return conversation

    async def end(self, run: str, status: str = "completed") -> None:
        """End a run, and tell the server."""
        await self.conversation(run).end(status)
        self._wake(run)

    async def write_back(self, run: str) -> None:
        """Tell the server of a run what it does not know yet. Raises `BurrowError`."""
        back = self._backs.get(run)
        if back is not None:
            await back.deliver()

    def retry(self) -> None:
        """Write back at once what waits: another account is in use, or the network is back."""
        for back in self._backs.values():
            back.retry()

    def works(self) -> tuple[Work, ...]:
        """What an end of Burrow would interrupt, for `Busy`."""
        return works_of_runs(self._open.values())

    async def put_down(self) -> None:
        """The account is about to be left: end every agent, as at the end of Burrow. The runs can go on later.

        The server is told what can be told in a moment.
        """
        ended = [each for each in self._open.values() if each.running]
        await asyncio.gather(*(each.rest() for each in ended), return_exceptions=True)
        await _last_words(back for each in ended if (back := self._backs.get(each.record.id)) is not None)

    async def close(self) -> None:
        """End every agent with all that it started, and write back what can be in a moment. Safe to call again."""
        if self._closed:
            return
        self._closed = True
        if self._loading is not None:
            await asyncio.wait((self._loading,))
        await asyncio.gather(*(each.close() for each in self._open.values()), return_exceptions=True)
        await _last_words(self._backs.values())
        await self._background.close()
        self._unregister()

    async def _load(self) -> None:
        found = await asyncio.to_thread(lambda: list(load_records(self._data)))
        for each in found:
            record = await left(self._data, each, self._claim_of(each.id))
            self._records.setdefault(record.id, record)
            await self._write_back(record).load()
            if record.client and self._servers is not None and await self._claim_of(record.id).take():
                # Its process died.
                await self._servers.revoke(record.client)
                await self._claim_of(record.id).give_up()
        for task in {record.task for record in found}:
            self._tell(task)

    def _conversation(self, record: LocalRecord) -> LocalConversation:
        servers = None if self._servers is None else self._servers.of(record.id, record.title)
        conversation = LocalConversation(
            *(self._data, record, WorkingFolder(Path(record.folder))),
            consent=SetupConsent(self._settings),
            claim=self._claim_of(record.id),
            servers=servers,
            environment=self._environment,
            burrow=self._burrow,
            versions=AgentVersions(self._settings),
            spill=self._data / SPILL,
        )
        conversation.elsewhere = self._others.holders.get(record.id)
        conversation.local.log.added.subscribe(lambda _entries: self._wake(record.id))
        conversation.changed.subscribe(lambda _none: self._run_changed(record.id))
        return conversation

    def _run_changed(self, run: str) -> None:
        conversation = self._open.get(run)
        if conversation is None:
            return
        record, self._records[run] = self._records.get(run), conversation.record
        self._busy.changed.emit(None)
        self._wake(run)
        now = conversation.record
        if record is None or (record.ended, record.cut) != (now.ended, now.cut):
            self._tell(conversation.record.task)

    def _run_of(self, record: LocalRecord) -> TaskRun:
        found = self._open.get(record.id)
        status = IN_PROGRESS if record.id in self._others.holders else PAUSED
        return run_of(record, status) if found is None else found.run

    def _write_back(self, record: LocalRecord) -> WriteBack:
        back = self._backs.get(record.id)
        if back is None:
            back = WriteBack(
                folder_of(self._data, record.id),
                lambda: load_record(self._data, record.id),
                lambda: self._calls(record.owner),
                claim=self._claim_of(record.id),
            )
            self._backs[record.id] = back
            back.told.subscribe(lambda _none: self.written.emit(record.task))
            self._background.start(back.follow())
        return back

    def _claim_of(self, run: str) -> RunClaim:
        return self._claims.setdefault(run, RunClaim(folder_of(self._data, run), self._role))

    def _calls(self, owner: str) -> Runs | None:
        backend = self._backend()
        return backend.run_calls if backend is not None and owner and owner == self.owner else None

    def _wake(self, run: str) -> None:
        back = self._backs.get(run)
        if back is not None:
            back.wake()

    def _tell(self, task: str) -> None:
        if not self._closed:
            self.changed.emit(task)

    def _agents_environment(self) -> Mapping[str, str]:
        return agent_environment() if self._environment is None else self._environment


async def _last_words(backs: Iterable[WriteBack]) -> None:
    """Write back what can be in a moment."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_WORDS_SECONDS):
            await asyncio.gather(*(back.deliver() for back in backs), return_exceptions=True)


def prompt_of(task: Task) -> str:
    """What an agent is asked: the task's description, or its title where it has none."""
    return task.description.strip() or task.title.strip()
