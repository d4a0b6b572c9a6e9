"""BackgroundTasks: tasks that nobody awaits, with an owner that ends them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from app.core.errors import BurrowError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine

log = logging.getLogger(__name__)

# How long closing waits for records to be written.
RECORD_SECONDS = 1.0


class BackgroundTasks:
    """Tasks that nobody has to await. An exception ends its own task and is logged; a bug is logged as an error."""

    def __init__(self) -> None:
        # The sets also keep the tasks alive: the loop holds only weak references to them.
        self._cancelled: set[asyncio.Task[None]] = set()
        self._awaited: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` until it ends. Closing cancels it."""
        return _start(work, self._cancelled)

    def record(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work`, which writes a record. Closing waits for it, for at most a second."""
        _start(work, self._awaited)

    async def close(self) -> None:
        """Cancel what was started, and wait for what records."""
        import asyncio

        tasks = tuple(self._cancelled)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._awaited:
            await asyncio.wait(self._awaited, timeout=RECORD_SECONDS)


def retrieve(task: asyncio.Future[Any]) -> None:
    """A done callback that retrieves the exception of a task or future.

    asyncio logs exceptions that nobody retrieves. Here those who wait get it, and there may be none of them left.
    """
    if not task.cancelled():
        task.exception()


def _start(work: Coroutine[Any, Any, None], owner: set[asyncio.Task[None]]) -> asyncio.Task[None]:
    import asyncio

    task = asyncio.create_task(work)
    owner.add(task)
    task.add_done_callback(owner.discard)
    task.add_done_callback(_log_failure)
    return task


def _log_failure(task: asyncio.Task[None]) -> None:
    failure = None if task.cancelled() else task.exception()
    if isinstance(failure, BurrowError):
        log.info("%s: %s", getattr(task.get_coro(), "__qualname__", "a task"), failure.cause)
    elif failure is not None:
        log.error("a background task failed", exc_info=failure)
