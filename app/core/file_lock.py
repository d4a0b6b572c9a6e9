"""The file lock that processes of one user share: the system releases it when its holder dies, however it dies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.private import FILE_MODE

if TYPE_CHECKING:
    from pathlib import Path

    from filelock import FileLock


def file_lock(path: Path) -> FileLock:
    """The file lock at `path`, not acquired yet."""
    # The import takes 20 ms, so it waits for the first lock.
    from filelock import FileLock

    # Acquired and released on different threads, so the lock must not count for each thread.
    return FileLock(path, mode=FILE_MODE, thread_local=False)
