"""A lock between processes that the system releases when its holder dies (faults rows 11 to 14)."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from app.core.errors import StorageTrouble, TimedOut
from app.core.file_lock import file_lock
from app.core.private import make_private_folder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from filelock import FileLock

# Longer than `refresh.LONGEST_SECONDS` and the keyring's deadline after it, so that a waiting process normally gets
# the lock. Giving up is safe: whoever gets `LockBusy` spends no refresh token.
DEADLINE_SECONDS = 55.0
POLL_SECONDS = (0.002, 0.05)
TRY_SECONDS = 2.0

log = logging.getLogger(__name__)


class LockBusy(TimedOut):
    """Another process holds the lock and does not release it."""


class ProcessLock:
    """At most one holder on this machine, for one grant.

    It is not reentrant: a second `hold` in the same process waits like one in another process. Lock order: this lock
    first, then the vault's own. The claim (`files.py`) is never waited for.
    """

    def __init__(self, path: Path, *, deadline: float = DEADLINE_SECONDS) -> None:
        """`deadline` is in seconds."""
        self._path = path
        self._deadline = deadline

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Wait for the lock without blocking the loop.

        Raises `LockBusy` after the deadline, `StorageTrouble` when the lock file cannot be created.
        """
        lock = await self._acquire(self._deadline)
        try:
            yield
        finally:
            lock.release()

    @asynccontextmanager
    async def try_hold(self) -> AsyncIterator[None]:
        """Wait two seconds at most, then go on without the lock: for what the user has just decided.

        Going on is safe. A holder that is refreshing compares the stored grant before it stores its own.
        """
        lock: FileLock | None = None
        try:
            lock = await self._acquire(min(TRY_SECONDS, self._deadline))
        except (LockBusy, StorageTrouble) as trouble:
            log.info("going on without the lock: %s", trouble.cause)
        try:
            yield
        finally:
            if lock is not None:
                lock.release()

    @contextmanager
    def hold_if_free(self) -> Iterator[bool]:
        """Hold the lock if nobody else does, and tell whether. Never waits, raises nothing."""
        lock = file_lock(self._path)
        try:
            held = acquired(lock, self._path)
        except StorageTrouble:
            held = False
        try:
            yield held
        finally:
            if held:
                lock.release()

    async def _acquire(self, seconds: float) -> FileLock:
        # File locks notify nobody, hence polling. It never blocks the loop, and cancelling it leaves nothing behind.
        until = monotonic() + seconds
        pause = POLL_SECONDS[0]
        lock = file_lock(self._path)
        while not acquired(lock, self._path):
            if monotonic() >= until:
                raise LockBusy("Another Burrow process holds the sign-in and does not release it.")
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, POLL_SECONDS[1])
        return lock


def acquired(lock: FileLock, path: Path) -> bool:
    """Acquire `lock` at once or not at all. Raises `StorageTrouble` when its file at `path` cannot be created."""
    from filelock import Timeout

    try:
        make_private_folder(path.parent)
        lock.acquire(timeout=0)
    except Timeout:
        return False
    except OSError as failure:
        raise StorageTrouble(f"{path} cannot be locked: {failure}.") from None
    return True
