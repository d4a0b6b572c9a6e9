"""Listening: subscribes to changes of one server's tool list (revision 2026-07-28, `subscriptions/listen`).

One stream at a time. Nothing is replayed, so whenever a stream opens, changes may have been missed before. The
notifications on the stream pass through the session like all others.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from app.core.auth.cause import Cause, CauseKind
from app.core.auth.http.target import CredentialAtStake
from app.core.mcp.protocol.reconnect import ReconnectPolicy, ReconnectTiming, StreamEnd

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from app.core.auth.http.target import Target
    from app.core.mcp.protocol.exchange import ListeningSession
    from app.core.mcp.protocol.sign_in_gate import SignInGate

# A connection that is closed sooner, such as that of a command, never subscribes.
START_SECONDS = 1.0
REAL = ReconnectTiming()

log = logging.getLogger(__name__)


class Listening:
    """The subscription to one server, over all its sessions. `on_gap` is called when changes may have been missed."""

    def __init__(
        self, target: Target, sign_in: SignInGate, on_gap: Callable[[], None], timing: ReconnectTiming = REAL
    ) -> None:
        self.target = target
        self.sign_in = sign_in
        self.on_gap = on_gap
        self.timing = timing
        self.policy = ReconnectPolicy(timing)

    @property
    def allowed(self) -> bool:
        """Whether subscribing makes sense: not through the store's proxy."""
        # The proxy refuses GET, ends each request after three minutes, and counts it. The user has 600 an hour for
        # everything (docs/wire.md, "Throttling").
        return self.target.at_stake is not CredentialAtStake.VENDOR_BEHIND

    @asynccontextmanager
    async def listen(self, session: ListeningSession, title: str) -> AsyncIterator[None]:
        """Stay subscribed meanwhile, unless the server does not announce changes or has refused before."""
        if self.policy.over or not self.allowed or not session.announces_tool_changes:
            yield
            return
        task = asyncio.create_task(Listener(self, session).run(), name=f"mcp listener {title}")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})


class Listener:
    """Keeps one stream of a session open, until it is cancelled or the server refuses for good."""

    def __init__(self, listening: Listening, session: ListeningSession) -> None:
        self._listening = listening
        self._session = session
        self._agreed: bool | None = None

    async def run(self) -> None:
        """Run until there is nothing more to do. Raises nothing: the session must go on whatever happens here."""
        try:
            await self._listening.timing.sleep(START_SECONDS)
            while await self._once():
                pass
        except Exception:
            log.exception("the subscription failed")

    async def _once(self) -> bool:
        """Open one stream, wait for its end and for the pause after it; returns whether to go on."""
        listening = self._listening
        # Without a sign-in each attempt would be refused. After a new one, what went wrong before does not count.
        if await listening.sign_in.ready():
            listening.policy.start_over()
        self._agreed = None
        exchange = await self._session.listen(self._answered)
        if not exchange.sent and exchange.failure is None:
            # The session's own tasks are gone. The connection's next request opens another session.
            return False
        plan = listening.policy.after(
            StreamEnd(
                status=exchange.status,
                headers=exchange.headers,
                body=exchange.body,
                error=exchange.error,
                at_stake=listening.target.at_stake,
                agreed=self._agreed,
                refresh_failed=exchange.refresh_failure is not None,
            )
        )
        if plan.pause is None:
            code = exchange.status if exchange.error is None else exchange.error.code
            log.info("the server does not announce changes: %s", code)
            return False
        if plan.refused_by:
            # The refusal came inside of an open stream, where no auth flow sees it.
            await listening.sign_in.refused(
                exchange.bearer, Cause(CauseKind.REFUSED, listening.target.name, plan.refused_by)
            )
        await listening.timing.sleep(plan.pause)
        return True

    def _answered(self, agreed: bool) -> None:
        self._agreed = agreed
        if agreed:
            self._listening.policy.opened()
            self._listening.on_gap()
