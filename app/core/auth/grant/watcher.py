"""GrantWatcher: notices within a second that another process changed the stored grant (faults rows 15 and 17)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from app.core.errors import BurrowError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.core.clock import Clock

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
# Each attempt to read a locked keyring may show the user a prompt, so a failure is followed by a long pause.
RETRY_SECONDS = 30.0


class GrantWatcher:
    """Polls `changed` every second and awaits `reload` when it says that another process changed the grant."""

    def __init__(self, clock: Clock, changed: Callable[[], bool], reload: Callable[[], Awaitable[None]]) -> None:
        """`changed` must be cheap: it reads the stamp, never the vault."""
        self._clock = clock
        self._changed = changed
        self._reload = reload
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Watch from now on. Safe to call again."""
        if self._task is None:
            self._task = asyncio.create_task(self._watch(), name="grant watcher")

    async def stop(self) -> None:
        """Stop watching."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await self._clock.sleep(POLL_SECONDS)
            if not self._changed():
                continue
            try:
                await self._reload()
            except BurrowError as failure:
                log.info("the stored grant changed but could not be read: %s", type(failure).__name__)
                await self._clock.sleep(RETRY_SECONDS)
