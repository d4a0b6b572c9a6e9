"""LocalRuns: the runs of this machine that a process has open, and those that it could open again.

A run is open in one process at a time: a lock in its folder says so, which the system releases when its holder dies.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from app.core.busy import Work, WorkKind
from app.core.errors import Rejected
from app.core.events import Event
from app.core.runs.local.claim import claim
from app.core.runs.local.folder import WorkingFolder
from app.core.runs.local.record import LocalRecord, folder_of, load_records, save_record
from app.core.runs.local.run import LocalRun
from app.core.runs.local.status import RunPhase

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from filelock import FileLock

    from app.core.runs.local.agents import LocalAgent
    from app.core.runs.local.run_log import RunLog
    from app.core.runs.local.servers import RunClients, RunServers

UNDER_WAY = frozenset({RunPhase.STARTING, RunPhase.WORKING, RunPhase.STOPPING})


class LocalRuns:
    """The local runs of a process. `changed` says that the list of those under way may be another.

    `data` is the data folder, `clients` are the proxy's, `burrow` is the version that agents are told. `version` is the
    highest version of the protocol that is spoken.
    """

    def __init__(self, data: Path, clients: RunClients, burrow: str, *, version: int = 1) -> None:
        self.changed: Event[None] = Event()
        self._data = data
        self._clients = clients
        self._burrow = burrow
        self._version = version
        self._open: dict[str, tuple[LocalRun, FileLock]] = {}

    async def stored(self) -> tuple[LocalRecord, ...]:
        """All runs of the data folder, the oldest first."""
        found = await asyncio.to_thread(lambda: tuple(load_records(self._data)))
        return tuple(sorted(found, key=lambda each: each.created))

    async def create(self, agent: LocalAgent, folder: Path, *, task: str = "") -> LocalRecord:
        """A new run, which is stored and not started. Raises `Rejected` for what is no folder, OSError."""
        working = await asyncio.to_thread(WorkingFolder, folder)
        record = LocalRecord(
            id=secrets.token_hex(8), agent=agent, folder=str(working.path), task=task, created=time.time()
        )
        await asyncio.to_thread(save_record, self._data, record)
        return record

    async def open(
        self,
        record: LocalRecord,
        *,
        servers: RunServers | None = None,
        prepare: Callable[[RunLog], Awaitable[None]] | None = None,
    ) -> LocalRun:
        """Open a run in this process, once; `LocalRun.start` starts its agent.

        Raises `Rejected` for one that is open in another process, or whose folder is gone.
        """
        if record.id in self._open:
            return self._open[record.id][0]
        folder = await asyncio.to_thread(WorkingFolder, Path(record.folder))
        lock = await asyncio.to_thread(self._claim, record.id)
        if lock is None:
            raise Rejected("This run is open in another process of Burrow.", action="Go on with it there.")
        run = LocalRun(
            *(self._data, record, folder),
            servers=servers,
            prepare=prepare,
            burrow=self._burrow,
            version=self._version,
        )
        self._open[record.id] = (run, lock)
        run.changed.subscribe(lambda _status: self.changed.emit(None))
        return run

    def works(self) -> tuple[Work, ...]:
        """What an end of this process would interrupt, for `Busy`."""
        return tuple(
            Work(WorkKind.RUN, f"{run.record.agent.name} in {run.folder.path.name}", "Its turn ends where it is.")
            for run, _ in self._open.values()
            if run.status.phase in UNDER_WAY
        )

    async def close_run(self, run: LocalRun) -> None:
        """End a run's agent and let other processes open it."""
        await run.close()
        found = self._open.pop(run.record.id, None)
        if found is not None:
            await asyncio.to_thread(found[1].release)
        self.changed.emit(None)

    async def close(self) -> None:
        """End all that are open, at once."""
        await asyncio.gather(*(self.close_run(run) for run, _ in tuple(self._open.values())))

    async def revoke_left(self) -> int:
        """Revoke the keys of runs whose process died, and return how many there were. Raises `StorageTrouble`."""
        count = 0
        for record in await self.stored():
            if not record.client or record.id in self._open:
                continue
            lock = await asyncio.to_thread(self._claim, record.id)
            if lock is None:
                continue
            try:
                await self._clients.revoke(record.client)
                await asyncio.to_thread(save_record, self._data, msgspec.structs.replace(record, client=""))
                count += 1
            finally:
                await asyncio.to_thread(lock.release)
        return count

    def _claim(self, run: str) -> FileLock | None:
        return claim(folder_of(self._data, run))
