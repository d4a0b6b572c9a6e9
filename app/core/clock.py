"""Clocks: the times a session goes by, passed in so that a test can set, stop and suspend them.

A wall clock jumps when somebody sets it, and the loop's own time may stand still while the machine sleeps (faults rows
59 and 60). What happened how long ago is therefore asked of the time since boot, which does neither, and what time it
is on the server is learnt from its `Date` headers (RFC 9110 section 6.6.1).
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# A `Date` counts whole seconds, and the answer was some time on its way.
DATE_UNCERTAINTY = 2.0
LEARN_SECONDS = 60.0
WATCH_SECONDS = 10.0
# What a timer of ten seconds may be late on a busy machine before that counts as sleep.
SLEPT_SECONDS = 5.0


class Clock(Protocol):
    """Where times come from, all in seconds."""

    def wall(self) -> float:
        """Unix time as this machine believes it."""

    def boot(self) -> float:
        """Time since some moment of this boot, the machine's sleep included; the same for every process."""

    async def sleep(self, seconds: float) -> None:
        """Wait, perhaps longer by as much as the machine sleeps meanwhile."""


class SystemClock:
    """This machine's clocks. `boot` is CLOCK_BOOTTIME on Linux; elsewhere the monotonic clock counts sleep as well."""

    def wall(self) -> float:
        return time.time()

    if sys.platform == "linux":

        def boot(self) -> float:
            return time.clock_gettime(time.CLOCK_BOOTTIME)
    elif sys.platform == "darwin":

        def boot(self) -> float:
            return time.clock_gettime(time.CLOCK_MONOTONIC)
    else:

        def boot(self) -> float:
            return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ServerTime:
    """What time it is on the server: the local wall clock as it was at first, corrected by what the server says.

    Runs on the time since boot, so a wall clock that is set while this process runs changes nothing.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._offset = clock.wall() - clock.boot()
        self._learns_at = clock.boot()

    def now(self) -> float:
        """Unix time in seconds, by the server's clock as far as it is known."""
        return self.clock.boot() + self._offset

    @property
    def skew(self) -> float:
        """How many seconds the server's clock is ahead of this machine's."""
        return self.now() - self.clock.wall()

    def local(self, moment: float) -> float:
        """A moment of the server's clock as this machine's clock shows it, for a person to read."""
        return moment - self.skew

    def learn(self, headers: Mapping[str, str], *, at_once: bool = False) -> bool:
        """Take the time from an answer, at most once a minute unless `at_once`; True if it was off.

        A cached answer is older than its `Date` says (RFC 9111 section 5.1).
        """
        boot = self.clock.boot()
        if boot < self._learns_at and not at_once:
            return False
        self._learns_at = boot + LEARN_SECONDS
        date = headers.get("date")
        if date is None:
            return False
        from email.utils import parsedate_to_datetime

        try:
            moment = parsedate_to_datetime(date).timestamp() + float(headers.get("age", 0))
        except (ValueError, OverflowError):
            return False
        if abs(moment - self.now()) <= DATE_UNCERTAINTY:
            return False
        self._offset = moment - boot
        return True


async def watch_sleep(clock: Clock, woke: Callable[[], None]) -> None:
    """Call `woke` after each sleep of the machine, within ten seconds of its end. Runs until cancelled."""
    while True:
        before = clock.boot()
        await clock.sleep(WATCH_SECONDS)
        if clock.boot() - before > WATCH_SECONDS + SLEPT_SECONDS:
            woke()
