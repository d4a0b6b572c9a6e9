"""HangWatch: writes where every thread is when the loop has not turned for long.

`faulthandler` waits in a thread of its own, so it works while Python is stuck in a call. The loop calls `beat`.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from app.core.private import make_private_folder, open_private

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

HANGS_FILE = "hangs.txt"
# How long the loop may not turn, and how often it says that it does.
HANG_SECONDS, BEAT_SECONDS = 10.0, 3.0
FILE_BYTES = 256 * 1024


class HangWatch:
    """Begins with the first `beat`. `faulthandler` has one such watch for the process."""

    def __init__(self, folder: Path, *, seconds: float = HANG_SECONDS) -> None:
        """`folder` is that of the crash reports. Raises `OSError` where it cannot be written."""
        make_private_folder(folder)
        self._file: IO[bytes] = open(folder / HANGS_FILE, "ab", buffering=0, opener=open_private)  # noqa: SIM115
        self._seconds = seconds
        self._size = os.fstat(self._file.fileno()).st_size
        if self._size > FILE_BYTES:
            self._file.truncate(0)
            self._size = 0

    def beat(self) -> bool:
        """The loop turns. Returns whether it had not for long before this."""
        with suppress(OSError):
            size = os.fstat(self._file.fileno()).st_size
            hung = size > self._size
            if hung:
                if size > FILE_BYTES:
                    # A process may live for months.
                    self._file.truncate(0)
                stamp = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
                self._file.write(f"The loop turned again at {stamp}.\n\n".encode())
                log.warning("the window did not answer for more than %g s; see %s", self._seconds, HANGS_FILE)
                self._size = os.fstat(self._file.fileno()).st_size
            faulthandler.dump_traceback_later(self._seconds, file=self._file)
            return hung
        return False

    def end(self) -> None:
        """Watch no more."""
        faulthandler.cancel_dump_traceback_later()
        self._file.close()
