"""CommandProcess: a command in a session of its own, whose output is taken as it comes, ended with all it started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from app.acp.guard import kill_marked
from app.acp.process import start_guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from app.acp.guard import OrphanGuard

KILL_SECONDS = 0.5
# A child that goes on in the background keeps the output open. The command is over then all the same.
OUTPUT_SECONDS = 0.5


class CommandProcess:
    """A command that was started. Whoever started it awaits `end`.

    Standard output and standard error go to `on_output` in the order in which they come; there is no input.
    """

    def __init__(
        self, transport: asyncio.SubprocessTransport, protocol: _Output, guard: OrphanGuard, mark: str
    ) -> None:
        self._transport = transport
        self._protocol = protocol
        self._guard = guard
        self._mark = mark
        self._ending: asyncio.Task[None] | None = None
        self.pid = transport.get_pid()

    @classmethod
    async def start(
        cls, command: Sequence[str], folder: Path, environment: Mapping[str, str], on_output: Callable[[bytes], None]
    ) -> CommandProcess:
        """Start a command, without a shell, with exactly `environment` and `MARK`. Raises `NotStarted`."""
        nothing, same = subprocess.DEVNULL, subprocess.STDOUT
        transport, protocol, guard, mark = await start_guarded(
            command, folder, environment, lambda: _Output(on_output), stdin=nothing, stderr=same
        )
        return cls(transport, protocol, guard, mark)

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._transport.get_returncode()

    async def wait(self) -> int:
        """The exit code, once it has ended and its output was taken."""
        await self._protocol.exited.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OUTPUT_SECONDS):
                await self._protocol.closed.wait()
        code = self.exit_code
        assert code is not None
        return code

    async def kill(self) -> None:
        """Send SIGTERM to its group, then kill it. What it put out stays."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KILL_SECONDS):
                await self._protocol.exited.wait()
        self._signal(None)
        await self._protocol.exited.wait()

    async def end(self) -> None:
        """Kill it if it runs, and what it started. The ending goes on when the caller is cancelled."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(), name=f"command {self.pid} ends")
        await asyncio.shield(self._ending)

    async def _end(self) -> None:
        try:
            if self.exit_code is None:
                await self.kill()
            if sys.platform == "linux":
                await asyncio.to_thread(kill_marked, self._mark)
        finally:
            self._signal(None)
            self._transport.close()
            await self._guard.dismiss()

    def _signal(self, number: int | None) -> None:
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                self._transport.kill()
            else:
                os.killpg(self.pid, signal.SIGKILL if number is None else number)


class _Output(asyncio.SubprocessProtocol):
    def __init__(self, on_output: Callable[[bytes], None]) -> None:
        self._on_output = on_output
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._on_output(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self.closed.set()

    def process_exited(self) -> None:
        self.exited.set()
