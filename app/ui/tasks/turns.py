"""The order in which changes of tasks are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

# The fetcher lets six requests to a host through at a time. The rest is for what the person looks at meanwhile.
MOST_AT_ONCE = 4


class Turns:
    """Sends the changes of one task one after the other, and a few of different tasks at a time."""

    def __init__(self) -> None:
        self._gate: asyncio.Semaphore | None = None
        self._locks: dict[str, asyncio.Lock] = {}

    def clear(self) -> None:
        """Another account or project: nothing of it waits for a change of the former one."""
        self._gate = None
        self._locks.clear()

    async def send(self, task_id: str, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What `call` returns, once it is its turn. An undo would otherwise overtake what it undoes."""
        import asyncio

        lock = self._locks.setdefault(task_id, asyncio.Lock())
        self._gate = self._gate or asyncio.Semaphore(MOST_AT_ONCE)
        async with lock, self._gate:
            return await call()
