"""Calls of git: bounded in time and output, without questions, and without programs that a repository's files name.

Hooks, `core.fsmonitor`, external differences and text conversions are off: the configuration of a repository that
somebody was given runs nothing just because it is looked at. Filters stay, as a checkout has other content without them
(git-lfs). Paths are bytes that need not be UTF-8, so they travel as `os.fsdecode` gives them, in lists that NUL ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

from app.core.child_processes import NO_CONSOLE
from app.core.errors import BurrowError
from app.core.redaction import mask_credentials
from app.core.runs.local.environment import agent_environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

SECONDS = 30.0
LARGEST_OUTPUT = 64 * 1024 * 1024
READ_BYTES = 256 * 1024
EXIT_SECONDS = 1.0
# https://git-scm.com/docs/git-config
SETTINGS = (
    *("core.fsmonitor=false", "core.pager=cat", "protocol.ext.allow=never", "submodule.recurse=false"),
    *("core.quotePath=false", "advice.detachedHead=false", "color.ui=false"),
)
NO_HOOKS = f"core.hooksPath={os.devnull}"
# What a shell around Burrow may have set would make git work on another repository.
_FOREIGN = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE")


class GitTrouble(BurrowError):
    """Git could not do what was asked."""

    title = "Git could not do it"
    action = "Look at the repository, then try again."
    retryable = True


async def git(
    folder: Path,
    *arguments: str,
    seconds: float = SECONDS,
    fine: Sequence[int] = (0,),
    given: bytes | None = None,
    hooks: bool = False,
) -> bytes:
    """The standard output of a git command in `folder`. `fine` are the exit codes that are no failure.

    `given` is its standard input. With `hooks`, the repository's hooks run. Raises `GitTrouble` with git's own words,
    and when it takes longer than `seconds`.
    """
    name = arguments[0]
    settings = SETTINGS if hooks else (*SETTINGS, NO_HOOKS)
    try:
        process = await asyncio.create_subprocess_exec(
            "git",
            *(word for each in settings for word in ("-c", each)),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL if given is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=folder,
            # A name with a star in it is that name. The one command that knows only names refuses to be told so.
            env=_environment() | ({} if name == "check-ignore" else {"GIT_LITERAL_PATHSPECS": "1"}),
            start_new_session=os.name == "posix",
            creationflags=NO_CONSOLE,
        )
    except OSError as failure:
        if not await asyncio.to_thread(os.path.isdir, folder):
            raise GitTrouble(f"{folder} is not there.", action="Choose a folder that exists.") from None
        raise GitTrouble(f"git cannot be started: {failure.strerror}.", action="Install git.") from None
    try:
        async with asyncio.timeout(seconds):
            output, errors = await _communicate(process, given)
    except TimeoutError:
        raise GitTrouble(f"git {name} took longer than {seconds:g} seconds.") from None
    except asyncio.LimitOverrunError:
        raise GitTrouble(f"git {name} said more than {LARGEST_OUTPUT:,} bytes.") from None
    finally:
        await _end(process)
    if process.returncode not in fine:
        said = mask_credentials(errors.decode("utf-8", "replace").strip()[-2_000:])
        raise GitTrouble(f"git {name} failed: {said or f'code {process.returncode}'}")
    return output


async def git_line(folder: Path, *arguments: str) -> str:
    """The first line of what git says. Raises `GitTrouble`."""
    return os.fsdecode((await git(folder, *arguments)).split(b"\n", 1)[0])


def names_of(output: bytes) -> list[str]:
    """The names of a list that is separated by NUL."""
    return [os.fsdecode(each) for each in output.split(b"\0") if each]


def as_input(names: Iterable[str]) -> bytes:
    """The other way round, for commands that read such a list."""
    return b"".join(os.fsencode(each) + b"\0" for each in names)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in agent_environment().items() if name not in _FOREIGN}
    return {
        **kept,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS": "",
        "SSH_ASKPASS_REQUIRE": "never",
        "GIT_EDITOR": "false",
        "GIT_SEQUENCE_EDITOR": "false",
        "GIT_OPTIONAL_LOCKS": "0",
        "LC_ALL": "C.UTF-8",
    }


async def _communicate(process: asyncio.subprocess.Process, given: bytes | None) -> tuple[bytes, bytes]:
    """As `process.communicate`, but what is too long raises `asyncio.LimitOverrunError`."""
    assert process.stdout is not None
    assert process.stderr is not None

    async def feed() -> None:
        if process.stdin is not None:
            with contextlib.suppress(ConnectionError):
                process.stdin.write(given or b"")
                await process.stdin.drain()
            process.stdin.close()

    output, errors, _ = await asyncio.gather(_all_of(process.stdout), _all_of(process.stderr), feed())
    await process.wait()
    return output, errors


async def _all_of(stream: asyncio.StreamReader) -> bytes:
    data = bytearray()
    while chunk := await stream.read(READ_BYTES):
        data += chunk
        if len(data) > LARGEST_OUTPUT:
            raise asyncio.LimitOverrunError("too long", len(data))
    return bytes(data)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill it with what it started, if it runs."""
    if process.returncode is not None:
        return
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(EXIT_SECONDS):
            await process.wait()
