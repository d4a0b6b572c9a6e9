"""Work on many entries in slices, so that the shared loop is never held for long.

A thread would not do: the work is Python and JSON, which hold the interpreter's lock, so the window would wait for that
instead. A slice ends after 4 ms; Qt paints and reads input before the next one.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from app.core.runs.log_entries import LogEntry

SLICE_SECONDS = 0.004
AT_ONCE = 32
# Decoding an entry takes 2 to 4 ms for each MB of it, adding it as much again.
LONG_ENTRY = 256 * 1024


async def apply_in_slices(apply: Callable[[Sequence[LogEntry]], object], entries: Iterable[LogEntry]) -> int:
    """Call `apply` with a few entries at a time, and let others run in between. Returns how many there were."""
    waiting, count = iter(entries), 0
    ends = perf_counter() + SLICE_SECONDS
    while some := _next_of(waiting):
        apply(some)
        count += len(some)
        if perf_counter() >= ends:
            await asyncio.sleep(0)
            ends = perf_counter() + SLICE_SECONDS
    return count


def _next_of(entries: Iterator[LogEntry]) -> list[LogEntry]:
    some = []
    for entry in islice(entries, AT_ONCE):
        some.append(entry)
        if len(entry.raw) > LONG_ENTRY:
            break
    return some
