"""The last thing that a process does before an update: install it, start it, and watch whether it comes up.

Called when everything is closed, so nothing of the former version is left to interrupt. What fails leaves the former
version, which is started again and says what happened.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from app.core.errors import BurrowError, Rejected, StorageTrouble
from app.core.file_lock import file_lock
from app.core.installation import InstallKind
from app.core.restart import start_detached
from app.core.updates.download import STAGED_FOLDER, clear_staged
from app.core.updates.install import install
from app.core.updates.record import FOLDER, UpdateOutcome, change_record, read_record
from app.core.updates.trial import WATCH_SECONDS, refuse_trial, watch_trial

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence
    from pathlib import Path

    from app.core.installation import InstalledApp
    from app.core.updates.install import Run
    from app.core.updates.record import Trial
    from app.core.updates.release import Release

log = logging.getLogger(__name__)

LOCK_SECONDS = 5.0
# What is done once: links, and pictures. A window that was updated is shown.
ONCE = ("burrow:",)
NOT_AGAIN = frozenset({"--hidden"})


def install_now(
    data: Path,
    installed: InstalledApp,
    release: Release,
    running: str,
    *,
    restart: Sequence[str] | None = None,
    run: Run | None = None,
) -> Trial:
    """Install a staged release. `data` is the data folder. `restart`: see `install`.

    Raises `BurrowError`, and records what happened either way.
    """
    from filelock import Timeout

    lock = file_lock(data / FOLDER / "lock")
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        raise Rejected("Another Burrow is at the update.", action="Wait until it is done.") from None
    except OSError as failure:
        raise StorageTrouble(f"{data / FOLDER} cannot be used: {failure.strerror}") from None
    before = read_record(data).trial
    try:
        staged = data / FOLDER / STAGED_FOLDER / release.sha256

        def keep(kept: Trial) -> None:
            change_record(data, trial=kept, outcome=None)

        trial = install(installed, release, staged, running, keep=keep, restart=restart, run=run)
    except BurrowError as trouble:
        log.warning("Burrow %s was not installed: %s", release.version, trouble.cause)
        failed = UpdateOutcome("failed", running, str(release.version), trouble.cause)
        _keep_failure(data, failed, before)
        raise
    else:
        log.info("Burrow %s was installed in the place of %s", release.version, running)
        clear_staged(data / FOLDER)
        return trial
    finally:
        lock.release()


def restart_into_update(
    data: Path,
    installed: InstalledApp,
    release: Release,
    running: str,
    arguments: Sequence[str],
    *,
    run: Run | None = None,
    seconds: float = WATCH_SECONDS,
) -> subprocess.Popen[bytes] | None:
    """Install a staged release and start it with the arguments of this process.

    Returns what was started last, once the new version has come up, or the former one was started again; None where the
    installer of Windows starts it. Raises `OSError` when neither can be started.
    """
    kept = [each for each in arguments if not each.startswith(ONCE) and each not in NOT_AGAIN]
    command = (*installed.command, *kept)
    try:
        install_now(data, installed, release, running, restart=command, run=run)
    except BurrowError:
        return start_detached(command)
    if installed.kind is InstallKind.WINDOWS:
        # The installer waits for the end of this process.
        return None
    try:
        started = start_detached(command)
    except OSError as failure:
        back = refuse_trial(data, f"It cannot be started: {failure.strerror}.")
        if back is None:
            raise
    else:
        back = watch_trial(data, started, seconds=seconds)
        if back is None:
            return started
    return start_former(back, installed, kept)


def start_former(target: Path, installed: InstalledApp, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start the version that was put back. Raises `OSError`."""
    return start_detached((*command_of(target, installed), *arguments))


def command_of(target: Path, installed: InstalledApp) -> tuple[str, ...]:
    """The command that starts what is at `target`: a file, or a bundle of macOS."""
    if installed.kind is InstallKind.MACOS:
        return (str(target / "Contents" / "MacOS" / "burrow"),)
    return (str(target),)


def _keep_failure(data: Path, failed: UpdateOutcome, before: Trial | None) -> None:
    try:
        change_record(data, trial=before, outcome=failed)
    except OSError:
        log.exception("the failure of an update could not be recorded")
