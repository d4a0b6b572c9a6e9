"""GrantFiles: what the processes of a machine share about one grant besides the vault, in small files without secrets.

- The lock lets one process refresh at a time.
- The stamp changes with the stored grant. Reading it costs nothing. Asking the keyring takes 16 ms and may show a
  prompt each time (faults rows 15 and 65).
- The claim is a file lock. While it is held, its process has a refreshed grant that it could not store (row 20).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from app.core.auth.grant.lock import DEADLINE_SECONDS, ProcessLock, acquired
from app.core.errors import StorageTrouble
from app.core.file_lock import file_lock
from app.core.private import make_private_folder

if TYPE_CHECKING:
    from pathlib import Path

    from filelock import FileLock

NO_STAMP = ""
"""The stamp where no grant was ever stored."""


class GrantFiles:
    """The files called `name` in `folder`. Reading or changing the stamp takes about 20 us and never waits."""

    def __init__(self, folder: Path, name: str, *, deadline: float = DEADLINE_SECONDS) -> None:
        """`deadline` is how long to wait for the lock, in seconds."""
        self.lock = ProcessLock(folder / f"{name}.lock", deadline=deadline)
        self._stamp_path = folder / f"{name}.stamp"
        self._claim_path = folder / f"{name}.unstored"
        self._claim: FileLock | None = None

    def stamp(self) -> str:
        """The current stamp; `NO_STAMP` before the first change.

        The file may be read while it is written. A torn stamp only has to differ from every stamp seen before, and
        from `NO_STAMP`.
        """
        try:
            return self._stamp_path.read_text(encoding="ascii", errors="replace")
        except OSError:
            return NO_STAMP

    def change_stamp(self) -> str:
        """Give the stamp a value that it never had, and return it. Raises `StorageTrouble`.

        A writer changes it before it writes the grant and again afterwards. The first change covers a writer that dies
        in between: the others find a reason to read the grant. The second covers a reader that looked too early.
        """
        text = os.urandom(16).hex()
        try:
            make_private_folder(self._stamp_path.parent)
            # Written over the former stamp, which is as long. A file that is truncated first would say for a moment
            # that no grant was ever stored, and a process that starts in that moment would be signed out.
            handle = os.open(self._stamp_path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
            try:
                os.write(handle, text.encode("ascii"))
            finally:
                os.close(handle)
        except OSError as failure:
            raise StorageTrouble(f"{self._stamp_path} cannot be written: {failure}.") from None
        return text

    def claim(self) -> None:
        """Claim the refreshed grant for this process, unless another one has. Raises `StorageTrouble`."""
        # A file lock and not a marker file: the system releases it when the process dies, however it dies.
        if self._claim is None:
            lock = file_lock(self._claim_path)
            self._claim = lock if acquired(lock, self._claim_path) else None

    def release_claim(self) -> None:
        """Give the claim up. Safe to call without one."""
        lock, self._claim = self._claim, None
        if lock is not None:
            lock.release()

    @property
    def claimed_elsewhere(self) -> bool:
        """Whether another live process holds the claim. Raises `StorageTrouble`."""
        if self._claim is not None:
            return False
        lock = file_lock(self._claim_path)
        free = acquired(lock, self._claim_path)
        if free:
            lock.release()
        return not free
