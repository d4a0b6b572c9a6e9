"""The file lock that says which process of a data folder is first. It also tells the others who that is.

`filelock` does the same, but its import would delay the first paint by 20 ms.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.core.private import FILE_MODE

if TYPE_CHECKING:
    from pathlib import Path

NAME = "instance.lock"
LONGEST_RECORD = 64
# Windows keeps others from reading the bytes that are locked, so that is one behind the record.
LOCKED_BYTE = 1024


class Held(Exception):
    """Another process is first."""


@dataclass(frozen=True, slots=True)
class FirstProcess:
    """Who is first: its process id, 0 where that is not known, and when it started, in seconds since 1970."""

    pid: int = 0
    started: float = 0.0


class InstanceLock:
    """Held from construction until `release`, or until the process ends."""

    def __init__(self, folder: Path) -> None:
        """Take the lock of `folder`. Raises `Held`, and `OSError` where a file cannot be locked."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        self._handle = os.open(folder / NAME, flags, FILE_MODE)
        try:
            _lock(self._handle)
            # On a full disk the others do not learn who it is.
            with suppress(OSError):
                os.ftruncate(self._handle, 0)
                os.write(self._handle, f"{os.getpid()} {time.time():.3f}\n".encode())
        except BaseException:
            os.close(self._handle)
            raise

    def release(self) -> None:
        """Let another process be first. Safe to call twice."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)


def holder(folder: Path) -> FirstProcess:
    """Who wrote that it is first."""
    try:
        with (folder / NAME).open("rb") as file:
            pid, started = file.read(LONGEST_RECORD).split()
            return FirstProcess(max(0, int(pid)), float(started))
    except (OSError, ValueError):
        return FirstProcess()


def _lock(handle: int) -> None:
    if os.name == "nt":
        import msvcrt

        os.lseek(handle, LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            raise Held from None
        os.lseek(handle, 0, os.SEEK_SET)
        return
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Held from None
