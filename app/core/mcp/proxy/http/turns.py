"""Waiter: what a task waits for that goes on at once, inside the callback of the loop that has what it waits for.

A task that waits for a future goes on in the loop's next turn. Such a turn costs another look at every socket and the
bookkeeping of the loop: 5 µs and more, of which a call of a tool needs none.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextvars import Context


class Waiter:
    """Awaited by one task, once. To asyncio it is like a future (`asyncio.isfuture`).

    Whoever calls `wake` has nothing left to do: the task may do anything before that returns.
    """

    __slots__ = ("_asyncio_future_blocking", "_callback", "_cancelled", "_context", "_loop", "_woken")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._callback: Callable[[Any], object] | None = None
        self._context: Context | None = None
        self._woken = self._cancelled = False
        # A task sees by it that it was given a future to wait for.
        self._asyncio_future_blocking = False

    def wake(self) -> None:
        """The task goes on now. Within a task, and before it waits, it does so when it can."""
        if self._woken:
            return
        self._woken = True
        callback, self._callback = self._callback, None
        if callback is None:
            return
        if self._context is None or asyncio.current_task(self._loop) is not None:
            self._loop.call_soon(callback, self, context=self._context)
        else:
            self._context.run(callback, self)

    # What a task asks of a future.

    def __await__(self) -> Generator[Waiter, None, None]:
        if not self._woken:
            self._asyncio_future_blocking = True
            yield self
        self.result()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(self, callback: Callable[[Any], object], *, context: Context | None = None) -> None:
        self._callback, self._context = callback, context

    def cancel(self, msg: object = None) -> bool:
        """The task is cancelled: it goes on in the next turn, for whoever cancels it may have something left to do."""
        if self._woken:
            return False
        self._woken = self._cancelled = True
        callback, self._callback = self._callback, None
        if callback is not None:
            self._loop.call_soon(callback, self, context=self._context)
        return True

    def result(self) -> None:
        if self._cancelled:
            raise asyncio.CancelledError
