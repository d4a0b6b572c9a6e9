"""StoredLog: the log of a run as the server keeps it, read page by page, and those of the runs that it resumed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app.core.errors import BurrowError, NotFound, ProtocolTrouble
from app.core.posthog.runs import LOG_PAGE
from app.core.runs.log_entries import entries_of, iterate_lines, split_page
from app.core.runs.slices import apply_in_slices

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.core.posthog.runs import Runs
    from app.core.posthog.types import TaskRun
    from app.core.runs.log_entries import LogEntry

# A chain of resumed runs that is longer than this is a circle.
MOST_ANCESTORS = 50
NOT_ALLOWED = 405


class StoredLog:
    """`task` and `run` are ids. Everything raises `BurrowError` from the requests."""

    def __init__(self, runs: Runs, task: str, run: str) -> None:
        self._runs, self._task, self._run = runs, task, run

    async def read(self, apply: Callable[[Sequence[LogEntry]], object], *, offset: int = 0) -> int:
        """Apply the entries from `offset` on, in slices; returns how many the log has in all."""
        while True:
            try:
                page = await self._runs.log_page(self._task, self._run, offset=offset)
            except BurrowError as missing:
                if not isinstance(missing, NotFound) and missing.facts.status != NOT_ALLOWED:
                    raise
                return await self._read_whole(apply, offset)
            try:
                lines = split_page(page.content)
            except msgspec.DecodeError:
                raise ProtocolTrouble("The log of the run is no list.") from None
            await apply_in_slices(apply, entries_of(lines))
            offset += len(lines)
            # Without a word of the server, a page that is full is not the last.
            if not lines or not (len(lines) >= LOG_PAGE if page.more is None else page.more):
                return offset

    async def read_ancestors(self, run: TaskRun, apply: Callable[[Sequence[LogEntry]], object]) -> None:
        """Apply the logs of the runs that `run` goes on from, the oldest first. What is gone is left out."""
        chain: list[str] = []
        at: TaskRun | None = run
        while at is not None and len(chain) < MOST_ANCESTORS:
            before = (at.state or {}).get("resume_from_run_id")
            if not isinstance(before, str) or not before or before in {*chain, run.id}:
                break
            chain.append(before)
            try:
                at = await self._runs.get(self._task, before)
            except NotFound:
                chain.pop()
                break
        for one in reversed(chain):
            await StoredLog(self._runs, self._task, one).read(apply)

    async def _read_whole(self, apply: Callable[[Sequence[LogEntry]], object], offset: int) -> int:
        """From an older server: it has no pages."""
        content = await self._runs.whole_log(self._task, self._run)
        known, count = offset, 0

        def later(entries: Sequence[LogEntry]) -> None:
            nonlocal count
            apply(entries[max(0, known - count) :])
            count += len(entries)

        await apply_in_slices(later, iterate_lines(content))
        return count
