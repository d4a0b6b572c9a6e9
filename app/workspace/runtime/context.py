"""The running workspace: what every view is given."""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from starlette.requests import HTTPConnection

    from app.workspace.runtime.clock import AdjustableClock
    from app.workspace.runtime.counters import RequestCounters
    from app.workspace.runtime.database import WorkspaceDatabase
    from app.workspace.runtime.fault_rules import FaultRules

S = TypeVar("S")
FIRST_PARTY_CLIENT_ID = "burrow-first-party"


@dataclass(frozen=True)
class WorkspaceSettings:
    """Fixed at start. Lifetimes and limits in seconds; `url` is the origin without a trailing slash."""

    url: str
    data: Path
    secret: str = field(repr=False)
    version: str
    access_token_seconds: float = 604_800.0
    dynamic_access_token_seconds: float = 604_800.0
    refresh_grace_seconds: float = 120.0
    code_seconds: float = 300.0
    header_seconds: float = 15.0
    body_seconds: float = 60.0
    agent_command: tuple[str, ...] = ()
    """The agent that carries out cloud runs; the survey agent without one."""
    most_runs: int = 2
    """How many runs are carried out at once; with 0 they stay queued."""
    idle_seconds: float = 1800.0
    """How long an interactive run waits for a message before it is completed."""
    cancel_seconds: float = 10.0
    """How long an agent may take to stop a turn."""

    @property
    def mcp_url(self) -> str:
        return f"{self.url}/mcp"

    def is_secret(self, given: str) -> bool:
        """Whether `given` is the secret of the ready line; takes the same time for every wrong one."""
        return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self.secret.encode())


@dataclass
class Workspace:
    """The running workspace; on `app.state.workspace`."""

    settings: WorkspaceSettings
    db: WorkspaceDatabase
    clock: AdjustableClock
    faults: FaultRules
    counters: RequestCounters
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _states: dict[type[Any], Any] = field(default_factory=dict)
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def state(self, kind: type[S]) -> S:
        """What one package keeps in memory: its only instance of `kind`, made at first use."""
        if kind not in self._states:
            self._states[kind] = kind()
        found: S = self._states[kind]
        return found

    def background(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `work` until it ends or the workspace stops, which cancels it."""
        task = asyncio.get_running_loop().create_task(work)
        # The loop keeps no strong reference to a task.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def pause(self, seconds: float) -> None:
        """Wait, but no longer than the workspace runs."""
        if seconds <= 0:
            return
        try:
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
        except TimeoutError:
            return

    async def stop_background(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def workspace_of(request: HTTPConnection) -> Workspace:
    """The workspace that serves this request."""
    workspace: Workspace = request.app.state.workspace
    return workspace
