"""Starts and drives the processes of `worker.py`; all of them are gone when the block ends."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.faults.measure import Measure
from tests.forks import Forked

ANSWER_SECONDS = 25.0

Process = subprocess.Popen[str] | Forked


class Worker:
    """One process. `asked` is how often it asked for a sign-in."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.asked = 0

    async def read(self) -> dict[str, Any]:
        """Its next line."""
        assert self._process.stdout is not None
        async with asyncio.timeout(ANSWER_SECONDS):
            line = await asyncio.to_thread(self._process.stdout.readline)
        assert line, f"the worker ended with {self._process.wait(5)}"
        answer: dict[str, Any] = json.loads(line)
        self.asked = answer.get("asked", self.asked)
        return answer

    def tell(self, words: str) -> None:
        """Give it a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{words}\n")
        self._process.stdin.flush()

    async def ask(self, words: str) -> dict[str, Any]:
        """Give it a line and read what it answers."""
        self.tell(words)
        return await self.read()

    async def kill(self) -> None:
        """As `kill -9` does."""
        self._process.kill()
        await asyncio.to_thread(self._process.wait)

    async def end(self) -> None:
        """Let it close, or kill it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.to_thread(self._process.wait, 5)
        except subprocess.TimeoutExpired:
            await self.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()


def started(module: str, *arguments: str) -> Process:
    """A process that runs this module, forked from one that imported what workers import."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    if sys.platform == "win32":
        return subprocess.Popen([sys.executable, "-m", module, *arguments], text=True, **pipes)
    return Forked("worker", module, arguments, **pipes)


class Crew:
    """The processes of one test on one folder."""

    def __init__(self, folder: Path, origin: str) -> None:
        self._folder = folder
        self._origin = origin
        self.workers: list[Worker] = []

    async def start(self, *options: str) -> Worker:
        """One process that has restored its sign-in."""
        worker = Worker(started("tests.faults.worker", str(self._folder), self._origin, *options))
        self.workers.append(worker)
        ready = await worker.read()
        assert ready == {"ready": "signed_in"}, ready
        return worker


@asynccontextmanager
async def crew(folder: Path, origin: str, measure: Measure) -> AsyncIterator[Crew]:
    """Processes whose prompts are counted when the block ends."""
    started = Crew(folder, origin)
    try:
        yield started
        for worker in started.workers:
            measure.prompted(worker.asked)
    finally:
        await asyncio.gather(*(worker.end() for worker in started.workers))


def good(answer: dict[str, Any]) -> bool:
    """Whether every request of an answer succeeded."""
    return bool(answer["outcomes"]) and set(answer["outcomes"]) == {"200"}
