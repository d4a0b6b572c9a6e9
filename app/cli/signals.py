"""How a signal ends a command: the command is cancelled and its services close in order, which may take a moment.

Closing finishes a refresh whose request was sent, because its refresh token may be spent. A second signal ends the
process at once; the journal of the grant then repairs what it can.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import FrameType

SIGNALS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if os.name != "nt" else [])]
# The shell, the kernel and systemd send a hangup beside another signal: that is not somebody who cannot wait.
TOGETHER_SECONDS = 0.5


class Interruption:
    """The signal that ended the command, if one did (`number`)."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._first = 0.0
        self._cancel: list[asyncio.Task[int]] = []
        self._before: Callable[[], bool] | None = None

    @property
    def exit_code(self) -> int:
        """As shells report it."""
        return 128 + (self.number or signal.SIGINT)

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Catch the signals meanwhile, except those that whoever started the process has it ignore (`nohup`)."""
        before = {number: signal.getsignal(number) for number in SIGNALS}
        ours = [number for number in SIGNALS if before[number] not in {signal.SIG_IGN, None}]
        for number in ours:
            signal.signal(number, self._on_signal)
        try:
            yield
        finally:
            for number in ours:
                signal.signal(number, before[number])

    @contextmanager
    def cancels(self, command: asyncio.Task[int]) -> Iterator[None]:
        """Cancel `command` by a signal. Otherwise a signal raises `KeyboardInterrupt`, also out of a blocking read."""
        self._cancel.append(command)
        try:
            yield
        finally:
            self._cancel.remove(command)

    @contextmanager
    def before(self, handled: Callable[[], bool]) -> Iterator[None]:
        """Ask `handled` at Ctrl+C first: when it did what was wanted, the command goes on.

        It is called wherever the process is, so it only leaves work for the loop.
        """
        self._before = handled
        try:
            yield
        finally:
            self._before = None

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.number is None and self._before is not None and self._before():
            return
        if self.number is not None:
            if number == getattr(signal, "SIGHUP", None) and monotonic() - self._first < TOGETHER_SECONDS:
                return
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
            return
        self.number, self._first = number, monotonic()
        for each in (signal.SIGINT, signal.SIGTERM):
            # Not handled by Python from now on, so that they end the process whatever it does.
            if signal.getsignal(each) == self._on_signal:
                signal.signal(each, signal.SIG_DFL)
        if not self._cancel:
            raise KeyboardInterrupt
        for command in self._cancel:
            command.get_loop().call_soon_threadsafe(command.cancel)


interruption = Interruption()
"""That of this process."""


async def to_the_end(closing: Awaitable[None]) -> None:
    """Wait for `closing`, also when the command is cancelled meanwhile: it is ending anyway."""
    work = asyncio.ensure_future(closing)
    while not work.done():
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            if work.cancelled():
                raise
    work.result()
