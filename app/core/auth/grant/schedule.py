"""Planning: when a token is renewed ahead of its expiry, at about 80 % of its life."""

from __future__ import annotations

import asyncio
from random import uniform
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.auth.tokens import TokenSet
    from app.core.clock import ServerTime

RENEW_AT = 0.8
JITTER = 0.05
RENEW_AGAIN_SECONDS = 15.0


class RefreshSchedule:
    """At most one renewal ahead of time, planned by the server's clock and awaited by the machine's."""

    def __init__(self, time: ServerTime, renew: Callable[[TokenSet], None]) -> None:
        self._time = time
        self._renew = renew
        self._task: asyncio.Task[None] | None = None
        self._tokens: TokenSet | None = None
        self._share = RENEW_AT
        self.due: float | None = None
        """When it will happen, in Unix seconds by the server's clock; None when nothing is due."""

    def plan(self, tokens: TokenSet, *, failing: bool = False) -> None:
        """Renew `tokens` in time, a little apart from other processes; `failing`: but not at once."""
        self.stop()
        if tokens.lifetime is None or tokens.refresh_token is None:
            return
        self._tokens = tokens
        self._share = RENEW_AT + uniform(-JITTER, JITTER)
        self._start(RENEW_AGAIN_SECONDS if failing else 0.0)

    def again(self) -> None:
        """The machine slept, which a timer does not notice: plan anew what was planned."""
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
        delay = max(tokens.issued_at + tokens.lifetime * self._share - now, least)
        self.due = now + delay
        self._task = asyncio.create_task(self._wait(delay, tokens), name="renewal ahead of expiry")

    async def _wait(self, delay: float, tokens: TokenSet) -> None:
        await self._time.clock.sleep(delay)
        self._renew(tokens)
