"""Runs of this machine that other processes carry out: found, and their logs read while they are written."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from app.core.runs.local.record import LOG, RUNS_FOLDER, LocalRecord, load_record
from app.core.runs.log_entries import iterate_lines

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator
    from pathlib import Path

    from app.core.runs.local.claim import RunClaim, RunHolder
    from app.core.runs.log_entries import LogEntry

log = logging.getLogger(__name__)


class RunFolders:
    """Says which runs are others than before. `changed` reads the disk, so call it in a thread, one at a time."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._stamps: dict[str, tuple[int, int]] = {}

    def changed(self, growing: Collection[str] = ()) -> list[LocalRecord]:
        """The runs that are new, or others than at the last call; all of them at the first one.

        A file that is replaced changes the time of its folder, as the claim of another process does. Only of those that
        are `growing` it is looked whether their logs are longer, for there may be a thousand others.
        """
        found = []
        for name, stamp in self._look(growing):
            if self._stamps.get(name) == stamp:
                continue
            self._stamps[name] = stamp
            try:
                found.append(load_record(self._data, name))
            except FileNotFoundError:
                # It is being made.
                del self._stamps[name]
            except (OSError, msgspec.MsgspecError) as failure:
                log.warning("the record of a run cannot be read: %s: %s", name, failure)
        return found

    def _look(self, growing: Collection[str]) -> Iterator[tuple[str, tuple[int, int]]]:
        try:
            with os.scandir(self._data / RUNS_FOLDER) as entries:
                for each in entries:
                    with contextlib.suppress(OSError):
                        if each.is_dir(follow_symlinks=False):
                            size = _size(f"{each.path}/{LOG}") if each.name in growing else 0
                            yield each.name, (each.stat(follow_symlinks=False).st_mtime_ns, size)
        except OSError:
            return


class Sighting(NamedTuple):
    """A run that is not carried out here, as it is now. `holder` is the process that has it, `before` who had it."""

    record: LocalRecord
    holder: RunHolder | None
    before: RunHolder | None

    @property
    def elsewhere(self) -> bool:
        """Whether another process has the run, or had it until now."""
        return self.holder is not None or self.before is not None

    @property
    def left(self) -> bool:
        """Whether nobody has it any more."""
        return self.holder is None and self.before is not None


class OtherProcesses:
    """`holders` are the other processes that carry runs out, by run. `claim_of` gives this process's claim on one."""

    def __init__(self, data: Path, claim_of: Callable[[str], RunClaim]) -> None:
        self.holders: dict[str, RunHolder] = {}
        self._folders, self._claim_of = RunFolders(data), claim_of
        self._known: dict[str, LocalRecord] = {}
        self._gate = asyncio.Lock()

    async def look(self, seen: Callable[[Sighting], Awaitable[None]]) -> None:
        """Tell, one after the other, what is new of runs that this process does not have."""
        async with self._gate:
            changed = {
                record.id: record for record in await asyncio.to_thread(self._folders.changed, tuple(self.holders))
            }
            self._known |= changed
            for run in sorted(changed.keys() | self.holders.keys()):
                claim, before = self._claim_of(run), self.holders.get(run)
                if claim.held:
                    self.holders.pop(run, None)
                    continue
                holder = await claim.holder()
                if holder is None:
                    self.holders.pop(run, None)
                else:
                    self.holders[run] = holder
                if run in changed or holder != before:
                    await seen(Sighting(self._known[run], holder, before))


class LogTail:
    """Reads a log on, whole lines only. `read` reads the disk, so call it in a thread, one at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._end = 0

    def read(self, *, anew: bool = False) -> list[LogEntry]:
        """The entries since the last call, or all of them. Raises `OSError`."""
        if anew:
            self._end = 0
        try:
            with open(self._path, "rb") as file:
                file.seek(self._end)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data.rfind(b"\n") + 1
        self._end += whole
        return list(iterate_lines(data[:whole]))


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
