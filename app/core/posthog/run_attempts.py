"""RunAttempt: how far the start of a run has come, in memory and stored, so that another start of Burrow goes on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from app.core.posthog.run_files import RunFile, RunUploads
from app.core.posthog.run_options import RunOptions
from app.core.posthog.waiting_files import run_files
from app.core.storage.attachments import Attachment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.core.fetcher import Fetcher
    from app.core.posthog.types import TaskRun
    from app.core.storage import Scope
    from app.core.storage.attachments import Attachments
    from app.core.storage.run_starts import RunStarts


class UnfinishedStart(NamedTuple):
    """The start of a run that an earlier process did not finish. `run` is the run that waits on the server, if any."""

    task: str
    run: str
    options: RunOptions


@dataclass
class RunAttempt:
    """How far the start of a run has come. It lasts until the run is started."""

    known: frozenset[str]
    body: dict[str, object] = field(default_factory=dict)
    # When a request was sent that may have made a run, and whether it was the first of two steps.
    sent_at: datetime | None = None
    in_steps: bool = False
    # The run that was made and not started yet.
    made: str = ""
    options: RunOptions = field(default_factory=RunOptions)
    # Of an earlier process: the files that go with it.
    restored: bool = False
    files: tuple[RunFile, ...] = ()
    # The files of that run, and those that are staged at the task.
    uploads: dict[str, RunUploads] = field(default_factory=dict)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def at(self, fetcher: Fetcher, path: str) -> RunUploads:
        """The uploads to a place, whose path ends with a slash."""
        return self.uploads.setdefault(path, RunUploads(fetcher, path.rstrip("/")))


class _Stored(msgspec.Struct):
    known: list[str]
    body: dict[str, object]
    sent_at: datetime | None
    in_steps: bool
    made: str
    options: RunOptions


class KeptAttempts:
    """The attempts of the account and project in use, as they are stored."""

    def __init__(
        self,
        starts: RunStarts,
        attachments: Attachments,
        scope: Callable[[], Scope | None],
        project: Callable[[], int],
    ) -> None:
        self._starts, self._attachments, self._scope, self._project = starts, attachments, scope, project

    async def keep(self, task: str, attempt: RunAttempt, files: Sequence[RunFile] | None = None) -> None:
        """Store how far it has come. Raises `StorageTrouble`: what cannot be stored is not begun."""
        scope = self._scope()
        if scope is None:
            return
        stored = _Stored(
            sorted(attempt.known), attempt.body, attempt.sent_at, attempt.in_steps, attempt.made, attempt.options
        )
        named = None if files is None else [Attachment(*_named(each)) for each in files if each.digest]
        await self._starts.keep(scope, self._project(), task, msgspec.json.encode(stored).decode(), named)

    async def drop(self, task: str) -> None:
        """Nothing is left to go on with."""
        scope = self._scope()
        if scope is not None:
            await self._starts.remove(scope, self._project(), task)

    async def all(self) -> dict[str, RunAttempt]:
        """Those that no living process has, by task. Raises `StorageTrouble`."""
        scope = self._scope()
        if scope is None:
            return {}
        found = {}
        for each in await self._starts.list(scope, self._project()):
            try:
                stored = msgspec.json.decode(each.state, type=_Stored)
            except msgspec.MsgspecError:
                await self.drop(each.task)
                continue
            found[each.task] = RunAttempt(
                frozenset(stored.known),
                stored.body,
                stored.sent_at,
                stored.in_steps,
                stored.made,
                stored.options,
                restored=True,
                files=tuple(run_files(each.files, self._attachments)),
            )
        return found


class NoAttempts(KeptAttempts):
    """Where nothing is stored."""

    def __init__(self) -> None:
        """Nothing is asked."""

    async def keep(self, task: str, attempt: RunAttempt, files: Sequence[RunFile] | None = None) -> None:
        return

    async def drop(self, task: str) -> None:
        return

    async def all(self) -> dict[str, RunAttempt]:
        return {}


def _named(file: RunFile) -> tuple[str, str, int, str]:
    return file.name, file.digest, file.size, file.type


def may_be(run: TaskRun, attempt: RunAttempt, earliest: datetime) -> bool:
    """Whether a run is probably the one that was asked for: new, in the cloud, and of the same model."""
    if run.id in attempt.known or run.environment != "cloud" or run.model not in {None, attempt.body["model"]}:
        return False
    made = run.created_at
    return made is None or (made if made.tzinfo is not None else made.replace(tzinfo=UTC)) >= earliest
