"""RefreshCoordinator: one refresh that all callers share, and one that is scheduled ahead of the expiry."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from app.core.auth.cause import AHEAD, UNFINISHED, CauseKind
from app.core.auth.grant.journal import REFRESH
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
    from app.core.auth.grant.state import CurrentGrant, GrantState
    from app.core.auth.profile import CredentialProfile
    from app.core.auth.tokens import TokenSet
    from app.core.background import BackgroundTasks
    from app.core.clock import ServerTime

log = logging.getLogger(__name__)

CLOSE_SECONDS = 2.0
# How long after the brake released the trouble is still shown, so that it does not flicker between two refusals.
BRAKE_SHOWN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class UnprovenRefresh:
    """A refresh whose token no server has accepted yet. `event_number` is that of the journal event.

    After a refusal only the target that refused can prove the new token: a target that accepts every token says nothing
    about one that accepts none.
    """

    event_number: int
    cause: Cause
    tokens: TokenSet

    def proven_by(self, tokens: TokenSet, target: str) -> bool:
        """Whether it is proven by `target` having accepted `tokens`."""
        if tokens is not self.tokens:
            return False
        return self.cause.kind is not CauseKind.REFUSED or self.cause.target == target


class RefreshCoordinator:
    """Refreshes a grant once for all who ask, and schedules the next refresh for each grant that becomes current."""

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
        self._token_refresh = refresh
        self._lifecycle = lifecycle
        self._journal = journal
        self._background = background
        self._time = time
        self._schedule = RefreshSchedule(
            time, lambda tokens: background.start(self._refresh_in_background(tokens, AHEAD))
        )
        self._in_flight: asyncio.Task[TokenSet] | None = None
        # Whether the refresh in flight is ahead of the expiry. The current token is then still good, and a caller who
        # was refused with an older one need not wait.
        self._proactive = False
        self._unproven: UnprovenRefresh | None = None
        self._braked_until = 0.0
        state.grant_changed.subscribe(self._schedule_next)
        state.superseded.subscribe(self._reset)

    @property
    def due(self) -> float | None:
        """When the token is due for a refresh ahead of its expiry, in Unix seconds of this machine; None: never."""
        return None if self._schedule.due is None else self._time.local(self._schedule.due)

    async def refresh(self, grant: Grant, refused: TokenSet, cause: Cause) -> TokenSet:
        """A newer token than `refused`, where `grant` is the current one.

        Joins the refresh in flight or starts the only one. Cancelling a caller does not cancel the refresh (faults rows
        6 and 7). Raises what `TokenRefresh.run` raises.
        """
        # A late refusal of an older token: the current one has not been tried.
        outdated = grant.tokens.access_token != refused.access_token
        in_flight = self._in_flight if self._in_flight is not None and not self._in_flight.done() else None
        if outdated and (in_flight is None or self._proactive):
            return grant.tokens
        if in_flight is None:
            # Assigned before the first await: whoever asks meanwhile joins this one.
            in_flight = asyncio.create_task(self._run(grant, cause), name="token refresh")
            in_flight.add_done_callback(retrieve)
            self._in_flight = in_flight
            self._proactive = cause.kind is CauseKind.AHEAD
        elif not outdated:
            # The current token is refused now, so the refresh in flight is no longer merely proactive.
            self._proactive = False
        return await asyncio.shield(in_flight)

    async def resume(self, stored: Grant) -> None:
        """Repeat a refresh that a process died in: within the grace period it returns the same tokens (row 19)."""
        if stored.refreshable and await self._journal.unfinished(stored) is not None:
            log.info("a refresh was interrupted; repeating it")
            self._background.start(self._refresh_in_background(stored.tokens, UNFINISHED))

    def accepted(self, tokens: TokenSet, target: str) -> None:
        """`target` accepted a request that carried `tokens`."""
        if self._unproven is not None and self._unproven.proven_by(tokens, target):
            self._background.record(self._journal.mark_accepted(self._unproven.event_number))
            self._unproven = None
            if self._state.status.trouble is Trouble.REFUSED:
                self._token_refresh.wake()
                self._state.clear_trouble(Trouble.REFUSED)

    def wake(self, *, slept: bool = False) -> None:
        """The network is back, or the machine `slept`: forget the pause after a failed refresh."""
        self._token_refresh.wake(slept=slept)
        if slept:
            self._schedule.reschedule()

    async def close(self) -> None:
        """Stop the schedule, and wait for a refresh in flight, for at most two seconds."""
        self._schedule.stop()
        if self._in_flight is not None and not self._in_flight.done():
            await asyncio.wait({self._in_flight}, timeout=CLOSE_SECONDS)
            # Cancelling is as safe as dying here: the journal has the open event, and the next start resumes.
            self._in_flight.cancel()

    def _schedule_next(self, current: CurrentGrant | None) -> None:
        if current is None:
            self._schedule.stop()
            return
        self._schedule.plan(current.grant.tokens, failing=self._token_refresh.failing)
        if current.event_number:
            self._background.record(self._journal.set_due(current.event_number, self.due))

    def _reset(self, _epoch: int) -> None:
        """Forget what is known of the former grant."""
        self._token_refresh.reset()
        self._unproven = None

    async def _run(self, grant: Grant, cause: Cause) -> TokenSet:
        epoch, started = self._state.epoch, monotonic()

        async def save(refreshed: Grant) -> bool:
            # Since the request was sent the user may have signed out or in, here or in another process. Storing the new
            # tokens would bring the former grant back.
            if epoch != self._state.epoch or await self._lifecycle.signed_out_meanwhile(refreshed):
                self._background.start(self._lifecycle.revoke(refreshed))
                facts = self._profile.facts(SIGNED_OUT_ELSEWHERE)
                raise SignInNeeded("Signed out meanwhile.", facts)
            return await self._lifecycle.save(refreshed)

        self._state.update_status(refreshing_since=started)
        try:
            result = await self._token_refresh.run(grant, cause, save)
            # The user may have signed out or in since the grant was saved. That deletes or replaces what was saved, so
            # there is nothing to undo here.
            if epoch != self._state.epoch:
                raise SignInNeeded("The sign-in changed meanwhile.", self._profile.facts())
            return self._publish(result, cause, (monotonic() - started) * 1000)
        except SignInNeeded as failure:
            # Only in its own epoch may a refresh end a grant: later the current grant is another one.
            successor = await self._lifecycle.end(grant, failure, cause) if epoch == self._state.epoch else None
            if successor is None:
                raise
            return successor.tokens
        except BurrowError as failure:
            took = (monotonic() - started) * 1000
            self._state.emit_event(REFRESH, str(cause), type(failure).__name__, grant, took)
            self._failed(failure, grant)
            raise
        finally:
            self._state.update_status(refreshing_since=None)

    def _publish(self, result: RefreshResult, cause: Cause, milliseconds: float) -> TokenSet:
        """Make the result the current grant. It is stored by now, or the status says that it cannot be."""
        if result.obtained is Obtained.REPLACED:
            self._lifecycle.replace_with(result.grant)
            # The waiting requests are the former user's. They must not be repeated with the new user's token.
            facts = self._profile.facts(REPLACED)
            raise SignInNeeded("Another window signed in again.", facts)
        tokens = result.grant.tokens
        self._state.emit_event(REFRESH, str(cause), result.obtained.value, result.grant, milliseconds)
        if result.obtained is Obtained.REFRESHED:
            self._unproven = UnprovenRefresh(result.event_number, cause, tokens)
        self._state.set_grant(result.grant, event_number=result.event_number)
        return tokens

    def _failed(self, failure: BurrowError, grant: Grant) -> None:
        if isinstance(failure, VaultFailure):
            self._lifecycle.vault_failed(failure)
        elif failure.facts.code == BRAKED:
            self._show_brake(failure)
        elif self._state.status.trouble is None:
            self._state.update_status(trouble=Trouble.OFFLINE if isinstance(failure, Offline) else Trouble.SERVER)
        if self._state.grant is grant:
            self._schedule.plan(grant.tokens, failing=True)

    def _show_brake(self, failure: BurrowError) -> None:
        """Show one trouble for as long as the brake is on and requests still run into it."""
        self._braked_until = self._time.clock.boot() + (failure.facts.retry_after or 0.0) + BRAKE_SHOWN_SECONDS
        if self._state.status.trouble is not Trouble.REFUSED:
            self._background.start(self._hide_brake())
        self._state.update_status(trouble=Trouble.REFUSED, reason=failure.cause)

    async def _hide_brake(self) -> None:
        # Each further refusal moves the end, hence the loop.
        while (left := self._braked_until - self._time.clock.boot()) > 0:
            await self._time.clock.sleep(left)
        self._state.clear_trouble(Trouble.REFUSED)

    async def _refresh_in_background(self, tokens: TokenSet, cause: Cause) -> None:
        grant = self._state.grant
        if grant is None:
            return
        try:
            await self.refresh(grant, tokens, cause)
        except BurrowError as failure:
            log.info("the refresh (%s) failed: %s", cause, type(failure).__name__)
