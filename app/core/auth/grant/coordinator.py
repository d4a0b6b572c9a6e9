"""Renewing: the one renewal in flight of a session, the one planned, and whether the last brought a token of use."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from app.core.auth.grant.journal import AHEAD, RENEWAL, UNFINISHED, CauseKind
from app.core.auth.grant.refresh import BRAKED, SIGNED_OUT_ELSEWHERE, Obtained
from app.core.auth.grant.schedule import RefreshSchedule
from app.core.auth.status import REPLACED, Trouble
from app.core.auth.vault.base import VaultFailure
from app.core.background import retrieve
from app.core.errors import BurrowError, Facts, Offline, SignInNeeded

if TYPE_CHECKING:
    from app.core.auth.grant.custody import Custody
    from app.core.auth.grant.grant import Grant
    from app.core.auth.grant.journal import Cause, Journal
    from app.core.auth.grant.refresh import RefreshResult, TokenRefresh
    from app.core.auth.grant.state import GrantState
    from app.core.auth.grant.tokens import TokenSet
    from app.core.background import BackgroundTasks
    from app.core.clock import ServerTime

log = logging.getLogger(__name__)

CLOSE_SECONDS = 2.0
BRAKED_LONGER_SECONDS = 5.0


class RefreshOwner(Protocol):
    """The session whose grant is renewed: it decides what becomes of a grant that is over."""

    async def over(self, grant: Grant, failure: SignInNeeded, cause: Cause) -> Grant | None:
        """`grant` is over; the one to go on with, if the vault holds one of the same signing in."""

    def replaced_by(self, grant: Grant) -> None:
        """Somebody signed in in another process."""

    async def revoke(self, grant: Grant) -> None:
        """Tell the server that nobody needs `grant`."""


@dataclass(frozen=True, slots=True)
class UnprovenRefresh:
    """A renewal whose token no server has taken yet; `number` is that of the journal.

    Of a renewal because of a refusal only who refused can tell: a server that takes every token does not make good for
    one that takes none.
    """

    number: int
    cause: Cause
    tokens: TokenSet

    def by(self, tokens: TokenSet, target: str) -> bool:
        """Whether `target` having taken `tokens` proves it."""
        if tokens is not self.tokens:
            return False
        return self.cause.kind is not CauseKind.REFUSED or self.cause.target == target


class RefreshCoordinator:
    """Lets callers join a renewal, and puts what it brings in force."""

    def __init__(
        self,
        owner: RefreshOwner,
        origin: str,
        current: GrantState,
        renewal: TokenRefresh,
        custody: Custody,
        journal: Journal,
        chores: BackgroundTasks,
        time: ServerTime,
    ) -> None:
        self._owner = owner
        self._origin = origin
        self._current = current
        self._renewal = renewal
        self._custody = custody
        self._journal = journal
        self._chores = chores
        self._time = time
        self._plan = RefreshSchedule(time, lambda tokens: self._chores.start(self._quietly(tokens, AHEAD)))
        self._in_flight: asyncio.Task[TokenSet] | None = None
        # The token being renewed is still good: nobody needs to wait.
        self._ahead = False
        self._unproven: UnprovenRefresh | None = None
        self._braked_until = 0.0
        # Counts signings in and out: the outcome of a renewal that was begun before the last of them is void.
        self._epoch = 0

    @property
    def due(self) -> float | None:
        """When the token will be renewed ahead of its expiry, in Unix seconds of this machine; None: nothing is due."""
        return None if self._plan.due is None else self._time.local(self._plan.due)

    async def newer(self, grant: Grant, refused: TokenSet, cause: Cause) -> TokenSet:
        """A newer token than `refused`, where `grant` is in force; joins the renewal in flight, or starts the only one.

        The renewal itself is not cancelled with a caller (faults rows 6 and 7). Raises what `TokenRefresh.run` raises.
        """
        changed = grant.tokens.access_token != refused.access_token
        in_flight = self._in_flight if self._in_flight is not None and not self._in_flight.done() else None
        if changed and (in_flight is None or self._ahead):
            return grant.tokens
        if in_flight is None:
            in_flight = asyncio.create_task(self._renew(grant, cause), name="renewal")
            in_flight.add_done_callback(retrieve)
            self._in_flight = in_flight
            self._ahead = cause.kind is CauseKind.AHEAD
        elif not changed:
            self._ahead = False
        return await asyncio.shield(in_flight)

    async def finish(self, stored: Grant) -> None:
        """Repeat a renewal that a process has died in: inside the server's grace it brings the same pair (row 19)."""
        if stored.renewable and await self._journal.unfinished(stored) is not None:
            log.info("a renewal was interrupted; repeating it")
            self._chores.start(self._quietly(stored.tokens, UNFINISHED))

    def put_in_force(self, grant: Grant, *, persistent: bool | None = None, number: int = 0) -> None:
        """Make `grant` the current one and plan its renewal; `number` is that of the event that brought it."""
        self._plan.plan(grant.tokens, failing=self._renewal.failing)
        if number:
            self._chores.record(self._journal.settle_due(number, self.due))
        self._current.hold(grant, persistent=persistent)

    def accepted(self, tokens: TokenSet, target: str) -> None:
        """`target` answered a request that carried `tokens`."""
        if self._unproven is not None and self._unproven.by(tokens, target):
            self._chores.record(self._journal.accept(self._unproven.number))
            self._unproven = None
            if self._current.status.trouble is Trouble.REFUSED:
                self._renewal.wake()
                self._current.lift(Trouble.REFUSED)

    def wake(self, *, slept: bool = False) -> None:
        """The network is back, or the machine `slept`: forget the pause after a failed renewal."""
        self._renewal.wake(slept=slept)
        if slept:
            self._plan.again()

    def start_over(self) -> None:
        """Nothing of the former grant counts any more."""
        self._epoch += 1
        self._renewal.start_over()
        self._unproven = None
        self._current.lift(Trouble.REFUSED)

    def stop(self) -> None:
        """Plan nothing."""
        self._plan.stop()

    async def close(self) -> None:
        """Let a renewal in flight become durable, for at most two seconds; plan nothing."""
        self.stop()
        if self._in_flight is not None and not self._in_flight.done():
            await asyncio.wait({self._in_flight}, timeout=CLOSE_SECONDS)
            self._in_flight.cancel()

    async def _renew(self, grant: Grant, cause: Cause) -> TokenSet:
        epoch, started = self._epoch, monotonic()

        async def save(renewed: Grant) -> bool:
            if epoch != self._epoch or await self._custody.signed_out_meanwhile(renewed):
                self._chores.start(self._owner.revoke(renewed))
                facts = Facts(code=SIGNED_OUT_ELSEWHERE, origin=self._origin)
                raise SignInNeeded("Signed out meanwhile.", facts)
            return await self._custody.save(renewed)

        self._current.note(renewing_since=started)
        try:
            outcome = await self._renewal.run(grant, self._custody.keeper, cause, save)
            if epoch != self._epoch:
                raise SignInNeeded("The sign-in changed meanwhile.", Facts(origin=self._origin))
            return self._renewed(outcome, cause, (monotonic() - started) * 1000)
        except SignInNeeded as failure:
            other = await self._owner.over(grant, failure, cause) if epoch == self._epoch else None
            if other is None:
                raise
            return other.tokens
        except BurrowError as failure:
            took = (monotonic() - started) * 1000
            self._current.tell(RENEWAL, str(cause), type(failure).__name__, grant, took)
            self._failed(failure, grant)
            raise
        finally:
            self._current.note(renewing_since=None)

    def _renewed(self, outcome: RefreshResult, cause: Cause, milliseconds: float) -> TokenSet:
        if outcome.how is Obtained.REPLACED:
            self._owner.replaced_by(outcome.grant)
            facts = Facts(code=REPLACED, origin=self._origin)
            raise SignInNeeded("Somebody signed in again in another window.", facts)
        tokens = outcome.grant.tokens
        self._current.tell(RENEWAL, str(cause), outcome.how.value, outcome.grant, milliseconds)
        if outcome.how is Obtained.RENEWED:
            self._unproven = UnprovenRefresh(outcome.number, cause, tokens)
        self.put_in_force(outcome.grant, number=outcome.number)
        return tokens

    def _failed(self, failure: BurrowError, grant: Grant) -> None:
        if isinstance(failure, VaultFailure):
            self._custody.failed(failure)
        elif failure.facts.code == BRAKED:
            self._braked(failure)
        elif self._current.status.trouble is None:
            self._current.note(trouble=Trouble.OFFLINE if isinstance(failure, Offline) else Trouble.SERVER)
        if self._current.grant is grant:
            self._plan.plan(grant.tokens, failing=True)

    def _braked(self, failure: BurrowError) -> None:
        """One clear state while the brake is on and somebody still asks; it goes when nobody does any more."""
        self._braked_until = self._time.clock.boot() + (failure.facts.retry_after or 0.0) + BRAKED_LONGER_SECONDS
        if self._current.status.trouble is not Trouble.REFUSED:
            self._chores.start(self._release())
        self._current.note(trouble=Trouble.REFUSED, reason=failure.cause)

    async def _release(self) -> None:
        while (left := self._braked_until - self._time.clock.boot()) > 0:
            await self._time.clock.sleep(left)
        self._current.lift(Trouble.REFUSED)

    async def _quietly(self, tokens: TokenSet, cause: Cause) -> None:
        grant = self._current.grant
        if grant is None:
            return
        try:
            await self.newer(grant, tokens, cause)
        except BurrowError as failure:
            log.info("the renewal (%s) failed: %s", cause, type(failure).__name__)
