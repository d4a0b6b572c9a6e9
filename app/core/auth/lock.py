"""A lock between processes that vanishes with a killed holder (faults rows 11 to 14)."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from app.core.errors import StorageTrouble, TimedOut

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from filelock import FileLock

# Longer than any renewal a holder may be in: three attempts with their pauses.
DEADLINE_SECONDS = 60.0


class ProcessLock:
    """One holder at a time on this machine, for one grant."""

    def __init__(self, path: Path, *, deadline: float = DEADLINE_SECONDS) -> None:
        self._path = path
        self._deadline = deadline

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Wait for the lock without blocking the loop.

        Raises `TimedOut` after the deadline, `StorageTrouble` when the lock file cannot be made.
        """
        # 20 ms of import, for the first renewal only.
        from filelock import FileLock, Timeout

        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._path, thread_local=False)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                await self._wait(lock)
        except OSError as failure:
            raise StorageTrouble(f"{self._path} cannot be locked: {failure}.") from None
        try:
            yield
        finally:
            lock.release()

    async def _wait(self, lock: FileLock) -> None:
        from filelock import Timeout

        waiting = asyncio.create_task(asyncio.to_thread(lock.acquire, timeout=self._deadline, poll_interval=0.02))
        try:
            await asyncio.shield(waiting)
        except Timeout:
            raise TimedOut("Another Burrow process holds the sign-in and does not let go of it.") from None
        except asyncio.CancelledError:
            # The thread cannot be stopped: give back what it may still get.
            waiting.add_done_callback(lambda done: _give_back(done, lock))
            raise


def _give_back(acquired: asyncio.Task[object], lock: FileLock) -> None:
    if not acquired.cancelled() and acquired.exception() is None:
        lock.release()
