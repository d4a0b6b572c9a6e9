"""What every part of the embedded workspace shares: settings, clock, database, faults and counters."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from starlette.requests import HTTPConnection

    from app.workspace.faults.switchboard import Faults
    from app.workspace.oauth.authorize import Pending
    from app.workspace.runtime.counters import Counters
    from app.workspace.runtime.database import Database
    from app.workspace.runtime.onetime import OneTime

FIRST_PARTY_CLIENT_ID = "burrow-first-party"


@dataclass(frozen=True)
class Settings:
    """Fixed at start. Lifetimes in seconds; `url` is the origin without a trailing slash."""

    url: str
    data: Path
    secret: str = field(repr=False)
    version: str
    access_token_seconds: float = 604_800.0
    dynamic_access_token_seconds: float = 604_800.0
    refresh_grace_seconds: float = 120.0
    code_seconds: float = 300.0

    @property
    def mcp_url(self) -> str:
        return f"{self.url}/mcp"


class Clock:
    """Wall clock that the fault switchboard can push forward, so that tokens expire without waiting."""

    def __init__(self) -> None:
        self.offset = 0.0

    def now(self) -> float:
        """Seconds since the epoch, with the offset."""
        return time.time() + self.offset

    def advance(self, seconds: float) -> None:
        self.offset += seconds


@dataclass
class Workspace:
    """The running workspace; on `app.state.workspace`."""

    settings: Settings
    db: Database
    clock: Clock
    faults: Faults
    counters: Counters
    tickets: OneTime[str]
    consents: OneTime[Pending]
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def background(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `work` until it ends or the workspace stops, which cancels it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def stop_background(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


TICKET_SECONDS = 60.0
CONSENT_SECONDS = 600.0


def workspace_of(request: HTTPConnection) -> Workspace:
    """The workspace that serves this request."""
    workspace: Workspace = request.app.state.workspace
    return workspace
