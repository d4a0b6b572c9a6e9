"""A server's process: what it may see of this process's environment, how it is started, and how it is ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import TYPE_CHECKING

from app.core.errors import Facts, ServerTrouble
from app.processes.child import NotStarted, exit_words
from app.processes.guarded import start_guarded
from app.processes.last_lines import LastLines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from app.processes.child import ChildProcess
    from app.processes.guard import OrphanGuard

# How long a process may take to end: after its input was closed, and then after SIGTERM.
EXIT_SECONDS = (0.3, 0.3)
# How long to wait for the exit code of a process that closed its output, and for the rest of its standard error.
EXIT_CODE_SECONDS = 0.5
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
    """A process that was started; its last lines of standard error are kept once `read_stderr` runs."""

    def __init__(self, name: str, child: ChildProcess, guard: OrphanGuard) -> None:
        self.name = name
        self.child = child
        self._guard = guard
        self._stderr = LastLines()
        self._stderr_ended = asyncio.Event()

    async def read_stderr(self) -> None:
        """Keep the last lines of standard error."""
        assert self.child.stderr is not None
        try:
            await self._stderr.read(self.child.stderr)
        finally:
            self._stderr_ended.set()

    async def how_it_ended(self) -> str:
        """How it ended, once its output is closed, as a sentence with its last lines of standard error."""
        # A process that closed its output and goes on is not waited for.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EXIT_CODE_SECONDS):
                await self.child.exited.wait()
                # The rest of standard error may still arrive. A child may keep that pipe open for ever, hence the
                # timeout.
                await self._stderr_ended.wait()
        code = self.child.exit_code
        how = "closed its output" if code is None else f"ended with {exit_words(code)}"
        output = " ".join(self._stderr)
        suffix = f" Its last output: {output}" if output else ""
        return f"The process of {self.name} {how}.{suffix}"

    async def end(self) -> None:
        """Close its input, send SIGTERM, then kill it and its children. Takes less than a second in all."""
        try:
            await self.child.end(EXIT_SECONDS)
        finally:
            await self._guard.dismiss()


async def start_process(
    command: Sequence[str], folder: str | Path | None, environment: Mapping[str, str]
) -> ServerProcess:
    """Start a command in a process group of its own. Raises `ServerTrouble` (code `not-started`) when that fails."""
    if not command:
        raise ServerTrouble("The server has no command.", action="Give the command that starts it.")
    variables = inherited_environment() | dict(environment)
    try:
        started = await start_guarded(command, folder, variables, marked=False)
    except NotStarted as failure:
        action = "Check the folder." if failure.folder_missing else "Check the command and its path."
        raise ServerTrouble(str(failure), Facts(code="not-started"), action=action) from None
    return ServerProcess(os.path.basename(command[0]), *started)
