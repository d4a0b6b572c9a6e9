"""AgentProcess: an agent that runs as a process of its own, spoken to over its standard input and output.

https://agentclientprotocol.com/protocol/transports, "stdio". The agent leads a session and process group of its own, so
that all it started ends with it, and with this process (`guard.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections import deque
from typing import TYPE_CHECKING, TypeVar

from app.acp.guard import MARK, OrphanGuard, kill_marked
from app.acp.messages import PeerBroken
from app.acp.peer import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from app.acp.peer import OnNotification, OnRequest

P = TypeVar("P", bound=asyncio.SubprocessProtocol)

# How many bytes of a pipe are buffered before the agent has to wait.
STREAM_LIMIT = 1024 * 1024
STDERR_LINES = 20
STDERR_LINE_CHARACTERS = 400
STDERR_READ_BYTES = 16 * 1024
# How long an agent may take to end: after its input was closed, and then after SIGTERM.
EXIT_SECONDS = (0.4, 0.4)
# How long to wait for the exit code of an agent that closed its output, and for the rest of its standard error.
EXIT_CODE_SECONDS = 0.5
POSIX = os.name == "posix"
NO_CONSOLE: int = getattr(subprocess, "CREATE_NO_WINDOW", 0)


class NotStarted(Exception):
    """The command could not be started. The text is a sentence with the system's reason.

    `folder_missing` says that it is the folder that is not there.
    """

    def __init__(self, program: str, folder: Path, reason: str) -> None:
        self.folder_missing = not os.path.isdir(folder)
        where = f" in {folder}" if self.folder_missing else ""
        super().__init__(f"“{program}” cannot be started{where}: {reason}.")


class AgentProcess:
    """A process that was started. Whoever started it awaits `end`.

    `peer` is the conversation with it, which runs until the agent closes its output. `stderr_tail` are the last 20
    lines of its standard error, each at most 400 characters.
    """

    def __init__(
        self,
        name: str,
        transport: asyncio.SubprocessTransport,
        protocol: _Protocol,
        guard: OrphanGuard,
        mark: str,
        on_request: OnRequest,
        on_notification: OnNotification,
        on_notice: Callable[[str], None] | None,
    ) -> None:
        self.name = name
        self._transport = transport
        self._protocol = protocol
        self._guard = guard
        self._mark = mark
        self._stderr: deque[str] = deque(maxlen=STDERR_LINES)
        self._broken = ""
        process = asyncio.subprocess.Process(transport, protocol, asyncio.get_running_loop())
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._stdin = process.stdin
        self.pid = process.pid
        self.peer = Peer(
            *(process.stdout, process.stdin),
            on_request=on_request,
            on_notification=on_notification,
            on_notice=on_notice,
        )
        self._speaking = asyncio.create_task(self._speak(), name=f"acp {name}")
        self._stderr_reading = asyncio.create_task(self._read_stderr(process.stderr), name=f"acp {name} stderr")
        self._ending: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        *,
        on_request: OnRequest,
        on_notification: OnNotification,
        on_notice: Callable[[str], None] | None = None,
    ) -> AgentProcess:
        """Start a command, without a shell, in `folder` and with exactly `environment` and `MARK`.

        Raises `NotStarted`. The handlers are those of `Peer`.
        """
        loop = asyncio.get_running_loop()
        transport, protocol, guard, mark = await start_guarded(
            command, folder, environment, lambda: _Protocol(loop), stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        name = os.path.basename(command[0])
        return cls(name, transport, protocol, guard, mark, on_request, on_notification, on_notice)

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._transport.get_returncode()

    @property
    def stderr_tail(self) -> tuple[str, ...]:
        return tuple(self._stderr)

    async def wait(self) -> None:
        """Wait until the agent closed its output, or said what ends the conversation. Then nothing answers any more."""
        await asyncio.wait((self._speaking,))

    async def how_it_ended(self) -> str:
        """After `wait`: how it ended, as a sentence. Its standard error is in `stderr_tail`."""
        # One that closed its output and goes on is not waited for. A child may keep the pipe of standard error open.
        await self._has_exited(EXIT_CODE_SECONDS)
        await asyncio.wait((self._stderr_reading,), timeout=EXIT_CODE_SECONDS)
        if self._broken:
            return f"{self.name} does not keep to the protocol. {self._broken}"
        code = self.exit_code
        return f"{self.name} {'closed its output' if code is None else f'ended with {exit_words(code)}'}."

    async def end(self) -> None:
        """Close its input, wait, send SIGTERM to its group, wait, then kill all that it started; a second at most.

        A second call waits for the first. The ending goes on when the caller is cancelled.
        """
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(), name=f"acp {self.name} ends")
        await asyncio.shield(self._ending)

    async def _end(self) -> None:
        try:
            self._stdin.close()
            for seconds, number in zip(EXIT_SECONDS, (signal.SIGTERM, None), strict=True):
                if await self._has_exited(seconds):
                    break
                self._signal(number)
            # Also when the leader has ended: what it started may still run.
            self._signal(None)
            await self._has_exited(EXIT_SECONDS[-1])
            if sys.platform == "linux":
                await asyncio.to_thread(kill_marked, self._mark)
        finally:
            self._signal(None)
            self._speaking.cancel()
            self._stderr_reading.cancel()
            await asyncio.wait((self._speaking, self._stderr_reading))
            self._transport.close()
            await self._guard.dismiss()

    async def _speak(self) -> None:
        try:
            await self.peer.run()
        except PeerBroken as failure:
            self._broken = str(failure)

    async def _read_stderr(self, stream: asyncio.StreamReader) -> None:
        """Keep the last lines. Reading them also keeps the agent from blocking on a full pipe."""
        # A line that never ends must not take memory, so its start is enough.
        line = bytearray()
        while chunk := await stream.read(STDERR_READ_BYTES):
            *whole, rest = chunk.split(b"\n")
            for part in whole:
                line += part[: 4 * STDERR_LINE_CHARACTERS]
                self._keep(line)
                line.clear()
            line += rest[: max(0, 4 * STDERR_LINE_CHARACTERS - len(line))]
        self._keep(line)

    def _keep(self, line: bytearray) -> None:
        text = line.decode("utf-8", "replace").strip()[:STDERR_LINE_CHARACTERS]
        if text:
            self._stderr.append(text)

    async def _has_exited(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._protocol.exited.wait()
        return self._protocol.exited.is_set()

    def _signal(self, number: int | None) -> None:
        """Send a signal to the process group; None kills."""
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                self._transport.kill()
            else:
                os.killpg(self.pid, signal.SIGKILL if number is None else number)


class _Protocol(asyncio.subprocess.SubprocessStreamProtocol):
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit=STREAM_LIMIT, loop=loop)
        self.exited = asyncio.Event()

    def process_exited(self) -> None:
        super().process_exited()
        self.exited.set()


async def start_guarded(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    protocol: Callable[[], P],
    *,
    stdin: int,
    stderr: int,
) -> tuple[asyncio.SubprocessTransport, P, OrphanGuard, str]:
    """Start a command in a session of its own, which ends with this process; the text is its mark in `MARK`.

    `create_subprocess_exec` does the same, but hands out neither the transport, which has to be closed in the end, nor
    the moment of the exit: its `wait` goes on while a child of the process keeps a pipe open. Raises `NotStarted`.
    """
    if not command:
        raise NotStarted("", folder, "there is no command")
    mark = secrets.token_hex(8)
    guard = OrphanGuard(mark)
    try:
        transport, made = await asyncio.get_running_loop().subprocess_exec(
            protocol,
            startable(command[0], environment.get("PATH")),
            *command[1:],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=folder,
            env={**environment, MARK: mark},
            start_new_session=POSIX,
            creationflags=NO_CONSOLE,
        )
    except (OSError, ValueError) as failure:
        await guard.dismiss()
        reason = getattr(failure, "strerror", None) or str(failure)
        raise NotStarted(command[0], folder, reason) from None
    guard.watch(transport.get_pid())
    return transport, made, guard, mark


def startable(program: str, path: str | None) -> str:
    """`program` by a name that the system starts; `path` is the PATH of the new process.

    The system itself looks in the PATH of this process, and on Windows finds only what ends in .exe, not npx.cmd.
    """
    if os.path.dirname(program):
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
