"""A server's process: what it may see of this process's environment, how it is started, and how it is ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections import deque
from typing import TYPE_CHECKING

from app.core.child_processes import NO_CONSOLE
from app.core.errors import Facts, ServerTrouble
from app.core.mcp.protocol.group_guard import GroupGuard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# How many bytes of a pipe are buffered before the process has to wait.
STREAM_LIMIT = 1024 * 1024
# Lines of standard error that are kept for the error message.
STDERR_LINES = 20
STDERR_LINE_CHARACTERS = 400
STDERR_READ_BYTES = 16 * 1024
# How long a process may take to end: after its input was closed, and then after SIGTERM.
EXIT_SECONDS = (0.3, 0.3)
# How long to wait for the exit code of a process that closed its output, and for the rest of its standard error.
EXIT_CODE_SECONDS = 0.5
POSIX = os.name == "posix"
# The variables that a server inherits: those that the SDK considers safe. They are repeated here because the import of
# the SDK takes a second.
INHERITED = (
    (
        *("APPDATA", "HOMEDRIVE", "HOMEPATH", "LOCALAPPDATA", "PATH", "PATHEXT"),
        *("PROCESSOR_ARCHITECTURE", "SYSTEMDRIVE", "SYSTEMROOT", "TEMP", "USERNAME", "USERPROFILE"),
    )
    if sys.platform == "win32"
    else ("HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER")
)


def inherited_environment() -> dict[str, str]:
    """The variables of this process that a server gets."""
    found = ((name, os.environ.get(name)) for name in INHERITED)
    # bash exports its functions as values that begin so.
    return {name: value for name, value in found if value is not None and not value.startswith("()")}


class ServerProcess:
    """A process that was started; `standard_error` keeps its last lines once `read_stderr` runs."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, transport: asyncio.SubprocessTransport) -> None:
        self.name = name
        self.process = process
        self._transport = transport
        self._stderr: deque[str] = deque(maxlen=STDERR_LINES)
        self._stderr_ended = asyncio.Event()
        self._guard = GroupGuard(process.pid) if POSIX else None

    async def read_stderr(self) -> None:
        """Keep the last lines of standard error. Reading it also keeps the process from blocking on a full pipe."""
        assert self.process.stderr is not None
        # A line that never ends must not take memory, so its start is enough.
        line = bytearray()
        try:
            while chunk := await self.process.stderr.read(STDERR_READ_BYTES):
                *whole, rest = chunk.split(b"\n")
                for part in whole:
                    line += part[: 4 * STDERR_LINE_CHARACTERS]
                    self._keep(line)
                    line.clear()
                line += rest[: max(0, 4 * STDERR_LINE_CHARACTERS - len(line))]
            self._keep(line)
        finally:
            self._stderr_ended.set()

    def _keep(self, line: bytearray) -> None:
        text = line.decode("utf-8", "replace").strip()[:STDERR_LINE_CHARACTERS]
        if text:
            self._stderr.append(text)

    async def how_it_ended(self) -> str:
        """How it ended, once its output is closed, as a sentence with its last lines of standard error."""
        # A process that closed its output and goes on is not waited for.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EXIT_CODE_SECONDS):
                await self.process.wait()
                # The rest of standard error may still arrive. A child may keep that pipe open for ever, hence the
                # timeout.
                await self._stderr_ended.wait()
        code = self.process.returncode
        how = "closed its output" if code is None else f"ended with {_exit(code)}"
        output = " ".join(self._stderr)
        suffix = f" Its last output: {output}" if output else ""
        return f"The process of {self.name} {how}.{suffix}"

    async def end(self) -> None:
        """Close its input, send SIGTERM, then kill it and its children. Takes less than a second in all."""
        try:
            if self.process.stdin is not None:
                self.process.stdin.close()
            for seconds, number in zip(EXIT_SECONDS, (signal.SIGTERM, None), strict=True):
                if await self._has_ended(seconds):
                    break
                self._signal(number)
            # Also when the process has ended: its children may still run in the group.
            self._signal(None)
            await self._has_ended(EXIT_SECONDS[-1])
        finally:
            self._signal(None)
            self._transport.close()
            if self._guard is not None:
                await self._guard.dismiss()

    async def _has_ended(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self.process.wait()
        except TimeoutError:
            return False
        return True

    def _signal(self, number: int | None) -> None:
        """Send a signal to the process group; None kills."""
        with contextlib.suppress(ProcessLookupError, PermissionError, OSError):
            if sys.platform == "win32":
                self.process.kill()
            else:
                os.killpg(self.process.pid, signal.SIGKILL if number is None else number)


async def start_process(
    command: Sequence[str], folder: str | Path | None, environment: Mapping[str, str]
) -> ServerProcess:
    """Start a command in a process group of its own. Raises `ServerTrouble` (code `not-started`) when that fails."""
    if not command:
        raise ServerTrouble("The server has no command.", action="Give the command that starts it.")
    loop = asyncio.get_running_loop()
    variables = inherited_environment() | dict(environment)
    try:
        # `create_subprocess_exec` does the same, but does not hand out the transport, which has to be closed in the
        # end.
        transport, protocol = await loop.subprocess_exec(
            lambda: asyncio.subprocess.SubprocessStreamProtocol(limit=STREAM_LIMIT, loop=loop),
            startable(command[0], variables.get("PATH")),
            *command[1:],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=folder or None,
            env=variables,
            # A process group of its own, so that its children can be ended with it.
            start_new_session=POSIX,
            creationflags=NO_CONSOLE,
        )
    except (OSError, ValueError) as failure:
        raise _not_started(command[0], str(folder or ""), failure) from None
    name = os.path.basename(command[0])
    return ServerProcess(name, asyncio.subprocess.Process(transport, protocol, loop), transport)


def startable(program: str, path: str | None) -> str:
    """`program` by a name that the system starts; `path` is the server's PATH.

    Windows itself finds only what ends in .exe. Scripts such as npx (`npx.cmd`) it starts by their whole name.
    """
    if sys.platform == "win32":
        return shutil.which(program, path=path) or program
    return program


def _not_started(program: str, folder: str, failure: Exception) -> ServerTrouble:
    reason = getattr(failure, "strerror", None) or str(failure)
    # Of a folder that is not there, Python says only that something is not there.
    folder_is_missing = bool(folder) and not os.path.isdir(folder)
    return ServerTrouble(
        f"“{program}” cannot be started{f' in {folder}' if folder_is_missing else ''}: {reason}.",
        Facts(code="not-started"),
        action="Check the folder." if folder_is_missing else "Check the command and its path.",
    )


def _exit(code: int) -> str:
    """How a process ended: its code, or the signal that ended it."""
    if code >= 0:
        return f"code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
