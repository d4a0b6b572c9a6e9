"""Puts a verified file in the place of the installation, and back. Blocks: called when nothing else of Burrow runs.

- An AppImage or another single file: the new one is written beside it, synced, verified, and renamed over it. Whoever
  has the former one open goes on with it. The former one is kept beside it, with `.former` at the end of its name.
- Windows and macOS: `install_windows.py` and `install_macos.py`, which run commands of the system through `Run`.
"""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.errors import Facts, StorageTrouble
from app.core.installation import InstallKind
from app.core.private import sync_folder
from app.core.updates.record import Trial
from app.core.updates.verified_copy import FORMER, NEW, copy_synced, copy_verified

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.core.installation import InstalledApp
    from app.core.updates.release import Release

    Run = Callable[[Sequence[str]], None]


# The code of the errors of `why_fixed`.
FIXED = "fixed"


def replaced_path(installed: InstalledApp) -> Path:
    """The file or bundle that an update replaces."""
    command = Path(installed.command[0])
    if installed.kind is InstallKind.MACOS:
        # Burrow.app/Contents/MacOS/burrow
        return command.parents[2]
    return command.resolve()


def why_fixed(installed: InstalledApp) -> StorageTrouble | None:
    """Why this person cannot replace the installation; None if they can."""
    if installed.kind is InstallKind.WINDOWS:
        # The installer asks for the rights that it needs.
        return None
    target = replaced_path(installed)
    fixed = Facts(code=FIXED)
    action = f"Put the new file there yourself, or move Burrow to a folder of yours. The folder is {target.parent}."
    try:
        found = target.stat()
    except OSError as failure:
        return StorageTrouble(f"{target} cannot be found: {failure.strerror}.", fixed, action=action)
    if not os.access(target.parent, os.W_OK | os.X_OK):
        return StorageTrouble(f"You may not write to {target.parent}, where Burrow is.", fixed, action=action)
    if os.name == "posix" and found.st_uid != os.geteuid():
        return StorageTrouble(f"{target} belongs to somebody else.", fixed, action=action)
    return None


def install(
    installed: InstalledApp,
    release: Release,
    staged: Path,
    former: str,
    *,
    keep: Callable[[Trial], None],
    restart: Sequence[str] | None = None,
    run: Run | None = None,
) -> Trial:
    """Replace the installation by the staged file. `keep` stores what is needed to put the former one back.

    It is called before anything is replaced. On Windows the installer starts when this process has ended, and then
    `restart`, if it is given. Raises `UpdateRefused` when a file is not the signed one any more, and
    `StorageTrouble`; what was installed is then as it was.
    """
    trouble = why_fixed(installed)
    if trouble is not None:
        raise trouble
    target = replaced_path(installed)
    try:
        if installed.kind is InstallKind.WINDOWS:
            from app.core.updates.install_windows import install_windows

            return install_windows(target, release, staged, former, keep, run, restart=restart)
        if installed.kind is InstallKind.MACOS:
            from app.core.updates.install_macos import install_macos

            return install_macos(target, release, staged, former, keep, run)
        return _exchange_file(target, release, staged, former, keep)
    except (OSError, subprocess.SubprocessError) as failure:
        raise StorageTrouble(f"{target} could not be replaced: {failure}") from None


def _exchange_file(target: Path, release: Release, staged: Path, former: str, keep: Callable[[Trial], None]) -> Trial:
    new, backup = target.with_name(f".{target.name}{NEW}"), target.with_name(f".{target.name}{FORMER}")
    mode = stat.S_IMODE(target.stat().st_mode) | stat.S_IXUSR
    try:
        copy_verified(staged, new, mode, release)
        backup.unlink(missing_ok=True)
        try:
            os.link(target, backup)
        except OSError:
            # A file system without links.
            copy_synced(target, backup, mode)
        trial = Trial(former, str(release.version), str(target), str(backup), release.sha256)
        keep(trial)
        os.replace(new, target)
        sync_folder(target.parent)
    finally:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
    return trial
