"""WriteBack: has the server know of a local run: the run itself, its log in order, and how it stands.

It never holds the run up. What cannot be sent now is sent later, also after Burrow was started again. What may have
arrived is looked for on the server before it is sent once more.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import TYPE_CHECKING

import msgspec

from app.core.errors import BurrowError, NotFound, OutcomeUnknown, PermissionMissing, Rejected, StorageTrouble
from app.core.events import Event
from app.core.posthog.runs import RunChange
from app.core.runs.local.claim import RunClaim
from app.core.runs.local.record import LOG
from app.core.runs.local.written import Written, load_written, read_batch, same_entry, save_written

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from app.core.posthog.runs import Runs
    from app.core.runs.local.record import LocalRecord

log = logging.getLogger(__name__)

IN_PROGRESS = "in_progress"
# Entries are collected for so long.
COLLECT_SECONDS = 1.0
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0
# The clocks of this machine and of the server may differ, in seconds.
CLOCK_DIFFERENCE = 120.0
# Nothing helps: the task is gone, or may not be changed.
HOPELESS = (NotFound, PermissionMissing, Rejected)
MARK = "burrow_run"
CUT_OFF = "Burrow ended the agent while it was at work."


class WriteBack:
    """One run. `record` reads what is kept of it, in a thread.

    `runs` gives the calls while the account of the run's task is in use, None otherwise. Whoever owns it runs `follow`
    in a task and cancels that. `told` is emitted when the server knows of another status. `trouble` is why nothing more
    is written back, if so.
    """

    def __init__(
        self,
        folder: Path,
        record: Callable[[], LocalRecord],
        runs: Callable[[], Runs | None],
        *,
        claim: RunClaim | None = None,
        collect_seconds: float = COLLECT_SECONDS,
    ) -> None:
        self.written = Written()
        self.told: Event[None] = Event()
        self.trouble: BurrowError | None = None
        self._folder, self._record, self._runs = folder, record, runs
        self._collect_seconds = collect_seconds
        self._wanted, self._again = asyncio.Event(), asyncio.Event()
        self._lock = asyncio.Lock()
        self._claim = claim or RunClaim(folder)
        self._wanted.set()

    def wake(self) -> None:
        """There is something new to write."""
        self._wanted.set()

    def retry(self) -> None:
        """Try at once instead of waiting: another account is in use, or the network is back."""
        self.trouble = None
        self._again.set()
        self._wanted.set()

    async def load(self) -> Written:
        """Read what was kept."""
        async with self._lock:
            await self._read()
        return self.written

    async def _read(self) -> None:
        self.written = await asyncio.to_thread(load_written, self._folder)

    async def follow(self) -> None:
        """Write back what there is and what comes, until it is cancelled."""
        pause = FIRST_PAUSE
        while True:
            await self._wanted.wait()
            await asyncio.sleep(self._collect_seconds)
            self._wanted.clear()
            try:
                await self.deliver()
                pause = FIRST_PAUSE
            except (OSError, msgspec.MsgspecError) as failure:
                log.warning("a run on this machine cannot be read: %s", failure)
                await self._wait(LONGEST_PAUSE)
                self._wanted.set()
            except HOPELESS as failure:
                self.trouble = failure
                log.warning("a run on this machine is not written back: %s", failure.cause)
                await self._wait(None)
            except BurrowError as failure:
                await self._wait(max(pause, failure.facts.retry_after or 0.0))
                pause = min(2 * pause, LONGEST_PAUSE)
                self._wanted.set()

    async def deliver(self) -> None:
        """Write back what there is now. Raises `BurrowError`; what was not written stays for the next time."""
        async with self._lock:
            runs = self._runs()
            # Whoever carries the run out writes it back.
            if runs is None or not await self._claim.take():
                return
            try:
                await self._read()
                await self._deliver(runs, await asyncio.to_thread(self._record))
            finally:
                await self._claim.give_up()

    async def _deliver(self, runs: Runs, record: LocalRecord) -> None:
        final = record.ended or record.left
        if self.written.run and self.written.status not in {"", IN_PROGRESS} and not final:
            # It goes on. The server never changes a run that has ended, so the rest is another one.
            former = (*self.written.former, self.written.run)
            await self._keep(Written(former=former, size=self.written.size))
        if not self.written.run:
            await self._make(runs, record)
        if not self.written.status:
            await self._tell(runs, record, IN_PROGRESS)
        await self._send_log(runs, record)
        if final and self.written.status == IN_PROGRESS:
            await self._tell(runs, record, final)

    async def _make(self, runs: Runs, record: LocalRecord) -> None:
        found = await self._find(runs, record) if self.written.asked else ""
        if not found:
            await self._keep(msgspec.structs.replace(self.written, asked=self.written.asked or time.time()))
            try:
                found = (await runs.make_local(record.task)).id
            except OutcomeUnknown:
                raise
            except BurrowError:
                await self._keep(msgspec.structs.replace(self.written, asked=0.0))
                raise
        await self._keep(msgspec.structs.replace(self.written, run=found, asked=0.0))

    async def _find(self, runs: Runs, record: LocalRecord) -> str:
        """The id of the run that may have been made; empty where there is none."""
        for run in (await runs.list(record.task)).items:
            mark = (run.state or {}).get(MARK)
            made = run.created_at.timestamp() if run.created_at is not None else 0.0
            fits = run.status == "queued" or run.status == "not_started"
            since = made >= self.written.asked - CLOCK_DIFFERENCE
            if run.environment == "local" and (mark == record.id or (mark is None and fits and since)):
                return run.id
        return ""

    async def _tell(self, runs: Runs, record: LocalRecord, status: str) -> None:
        why = CUT_OFF if record.cut and status == record.left else None
        change = RunChange(status=status, branch=record.branch or None, state={MARK: record.id}, error_message=why)
        await runs.change(record.task, self.written.run, change)
        await self._keep(msgspec.structs.replace(self.written, status=status))
        self.told.emit(None)

    async def _send_log(self, runs: Runs, record: LocalRecord) -> None:
        path = self._folder / LOG
        while True:
            written = self.written
            batch = await asyncio.to_thread(read_batch, path, written.size, written.doubt)
            if batch.end <= written.size:
                return
            arrived = bool(written.doubt) and await self._has(runs, record, batch.entries)
            if not arrived and batch.entries:
                # Before it is sent: who sends may be killed meanwhile.
                await self._keep(msgspec.structs.replace(written, doubt=batch.end))
                try:
                    await runs.append_log(record.task, written.run, batch.entries)
                except OutcomeUnknown:
                    raise
                except BurrowError:
                    await self._keep(msgspec.structs.replace(written, doubt=0))
                    raise
            count = written.entries + len(batch.entries)
            await self._keep(msgspec.structs.replace(self.written, size=batch.end, entries=count, doubt=0))

    async def _has(self, runs: Runs, record: LocalRecord, entries: Sequence[msgspec.Raw]) -> bool:
        """Whether the server's log has the first of these after what it is known to have."""
        offset = self.written.entries
        while entries:
            part = await runs.log_page(record.task, self.written.run, offset=offset)
            found = json.loads(part.content)
            if any(same_entry(entries[0], each) for each in found):
                return True
            if not part.more or not found:
                break
            offset += len(found)
        return False

    async def _keep(self, written: Written) -> None:
        try:
            await asyncio.to_thread(save_written, self._folder, written)
        except OSError as failure:
            # Without it, the next start would write twice.
            raise StorageTrouble(f"What was written back cannot be stored: {failure.strerror or failure}.") from None
        self.written = written

    async def _wait(self, seconds: float | None) -> None:
        self._again.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._again.wait()
        except TimeoutError:
            return
