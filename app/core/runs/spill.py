"""SpillFile: bytes that are appended and read back, in a private file without a name.

The file is deleted when it is opened (POSIX) or when it is closed (Windows), so that nothing is left when Burrow is
killed. A thread writes to it, because a slow disk must not hold the loop; what is not written yet is read from memory.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from typing import IO, TYPE_CHECKING

from app.core.private import make_private_folder
from app.core.storage.writer import Writer

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

BLOCK = 256 * 1024

log = logging.getLogger(__name__)


class SpillFile:
    """Bytes by the place where they begin. Not opened before the first block is full.

    `failure` says why nothing can be written any more. What was appended until then stays readable: it is kept in
    memory.
    """

    def __init__(self, folder: Path) -> None:
        self.failure: OSError | None = None
        self._folder = folder
        self._writer = Writer("burrow-spill")
        self._file: IO[bytes] | None = None
        self._block = bytearray()
        self._start = 0
        # Blocks that the thread has not written yet, by their places. Only the thread removes any.
        self._waiting: dict[int, bytes] = {}
        self._reading = threading.Lock()
        self._closing: Future[None] | None = None

    @property
    def size(self) -> int:
        """How many bytes were appended."""
        return self._start + len(self._block)

    @property
    def in_memory(self) -> int:
        """How many bytes of it are in memory."""
        return len(self._block) + sum(len(block) for block in tuple(self._waiting.values()))

    def append(self, content: bytes) -> int:
        """Add bytes; returns their place."""
        place = self._start + len(self._block)
        self._block += content
        if len(self._block) >= BLOCK:
            block = bytes(self._block)
            self._waiting[self._start] = block
            self._block.clear()
            start, self._start = self._start, self._start + len(block)
            if self.failure is None:
                self._writer.submit(lambda: self._write(start, block))
        return place

    def read(self, place: int, length: int) -> bytes:
        """Bytes that were appended one after the other. Raises `OSError` when the disk fails."""
        found, end = b"", place + length
        while place < end:
            part = self._part(place, end)
            # Mostly it is in one piece.
            found = found + part if found else part
            place += len(part)
        return found

    def _part(self, place: int, end: int) -> bytes:
        """The beginning of what is asked for, as far as it is in one place."""
        if place >= self._start:
            return bytes(self._block[place - self._start : end - self._start])
        first = self._start
        # The writer's thread takes from it meanwhile. A copy is made at once, which iterating is not.
        for start, block in self._waiting.copy().items():
            if start <= place < start + len(block):
                return block[place - start : end - start]
            first = min(first, start)
        with self._reading:
            if self._file is None:
                raise OSError("the file is closed")
            return _read_at(self._file, place, min(end, max(first, place + 1)) - place)

    def close(self) -> None:
        """Delete the file, once what is being written is. Safe to call again."""
        if self._closing is None:
            self._closing = self._writer.close(self._release)

    def _write(self, start: int, block: bytes) -> None:
        if self.failure is not None:
            return
        try:
            with self._reading:
                if self._file is None:
                    make_private_folder(self._folder)
                    # Without a buffer: a part of a block may fail later than its `write`.
                    self._file = tempfile.TemporaryFile(dir=self._folder, prefix="run-", buffering=0)  # noqa: SIM115
                _write_at(self._file, start, block)
        except OSError as failure:
            log.warning("the older part of a run's log stays in memory: %s", failure)
            self.failure = failure
            return
        del self._waiting[start]

    def _release(self) -> None:
        with self._reading:
            file, self._file = self._file, None
            self._waiting.clear()
            if file is not None:
                file.close()


def _write_at(file: IO[bytes], place: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        if os.name == "posix":
            written = os.pwrite(file.fileno(), view, place)
        else:
            file.seek(place)
            written = file.write(view)
        place += written
        view = view[written:]


def _read_at(file: IO[bytes], place: int, length: int) -> bytes:
    if os.name == "posix":
        found = os.pread(file.fileno(), length, place)
    else:
        file.seek(place)
        found = file.read(length)
    if len(found) != length:
        raise OSError("the file is shorter than what was written to it")
    return found
