"""Workspace processes started ahead: the next test's one comes up while the test before it runs.

Burrow finds a workspace that runs already by the `runtime.json` in its data folder. `lend` puts the one of a spare
there, so that a window neither waits for its workspace to start nor, at its end, for it to stop.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from app.core.embedded import RUNTIME_FILE
from app.core.services import WORKSPACE_FOLDER
from tests.conftest import Process, RunningWorkspace, start_workspace_process


class Spares:
    """One process that nobody has taken yet, and those that the running test took."""

    def __init__(self) -> None:
        self._next: tuple[Process, Path] | None = None
        self._taken: list[tuple[Process, Path]] = []

    def take(self) -> RunningWorkspace:
        """A freshly seeded workspace, which ends with the test."""
        process, folder = self._next or _start()
        self._next = None
        self._taken.append((process, folder))
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the workspace ended before it was ready"
        self._next = _start()
        ready = json.loads(line)
        return RunningWorkspace(ready["url"], ready, process, folder)

    def lend(self, folder: Path) -> None:
        """Let Burrow's data folder have one, unless it has one already."""
        runtime = folder / WORKSPACE_FOLDER / RUNTIME_FILE
        if not runtime.exists():
            runtime.parent.mkdir(parents=True)
            shutil.copy(self.take().data / RUNTIME_FILE, runtime)

    def end_taken(self) -> None:
        while self._taken:
            _end(*self._taken.pop())

    def end(self) -> None:
        self.end_taken()
        if self._next is not None:
            _end(*self._next)
            self._next = None


SPARES = Spares()


def _start() -> tuple[Process, Path]:
    folder = Path(tempfile.mkdtemp(prefix="burrow-workspace-"))
    return start_workspace_process(folder), folder


def _end(process: Process, folder: Path) -> None:
    """At once: nobody needs what it has stored."""
    process.kill()
    process.communicate()
    shutil.rmtree(folder, ignore_errors=True)
