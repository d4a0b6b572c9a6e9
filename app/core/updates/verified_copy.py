"""Copies of a downloaded file: what is verified is the copy, which is what is installed."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

from app.core.errors import Facts, UpdateRefused
from app.core.updates.download import is_release

if TYPE_CHECKING:
    from pathlib import Path

    from app.core.updates.release import Release

FORMER, NEW = ".former", ".new"


def copy_verified(source: Path, target: Path, mode: int, release: Release) -> None:
    """Copy a staged file, and verify the copy. Raises `OSError`, and `UpdateRefused` without leaving a copy."""
    try:
        copy_synced(source, target, mode)
        if not is_release(target, release):
            words = f"The downloaded file is not the one that was signed as Burrow {release.version}."
            raise UpdateRefused(words, Facts(code="tampered"))
    except BaseException:
        with contextlib.suppress(OSError):
            target.unlink(missing_ok=True)
        raise


def copy_synced(source: Path, target: Path, mode: int) -> None:
    """Copy a file to a new one that survives a power failure. Raises `OSError`."""
    with contextlib.suppress(FileNotFoundError):
        target.unlink()
    # Nobody else may write to it before it is verified, whatever the umask is; exclusive, so it is no link either.
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o700)
    with os.fdopen(handle, "wb") as written, source.open("rb") as read:
        shutil.copyfileobj(read, written, 1 << 20)
        written.flush()
        os.fsync(written.fileno())
    target.chmod(mode)
