"""When to look for updates: once a day, later after failures, never right after a start, not all at one moment."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

from app.core.errors import BurrowError

if TYPE_CHECKING:
    from app.core.updates.record import UpdateRecord
    from app.core.updates.service import Updates

DAY = 86_400.0
# The first look after a start: nobody waits for it, and the start has other things to do.
FIRST_SECONDS = 300.0
# Nor is it asked more often than so whether a look is due.
LEAST_SECONDS = 60.0
# How much a wait may be longer by chance, so that not everybody asks at the same moment.
JITTER = 0.25
# After a failure: an hour, then twice as long each time, a day at most.
BACK_OFF = 3_600.0


async def look_daily(updates: Updates, *, first: float = FIRST_SECONDS) -> None:
    """Look for updates once a day until cancelled. Never raises, never downloads."""
    await asyncio.sleep(_jittered(first))
    while True:
        wait = due(await updates.record(), updates.now())
        if wait <= 0 and updates.why_off is None:
            # What went wrong is in the log, in the record and in the settings.
            with contextlib.suppress(BurrowError):
                await updates.check()
        await asyncio.sleep(_jittered(min(max(wait, LEAST_SECONDS), DAY)))


def due(record: UpdateRecord, now: float) -> float:
    """In how many seconds the next look is due; not positive when it is."""
    if record.checked > now:
        # The clock was set back.
        return 0.0
    pause = min(DAY, BACK_OFF * 2 ** min(record.failures - 1, 10)) if record.failures else DAY
    return record.checked + pause - now


def _jittered(seconds: float) -> float:
    return seconds * (1 + random.random() * JITTER)
