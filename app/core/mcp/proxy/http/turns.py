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
    """Awaited by one task, once. To asyncio it is like a future (`asyncio.isfuture`)."""

    __slots__ = ("_asyncio_future_blocking", "_callback", "_cancelled", "_context", "_loop", "_woken")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._callback: Callable[[Any], object] | None = None
        self._context: Context | None = None
        self._woken = self._cancelled = False
        # A task sees by it that it was given a future to wait for.
        self._asyncio_future_blocking = False

    def wake(self) -> None:
        """The task goes on before this returns, if it waits already.

        To be called in a callback of the loop that has nothing left to do: the task may do anything meanwhile.
        """
        if self._woken:
            return
        self._woken = True
        if self._callback is not None and self._context is not None:
            try:
                self._context.run(self._callback, self)
            except RuntimeError:
                # Called within a task after all: asyncio does not enter another one from there. What the task itself
                # raises stays in it.
                self._go_on_soon()

    def wake_soon(self) -> None:
        """The task goes on in the loop's next turn."""
        if not self._woken:
            self._woken = True
            self._go_on_soon()

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
        self._go_on_soon()
        return True

    def _go_on_soon(self) -> None:
        if self._callback is not None:
            self._loop.call_soon(self._callback, self, context=self._context)

    def result(self) -> None:
        if self._cancelled:
            raise asyncio.CancelledError
