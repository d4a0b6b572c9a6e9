"""HangWatch: writes where every thread is when the loop has not turned for long.

A thread of its own waits for the loop's beats. It reads the frames of the others while it has the interpreter's lock:
`faulthandler.dump_traceback_later` reads them without it, and ended a process that was only busy (CPython 3.11). So a
call that keeps the lock is written down once it returns.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
import traceback
from typing import IO, TYPE_CHECKING

from app.core.private import make_private_folder, open_private

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

HANGS_FILE = "hangs.txt"
# How long the loop may not turn, and how often it says that it does.
HANG_SECONDS, BEAT_SECONDS = 10.0, 3.0
FILE_BYTES = 256 * 1024
END_SECONDS = 1.0
# Of each thread, the innermost ones.
MOST_FRAMES = 60


class HangWatch:
    """Begins with the first `beat`."""

    def __init__(self, folder: Path, *, seconds: float = HANG_SECONDS) -> None:
        """`folder` is that of the crash reports. Raises `OSError` where it cannot be written."""
        make_private_folder(folder)
        self._file: IO[bytes] = open(folder / HANGS_FILE, "ab", buffering=0, opener=open_private)  # noqa: SIM115
        self._seconds = seconds
        self._beaten = threading.Event()
        self._ended = False
        # Set by the thread, taken back by the next beat.
        self._hung = False
        self._thread = threading.Thread(target=self._watch, name="hang watch", daemon=True)
        self._make_room()

    def beat(self) -> bool:
        """The loop turns. Returns whether it had not for long before this."""
        hung, self._hung = self._hung, False
        if hung:
            stamp = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
            self._write(f"The loop turned again at {stamp}.\n\n")
            # A process may live for months.
            self._make_room()
            log.warning("the window did not answer for more than %g s; see %s", self._seconds, HANGS_FILE)
        if self._thread.ident is None:
            self._thread.start()
        self._beaten.set()
        return hung

    def end(self) -> None:
        """Watch no more."""
        self._ended = True
        self._beaten.set()
        if self._thread.ident is not None:
            self._thread.join(END_SECONDS)
        self._file.close()

    def _watch(self) -> None:
        while not self._ended:
            if not self._beaten.wait(self._seconds) and not self._ended:
                self._hung = True
                self._write(_threads(threading.get_ident()))
                # Once for each time that it stands still.
                self._beaten.wait()
            self._beaten.clear()

    def _write(self, text: str) -> None:
        # The disk may be full, and the file closed by the end.
        with contextlib.suppress(OSError, ValueError):
            self._file.write(text.encode("utf-8", "replace"))

    def _make_room(self) -> None:
        with contextlib.suppress(OSError):
            if os.fstat(self._file.fileno()).st_size > FILE_BYTES:
                self._file.truncate(0)


def _threads(without: int) -> str:
    """Where each thread is, the most recent call last, without the values of anything."""
    names = {each.ident: each.name for each in threading.enumerate()}
    lines = [f"The loop has not turned at {time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime())}.\n"]
    for ident, frame in sys._current_frames().items():
        if ident == without:
            continue
        lines.append(f"Thread {names.get(ident, ident)}:\n")
        for found, number in list(traceback.walk_stack(frame))[:MOST_FRAMES][::-1]:
            lines.append(f'  File "{found.f_code.co_filename}", line {number} in {found.f_code.co_name}\n')
    return "".join(lines)
