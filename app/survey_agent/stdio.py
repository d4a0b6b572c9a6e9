"""Standard input and output as byte streams, on every system.

Threads read and write: on Windows asyncio cannot wait for pipes that it has not opened itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import deque

PIECE = 256 * 1024
# Reading waits when so much has not been taken yet.
MOST_WAITING = 64


class StandardInput:
    """A `ByteSource`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pieces: deque[bytes] = deque()
        self._there = asyncio.Event()
        self._room = threading.Semaphore(MOST_WAITING)
        threading.Thread(target=self._read, name="stdin", daemon=True).start()

    async def read(self, _size: int, /) -> bytes:
        while not self._pieces:
            self._there.clear()
            await self._there.wait()
        piece = self._pieces[0]
        # The end stays, for whoever reads again.
        if piece:
            self._pieces.popleft()
            self._room.release()
        return piece

    def _read(self) -> None:
        piece = b"-"
        while piece:
            self._room.acquire()
            try:
                piece = os.read(0, PIECE)
            except OSError:
                piece = b""
            # The loop may be closed already.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._take, piece)

    def _take(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._there.set()


class StandardOutput:
    """A `ByteSink`."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def write(self, data: bytes, /) -> None:
        self._waiting += data

    async def drain(self) -> None:
        waiting, self._waiting = self._waiting, bytearray()
        if waiting:
            await asyncio.to_thread(_write, bytes(waiting))


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]
