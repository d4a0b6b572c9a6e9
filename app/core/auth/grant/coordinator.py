"""RefreshCoordinator: one refresh that all callers share, and one that is scheduled ahead of the expiry."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from app.core.auth.cause import AHEAD, EXPIRED, UNFINISHED, CauseKind
from app.core.auth.grant.grant import digest
from app.core.auth.grant.journal import REFRESH
from app.core.auth.grant.refresh import BRAKED, SIGNED_OUT_ELSEWHERE, UNRENEWABLE, Obtained
from app.core.auth.grant.schedule import RETRY_SECONDS, RefreshSchedule
from app.core.auth.oauth.authorization_server import TOKEN_SECONDS
from app.core.auth.status import REPLACED, Trouble
from app.core.auth.vault.base import VaultFailure
from app.core.background import retrieve
from app.core.errors import BurrowError, NotConnectable, Offline, ServerTrouble, SignInNeeded

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

CLOSE_SECONDS = TOKEN_SECONDS + 10.0
REMEMBERED_TOKENS = 32
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


class _Outcomes:
    """What becomes of the grants of one refresh, which was begun in `epoch`."""

    def __init__(self, coordinator: RefreshCoordinator, epoch: int) -> None:
        self._coordinator, self._epoch = coordinator, epoch

    async def save(self, refreshed: Grant) -> bool:
        return await self._coordinator.save(refreshed, self._epoch)

    async def ended(self, grant: Grant, cause: Cause, code: str) -> None:
        await self._coordinator.ended(grant, cause, code)


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
        # Digests of the newest access tokens that refreshes of this process brought. Several, because a request may be
        # repeated with one while another request has it refreshed.
        self._refreshed: deque[str] = deque(maxlen=REMEMBERED_TOKENS)
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
        joined = in_flight is not None
        if in_flight is None:
            # Assigned before the first await: whoever asks meanwhile joins this one.
            in_flight = asyncio.create_task(self._run(grant, cause), name="token refresh")
            in_flight.add_done_callback(retrieve)
            self._in_flight = in_flight
            self._proactive = cause.kind is CauseKind.AHEAD
        elif not outdated:
            # The current token is refused now, so the refresh in flight is no longer merely proactive.
            self._proactive = False
        try:
            return await asyncio.shield(in_flight)
        except ServerTrouble as failure:
            # The brake is on for the target that began it, not for the one that joined.
            if not joined or failure.facts.code != BRAKED or self._state.grant is None:
                raise
        return await self.refresh(self._state.grant, refused, cause)

    async def resume(self, stored: Grant) -> None:
        """Repeat a refresh that a process died in: within the grace period it returns the same tokens (row 19)."""
        if stored.refreshable and await self._token_refresh.recall_refusal(stored):
            self._keep_to_the_end(stored, UNFINISHED)
        elif stored.refreshable and await self._journal.unfinished(stored) is not None:
            log.info("a refresh was interrupted; repeating it")
            self._background.start(self._refresh_in_background(stored.tokens, UNFINISHED))

    def adopted(self, tokens: TokenSet) -> bool:
        """Whether this process did not refresh to get `tokens`: another one did, or they are those of a sign-in."""
        return digest(tokens.access_token) not in self._refreshed

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

    @property
    def sending(self) -> bool:
        """Whether the request of a refresh was sent and its answer is not stored yet."""
        return self._token_refresh.sending

    async def close(self) -> None:
        """Stop the schedule. A refresh whose request was sent is finished and stored first (faults row 74).

        That takes at most as long as the token endpoint may take to answer (`TOKEN_SECONDS`) and the vault to store.
        """
        self._schedule.stop()
        self._token_refresh.close()
        task = self._in_flight
        if task is None or task.done():
            return
        if self._token_refresh.sending:
            await asyncio.wait({task}, timeout=CLOSE_SECONDS)
        # Whatever has not sent anything can be cancelled. Cancelled later than that it is like dying here: the journal
        # has the open event, and the next start resumes.
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def _schedule_next(self, current: CurrentGrant | None) -> None:
        if current is None:
            self._schedule.stop()
            return
        if self._token_refresh.is_refused(current.grant):
            self._schedule.plan_end(current.grant.tokens)
            return
        self._schedule.plan(current.grant.tokens, least=RETRY_SECONDS if self._token_refresh.failing else 0.0)
        if current.event_number:
            self._background.record(self._journal.set_due(current.event_number, self.due))

    def _reset(self, _epoch: int) -> None:
        """Forget what is known of the former grant."""
        self._token_refresh.reset()
        self._unproven = None

    async def _run(self, grant: Grant, cause: Cause) -> TokenSet:
        epoch, started = self._state.epoch, monotonic()

        self._state.update_status(refreshing_since=started)
        try:
            result = await self._token_refresh.run(grant, cause, _Outcomes(self, epoch))
            # The user may have signed out or in since the grant was saved. That deletes or replaces what was saved, so
            # there is nothing to undo here.
            if epoch != self._state.epoch:
                raise SignInNeeded("The sign-in changed meanwhile.", self._profile.facts())
            return self._publish(result, cause, (monotonic() - started) * 1000)
        except SignInNeeded as failure:
            if failure.facts.code == UNRENEWABLE:
                self._keep_to_the_end(grant, cause)
                raise
            # Only in its own epoch may a refresh end a grant: later the current grant is another one.
            successor = await self._lifecycle.end(grant, failure, cause) if epoch == self._state.epoch else None
            if successor is None:
                raise
            return successor.tokens
        except BurrowError as failure:
            took = (monotonic() - started) * 1000
            self._state.emit_event(REFRESH, str(cause), type(failure).__name__, grant, took)
            self._failed(failure, grant, cause)
            raise
        finally:
            self._state.update_status(refreshing_since=None)

    async def save(self, refreshed: Grant, epoch: int) -> bool:
        """Make a refreshed grant durable; see `RefreshOutcomes.save`. The refresh was begun in `epoch`."""
        # Since the request was sent the user may have signed out or in, here or in another process. Storing the new
        # tokens would bring the former grant back.
        if epoch != self._state.epoch or await self._lifecycle.signed_out_meanwhile(refreshed):
            self._background.start(self._lifecycle.revoke(refreshed))
            facts = self._profile.facts(SIGNED_OUT_ELSEWHERE)
            raise SignInNeeded("Signed out meanwhile.", facts)
        stored = await self._lifecycle.save(refreshed)
        grant = self._state.grant
        if grant is not None and refreshed.tokens.access_token == grant.tokens.access_token:
            # The answer had a new refresh token only. There is no result to publish, and the former token is spent.
            self._state.set_grant(refreshed)
        return stored

    async def ended(self, grant: Grant, cause: Cause, code: str) -> None:
        """Delete a refused grant; see `RefreshOutcomes.ended`."""
        await self._lifecycle.delete_ended(grant, cause, code)

    def _keep_to_the_end(self, grant: Grant, cause: Cause) -> None:
        """The grant can no longer be refreshed, and its access token still works: serve it until it expires."""
        if self._state.grant is not grant or self._state.status.works_until is not None:
            return
        expires_at = grant.tokens.expires_at
        until = inf if expires_at is None else self._time.local(expires_at)
        self._state.update_status(works_until=until)
        self._state.emit_event(REFRESH, str(cause), UNRENEWABLE, grant)
        self._schedule.plan_end(grant.tokens)

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
            self._refreshed.append(digest(tokens.access_token))
        self._state.set_grant(result.grant, event_number=result.event_number)
        return tokens

    def _failed(self, failure: BurrowError, grant: Grant, cause: Cause) -> None:
        pause = RETRY_SECONDS
        if isinstance(failure, VaultFailure):
            self._lifecycle.vault_failed(failure)
        elif failure.facts.code == BRAKED:
            # Nobody is refused anything while the token is merely renewed too often: it is sent as it is.
            if cause.kind is CauseKind.REFUSED:
                self._show_brake(failure)
            pause = failure.facts.retry_after or RETRY_SECONDS
        elif self._state.status.trouble is None:
            offline = isinstance(failure, Offline) and not isinstance(failure, NotConnectable)
            self._state.update_status(trouble=Trouble.OFFLINE if offline else Trouble.SERVER)
        if self._state.grant is grant:
            self._schedule.plan(grant.tokens, least=pause)

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
        if self._token_refresh.is_refused(grant):
            # The schedule has come to the end of a grant that could not be refreshed.
            cause = EXPIRED
        try:
            await self.refresh(grant, tokens, cause)
        except BurrowError as failure:
            log.info("the refresh (%s) failed: %s", cause, type(failure).__name__)
