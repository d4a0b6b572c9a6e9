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
    from collections.abc import Callable, Iterable, Sequence

    from app.core.runs.log_entries import LogEntry

SLICE_SECONDS = 0.004
AT_ONCE = 32


async def apply_in_slices(apply: Callable[[Sequence[LogEntry]], object], entries: Iterable[LogEntry]) -> int:
    """Call `apply` with a few entries at a time, and let others run in between. Returns how many there were."""
    waiting, count = iter(entries), 0
    ends = perf_counter() + SLICE_SECONDS
    while some := tuple(islice(waiting, AT_ONCE)):
        apply(some)
        count += len(some)
        if perf_counter() >= ends:
            await asyncio.sleep(0)
            ends = perf_counter() + SLICE_SECONDS
    return count
