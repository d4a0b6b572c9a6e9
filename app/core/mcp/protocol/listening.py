"""Listening to one server for changes of its tool list (revision 2026-07-28, `subscriptions/listen`).

One stream at a time. Nothing is replayed, so each stream that opens makes known that changes may have gone unheard;
what it carries is heard like every other notification.
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

# A connection that is soon closed again, as a command's is, never listens.
START_SECONDS = 1.0
REAL = ReconnectTiming()

log = logging.getLogger(__name__)


class Listening:
    """Listening over all sessions with one server. `missed` hears that changes may have gone unheard."""

    def __init__(
        self, target: Target, sign_in: SignInGate, missed: Callable[[], None], timing: ReconnectTiming = REAL
    ) -> None:
        self.target = target
        self.sign_in = sign_in
        self.missed = missed
        self.timing = timing
        self.reopening = ReconnectPolicy(timing)

    @property
    def worth_it(self) -> bool:
        """Not through the store's proxy: it takes no GET, ends each request after three minutes, and counts it.

        A person has 600 an hour for everything (docs/wire.md, "Throttling").
        """
        return self.target.at_stake is not CredentialAtStake.VENDOR_BEHIND

    @asynccontextmanager
    async def to(self, session: ListeningSession, title: str) -> AsyncIterator[None]:
        """Listen meanwhile, unless the server does not tell of changes or refused to before."""
        if self.reopening.over or not self.worth_it or not session.tells_of_tools:
            yield
            return
        task = asyncio.create_task(Listener(self, session).run(), name=f"mcp listener {title}")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})


class Listener:
    """Keeps one stream of a session open until it is cancelled or the server will not have it."""

    def __init__(self, listening: Listening, session: ListeningSession) -> None:
        self._listening = listening
        self._session = session
        self._agreed: bool | None = None

    async def run(self) -> None:
        """Raises nothing: whatever befalls it, the session goes on."""
        try:
            await self._listening.timing.sleep(START_SECONDS)
            while await self._once():
                pass
        except Exception:
            log.exception("listening failed")

    async def _once(self) -> bool:
        """One stream and the pause after it; whether to go on."""
        to = self._listening
        if await to.sign_in.ready():
            to.reopening.start_over()
        self._agreed = None
        exchange = await self._session.listen(self._answered)
        if not exchange.sent and exchange.failure is None:
            # The session's own tasks are gone; the connection's next request opens another.
            return False
        plan = to.reopening.after(
            StreamEnd(
                status=exchange.status,
                headers=exchange.headers,
                body=exchange.body,
                error=exchange.error,
                at_stake=to.target.at_stake,
                agreed=self._agreed,
                unrenewed=exchange.renewal is not None,
            )
        )
        if plan.pause is None:
            code = exchange.status if exchange.error is None else exchange.error.code
            log.info("the server will not tell of changes: %s", code)
            return False
        if plan.refused_by:
            await to.sign_in.refused(exchange.bearer, Cause(CauseKind.REFUSED, to.target.name, plan.refused_by))
        await to.timing.sleep(plan.pause)
        return True

    def _answered(self, agreed: bool) -> None:
        self._agreed = agreed
        if agreed:
            self._listening.reopening.opened()
            self._listening.missed()
