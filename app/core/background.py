"""Chores: what a session does beside its callers, and how long closing waits for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

RECORD_SECONDS = 1.0


class BackgroundTasks:
    """Tasks that nobody awaits. A failure ends its own task only: whoever can do something about it has seen it."""

    def __init__(self) -> None:
        self._cancelled: set[asyncio.Task[None]] = set()
        self._awaited: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` until it ends or is cancelled by closing."""
        _start(work, self._cancelled)

    def record(self, work: Coroutine[Any, Any, None]) -> None:
        """Write something down; closing waits for it, at most a second."""
        _start(work, self._awaited)

    async def close(self) -> None:
        """Leave nothing running."""
        tasks = tuple(self._cancelled)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._awaited:
            await asyncio.wait(self._awaited, timeout=RECORD_SECONDS)


def retrieve(task: asyncio.Future[Any]) -> None:
    """Look at the exception of a task or future, so that asyncio does not report it: whoever waits for it has it."""
    if not task.cancelled():
        task.exception()


def _start(work: Coroutine[Any, Any, None], owner: set[asyncio.Task[None]]) -> None:
    task = asyncio.create_task(work)
    owner.add(task)
    task.add_done_callback(owner.discard)
    task.add_done_callback(retrieve)
