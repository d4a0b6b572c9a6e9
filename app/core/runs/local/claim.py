"""A local run is carried out by one process at a time: a lock in its folder says so, which dies with its holder.

A file beside it says which process that is, for those who look on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

import msgspec

from app.core.file_lock import file_lock
from app.core.posthog.types import Value
from app.core.private import make_private_folder, replace_private

if TYPE_CHECKING:
    from pathlib import Path

    from filelock import FileLock

LOCK, HOLDER = "run.lock", "holder.json"
# Who looks whether the lock is free holds it for a moment.
LOOK_SECONDS = 0.3


class RunHolder(Value, frozen=True):
    """The process that has a run. `role` is what it is, as `Services.role`; 0 and empty where that is not known."""

    pid: int = 0
    role: str = ""


def claim(folder: Path, role: str = "") -> FileLock | None:
    """Take the run whose folder this is; None while another process has it. Raises `OSError`. Call it in a thread."""
    from filelock import Timeout

    make_private_folder(folder)
    lock = file_lock(folder / LOCK)
    try:
        lock.acquire(timeout=LOOK_SECONDS, poll_interval=0.02)
    except Timeout:
        return None
    with contextlib.suppress(OSError):
        holder = RunHolder(os.getpid(), role)
        replace_private(folder / HOLDER, msgspec.json.encode(holder).decode(), prefix=".holder-")
    return lock


def holder_of(folder: Path) -> RunHolder | None:
    """Which process has a run; None for nobody. Raises `OSError`. Call it in a thread, not while it is held here."""
    from filelock import Timeout

    if not (folder / LOCK).exists():
        return None
    lock = file_lock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        try:
            return msgspec.json.decode((folder / HOLDER).read_bytes(), type=RunHolder)
        except (OSError, msgspec.MsgspecError):
            return RunHolder()
    lock.release()
    return None


class RunClaim:
    """The claim of this process on a run: taken by the first who needs it, given up when nobody does any more."""

    def __init__(self, folder: Path, role: str = "") -> None:
        self._folder, self._role = folder, role
        self._gate = asyncio.Lock()
        self._lock: FileLock | None = None
        self._count = 0

    @property
    def held(self) -> bool:
        """Whether this process has the run."""
        return self._lock is not None

    async def take(self) -> bool:
        """Whether this process has the run; False while another one has it."""
        async with self._gate:
            if self._lock is None:
                self._lock = await asyncio.to_thread(claim, self._folder, self._role)
            self._count += self._lock is not None
            return self._lock is not None

    async def holder(self) -> RunHolder | None:
        """Which other process has the run; None for nobody, and for this one. Raises `OSError`."""
        async with self._gate:
            return None if self._lock is not None else await asyncio.to_thread(holder_of, self._folder)

    async def give_up(self) -> None:
        """Once for each `take` that was successful."""
        async with self._gate:
            self._count -= 1
            if self._count == 0 and self._lock is not None:
                lock, self._lock = self._lock, None
                await asyncio.to_thread(lock.release)
