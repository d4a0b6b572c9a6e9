"""git as a process: found, bounded in time, and without anything of the person's configuration."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from app.processes.child import NotStarted
from app.processes.output import LARGEST_OUTPUT, CommandOutput, output_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SECONDS = 120.0
MISSING = (
    "git was not found, and cloud runs work on git repositories. Install it (for example: sudo apt install git) and"
    " start the run again."
)
# git must not ask, page, sign, run hooks of the person, or find the repository around the data folder.
SETTINGS = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_PAGER": "cat",
    "GIT_OPTIONAL_LOCKS": "0",
    "LC_ALL": "C.UTF-8",
}


class GitFailed(Exception):
    """git is missing, failed or took too long. The message is for a person."""


def git_path() -> str:
    """Where git is. Raises `GitFailed`."""
    found = shutil.which("git")
    if found is None:
        raise GitFailed(MISSING)
    return found


def git_environment() -> dict[str, str]:
    """The environment for git: that of this process without the variables that point git to another repository."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {**kept, **SETTINGS}


async def git(*arguments: str, folder: Path, given: bytes = b"", seconds: float = SECONDS) -> str:
    """Run git in `folder` and return what it writes. Raises `GitFailed` with the last line of its own complaint."""
    ended = await _ended(arguments, folder, seconds=seconds, given=given)
    return ended.output.decode("utf-8", "replace")


async def git_bytes(*arguments: str, folder: Path, most: int, seconds: float = SECONDS) -> bytes | None:
    """Run git in `folder` and return what it writes as it is; None for more than `most` bytes. Raises `GitFailed`."""
    ended = await _ended(arguments, folder, seconds=seconds, limit=most + 1)
    return None if len(ended.output) > most else ended.output


async def _ended(
    arguments: Sequence[str], folder: Path, *, seconds: float, given: bytes = b"", limit: int = LARGEST_OUTPUT
) -> CommandOutput:
    command = (git_path(), *arguments)
    try:
        ended = await output_of(command, folder, git_environment(), seconds=seconds, given=given, limit=limit)
    except NotStarted as failure:
        raise GitFailed(str(failure)) from None
    except TimeoutError:
        raise GitFailed(f"git {arguments[0]} took longer than {seconds:g} seconds.") from None
    if ended.code:
        raise GitFailed(f"git {arguments[0]} failed: {_complaint(ended.errors.splitlines())}")
    return ended


def _complaint(lines: Sequence[bytes]) -> str:
    texts = [line.decode("utf-8", "replace").strip() for line in lines]
    told = [text for text in texts if text]
    fatal = [text for text in told if text.startswith(("fatal:", "error:"))]
    return ([*fatal, *told[-1:]] or ["it gave no reason"])[0]
