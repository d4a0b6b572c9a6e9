"""RefreshSchedule: refreshes a token ahead of its expiry, at about 80 % of its lifetime."""

from __future__ import annotations

import asyncio
from collections import deque
from random import uniform
from typing import TYPE_CHECKING

from app.core.auth.grant.brake import MAX_IN_WINDOW, WINDOW_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.auth.tokens import TokenSet
    from app.core.clock import ServerTime

# The share of its lifetime after which a token is refreshed. The jitter keeps the processes that share a grant from
# refreshing at once: all but the first then adopt what the first one stored.
REFRESH_AT = 0.8
JITTER = 0.05
# After a failure the token may be due already. Without a pause the schedule would refresh in a tight loop.
RETRY_SECONDS = 15.0


class RefreshSchedule:
    """At most one planned refresh. Its time is computed by the server's clock and awaited by this machine's."""

    def __init__(self, time: ServerTime, refresh: Callable[[TokenSet], object]) -> None:
        self._time = time
        self._refresh = refresh
        self._task: asyncio.Task[None] | None = None
        self._tokens: TokenSet | None = None
        self._share = REFRESH_AT
        # When the newest of them were made, in seconds since boot.
        self._made: deque[float] = deque(maxlen=MAX_IN_WINDOW // 2)
        self.due: float | None = None
        """When the refresh is due, in Unix seconds by the server's clock; None when none is planned."""

    def plan(self, tokens: TokenSet, *, least: float = 0.0) -> None:
        """Plan the refresh of `tokens` in place of any other, not before `least` seconds have passed."""
        self.stop()
        if tokens.lifetime is None or tokens.refresh_token is None:
            return
        self._tokens = tokens
        self._share = REFRESH_AT + uniform(-JITTER, JITTER)
        self._start(least)

    def plan_end(self, tokens: TokenSet) -> None:
        """Call `refresh` when `tokens` expire, in place of any other plan. None of it is shown as a refresh."""
        self.stop()
        if tokens.lifetime is None:
            return
        self._tokens, self._share = tokens, 1.0
        self._start(0.0)
        self.due = None

    def reschedule(self) -> None:
        """Compute the delay again: the machine slept, and the timer stood still meanwhile."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            self._start(0.0)

    def stop(self) -> None:
        """Plan nothing."""
        self.due = None
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _start(self, least: float) -> None:
        tokens = self._tokens
        assert tokens is not None
        assert tokens.lifetime is not None
        now = self._time.now()
        delay = max(tokens.issued_at + tokens.lifetime * self._share - now, least, self._wait_for_window())
        self.due = now + delay
        self._task = asyncio.create_task(self._wait(delay, tokens), name="scheduled refresh")

    def _wait_for_window(self) -> float:
        """Half of the refreshes that the brake allows in a minute are left to requests that need one."""
        if len(self._made) < MAX_IN_WINDOW // 2:
            return 0.0
        return self._made[0] + WINDOW_SECONDS - self._time.clock.boot()

    async def _wait(self, delay: float, tokens: TokenSet) -> None:
        await self._time.clock.sleep(delay)
        self._made.append(self._time.clock.boot())
        self._refresh(tokens)
