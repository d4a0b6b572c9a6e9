"""Setting a worktree up: the script of its environment runs once, after the person agreed to exactly that script.

Its output is in the run's log. While it fails, the prompt waits.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from app.acp.command import CommandProcess
from app.core.errors import BurrowError
from app.core.runs.agent_environment import agent_environment
from app.core.runs.worktrees.git import git_line
from app.processes.child import NotStarted, exit_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.core.runs.worktrees.environments import WorkEnvironment
    from app.core.runs.worktrees.setup_log import SetupLog

AGREED_SETTING = "setup_scripts_agreed"
# In git's own folder of the worktree: the fingerprint of the script that ran.
DONE = "burrow-setup"
OUTPUT_BYTES = 256 * 1024
SHELL = ("/bin/sh", "-e", "-c") if os.name == "posix" else ("cmd.exe", "/d", "/c")


class ConsentSettings(Protocol):
    """What is needed of `Settings`."""

    def get(self, key: str, default: object = None) -> object: ...

    async def set(self, key: str, value: object) -> None: ...


class SetupNotAgreed(BurrowError):
    """The setup script has not been agreed to, or is another one since. `environment` has its text."""

    title = "A setup script waits for you"
    action = "Read the script, then let it run, or go on without it."

    def __init__(self, environment: WorkEnvironment) -> None:
        super().__init__(f"{environment.file} wants to run a script in the worktree.")
        self.environment = environment


class SetupFailed(BurrowError):
    """The setup script failed. Its output is in the log."""

    title = "The worktree is not ready"
    action = "Look at the output, mend the script or the machine, then try again."
    retryable = True


class SetupConsent:
    """Which scripts the person agreed to, by repository and text."""

    def __init__(self, settings: ConsentSettings) -> None:
        self._settings = settings

    def agreed(self, repository: str, environment: WorkEnvironment) -> bool:
        """Whether exactly this script may run for this repository."""
        return environment.fingerprint in self._all().get(repository, [])

    async def agree(self, repository: str, environment: WorkEnvironment) -> None:
        """The person read the script and lets it run. Raises `StorageTrouble`."""
        known = self._all()
        if environment.fingerprint not in known.get(repository, []):
            known[repository] = [*known.get(repository, []), environment.fingerprint]
            await self._settings.set(AGREED_SETTING, known)

    def _all(self) -> dict[str, list[str]]:
        stored = self._settings.get(AGREED_SETTING)
        pairs = stored.items() if isinstance(stored, dict) else ()
        return {name: list(each) for name, each in pairs if isinstance(each, list)}


async def set_up(
    worktree: Path, repository: str, environment: WorkEnvironment, consent: SetupConsent, log: SetupLog
) -> None:
    """Run the script unless it ran in this worktree already.

    Raises `SetupNotAgreed`, `SetupFailed`, `GitTrouble`. A cancelled setup is ended with all that it started.
    """
    done = Path(await git_line(worktree, "rev-parse", "--absolute-git-dir")) / DONE
    if not environment.script or await asyncio.to_thread(_text_of, done) == environment.fingerprint:
        return
    if not consent.agreed(repository, environment):
        raise SetupNotAgreed(environment)
    step = {"group": "setup", "step": "script", "label": f"Set up with {environment.name}"}
    log.notify("_posthog/progress", **step, status="in_progress")
    try:
        code = await run_command(worktree, environment.script, log, agent_environment())
    except BaseException as failure:
        detail = str(failure) or "It was ended."
        log.notify("_posthog/progress", **step, status="failed", detail=detail)
        raise
    if code != 0:
        how = f"The setup script ended with {exit_words(code)}."
        log.notify("_posthog/progress", **step, status="failed", detail=how)
        raise SetupFailed(how)
    await asyncio.to_thread(done.write_text, environment.fingerprint, "utf-8")
    log.notify("_posthog/progress", **step, status="completed")


async def run_command(worktree: Path, command: str, log: SetupLog, environment: Mapping[str, str]) -> int:
    """Run a command of the repository's, or an action, and return its exit code; its output goes to the log.

    Raises `SetupFailed` when it cannot be started.
    """
    output = bytearray()
    shown = {"id": secrets.token_hex(6), "command": command, "cwd": str(worktree)}
    log.notify("_array/user_shell_execute", **shown)

    def take(data: bytes) -> None:
        output.extend(data)
        del output[: max(0, len(output) - OUTPUT_BYTES)]

    try:
        process = await CommandProcess.start((*SHELL, command), worktree, environment, take)
    except NotStarted as failure:
        raise SetupFailed(str(failure)) from None
    try:
        code = await process.wait()
    finally:
        await process.end()
        result = {"stdout": output.decode("utf-8", "replace"), "stderr": "", "exitCode": process.exit_code}
        log.notify("_array/user_shell_execute", **shown, result=result)
    return code


def _text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError):
        return ""
