"""The first start of a new version, and the way back. Imported before the window is built: standard library only.

A new version is on trial until its window has settled. Two watch over it: the process that installed it, until that
start has ended well or badly; and each further start, which puts the former version back at the third attempt.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.errors import Rejected, StorageTrouble
from app.core.private import sync_folder
from app.core.updates.record import (
    FILE,
    FOLDER,
    INSTALLER_CODE,
    Trial,
    UpdateOutcome,
    UpdateRecord,
    change_record,
    read_record,
)

if TYPE_CHECKING:
    import subprocess

log = logging.getLogger(__name__)

# A start that was not confirmed may have been a power failure. Two were not.
MOST_STARTS = 2
WATCH_SECONDS = 120.0
WATCH_STEP = 0.2
NOT_STARTED = "It did not start."
NOT_INSTALLED = "It was not installed."
# By the exit code of packaging/windows/installer.nsi.
INSTALLER_SAID = {
    3: "Burrow did not close. An agent may use it as its MCP server.",
    4: "It is installed for all users, which needs an administrator's rights.",
    6: "It needs a newer version of Windows.",
}


def begin_trial(folder: Path, running: str) -> Path | None:
    """Count a start of a version on trial. The file or bundle to start instead, where the former one was put back.

    `folder` is the data folder. Raises nothing: whatever is wrong here must not keep the window from coming up.
    """
    if not (folder / FOLDER / FILE).exists():
        return None
    try:
        return _begin(folder, running)
    except (OSError, ValueError, TypeError):
        log.exception("the trial of an update could not be recorded")
        return None


def _begin(folder: Path, running: str) -> Path | None:
    record = read_record(folder)
    trial = record.trial
    if trial is None:
        return None
    if running != trial.version:
        # The former one runs: a power failure before the exchange, or an installer that failed. Any other version was
        # put there by somebody else, and there is nothing to say.
        outcome = record.outcome
        if running == trial.former:
            outcome = UpdateOutcome("failed", trial.former, trial.version, _why_not_installed(folder))
            if trial.backup and Path(trial.backup).is_file():
                Path(trial.backup).unlink()
        change_record(folder, trial=None, outcome=outcome)
        return None
    if trial.starts >= MOST_STARTS:
        return _go_back(folder, record, trial, NOT_STARTED)
    change_record(folder, trial=_counted(trial))
    return None


def confirm_trial(folder: Path, running: str) -> UpdateOutcome | None:
    """The window of this version is up: the trial is over. What there is to say to the person, if anything is.

    Raises `OSError`.
    """
    record = read_record(folder)
    trial = record.trial
    if trial is not None and trial.version == running:
        staged = record.staged or {}
        notes = staged.get("notes", "") if staged.get("version") == running else ""
        outcome = UpdateOutcome("updated", trial.former, trial.version, notes=notes)
        record = change_record(folder, trial=None, former=trial, staged=None, outcome=outcome)
    return record.outcome if record.outcome is not None and not record.outcome.said else None


def watch_trial(folder: Path, started: subprocess.Popen[bytes], *, seconds: float = WATCH_SECONDS) -> Path | None:
    """Wait until the started version has confirmed itself. What to start, if it ended before and was put back.

    One that neither confirms itself nor ends is left alone: a person may be using it.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        record = read_record(folder)
        if record.trial is None:
            return None
        code = started.poll()
        if code is not None:
            # It may have been ended by the person, or have handed over to a window that was open.
            return None if code == 0 else _go_back(folder, record, record.trial, f"It ended at its start ({code}).")
        time.sleep(WATCH_STEP)
    return None


def refuse_trial(folder: Path, reason: str) -> Path | None:
    """The version on trial cannot even be executed: put the former one back. What to start then."""
    record = read_record(folder)
    return None if record.trial is None else _go_back(folder, record, record.trial, reason)


def roll_back(folder: Path) -> UpdateOutcome:
    """Put the version before the last update back, because the person says so. Raises `Rejected`, `StorageTrouble`."""
    record = read_record(folder)
    trial = record.trial or record.former
    try:
        if trial is None or _go_back(folder, record, trial, "You went back.") is None:
            raise Rejected(
                "There is no former version to go back to.", action="Get it from where you got this version."
            )
    except OSError as failure:
        raise StorageTrouble(f"The former version could not be put back: {failure}") from None
    return UpdateOutcome("put back", trial.former, trial.version, "You went back.")


def _go_back(folder: Path, record: UpdateRecord, trial: Trial, reason: str) -> Path | None:
    if not _put_back(trial):
        change_record(folder, trial=None, former=None)
        return None
    failed = tuple(dict.fromkeys((*record.failed, trial.version)))
    outcome = UpdateOutcome("put back", trial.former, trial.version, reason)
    change_record(folder, trial=None, former=None, staged=None, failed=failed, outcome=outcome)
    log.warning("Burrow %s was put back in the place of %s: %s", trial.former, trial.version, reason)
    return Path(trial.target)


def _why_not_installed(folder: Path) -> str:
    try:
        code = int((folder / FOLDER / INSTALLER_CODE).read_text("ascii")[:20])
    except (OSError, ValueError):
        return NOT_INSTALLED
    return INSTALLER_SAID.get(code, NOT_INSTALLED)


def _counted(trial: Trial) -> Trial:
    return replace(trial, starts=trial.starts + 1)


def _put_back(trial: Trial) -> bool:
    """Put the former version back in its place. Whether it was there. Raises `OSError`."""
    target, backup = Path(trial.target), Path(trial.backup)
    if not trial.backup or not backup.exists():
        return False
    if backup.is_dir():
        rejected = target.with_name(f"{target.name}.rejected")
        shutil.rmtree(rejected, ignore_errors=True)
        if target.exists():
            os.rename(target, rejected)
        os.rename(backup, target)
        shutil.rmtree(rejected, ignore_errors=True)
    else:
        os.replace(backup, target)
    sync_folder(target.parent)
    return True
