"""Follower: notices within a second what other processes do to the stored grant (faults rows 15 and 17)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from app.core.errors import BurrowError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.core.clock import Clock

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
# A keyring that is locked may ask the person each time it is read.
AGAIN_SECONDS = 30.0


class GrantWatcher:
    """Calls `changed` while `moved` says that another process did something."""

    def __init__(self, clock: Clock, moved: Callable[[], bool], changed: Callable[[], Awaitable[None]]) -> None:
        self._clock = clock
        self._moved = moved
        self._changed = changed
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Follow from now on. Safe to call again."""
        if self._task is None:
            self._task = asyncio.create_task(self._follow(), name="follower of the grant")

    async def stop(self) -> None:
        """Follow no longer."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            if not self._moved():
                continue
            try:
                await self._changed()
            except BurrowError as failure:
                log.info("the stored sign-in changed and could not be read: %s", type(failure).__name__)
                await self._clock.sleep(AGAIN_SECONDS)
