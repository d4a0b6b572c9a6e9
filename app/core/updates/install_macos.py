"""Installs an update on macOS: the bundle is copied from the disk image, and replaces the former one by renames."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from app.core.private import make_private_folder, sync_folder
from app.core.updates.record import Trial
from app.core.updates.verified_copy import FORMER, NEW, copy_verified

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from app.core.updates.release import Release

    Run = Callable[[Sequence[str]], None]

COMMAND_SECONDS = 600.0


def install_macos(
    target: Path, release: Release, staged: Path, former: str, keep: Callable[[Trial], None], run: Run | None
) -> Trial:
    """Exchange the bundle `target` by that in the disk image. Raises `OSError`, `SubprocessError`, `UpdateRefused`."""
    run = run or _run
    image, mounted = staged.with_name(f"burrow-{release.version}.dmg"), staged.with_name("mounted")
    new, backup = target.with_name(f"{target.name}{NEW}"), target.with_name(f"{target.name}{FORMER}")
    copy_verified(staged, image, 0o600, release)
    try:
        make_private_folder(mounted)
        run(("hdiutil", "attach", "-nobrowse", "-readonly", "-noautoopen", "-mountpoint", str(mounted), str(image)))
        try:
            shutil.rmtree(new, ignore_errors=True)
            run(("ditto", str(mounted / "Burrow.app"), str(new)))
        finally:
            run(("hdiutil", "detach", "-force", str(mounted)))
        # The signature of the bundle is checked beside ours, so that the system starts it without a question.
        run(("codesign", "--verify", "--deep", "--strict", str(new)))
        shutil.rmtree(backup, ignore_errors=True)
        trial = Trial(former, str(release.version), str(target), str(backup), release.sha256)
        keep(trial)
        os.rename(target, backup)
        try:
            os.rename(new, target)
        except OSError:
            os.rename(backup, target)
            raise
        sync_folder(target.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        with contextlib.suppress(OSError):
            image.unlink(missing_ok=True)
    return trial


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=COMMAND_SECONDS)
