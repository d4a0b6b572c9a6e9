"""A clock that stands still until a test moves it: the wall may be set, the machine may sleep."""

from __future__ import annotations

import asyncio
import heapq
import itertools

from tests.until import until

START = 1_800_000_000.0
# Tasks that look at something again and again, which no test waits for.
WATCHERS = {"grant watcher"}


class StillClock:
    """A `app.core.clock.Clock`. Timers go by the time awake, which stands still while the machine sleeps."""

    def __init__(self) -> None:
        self._wall, self._boot, self._awake = START, 1000.0, 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, float, asyncio.Future[None]]] = []

    def wall(self) -> float:
        return self._wall

    def boot(self) -> float:
        return self._boot

    async def sleep(self, seconds: float) -> None:
        task = asyncio.current_task()
        watching = task is not None and task.get_name() in WATCHERS
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._awake + seconds, next(self._order), -1.0 if watching else seconds, done))
        await done

    def advance(self, seconds: float) -> None:
        """Time goes by for everybody."""
        self._wall += seconds
        self._boot += seconds
        self._awake += seconds
        while self._sleepers and self._sleepers[0][0] <= self._awake + 1e-9:
            done = heapq.heappop(self._sleepers)[3]
            if not done.done():
                done.set_result(None)

    def suspend(self, seconds: float) -> None:
        """The machine sleeps: no timer notices."""
        self._wall += seconds
        self._boot += seconds

    def set_wall(self, seconds: float) -> None:
        """Somebody sets the wall clock ahead, or back."""
        self._wall += seconds

    def sleeping(self) -> list[float]:
        """How long those who sleep wanted to, in seconds; who only watches does not count."""
        return [seconds for *_, seconds, done in self._sleepers if seconds >= 0 and not done.done()]

    async def until_sleeping(self, seconds: float) -> None:
        """Wait until somebody sleeps for so long (to a tenth of a second)."""
        await until(lambda: any(abs(each - seconds) < 0.1 for each in self.sleeping()), pause=0.001)
