"""A local run with the scripted agent, and what its log says."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from app.core.runs.local.agents import LocalAgent
from app.core.runs.local.folder import WorkingFolder
from app.core.runs.local.record import LocalRecord
from app.core.runs.local.run import LocalRun
from app.core.runs.local.status import RunPhase
from tests.until import until

SCRIPT = Path(__file__).with_name("_agent.py")


def scripted(**behaviour: str) -> LocalAgent:
    words = (f"{name}={value}" for name, value in behaviour.items())
    return LocalAgent("scripted", "Scripted", (sys.executable, "-I", "-S", str(SCRIPT), *words))


class Watched:
    """A run with what was told of it."""

    def __init__(self, run: LocalRun) -> None:
        self.run = run
        self.live: list[dict[str, Any]] = []
        self.phases: list[RunPhase] = []
        run.log.added.subscribe(lambda entries: self.live.extend(json.loads(each.raw) for each in entries))
        run.changed.subscribe(lambda status: self.phases.append(status.phase))

    async def phase(self, phase: RunPhase) -> None:
        await until(lambda: self.run.status.phase is phase)

    async def turn(self, text: str) -> str:
        """Send a prompt, wait for its end, and return what the agent said in it."""
        before = len(self.stored())
        self.run.say(text)
        await until(lambda: not self.run.waiting.all and self.run.status.phase is RunPhase.READY)
        await self.run.log.flush()
        return "".join(texts(self.stored()[before:]))

    async def question(self, number: int = 1) -> tuple[str, ...]:
        await until(lambda: len(self.run.questions) == number)
        return self.run.questions

    def stored(self) -> list[dict[str, Any]]:
        """The messages that are in the log, or will be."""
        return [
            each["notification"]
            for each in self.live
            if "chunk" not in str(each["notification"].get("params", {}).get("update", {}).get("sessionUpdate"))
        ]

    def ends(self) -> list[str]:
        """The reasons for which the turns ended."""
        return [each["result"]["stopReason"] for each in self.stored() if "stopReason" in each.get("result", {})]

    def answers(self) -> list[str]:
        """The answers to the questions, in order."""
        outcomes = [each["result"]["outcome"] for each in self.stored() if "outcome" in each.get("result", {})]
        return [each.get("optionId", each["outcome"]) for each in outcomes]

    def said_by_burrow(self) -> list[str]:
        return [each["params"]["message"] for each in self.stored() if each.get("method") == "_posthog/console"]


def texts(messages: list[dict[str, Any]]) -> list[str]:
    updates = [each["params"]["update"] for each in messages if each.get("method") == "session/update"]
    return [each["content"]["text"] for each in updates if each["sessionUpdate"] == "agent_message"]


@asynccontextmanager
async def running(
    tmp_path: Path, agent: LocalAgent, *, started: bool = True, session: str = "", **options: Any
) -> AsyncIterator[Watched]:
    folder = tmp_path / "work"
    folder.mkdir(exist_ok=True)
    record = LocalRecord(id="run-1", agent=agent, folder=str(folder), session=session)
    watched = Watched(LocalRun(tmp_path / "data", record, WorkingFolder(folder), **options))
    try:
        if started:
            await watched.run.start()
        yield watched
    finally:
        await watched.run.close()
