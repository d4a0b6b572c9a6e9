"""Calls of git: bounded in time and output, without questions, and without programs that a repository's files name.

Hooks, `core.fsmonitor`, external differences and text conversions are off, and what a repository lacks is fetched for a
checkout only: the configuration of one that somebody was given runs nothing just because it is looked at. Filters stay,
as a checkout has other content without them (git-lfs). Paths are bytes that need not be UTF-8, so they travel as
`os.fsdecode` gives them, in lists that NUL ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from typing import IO, TYPE_CHECKING

from app.core.errors import BurrowError
from app.core.redaction import mask_credentials
from app.core.runs.agent_environment import agent_environment
from app.processes.child import NO_CONSOLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

SECONDS = 30.0
LARGEST_OUTPUT = 64 * 1024 * 1024
PATIENCE_SECONDS = 1.0
READ_BYTES = 256 * 1024
ERROR_BYTES = 2_000
# https://git-scm.com/docs/git-config
SETTINGS = (
    *("core.fsmonitor=false", "core.pager=cat", "protocol.ext.allow=never", "submodule.recurse=false"),
    *("core.quotePath=false", "advice.detachedHead=false", "color.ui=false"),
    # Looking at a signature runs `gpg.program`; the others change what a difference looks like, or name a file.
    *("log.showSignature=false", "diff.suppressBlankEmpty=false", f"diff.orderFile={os.devnull}"),
)
NO_HOOKS = f"core.hooksPath={os.devnull}"
# The one knows only names and refuses to be told so, the hooks of the other would inherit it.
PATTERNS = frozenset({"check-ignore", "commit"})
# A partial clone may lack what these write into the folder.
CHECKOUTS = frozenset({"worktree", "checkout"})
# What git says, in the language that it is asked for.
FOREIGN, UNKNOWN_PERSON = "detected dubious ownership", "Please tell me who you are"


class GitTrouble(BurrowError):
    """Git could not do what was asked."""

    title = "Git could not do it"
    action = "Look at the repository, then try again."
    retryable = True


class ForeignRepository(GitTrouble):
    """The folder belongs to another user of this machine, whose settings git would follow (`safe.directory`)."""

    title = "Git does not trust this folder"
    action = "If you do, tell git so: git config --global --add safe.directory FOLDER"
    retryable = True


class IdentityMissing(GitTrouble):
    """A commit carries a name and an e-mail address, and git has been told none."""

    title = "Git does not know who you are"
    action = 'Tell it: git config --global user.name "NAME" and git config --global user.email "ADDRESS"'
    retryable = True


async def git(
    folder: Path,
    *arguments: str,
    seconds: float = SECONDS,
    fine: Sequence[int] = (0,),
    given: bytes | None = None,
    hooks: bool = False,
    enough: int | None = None,
) -> bytes:
    """The standard output of a git command in `folder`. `fine` are the exit codes that are no failure.

    `given` is its standard input. With `hooks`, the repository's hooks run. After `enough` bytes it is ended, and what
    it said until then is returned. Raises `GitTrouble` with git's own words,
    and when it takes longer than `seconds`.
    """
    name = arguments[0]
    settings = SETTINGS if hooks else (*SETTINGS, NO_HOOKS)
    words = ("git", *(word for each in settings for word in ("-c", each)), *arguments)
    environment = _environment()
    if name not in PATTERNS:
        # A name with a star in it is that name.
        environment["GIT_LITERAL_PATHSPECS"] = "1"
    if name not in CHECKOUTS and not hooks:
        # Fetching runs `core.sshCommand`, and programs that the address names.
        environment["GIT_NO_LAZY_FETCH"] = "1"
    call = _GitProcess(words, folder, environment, given, enough)
    try:
        async with asyncio.timeout(seconds):
            code, output, errors = await asyncio.to_thread(call.run)
    except TimeoutError:
        raise GitTrouble(f"git {name} took longer than {seconds:g} seconds.") from None
    except OSError as failure:
        if not await asyncio.to_thread(os.path.isdir, folder):
            raise GitTrouble(f"{folder} is not there.", action="Choose a folder that exists.") from None
        raise GitTrouble(f"git cannot be started: {failure.strerror}.", action="Install git.") from None
    except _TooMuch:
        raise GitTrouble(f"git {name} said more than {LARGEST_OUTPUT:,} bytes.") from None
    finally:
        call.end()
    if code not in fine:
        said = mask_credentials(errors.decode("utf-8", "replace").strip())
        if FOREIGN in said:
            raise ForeignRepository(f"{folder} belongs to another user of this machine.")
        if UNKNOWN_PERSON in said:
            raise IdentityMissing("A commit carries a name and an e-mail address.")
        raise GitTrouble(f"git {name} failed: {said or f'code {code}'}")
    return output


async def git_line(folder: Path, *arguments: str) -> str:
    """The one line that git says; a path in it may have line breaks. Raises `GitTrouble`."""
    return os.fsdecode((await git(folder, *arguments)).removesuffix(b"\n"))


def names_of(output: bytes) -> list[str]:
    """The names of a list that is separated by NUL."""
    return [os.fsdecode(each) for each in output.split(b"\0") if each]


def as_input(names: Iterable[str]) -> bytes:
    """The other way round, for commands that read such a list."""
    return b"".join(os.fsencode(each) + b"\0" for each in names)


def _environment() -> dict[str, str]:
    return {
        **agent_environment(),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS": "",
        "SSH_ASKPASS_REQUIRE": "never",
        "GIT_EDITOR": "false",
        "GIT_SEQUENCE_EDITOR": "false",
        "GIT_OPTIONAL_LOCKS": "0",
        "LC_ALL": "C.UTF-8",
    }


class _TooMuch(Exception):
    """It said more than is kept."""


class _GitProcess:
    """One process, run in a thread: a subprocess of asyncio that is cancelled while it starts is waited for for ever
    (CPython gh-119710).
    """

    def __init__(
        self,
        words: tuple[str, ...],
        folder: Path,
        environment: dict[str, str],
        given: bytes | None,
        enough: int | None,
    ) -> None:
        self._words, self._folder, self._environment, self._given = words, folder, environment, given
        self._enough = enough
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False
        self._lock = threading.Lock()

    def run(self) -> tuple[int, bytes, bytes]:
        """Run it to its end; returns the exit code, all of its output and the end of its errors. Call it in a thread.

        Raises `OSError`, `_TooMuch`.
        """
        # Files, because a program that reads only one of two pipes can wait for ever.
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as errors:
            if self._given is not None:
                source.write(self._given)
                source.seek(0)
            process = self._start(source, errors)
            if process is None:
                return -signal.SIGTERM, b"", b""
            whole = False
            try:
                output, whole = self._output(process)
            finally:
                if self._ended or not whole:
                    # Before its code is collected, as its group is its own until then: a hook may go on.
                    self._signal(process)
                process.wait()
            if self._enough is not None and len(output) >= self._enough:
                return 0, output, b""
            errors.seek(max(0, errors.seek(0, os.SEEK_END) - ERROR_BYTES))
            return process.returncode, output, errors.read()

    def end(self) -> None:
        """End it with what it started, or do not start it."""
        with self._lock:
            self._ended = True
            process = self._process
        if process is None or process.returncode is not None:
            return
        # Git removes its locks then; killed, it would leave a repository that nobody can work on.
        self._signal(process, kill=False)
        patience = threading.Timer(PATIENCE_SECONDS, self._signal, (process,))
        patience.daemon = True
        patience.start()

    def _start(self, source: IO[bytes], errors: IO[bytes]) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._ended:
                return None
            self._process = subprocess.Popen(
                self._words,
                stdin=subprocess.DEVNULL if self._given is None else source,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=self._folder,
                env=self._environment,
                start_new_session=os.name == "posix",
                creationflags=NO_CONSOLE,
            )
            return self._process

    def _output(self, process: subprocess.Popen[bytes]) -> tuple[bytes, bool]:
        """What it says, and whether that is all of it."""
        assert process.stdout is not None
        data = bytearray()
        with process.stdout as pipe:
            while chunk := pipe.read1(READ_BYTES):  # type: ignore[attr-defined]
                data += chunk
                if self._enough is not None and len(data) >= self._enough:
                    return bytes(data), False
                if len(data) > LARGEST_OUTPUT:
                    raise _TooMuch
        return bytes(data), True

    @staticmethod
    def _signal(process: subprocess.Popen[bytes], *, kill: bool = True) -> None:
        # Polling would collect the exit code; a process that was waited for has one.
        if process.returncode is not None:
            return
        with contextlib.suppress(OSError):
            if sys.platform != "win32":
                os.killpg(process.pid, signal.SIGKILL if kill else signal.SIGTERM)
            else:
                process.kill()
