"""Lifetime of an embedded workspace: it runs for as long as somebody uses it.

Each user holds the file lock `leases/user-….lock`, which the system releases when the user's process ends, however it
ends. The workspace holds `leases/workspace-PID.lock`. Whoever looks for the workspace, starts it or ends it holds
`leases/start.lock` meanwhile, so nobody finds one that is about to end.
"""

from __future__ import annotations

import json
import os
import threading
import time
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LEASES = "leases"
LOOK_SECONDS = 0.2


class Lifetime:
    """That of this process; `runtime` is the file that names the workspace of the folder."""

    def __init__(self, runtime: Path) -> None:
        self._runtime = runtime
        self._folder = runtime.parent / LEASES
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Both are held until the process ends.
        self._own = _lock(self._folder / f"workspace-{os.getpid()}.lock")
        self._start = _lock(self._folder / "start.lock")
        self._own.acquire()

    def watch(self, over: Callable[[], None]) -> None:
        """Call `over` from a thread of its own once nobody uses this workspace."""
        threading.Thread(target=self._watch, args=(over,), name="lifetime", daemon=True).start()

    def _watch(self, over: Callable[[], None]) -> None:
        while not self._replaced() and not self._left():
            time.sleep(LOOK_SECONDS)
        over()

    def _replaced(self) -> bool:
        """Whether another workspace has taken the place of this one, which was suspended for too long."""
        named = named_in(self._runtime)
        return named is not None and named != os.getpid()

    def _left(self) -> bool:
        """Whether nobody uses it. From then on nobody can find it, because the lock is kept."""
        if self._used() or not _acquired(self._start):
            return False
        if self._used():
            self._start.release()
            return False
        return True

    def _used(self) -> bool:
        return any(_held(path) for path in self._folder.glob("user-*.lock"))


def named_in(runtime: Path) -> int | None:
    """The process that a runtime file names."""
    try:
        found = json.loads(runtime.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    pid = found.get("pid") if isinstance(found, dict) else None
    return pid if isinstance(pid, int) else None


def _held(path: Path) -> bool:
    lock = _lock(path)
    if not _acquired(lock):
        return True
    lock.release()
    return False


def _acquired(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return False
    return True


def _lock(path: Path) -> FileLock:
    # Taken and released on different threads.
    return FileLock(path, thread_local=False, mode=0o600)
