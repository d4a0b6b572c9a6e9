"""git as the survey agent uses it: without prompts, pagers and signatures, and with an identity where none is set."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.processes.child import NotStarted
from app.processes.output import output_of

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 60.0
SETTINGS = {"GIT_TERMINAL_PROMPT": "0", "GIT_PAGER": "cat", "GIT_EDITOR": "true"}
OPTIONS = ("-c", "commit.gpgsign=false", "-c", "core.quotePath=false")
NAME, EMAIL = "Survey agent", "survey-agent@burrow.invalid"


@dataclass(frozen=True)
class GitResult:
    """What git wrote and its exit code; 127 when git was not found, 126 when it could not be
    started, and 124 when it took too long."""

    code: int
    output: str

    @property
    def lines(self) -> list[str]:
        return self.output.splitlines()


async def run_git(folder: Path, *arguments: str) -> GitResult:
    """Run git in `folder`; its standard error belongs to the output. Cancelled, it ends git."""
    found = shutil.which("git")
    if found is None:
        return GitResult(127, "git was not found.")
    words = (found, *OPTIONS, *arguments)
    try:
        ended = await output_of(words, folder, {**os.environ, **SETTINGS}, seconds=SECONDS, merged=True)
    except NotStarted as failure:
        return GitResult(126, str(failure))
    except TimeoutError:
        return GitResult(124, f"git {arguments[0]} took longer than {SECONDS:g} seconds.")
    return GitResult(ended.code, ended.output.decode("utf-8", "replace"))


async def commit(folder: Path, path: str, message: str) -> GitResult:
    """Commit one file, as the person if they have told git who they are."""
    identity: list[str] = []
    if (await run_git(folder, "config", "user.email")).code:
        identity = ["-c", f"user.name={NAME}", "-c", f"user.email={EMAIL}"]
    added = await run_git(folder, "add", "--", path)
    if added.code:
        return added
    return await run_git(folder, *identity, "commit", "--quiet", "-m", message, "--", path)
