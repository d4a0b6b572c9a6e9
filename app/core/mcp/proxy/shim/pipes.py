"""Standard input and output as the shim uses them: whole lines of any length, each in a thread of its own.

Threads, because neither need be a pipe that a loop can wait for. They are daemons: a program that reads nothing any
more must not keep the shim from ending.
"""

from __future__ import annotations

import asyncio
import os
import select
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Of one message, in bytes.
LONGEST_LINE = 64 * 1024 * 1024
READ_BYTES = 1024 * 1024
# Of what is read and not handled, or written and not taken.
WAITING_BYTES = 4 * 1024 * 1024


class LineTooLong(Exception):
    """A line was longer than can be kept. What follows it is read."""


class Lines:
    """The lines of a descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        # Of the lines that nobody has taken yet, guarded by the condition. Not counted by the loop, which may be busy
        # while the thread reads.
        self._waiting = 0
        self._room = threading.Condition()
        threading.Thread(target=self._read, name="burrow-stdin", daemon=True).start()

    async def next(self) -> bytes | None:
        """The next line without its end, None at the end. Raises `LineTooLong`."""
        line = await self._lines.get()
        if line is None:
            return None
        with self._room:
            self._waiting -= _cost(line)
            self._room.notify()
        if line == _TOO_LONG:
            raise LineTooLong
        return line

    def _read(self) -> None:
        rest = bytearray()
        skipping = False
        while data := self._more():
            *lines, last = data.split(b"\n")
            whole: list[bytes] = []
            for line in lines:
                whole.append(_TOO_LONG if skipping or len(rest) + len(line) > LONGEST_LINE else bytes(rest) + line)
                rest.clear()
                skipping = False
            if len(rest) + len(last) > LONGEST_LINE:
                skipping = True
                rest.clear()
            elif not skipping:
                rest += last
            whole = [line for line in whole if line and line != b"\r"]
            if whole and not self._hand_over(whole):
                return
        self._hand_over([None])

    def _more(self) -> bytes:
        with self._room:
            self._room.wait_for(lambda: self._waiting < WAITING_BYTES)
        while True:
            try:
                return os.read(self._descriptor, READ_BYTES)
            except BlockingIOError:
                select.select([self._descriptor], [], [])
            except OSError:
                return b""

    def _hand_over(self, lines: Sequence[bytes | None]) -> bool:
        with self._room:
            self._waiting += sum(map(_cost, filter(None, lines)))
        try:
            self._loop.call_soon_threadsafe(self._take, lines)
        except RuntimeError:
            # The loop is closed.
            return False
        return True

    def _take(self, lines: Sequence[bytes | None]) -> None:
        for line in lines:
            self._lines.put_nowait(line)


class LineWriter:
    """Writes lines to a descriptor, in order. `failed` is called on the loop when it takes no more."""

    def __init__(self, descriptor: int, failed: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._lines: SimpleQueue[bytes | None] = SimpleQueue()
        self._waiting = 0
        self._room = asyncio.Event()
        self._room.set()
        self._empty = asyncio.Event()
        self._empty.set()
        threading.Thread(target=self._work, name="burrow-stdout", daemon=True).start()

    async def write(self, line: bytes) -> None:
        """Write a line, which has no end yet. Waits while the reader is slow."""
        self._waiting += len(line)
        self._empty.clear()
        self._lines.put(line + b"\n")
        if self._waiting > WAITING_BYTES:
            self._room.clear()
            await self._room.wait()

    async def written(self) -> None:
        """Wait until the reader has all of it."""
        await self._empty.wait()

    def close(self) -> None:
        """Write what waits, and end."""
        self._lines.put(None)

    def _work(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._write(memoryview(line))
            except OSError:
                self._tell(self._failed)
                return
            self._tell(self._written, len(line) - 1)

    def _write(self, data: memoryview) -> None:
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])

    def _tell(self, callback: Callable[..., None], *arguments: int) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            return

    def _written(self, size: int) -> None:
        self._waiting -= size
        if self._waiting <= WAITING_BYTES:
            self._room.set()
        if not self._waiting:
            self._empty.set()


def _cost(line: bytes) -> int:
    """The bytes that a line takes, the object around it included: a program may send many that are short."""
    return len(line) + 64


# No line has a line feed.
_TOO_LONG = b"\n"
