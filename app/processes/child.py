"""ChildProcess: a process in a session of its own, its pipes, its exit and its end.

asyncio's own subprocesses are not used. Their pipes are connected by a task of the loop's that nobody else holds. Until
3.14 its cancellation, as at the end of `asyncio.run`, leaves `_pending_calls` for ever unsent, and with them the answer
to `_wait`, for which a cancelled start waits (CPython gh-125502, gh-119710). Nor do they tell the moment of the exit
while a child of the process keeps a pipe open. Here the start holds all that it has begun, and awaits only pipes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

# How many bytes of a pipe are buffered before the process has to wait.
STREAM_LIMIT = 1024 * 1024
# A child that goes on in the background keeps the output open. The process is over then all the same.
OUTPUT_SECONDS = 0.5
POSIX = os.name == "posix"
NO_CONSOLE: int = getattr(subprocess, "CREATE_NO_WINDOW", 0)
"""As `creationflags`: a command opens no console window on Windows."""


class NotStarted(Exception):
    """The command could not be started. The text is a sentence with the system's `reason`.

    `folder_missing` says that it is the folder that is not there.
    """

    def __init__(self, program: str, folder: Path | str | None, reason: str) -> None:
        self.reason = reason
        # Of a folder that is not there, Python says only that something is not there.
        self.folder_missing = bool(folder) and not os.path.isdir(folder or "")
        where = f" in {folder}" if self.folder_missing else ""
        super().__init__(f"“{program}” cannot be started{where}: {reason}.")


class ChildProcess:
    """A process that was started. Whoever started it awaits `end`, or calls `kill` and `close`.

    `exited` is set when it has ended, `closed` when all its output was closed, which may be later, or never: what it
    started may keep it open. `stdin`, `stdout` and `stderr` are None where there is no pipe, or where its bytes go to a
    function.
    """

    stdin: asyncio.StreamWriter | None = None
    stdout: asyncio.StreamReader | None = None
    stderr: asyncio.StreamReader | None = None

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._transports: list[asyncio.BaseTransport] = []
        self._open = 0
        self.pid = process.pid
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()
        threading.Thread(target=self._await_exit, name=f"exit of {process.pid}", daemon=True).start()

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        folder: Path | str | None,
        environment: Mapping[str, str],
        *,
        stdin: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
        limit: int = STREAM_LIMIT,
        on_output: Callable[[bytes], None] | None = None,
        on_errors: Callable[[bytes], None] | None = None,
    ) -> ChildProcess:
        """Start a command, without a shell, with exactly `environment`. Cancelled, it leaves nothing of it.

        `limit` is how many bytes of a stream are buffered. Raises `NotStarted`.
        """
        if not command:
            raise NotStarted("", folder, "there is no command")
        process = _start(command, folder, environment, stdin, stderr)
        child = cls(process)
        try:
            await child._connect(limit, on_output, on_errors)
        except BaseException:
            child.kill()
            child.close()
            raise
        return child

    async def _connect(
        self, limit: int, on_output: Callable[[bytes], None] | None, on_errors: Callable[[bytes], None] | None
    ) -> None:
        process = self._process
        self._open = sum(pipe is not None for pipe in (process.stdout, process.stderr))
        self.stdout = await self._readable(process.stdout, limit, on_output)
        self.stderr = await self._readable(process.stderr, limit, on_errors)
        if process.stdin is not None:
            transport, protocol = await self._loop.connect_write_pipe(
                lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), process.stdin
            )
            self._transports.append(transport)
            self.stdin = asyncio.StreamWriter(transport, protocol, None, self._loop)

    async def _readable(
        self, pipe: object, limit: int, received: Callable[[bytes], None] | None
    ) -> asyncio.StreamReader | None:
        if pipe is None:
            return None
        reader = asyncio.StreamReader(limit)
        made = _Received(received, self._pipe_closed) if received else _Streamed(reader, self._pipe_closed)
        transport, _ = await self._loop.connect_read_pipe(lambda: made, pipe)
        self._transports.append(transport)
        return None if received else reader

    def _pipe_closed(self) -> None:
        self._open -= 1
        if self._open <= 0:
            self.closed.set()

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.returncode if self.exited.is_set() else None

    async def has_exited(self, seconds: float) -> bool:
        """Wait for its exit, at most that long; returns whether it has ended."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.exited.wait()
        return self.exited.is_set()

    async def wait(self) -> int:
        """The exit code, once it has ended and its output was taken."""
        await self.exited.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OUTPUT_SECONDS):
                await self.closed.wait()
        code = self.exit_code
        assert code is not None
        return code

    async def end(self, seconds: tuple[float, float]) -> None:
        """Close its input, wait, send SIGTERM to its group, wait, then kill it and its group, and close its pipes.

        Cancelled, it kills at once.
        """
        try:
            if self.stdin is not None:
                self.stdin.close()
            for each, number in zip(seconds, (signal.SIGTERM, None), strict=True):
                if await self.has_exited(each):
                    break
                self.signal(number)
            # Also when the leader has ended: what it started may still run.
            self.kill()
            await self.has_exited(seconds[-1])
        finally:
            self.kill()
            self.close()

    def kill(self) -> None:
        """Kill its group."""
        self.signal(None)

    def signal(self, number: int | None) -> None:
        """Send a signal to its group; None kills."""
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                self._process.kill()
            else:
                os.killpg(self.pid, signal.SIGKILL if number is None else number)

    def close(self) -> None:
        """Close its pipes. Safe to call twice."""
        for transport in self._transports:
            transport.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            # A transport closes its own pipe in a later turn, once what was written has left.
            if pipe is not None and len(self._transports) < self._pipes:
                pipe.close()

    @property
    def _pipes(self) -> int:
        process = self._process
        return sum(pipe is not None for pipe in (process.stdin, process.stdout, process.stderr))

    def _await_exit(self) -> None:
        self._process.wait()
        # The loop may be closed already.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.exited.set)


def _start(
    command: Sequence[str], folder: Path | str | None, environment: Mapping[str, str], stdin: int, stderr: int
) -> subprocess.Popen[bytes]:
    popen: type[subprocess.Popen[bytes]] = subprocess.Popen
    if sys.platform == "win32":
        # Its pipes are those that the loop can wait for there.
        from asyncio import windows_utils

        popen = windows_utils.Popen[bytes]
    try:
        return popen(
            (startable(command[0], environment.get("PATH")), *command[1:]),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            bufsize=0,
            cwd=folder or None,
            env=environment,
            # A group of its own, so that what it started can be ended with it.
            start_new_session=POSIX,
            creationflags=NO_CONSOLE,
        )
    except (OSError, ValueError) as failure:
        reason = getattr(failure, "strerror", None) or str(failure)
        raise NotStarted(command[0], folder, reason) from None


class _Streamed(asyncio.StreamReaderProtocol):
    def __init__(self, reader: asyncio.StreamReader, closed: Callable[[], None]) -> None:
        super().__init__(reader)
        self._on_close = closed

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._on_close()


class _Received(asyncio.Protocol):
    def __init__(self, received: Callable[[bytes], None], closed: Callable[[], None]) -> None:
        self._on_data = received
        self._on_close = closed

    def data_received(self, data: bytes) -> None:
        self._on_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_close()


def startable(program: str, path: str | None) -> str:
    """`program` by a name that the system starts; `path` is the PATH of the new process.

    Python looks for it there, but not where the process has no PATH, nor on Windows, which by itself looks in the PATH
    of this process, and finds only what ends in .exe, not npx.cmd.
    """
    if os.path.dirname(program) or (sys.platform != "win32" and path is not None):
        return program
    return shutil.which(program, path=path) or program


def exit_words(code: int) -> str:
    """How a process ended: its code, or the signal that ended it."""
    if code >= 0:
        return f"code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
