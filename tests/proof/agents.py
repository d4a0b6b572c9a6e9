"""Public agents, from npm, carry out runs of this machine with a scripted model on loopback: no account is needed.

Each asks before it writes a file and before it runs a command, and does both when that is allowed. It is stopped while
a question is open, and while its model answers nothing. After another start it knows what was said before, nothing is
told twice, and the log makes the same transcript as what was seen live.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from app.core.busy import Busy
from app.core.posthog.types import Task
from app.core.runs.desk.local_conversation import LocalConversation
from app.core.runs.desk.local_desk import LocalDesk, LocalStart
from app.core.runs.items import Item, Message, Permission, Prompt, ToolCall, TurnEnd
from app.core.runs.local.agents import LocalAgent
from app.core.runs.local.status import RunPhase
from app.core.runs.log_entries import LogEntry
from app.core.runs.transcript import Transcript
from app.core.runs.worktrees.git import git
from tests.core.conftest import Remembered
from tests.proof._model import REMEMBERED, ScriptedModel, served
from tests.proof._peers import AGENTS, Peers, install
from tests.proof._public_agents import CONTENT, PUBLIC_AGENTS, PublicAgent
from tests.proof.conformance import say
from tests.until import until

TURN_SECONDS = 90.0
FIRST = "Please write report.txt"
Kind = TypeVar("Kind", bound=Item)


async def prove(only: str = "") -> int:
    """Carry out runs with each agent, or with those whose name begins with `only`; returns the exit code."""
    peers = await asyncio.to_thread(install, AGENTS)
    failed = []
    for agent in PUBLIC_AGENTS:
        if agent.name.lower().startswith(only.lower()):
            say(f"\n{agent.name}, {agent.package} {peers.version(agent.package)}")
            failed += [] if await _prove(agent, peers) else [agent.name]
    say(f"\nfailed: {', '.join(failed)}" if failed else "\neverything works")
    return 1 if failed else 0


async def _prove(agent: PublicAgent, peers: Peers) -> bool:
    folder = Path(tempfile.mkdtemp(prefix="burrow-agents-"))
    try:
        async with served(ScriptedModel(agent.dialect, agent.write, agent.run)) as model:
            work = folder / "work"
            work.mkdir()
            await git(work, "init", "-q")
            proof = _Proof(agent, peers, folder, model, agent.environment(folder / "home", model.origin))
            try:
                await proof.work()
            except _Failed:
                return False
            return proof.holds
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Failed(Exception):
    """What follows would only fail as well."""


@dataclass
class _Proof:
    """Says what was seen, and whether all of it was as it should be."""

    agent: PublicAgent
    peers: Peers
    folder: Path
    model: ScriptedModel
    environment: dict[str, str]
    holds: bool = True

    async def work(self) -> None:
        seen: list[LogEntry] = []
        run = await self._first_start(seen)
        self.check(not _running(self.agent.program(self.peers), self.folder), "no process of the agent is left")
        if self.agent.by_minute:
            minute = time.time() // 60
            await until(lambda: time.time() // 60 > minute, 61.0, pause=0.5)
        await self._second_start(run, seen)
        say(f"     {len(self.model.asked)} requests to the model")

    async def _first_start(self, seen: list[LogEntry]) -> str:
        work = self.folder / "work"
        task = Task(id="t1", slug="HED-1", title="Write", description=FIRST)
        desk = self._desk()
        try:
            local = LocalAgent(self.agent.name.lower(), self.agent.name, self.agent.command(self.peers))
            talk = await desk.start(task, LocalStart(agent=local, folder=str(work)))
            talk.local.log.added.subscribe(seen.extend)
            began = asyncio.get_running_loop().time()
            await talk.start()
            say(f"     started in {asyncio.get_running_loop().time() - began:.1f} s, {talk.status.phase.value}")
            await self._asks(talk, "it asks before it writes a file")
            self.check(not (work / "report.txt").exists(), "nothing is written before the answer")
            await self._allow(talk, 1)
            self.check(_text(work / "report.txt") == CONTENT, "the file is written after it")
            await talk.send("run echo made > made.txt")
            await self._asks(talk, "it asks before it runs a command")
            self.check(not (work / "made.txt").exists(), "nothing is run before the answer")
            await self._allow(talk, 2)
            self.check(_text(work / "made.txt") == "made\n", "the command is run after it")
            for each in _items(talk.transcript, ToolCall):
                say(f"     {each.title} ({each.kind}, {each.status})")
            await talk.send("write never.txt")
            await self._asks(talk, "it asks again")
            await talk.stop_turn()
            await self._stopped(talk, 3, "while it asks")
            self.check(not (work / "never.txt").exists(), "nothing is written then")
            await talk.send("slow, please")
            await self.until(talk, lambda: self.model.hangs, "the next message reaches the model")
            await talk.stop_turn()
            await self._stopped(talk, 4, "while its model answers nothing")
            self.check(talk.status.phase is RunPhase.READY, "it goes on running")
            return talk.record.id
        finally:
            await desk.close()

    async def _second_start(self, run: str, seen: list[LogEntry]) -> None:
        desk = self._desk()
        try:
            await desk.load()
            talk = desk.conversation(run)
            await talk.open()
            talk.local.log.added.subscribe(seen.extend)
            await talk.send("What did I say first?")
            await self._turn(talk, 5)
            said = [each.text for each in _items(talk.transcript, Message)]
            self.check(bool(said) and said[-1] == f"{REMEMBERED}{FIRST}", "it knows after another start what was said")
            self.check(len(_items(talk.transcript, Prompt)) == 5, "nothing is told twice")
            stored = _listed(tuple(talk.local.log.stored()))
            self.check(_listed(seen) == stored, f"the log makes the transcript that was seen, {len(stored)} items")
        finally:
            await desk.close()

    def _desk(self) -> LocalDesk:
        return LocalDesk(self.folder / "burrow", Remembered(), lambda: None, Busy(), environment=self.environment)

    async def _asks(self, talk: LocalConversation, what: str) -> None:
        await self.until(talk, lambda: bool(talk.transcript.state.waiting), what)

    async def _allow(self, talk: LocalConversation, turn: int) -> None:
        asked = _items(talk.transcript, Permission)[-1]
        say(f"     {asked.title}: {', '.join(each.name for each in asked.options)}")
        await talk.answer(asked, next(each.option_id for each in asked.options if each.kind == "allow_once"))
        await self._turn(talk, turn)

    async def _stopped(self, talk: LocalConversation, turn: int, when: str) -> None:
        await self._turn(talk, turn)
        self.check(_items(talk.transcript, TurnEnd)[-1].reason == "cancelled", f"it is stopped {when}")

    async def _turn(self, talk: LocalConversation, count: int) -> None:
        def over() -> bool:
            state = talk.transcript.state
            return state.turn == count and not state.busy and not talk.queued

        await self.until(talk, over, f"turn {count} ends")

    def check(self, condition: bool, what: str) -> None:
        say(f"{'ok  ' if condition else 'FAIL'} {what}")
        self.holds = self.holds and condition

    async def until(self, talk: LocalConversation, condition: Callable[[], bool], what: str) -> None:
        """Wait for what should happen; what became of the run instead is said."""
        over = {RunPhase.FAILED, RunPhase.ENDED}
        with suppress(TimeoutError):
            await until(lambda: condition() or talk.status.phase in over, TURN_SECONDS)
        self.check(condition(), what)
        if not condition():
            say(f"     {talk.status} {talk.transcript.state}")
            for each in range(len(talk.transcript)):
                say(f"     {talk.transcript.item(each)}"[:300])
            raise _Failed


def _running(program: Path, folder: Path) -> list[str]:
    """The processes of the agent's program that have anything to do with the folder."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            environment = (each / "environ").read_bytes()
            if (each / "exe").resolve() == program.resolve() and str(folder).encode() in environment:
                found.append(each.name)
    return found


def _listed(entries: Sequence[LogEntry]) -> list[tuple[str, str, str]]:
    transcript = Transcript()
    transcript.apply(entries)
    found = [(type(each).__name__, each.key, getattr(each, "text", "")) for each in _items(transcript, Item)]
    transcript.close()
    return found


def _items(transcript: Transcript, kind: type[Kind]) -> list[Kind]:
    return [each for each in map(transcript.item, range(len(transcript))) if isinstance(each, kind)]


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None
