"""GrantFiles: what the processes of a machine share about one grant besides the vault, as small files without secrets.

- The lock lets one process refresh at a time.
- The stamp tells that the stored grant was changed, without asking the keyring, which takes 16 ms to answer and may
  prompt the user each time (faults rows 15 and 65).
- The claim tells that a process that is alive holds a refreshed grant in memory that it could not store (row 20).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from app.core.auth.grant.lock import DEADLINE_SECONDS, ProcessLock, acquired, file_lock
from app.core.errors import StorageTrouble

if TYPE_CHECKING:
    from pathlib import Path

    from filelock import FileLock

NEVER = ""
"""The stamp where no grant was ever stored."""


class GrantFiles:
    """The files called `name` in `folder`. Reading or moving the stamp takes some 20 us and never waits."""

    def __init__(self, folder: Path, name: str, *, deadline: float = DEADLINE_SECONDS) -> None:
        """`deadline` of the lock is in seconds."""
        self.lock = ProcessLock(folder / f"{name}.lock", deadline=deadline)
        self._stamp = folder / f"{name}.stamp"
        self._claim = folder / f"{name}.unstored"
        self._claimed: FileLock | None = None

    def stamp(self) -> str:
        """The current stamp; `NEVER` before the first change. A torn one only differs from all others."""
        try:
            return self._stamp.read_text(encoding="ascii", errors="replace")
        except OSError:
            return NEVER

    def move_stamp(self) -> str:
        """Make the stamp differ from all it was before, and return it. Raises `StorageTrouble`.

        A writer moves it before it changes the grant and once more afterwards. If it dies in between, the other
        processes have a reason to read the grant again; they never lack one.
        """
        text = os.urandom(16).hex()
        try:
            self._stamp.parent.mkdir(parents=True, exist_ok=True)
            self._stamp.write_text(text, encoding="ascii")
        except OSError as failure:
            raise StorageTrouble(f"{self._stamp} cannot be written: {failure}.") from None
        return text

    def claim(self) -> None:
        """Claim the refreshed grant for this process, unless another one has. Raises `StorageTrouble`."""
        if self._claimed is None:
            lock = file_lock(self._claim)
            self._claimed = lock if acquired(lock, self._claim) else None

    def release_claim(self) -> None:
        """Give the claim up. Safe to call without one."""
        lock, self._claimed = self._claimed, None
        if lock is not None:
            lock.release()

    @property
    def claimed_elsewhere(self) -> bool:
        """Whether another process that is alive holds the claim. Raises `StorageTrouble`."""
        if self._claimed is not None:
            return False
        lock = file_lock(self._claim)
        free = acquired(lock, self._claim)
        if free:
            lock.release()
        return not free
