"""A local run is carried out by one process at a time: a lock in its folder says so, which dies with its holder."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from app.core.file_lock import file_lock
from app.core.private import make_private_folder

if TYPE_CHECKING:
    from pathlib import Path

    from filelock import FileLock

LOCK = "run.lock"


def claim(folder: Path) -> FileLock | None:
    """Take the run whose folder this is; None while another process has it. Raises `OSError`. Call it in a thread."""
    from filelock import Timeout

    make_private_folder(folder)
    lock = file_lock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    return lock


class RunClaim:
    """The claim of this process on a run: taken by the first who needs it, given up when nobody does any more."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._gate = asyncio.Lock()
        self._lock: FileLock | None = None
        self._count = 0

    async def take(self) -> bool:
        """Whether this process has the run; False while another one has it."""
        async with self._gate:
            if self._lock is None:
                self._lock = await asyncio.to_thread(claim, self._folder)
            self._count += self._lock is not None
            return self._lock is not None

    async def give_up(self) -> None:
        """Once for each `take` that was successful."""
        async with self._gate:
            self._count -= 1
            if self._count == 0 and self._lock is not None:
                lock, self._lock = self._lock, None
                await asyncio.to_thread(lock.release)
