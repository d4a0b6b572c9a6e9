"""RefreshCoordinator: the one refresh of a grant that all callers join, and the one planned ahead of the expiry."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from app.core.auth.cause import AHEAD, UNFINISHED, CauseKind
from app.core.auth.grant.journal import RENEWAL
from app.core.auth.grant.refresh import BRAKED, SIGNED_OUT_ELSEWHERE, Obtained
from app.core.auth.grant.schedule import RefreshSchedule
from app.core.auth.status import REPLACED, Trouble
from app.core.auth.vault.base import VaultFailure
from app.core.background import retrieve
from app.core.errors import BurrowError, Offline, SignInNeeded

if TYPE_CHECKING:
    from app.core.auth.cause import Cause
    from app.core.auth.grant.grant import Grant
    from app.core.auth.grant.journal import Journal
    from app.core.auth.grant.lifecycle import GrantLifecycle
    from app.core.auth.grant.refresh import RefreshResult, TokenRefresh
    from app.core.auth.grant.state import GrantState, HeldGrant
    from app.core.auth.profile import CredentialProfile
    from app.core.auth.tokens import TokenSet
    from app.core.background import BackgroundTasks
    from app.core.clock import ServerTime

log = logging.getLogger(__name__)

CLOSE_SECONDS = 2.0
BRAKED_LONGER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class UnprovenRefresh:
    """A refresh whose token no server has accepted yet; `number` is that of the journal's event.

    After a refusal only the target that refused can prove the new token: a target that accepts every token says nothing
    about one that accepts none.
    """

    number: int
    cause: Cause
    tokens: TokenSet

    def proven_by(self, tokens: TokenSet, target: str) -> bool:
        """Whether `target` having accepted `tokens` proves it."""
        if tokens is not self.tokens:
            return False
        return self.cause.kind is not CauseKind.REFUSED or self.cause.target == target


class RefreshCoordinator:
    """Refreshes a grant once for all who ask, and plans the next refresh whenever a grant is put in force."""

    def __init__(
        self,
        profile: CredentialProfile,
        state: GrantState,
        refresh: TokenRefresh,
        lifecycle: GrantLifecycle,
        journal: Journal,
        background: BackgroundTasks,
        time: ServerTime,
    ) -> None:
        self._profile = profile
        self._state = state
        self._refresh = refresh
        self._lifecycle = lifecycle
        self._journal = journal
        self._background = background
        self._time = time
        self._schedule = RefreshSchedule(time, lambda tokens: background.start(self._quietly(tokens, AHEAD)))
        self._in_flight: asyncio.Task[TokenSet] | None = None
        # The token in refresh is still good: whoever holds another one need not wait.
        self._ahead = False
        self._unproven: UnprovenRefresh | None = None
        self._braked_until = 0.0
        state.held.subscribe(self._plan)
        state.superseded.subscribe(self._start_over)

    @property
    def due(self) -> float | None:
        """When the token will be refreshed ahead of its expiry, in Unix seconds of this machine; None: never."""
        return None if self._schedule.due is None else self._time.local(self._schedule.due)

    async def newer(self, grant: Grant, refused: TokenSet, cause: Cause) -> TokenSet:
        """A newer token than `refused`, where `grant` is in force; joins the refresh in flight, or starts the only one.

        The refresh itself is not cancelled with a caller (faults rows 6 and 7). Raises what `TokenRefresh.run` raises.
        """
        changed = grant.tokens.access_token != refused.access_token
        in_flight = self._in_flight if self._in_flight is not None and not self._in_flight.done() else None
        if changed and (in_flight is None or self._ahead):
            return grant.tokens
        if in_flight is None:
            # Assigned before anything is awaited: whoever comes meanwhile joins this one.
            in_flight = asyncio.create_task(self._run(grant, cause), name="token refresh")
            in_flight.add_done_callback(retrieve)
            self._in_flight = in_flight
            self._ahead = cause.kind is CauseKind.AHEAD
        elif not changed:
            self._ahead = False
        return await asyncio.shield(in_flight)

    async def finish(self, stored: Grant) -> None:
        """Repeat a refresh that a process died in: within the server's grace it brings the same pair (row 19)."""
        if stored.renewable and await self._journal.unfinished(stored) is not None:
            log.info("a refresh was interrupted; repeating it")
            self._background.start(self._quietly(stored.tokens, UNFINISHED))

    def accepted(self, tokens: TokenSet, target: str) -> None:
        """`target` answered a request that carried `tokens`."""
        if self._unproven is not None and self._unproven.proven_by(tokens, target):
            self._background.record(self._journal.accept(self._unproven.number))
            self._unproven = None
            if self._state.status.trouble is Trouble.REFUSED:
                self._refresh.wake()
                self._state.lift(Trouble.REFUSED)

    def wake(self, *, slept: bool = False) -> None:
        """The network is back, or the machine `slept`: forget the pause after a failed refresh."""
        self._refresh.wake(slept=slept)
        if slept:
            self._schedule.again()

    async def close(self) -> None:
        """Let a refresh in flight become durable, for at most two seconds; plan nothing more."""
        self._schedule.stop()
        if self._in_flight is not None and not self._in_flight.done():
            await asyncio.wait({self._in_flight}, timeout=CLOSE_SECONDS)
            self._in_flight.cancel()

    def _plan(self, held: HeldGrant | None) -> None:
        if held is None:
            self._schedule.stop()
            return
        self._schedule.plan(held.grant.tokens, failing=self._refresh.failing)
        if held.number:
            self._background.record(self._journal.settle_due(held.number, self.due))

    def _start_over(self, _epoch: int) -> None:
        """Nothing of the former grant counts any more."""
        self._refresh.start_over()
        self._unproven = None

    async def _run(self, grant: Grant, cause: Cause) -> TokenSet:
        epoch, started = self._state.epoch, monotonic()

        async def save(refreshed: Grant) -> bool:
            # Between the answer and this line somebody may have signed out or in, here or in another process: the new
            # pair must not bring the former grant back.
            if epoch != self._state.epoch or await self._lifecycle.signed_out_meanwhile(refreshed):
                self._background.start(self._lifecycle.revoke(refreshed))
                facts = self._profile.facts(SIGNED_OUT_ELSEWHERE)
                raise SignInNeeded("Signed out meanwhile.", facts)
            return await self._lifecycle.keep(refreshed)

        self._state.note(renewing_since=started)
        try:
            result = await self._refresh.run(grant, cause, save)
            if epoch != self._state.epoch:
                raise SignInNeeded("The sign-in changed meanwhile.", self._profile.facts())
            return self._put_in_force(result, cause, (monotonic() - started) * 1000)
        except SignInNeeded as failure:
            other = await self._lifecycle.ended(grant, failure, cause) if epoch == self._state.epoch else None
            if other is None:
                raise
            return other.tokens
        except BurrowError as failure:
            took = (monotonic() - started) * 1000
            self._state.tell(RENEWAL, str(cause), type(failure).__name__, grant, took)
            self._failed(failure, grant)
            raise
        finally:
            self._state.note(renewing_since=None)

    def _put_in_force(self, result: RefreshResult, cause: Cause, milliseconds: float) -> TokenSet:
        if result.obtained is Obtained.REPLACED:
            self._lifecycle.replaced_by(result.grant)
            facts = self._profile.facts(REPLACED)
            raise SignInNeeded("Another window signed in again.", facts)
        tokens = result.grant.tokens
        self._state.tell(RENEWAL, str(cause), result.obtained.value, result.grant, milliseconds)
        if result.obtained is Obtained.RENEWED:
            self._unproven = UnprovenRefresh(result.number, cause, tokens)
        self._state.hold(result.grant, number=result.number)
        return tokens

    def _failed(self, failure: BurrowError, grant: Grant) -> None:
        if isinstance(failure, VaultFailure):
            self._lifecycle.vault_failed(failure)
        elif failure.facts.code == BRAKED:
            self._braked(failure)
        elif self._state.status.trouble is None:
            self._state.note(trouble=Trouble.OFFLINE if isinstance(failure, Offline) else Trouble.SERVER)
        if self._state.grant is grant:
            self._schedule.plan(grant.tokens, failing=True)

    def _braked(self, failure: BurrowError) -> None:
        """Show one state while the brake is on and somebody still asks; it ends when nobody does any more."""
        self._braked_until = self._time.clock.boot() + (failure.facts.retry_after or 0.0) + BRAKED_LONGER_SECONDS
        if self._state.status.trouble is not Trouble.REFUSED:
            self._background.start(self._release())
        self._state.note(trouble=Trouble.REFUSED, reason=failure.cause)

    async def _release(self) -> None:
        while (left := self._braked_until - self._time.clock.boot()) > 0:
            await self._time.clock.sleep(left)
        self._state.lift(Trouble.REFUSED)

    async def _quietly(self, tokens: TokenSet, cause: Cause) -> None:
        grant = self._state.grant
        if grant is None:
            return
        try:
            await self.newer(grant, tokens, cause)
        except BurrowError as failure:
            log.info("the refresh (%s) failed: %s", cause, type(failure).__name__)
