"""Clocks: the sources of time for credentials, passed in so that a test can set, stop and suspend them.

The wall clock jumps when it is set, and the loop's clock may stand still while the machine sleeps (faults rows 59 and
60). The time since boot does neither, so it measures durations. The server's time comes from its `Date` headers (RFC
9110 section 6.6.1).
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# A `Date` has whole seconds, and the response took some time to arrive. A smaller difference is no error of the clock.
DATE_UNCERTAINTY = 2.0
LEARN_SECONDS = 60.0
WATCH_SECONDS = 10.0
# No clock that tokens are issued by is outside of these: 2020 to 2100, in Unix seconds.
EARLIEST, LATEST = 1_577_836_800.0, 4_102_444_800.0
# A response that says it was in a cache for longer than a month says nothing about the time.
LONGEST_AGE = 31 * 86_400
# How late a timer of ten seconds may be on a busy machine before that counts as sleep.
SLEPT_SECONDS = 5.0


class Clock(Protocol):
    """A source of time. All times are in seconds."""

    def wall(self) -> float:
        """Unix time by this machine's wall clock."""

    def boot(self) -> float:
        """Time since some moment of this boot, including sleep of the machine; the same for every process."""

    async def sleep(self, seconds: float) -> None:
        """Wait. If the machine sleeps meanwhile, that time may come on top."""


class SystemClock:
    """This machine's clocks."""

    def wall(self) -> float:
        return time.time()

    # Of the monotonic clocks, the one that counts sleep. On Windows the ordinary one does.
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
    """The server's time: the wall clock as it was at the start, corrected by the server's `Date` headers.

    It runs on the time since boot, so setting the wall clock while this process runs changes nothing.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._offset = clock.wall() - clock.boot()
        self._learns_at = clock.boot()

    def now(self) -> float:
        """Unix time in seconds by the server's clock, as far as that is known."""
        return self.clock.boot() + self._offset

    @property
    def skew(self) -> float:
        """How many seconds the server's clock is ahead of this machine's."""
        return self.now() - self.clock.wall()

    def local(self, moment: float) -> float:
        """A time of the server's clock, converted to this machine's clock for people to read."""
        return moment - self.skew

    def learn(self, headers: Mapping[str, str], *, at_once: bool = False) -> bool:
        """Correct the time by the headers of a response; returns whether it was wrong.

        Looks at them once a minute, so that not every response costs parsing a date. `at_once` looks in any case.
        """
        boot = self.clock.boot()
        if boot < self._learns_at and not at_once:
            return False
        self._learns_at = boot + LEARN_SECONDS
        moment = _moment(headers)
        if moment is None or abs(moment - self.now()) <= DATE_UNCERTAINTY:
            return False
        self._offset = moment - boot
        return True


def _moment(headers: Mapping[str, str]) -> float | None:
    """The server's time by the headers of a response, in Unix seconds; None when they do not tell it."""
    # `Age` is how long the response was in a cache, in whole seconds (RFC 9111 section 5.1).
    date, age = headers.get("date"), headers.get("age", "0").strip()
    if date is None or not age.isascii() or not age.isdecimal() or float(age) > LONGEST_AGE:
        return None
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(date).timestamp() + float(age)
    except (ValueError, OverflowError, OSError):
        return None
    return moment if EARLIEST <= moment <= LATEST else None


async def watch_sleep(clock: Clock, woke: Callable[[], None]) -> None:
    """Call `woke` after each sleep of the machine, within ten seconds of its end. Runs until cancelled."""
    while True:
        # The timer stands still during sleep and the boot clock does not. Their difference is how long the machine
        # slept.
        before = clock.boot()
        await clock.sleep(WATCH_SECONDS)
        if clock.boot() - before > WATCH_SECONDS + SLEPT_SECONDS:
            woke()
