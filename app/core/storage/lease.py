"""Lease: tells which process owns a row, and whether that process is alive.

An owner is a random name and a file lock of that name. The system releases the lock when the process ends, however it
ends. A process that is suspended keeps it, so nothing of it is taken over.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from app.core.errors import StorageTrouble
from app.core.file_lock import file_lock
from app.core.private import make_private_folder

if TYPE_CHECKING:
    from pathlib import Path

    from filelock import FileLock

NOBODY = ""
LOCKS_FOLDER = "locks"


class Lease:
    """The lease of one process. Without a folder, nobody else can see what it owns.

    It is used on one thread at a time. The lock is held from `take` to `release`.
    """

    def __init__(self, folder: Path | None, prefix: str) -> None:
        """The locks of all owners are files in `folder` whose names begin with `prefix`."""
        self.owner = os.urandom(16).hex()
        self._folder = folder
        self._prefix = prefix
        self._lock: FileLock | None = None

    def take(self) -> str:
        """Hold the lock, and return the owner's name. Raises `StorageTrouble` when its file cannot be created."""
        if self._lock is None and self._folder is not None:
            path = self._path(self._folder, self.owner)
            lock = file_lock(path)
            try:
                make_private_folder(self._folder)
                lock.acquire(timeout=0)
            except OSError as failure:
                raise StorageTrouble(f"{path} cannot be locked: {failure}.") from None
            self._lock = lock
        return self.owner

    def release(self) -> None:
        """Give up everything that is owned. Safe to call without a lock."""
        lock, self._lock = self._lock, None
        if lock is not None and self._folder is not None:
            with contextlib.suppress(OSError):
                self._path(self._folder, self.owner).unlink()
            lock.release()

    def alive_elsewhere(self, owner: str) -> bool:
        """Whether `owner` is another process that is alive."""
        if owner in {NOBODY, self.owner} or self._folder is None:
            return False
        from filelock import Timeout

        path = self._path(self._folder, owner)
        if not path.exists():
            return False
        lock = file_lock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        except OSError:
            # It cannot be known, and to act for somebody who is alive costs more than to wait.
            return True
        # A name is never used again, so the file of a dead owner can go.
        with contextlib.suppress(OSError):
            path.unlink()
        lock.release()
        return False

    def _path(self, folder: Path, owner: str) -> Path:
        return folder / f"{self._prefix}{owner}.lock"
