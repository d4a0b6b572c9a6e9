"""CommandProcess: a command in a session of its own, whose output is taken as it comes, ended with all it started."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from typing import TYPE_CHECKING

from app.processes.guarded import start_guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from app.processes.child import ChildProcess
    from app.processes.guard import OrphanGuard

KILL_SECONDS = 0.5


class CommandProcess:
    """A command that was started. Whoever started it awaits `end`.

    Standard output and standard error go to `on_output` in the order in which they come; there is no input.
    """

    def __init__(self, child: ChildProcess, guard: OrphanGuard) -> None:
        self.pid = child.pid
        self._child = child
        self._guard = guard
        self._ending: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls, command: Sequence[str], folder: Path, environment: Mapping[str, str], on_output: Callable[[bytes], None]
    ) -> CommandProcess:
        """Start a command, without a shell, with exactly `environment` and `MARK`. Raises `NotStarted`."""
        nothing, same = subprocess.DEVNULL, subprocess.STDOUT
        started = await start_guarded(
            command, folder, environment, marked=True, stdin=nothing, stderr=same, on_output=on_output
        )
        return cls(*started)

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._child.exit_code

    async def wait(self) -> int:
        """The exit code, once it has ended and its output was taken."""
        return await self._child.wait()

    async def kill(self) -> None:
        """Send SIGTERM to its group, then kill it. What it put out stays."""
        self._child.signal(signal.SIGTERM)
        await self._child.has_exited(KILL_SECONDS)
        self._child.kill()
        await self._child.exited.wait()

    async def end(self) -> None:
        """Kill it if it runs, and what it started. The ending goes on when the caller is cancelled."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(), name=f"command {self.pid} ends")
        await asyncio.shield(self._ending)

    async def _end(self) -> None:
        try:
            if self.exit_code is None:
                await self.kill()
            await self._guard.end_marked()
        finally:
            self._child.kill()
            self._child.close()
            await self._guard.dismiss()
