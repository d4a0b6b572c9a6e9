"""One key of the person at the terminal, without blocking the loop."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

POLL_SECONDS = 0.05


def has_keys() -> bool:
    """Whether a person can press keys: standard input is a terminal, and they see what is asked."""
    try:
        return sys.stdin is not None and sys.stdin.isatty() and sys.stderr is not None and sys.stderr.isatty()
    except ValueError:
        return False


def forget_keys() -> None:
    """Forget what was pressed so far: it was no answer to what is asked from now on."""
    if os.name == "nt":
        import msvcrt

        while msvcrt.kbhit():  # type: ignore[attr-defined,unused-ignore]
            msvcrt.getwch()  # type: ignore[attr-defined,unused-ignore]
        return
    import termios

    # The terminal may be gone.
    with suppress(termios.error):
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)


async def read_key() -> str:
    """The next key; empty when the terminal is gone. Signals work as usual meanwhile."""
    if os.name == "nt":
        return await _read_on_windows()
    loop, handle = asyncio.get_running_loop(), sys.stdin.fileno()
    key: asyncio.Future[str] = loop.create_future()

    def ready() -> None:
        if not key.done():
            try:
                key.set_result(os.read(handle, 1).decode("utf-8", "replace"))
            except OSError:
                key.set_result("")

    with _each_key(handle):
        loop.add_reader(handle, ready)
        try:
            return await key
        finally:
            loop.remove_reader(handle)


@contextmanager
def _each_key(handle: int) -> Iterator[None]:
    """Have the terminal pass each key on at once, without showing it."""
    import termios
    import tty

    try:
        before = termios.tcgetattr(handle)
    except termios.error:
        yield
        return
    tty.setcbreak(handle, termios.TCSANOW)
    try:
        yield
    finally:
        with suppress(termios.error):
            termios.tcsetattr(handle, termios.TCSANOW, before)


async def _read_on_windows() -> str:
    import msvcrt

    # The console of Windows tells nobody of a key.
    while not msvcrt.kbhit():  # type: ignore[attr-defined,unused-ignore] # noqa: ASYNC110
        await asyncio.sleep(POLL_SECONDS)
    return str(msvcrt.getwch())  # type: ignore[attr-defined,unused-ignore]
