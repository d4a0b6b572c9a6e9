"""The workspace's log on standard error: bounded where that is the log file of its data folder, and to the point."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME = "workspace.log"
MOST_BYTES = 1024 * 1024
STANDARD_ERROR = 2
# What starlette, anyio and the sockets raise when the other side is gone. That is no failure of the workspace.
GONE = frozenset(
    {"ClientDisconnect", "ClosedResourceError", "BrokenResourceError", "ConnectionResetError", "BrokenPipeError"}
)


class BoundedLog(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to standard error. When the log file has `most` bytes, its older half is dropped.

    Whoever starts the workspace opens that file as its standard error. Any other file is the user's own.
    """

    def __init__(self, path: Path, most: int = MOST_BYTES) -> None:
        super().__init__(sys.stderr)
        self._path = path
        self._most = most

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        # A full disk, or a file that is gone: the next line tries again.
        with contextlib.suppress(OSError):
            self._drop_older()

    def handleError(self, record: logging.LogRecord) -> None:
        # Standard error may be a full disk or a pipe that nobody reads; a traceback of that would go there too.
        if not isinstance(sys.exception(), OSError | ValueError):
            super().handleError(record)

    def _drop_older(self) -> None:
        mine = os.fstat(STANDARD_ERROR)
        if mine.st_size <= self._most or not os.path.samestat(mine, os.stat(self._path)):
            return
        with open(self._path, "rb") as file:
            file.seek(-self._most // 2, os.SEEK_END)
            kept = file.read().partition(b"\n")[2]
        # The descriptor is not in append mode: without the seek the file would grow a hole.
        os.lseek(STANDARD_ERROR, 0, os.SEEK_SET)
        os.ftruncate(STANDARD_ERROR, 0)
        os.write(STANDARD_ERROR, kept)


class GoneClients(logging.Filter):
    """Takes the traceback off a record that only says that a client went away."""

    def filter(self, record: logging.LogRecord) -> bool:
        failure = record.exc_info[1] if record.exc_info else None
        if failure is not None and all(type(one).__name__ in GONE for one in _parts(failure)):
            record.msg = f"{record.getMessage().strip()}: the client went away"
            record.args, record.exc_info, record.exc_text = (), None, None
        return True


def start_log(folder: Path) -> None:
    """Log warnings and errors of this process, whose data are in `folder`."""
    handler = BoundedLog(folder / FILE_NAME)
    handler.addFilter(GoneClients())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")


def _parts(failure: BaseException) -> list[BaseException]:
    if isinstance(failure, BaseExceptionGroup):
        return [part for inner in failure.exceptions for part in _parts(inner)]
    return [failure]
