"""Lines that the user types or pastes into the terminal while a command waits for something else."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

READ_BYTES = 65_536


def can_paste() -> bool:
    """Whether standard input is a terminal that this process may read."""
    try:
        return sys.stdin is not None and os.isatty(0) and _in_foreground()
    except OSError:
        return False


@contextmanager
def pasted_lines(take: Callable[[str], None]) -> Iterator[None]:
    """Call `take` on the loop with each line from the terminal, without line end, for as long as the block runs.

    Without a terminal nothing is read. The text goes nowhere but to `take`.
    """
    if not can_paste():
        yield
        return
    loop = asyncio.get_running_loop()
    lines = _Lines(take)
    if os.name == "posix":

        def readable() -> None:
            # A process in the background is stopped when it reads from its terminal.
            data = os.read(0, READ_BYTES) if _in_foreground() else b""
            if not data:
                loop.remove_reader(0)
            lines.feed(data)

        loop.add_reader(0, readable)
        try:
            yield
        finally:
            loop.remove_reader(0)
        return

    def read() -> None:
        # Not through `sys.stdin`: a daemon thread that holds its lock would crash the interpreter at its end.
        while data := os.read(0, READ_BYTES):
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(lines.feed, data)

    threading.Thread(target=read, name="terminal", daemon=True).start()
    yield
    lines.take = None


class _Lines:
    """Puts lines together."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self.take: Callable[[str], None] | None = take
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            if self.take is not None and line.strip():
                self.take(line.strip().decode("utf-8", "replace"))


def _in_foreground() -> bool:
    if sys.platform == "win32":
        return True
    return os.tcgetpgrp(0) == os.getpgrp()
