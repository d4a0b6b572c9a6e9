"""Session: who is signed in to one host, and the one renewal in flight.

The state machine of contract section 1.14, with these rules: a renewal is single-flight in the process and
locked across processes; what other processes store is taken over; the new pair is durable before anyone sees it; only
`invalid_grant` and `invalid_token` end a session; a refused refresh token is never sent twice.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import dataclass, replace
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from app.core.auth.chores import Chores, retrieve
from app.core.auth.client import Client
from app.core.auth.custody import Custody
from app.core.auth.follow import Follower
from app.core.auth.grant import Grant
from app.core.auth.journal import AHEAD, ENDED, EXPIRED, RENEWAL, SIGNED_IN, SIGNED_OUT, UNFINISHED, CauseKind, Journal
from app.core.auth.planning import Plan
from app.core.auth.renewal import BRAKED, GRANT_ENDED, SIGNED_OUT_ELSEWHERE, How, Renewal
from app.core.auth.settings import HostSettings
from app.core.auth.status import ELSEWHERE, OFFLINE, REFUSED, SERVER, AuthEvent, SessionState, SessionStatus
from app.core.auth.tokens import TokenSet
from app.core.auth.vault import StoreKind, VaultFailure, VaultState
from app.core.errors import BurrowError, Facts, Offline, Rejected, SignInNeeded, VaultTrouble
from app.core.events import Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from app.core.auth.journal import Cause
    from app.core.auth.oauth import OAuth
    from app.core.auth.recovery import SessionAuth
    from app.core.auth.renewal import Outcome
    from app.core.auth.settings import Remembered
    from app.core.auth.shared import Shared
    from app.core.auth.signin import SignIn
    from app.core.auth.target import Target
    from app.core.auth.vault import Vault
    from app.core.hosts import Host

log = logging.getLogger(__name__)

# Inside the margin before its expiry a token is renewed first, but not waited for longer than this.
MARGIN_WAIT_SECONDS = 2.0
REVOKE_SECONDS = 5.0
CLOSE_SECONDS = 2.0
BRAKED_LONGER_SECONDS = 5.0
PERSONAL_KEY_PREFIX = "phx_"
REPLACED = "replaced"

SIGNED_IN_NOWHERE = "Nobody is signed in."


@dataclass(frozen=True, slots=True)
class Unproven:
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


class Session:
    """The grant of one host. All methods run on the loop; `fit` is the hot path and takes no lock."""

    def __init__(
        self,
        host: Host,
        oauth: OAuth,
        shared: Shared,
        remembered: Remembered,
        folder: Path,
        *,
        store: StoreKind | None = None,
        vault: Vault | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.host = host
        self.oauth = oauth
        self.changed: Event[SessionStatus] = Event()
        self.happened: Event[AuthEvent] = Event()
        self.journal = journal or Journal(host.key, clock=oauth.time.clock)
        self._clock = oauth.time.clock
        self._shared = shared
        settings = HostSettings(remembered, host.key)
        self.client = Client(host, oauth, settings)
        self._status = SessionStatus()
        self._grant: Grant | None = None
        self._custody = Custody(
            self, host.origin, folder, settings, shared, self.journal, self._clock, store=store, vault=vault
        )
        self.note(store=self._custody.keeper.kind.value)
        self._renewal = Renewal(host, oauth, self.client, shared, self.journal)
        self._renewing: asyncio.Task[TokenSet] | None = None
        # The token being renewed is still good: nobody needs to wait.
        self._renewing_ahead = False
        self._fit_until = -inf
        self._unproven: Unproven | None = None
        self._braked_until = 0.0
        self._epoch = 0
        self._known = asyncio.Event()
        self._plan = Plan(oauth.time, lambda tokens: self._chores.start(self._renew_quietly(tokens, AHEAD)))
        self._follower = Follower(self._clock, lambda: self._custody.keeper.moved, self.look)
        self._chores = Chores()
        self._sign_in: SignIn | None = None

    @property
    def status(self) -> SessionStatus:
        return self._status

    @property
    def grant(self) -> Grant | None:
        """The current grant. Its tokens are secrets: show fingerprints only."""
        return self._grant

    @property
    def renews_at(self) -> float | None:
        """When the token will be renewed ahead of its expiry, in Unix seconds; None when nothing is due."""
        return None if self._plan.due is None else self.oauth.time.local(self._plan.due)

    async def restore(self) -> None:
        """Read the stored grant. Ends in any other state than `RESTORING`, or in that with a vault trouble."""
        self.note(state=SessionState.RESTORING, reason=None, trouble=None)
        self._follower.start()
        keeper = self._custody.keeper
        try:
            if not keeper.expects_one:
                keeper.skip()
                state, reason = await self._how_it_ended()
                self.note(state=state, reason=reason)
                return
            stored = await keeper.read()
            if stored is None:
                self.note(state=SessionState.NEEDS_SIGN_IN, reason="The stored sign-in is gone.")
            elif self._grant is None:
                self._publish(stored)
                await self._finish_unfinished(stored)
        except VaultFailure as failure:
            if failure.state is VaultState.DAMAGED:
                self.note(state=SessionState.NEEDS_SIGN_IN, reason="The stored sign-in is unreadable.")
            else:
                self._custody.failed(failure)
        finally:
            self._known.set()

    async def known(self) -> None:
        """Wait until it is clear whether there is a grant."""
        if not self._known.is_set():
            await self._known.wait()

    def fit(self) -> TokenSet | None:
        """The token to send now, without waiting; None when `access_token` must be asked."""
        grant = self._grant
        return grant.tokens if grant is not None and self._clock.boot() < self._fit_until else None

    async def access_token(self) -> TokenSet | None:
        """A token fit to be sent, renewed first when it has run out; None when there is no grant.

        Raises `BurrowError` when the token has run out and could not be renewed.
        """
        await self.known()
        grant = self._grant
        if grant is None:
            return None
        if not grant.tokens.expired(self.oauth.time.now()):
            return grant.tokens
        if self._alive(grant):
            try:
                async with asyncio.timeout(MARGIN_WAIT_SECONDS):
                    return await self.renew(grant.tokens, EXPIRED)
            except SignInNeeded:
                raise
            except (BurrowError, TimeoutError):
                if self._alive(grant):
                    return grant.tokens
        return await self.renew(grant.tokens, EXPIRED)

    def missing(self) -> BurrowError:
        """Why there is no token."""
        if self._status.vault_troubled:
            return VaultTrouble(self._status.reason or "", Facts(code=self._status.trouble))
        return SignInNeeded(self._status.reason or SIGNED_IN_NOWHERE, Facts(origin=self.host.origin))

    async def renew(self, refused: TokenSet, cause: Cause) -> TokenSet:
        """A newer token than `refused`; joins the renewal in flight, or starts the only one.

        The renewal itself is not cancelled with a caller (faults rows 6 and 7). Raises what `Renewal.run` raises.
        """
        grant = self._grant
        if grant is None:
            raise self.missing()
        changed = grant.tokens.access_token != refused.access_token
        renewing = self._renewing if self._renewing is not None and not self._renewing.done() else None
        if changed and (renewing is None or self._renewing_ahead):
            return grant.tokens
        if renewing is None:
            renewing = asyncio.create_task(self._renew(grant, cause), name="renewal")
            renewing.add_done_callback(retrieve)
            self._renewing = renewing
            self._renewing_ahead = cause.kind is CauseKind.AHEAD
        elif not changed:
            self._renewing_ahead = False
        return await asyncio.shield(renewing)

    def accepted(self, tokens: TokenSet, target: str, headers: Mapping[str, str]) -> None:
        """`target` answered a request carrying `tokens`: they are proven, and troubles are over."""
        if self.oauth.time.learn(headers):
            self._measure()
        if self._unproven is not None and self._unproven.by(tokens, target):
            self._chores.record(self.journal.accept(self._unproven.number))
            self._unproven = None
            if self._status.trouble == REFUSED:
                self._renewal.wake()
                self.note(trouble=None, reason=None)
        if self._status.trouble in {OFFLINE, SERVER} and self._grant is not None and self._grant.tokens is tokens:
            self.note(trouble=None)

    def unreachable(self, trouble: str) -> None:
        """The host could not be reached (`offline`) or is in trouble (`server`)."""
        if self._status.trouble is None:
            self.note(trouble=trouble)

    def wake(self, *, slept: bool = False) -> None:
        """The network is back, or the machine `slept`: forget the pause after a failed renewal."""
        self._renewal.wake(slept=slept)
        if slept:
            self._plan.again()

    def key_refused(self, cause: Cause) -> None:
        """A personal API key, or a token of the wrong kind, was refused: nothing can renew it."""
        grant = self._grant
        if grant is not None and not grant.renewable and self._status.state is not SessionState.NEEDS_SIGN_IN:
            self._tell(ENDED, str(cause), "key refused", grant)
            self._chores.record(self.journal.ended(grant, cause, "key refused"))
            self.note(state=SessionState.NEEDS_SIGN_IN, reason="The server refused this API key.")

    def auth(self, target: Target) -> SessionAuth:
        """What makes an httpx or httpx2 client carry this session's token to `target` and heal it."""
        from app.core.auth.recovery import SessionAuth

        return SessionAuth(self, target)

    async def begin_sign_in(self, *, scopes: Iterable[str] = (), open_browser: bool = True) -> SignIn:
        """Start signing in through the browser; a sign-in already under way is cancelled.

        `scopes` are asked for besides the usual ones and those granted so far (MCP 2025-11-25: the union).
        """
        from app.core.auth.signin import SignIn
        from app.core.auth.stepup import union

        self._cancel_sign_in()
        granted = self._grant.tokens.scope.split() if scopes and self._grant is not None else ()
        sign_in = await SignIn.begin(self, scopes=union(granted, scopes), open_browser=open_browser)
        # Of two that were begun at once, the later one.
        self._cancel_sign_in()
        self._sign_in = sign_in
        return sign_in

    def _cancel_sign_in(self) -> None:
        if self._sign_in is not None:
            self._sign_in.cancel()

    async def sign_in_with_ticket(self, ticket: str) -> None:
        """Sign in to the embedded workspace without a page (it gives tickets to its own supervisor)."""
        metadata = await self.client.metadata()
        client_id = (await self.client.registration(metadata)).client_id
        request = self.oauth.request_authorization(
            metadata, client_id, "http://127.0.0.1:1/callback", parameters={"login_ticket": ticket}
        )
        code = await self.oauth.follow_ticket(request)
        tokens = await self.oauth.exchange(metadata, client_id, code, request)
        await self.adopt(Grant(tokens, client_id, metadata.issuer), "ticket")

    async def sign_in_with_key(self, key: str) -> None:
        """Use a personal API key (contract section 1.10). Raises `Rejected` (attr `key`) when it cannot be one."""
        typed = key.strip()
        if not typed.startswith(PERSONAL_KEY_PREFIX) or not typed.isascii() or not typed.isprintable() or " " in typed:
            raise Rejected("A personal API key starts with phx_.", Facts(attr="key"), action="Paste the whole key.")
        await self.adopt(Grant(TokenSet(typed, issued_at=self.oauth.time.now())), "personal API key")

    async def adopt(self, grant: Grant, why: str) -> None:
        """Make a freshly issued grant the current one: durable first, published after.

        A vault that fails leaves the grant in memory and says so in the status; nothing else is tried silently.
        """
        self._start_over()
        signed_in = replace(grant, sign_in=secrets.token_hex(8))
        async with self._shared.lock.hold_briefly():
            stored = await self._custody.save(signed_in)
            await self.journal.note(SIGNED_IN, why, signed_in, "ok" if stored else "not stored")
        self._follower.start()
        self._known.set()
        self._tell(SIGNED_IN, why, "ok", signed_in)
        self._publish(signed_in)

    async def sign_out(self) -> None:
        """Forget the grant here and revoke it there, best effort within five seconds.

        Another process that is just renewing it is not waited for long: it looks before it stores (faults row 17).
        """
        grant = self._grant
        self._leave(SessionState.SIGNED_OUT)
        async with self._shared.lock.hold_briefly():
            newest = await self._custody.remove_sign_in(grant)
            if newest is not None:
                await self.journal.note(SIGNED_OUT, "asked", newest)
        if newest is not None:
            self._tell(SIGNED_OUT, "asked", "ok", newest)
            await self._revoke(newest)

    async def choose_store(self, kind: str) -> None:
        """Keep the grant elsewhere from now on: `keyring`, `file` or `memory`, as the person chose."""
        await self._custody.move_to(StoreKind(kind), self._grant)
        if self._grant is None:
            await self.restore()

    async def look(self) -> None:
        """Another process changed the stored grant: make this session agree with it. Raises `VaultFailure`."""
        await self._custody.follow_choice()
        try:
            stored = await self._custody.keeper.read()
        except VaultFailure as failure:
            if failure.state is VaultState.DAMAGED:
                return
            raise
        self._known.set()
        if stored is None:
            await self._follow_end()
        elif self._grant is None or not stored.same_sign_in(self._grant):
            self._replace(stored)
        elif stored.tokens.generation > self._grant.tokens.generation:
            self._tell(RENEWAL, "noticed", How.ADOPTED.value, stored)
            self._publish(stored, persistent=True)

    async def close(self) -> None:
        """Let a renewal in flight become durable (at most two seconds), then stop everything."""
        self._plan.stop()
        self._cancel_sign_in()
        if self._renewing is not None and not self._renewing.done():
            await asyncio.wait({self._renewing}, timeout=CLOSE_SECONDS)
            self._renewing.cancel()
        await self._follower.stop()
        await self._custody.close()
        await self._chores.close()

    async def _renew(self, grant: Grant, cause: Cause) -> TokenSet:
        epoch, started = self._epoch, monotonic()

        async def save(renewed: Grant) -> bool:
            if epoch != self._epoch or await self._custody.signed_out_meanwhile(renewed):
                self._chores.start(self._revoke(renewed))
                facts = Facts(code=SIGNED_OUT_ELSEWHERE, origin=self.host.origin)
                raise SignInNeeded("Signed out meanwhile.", facts)
            return await self._custody.save(renewed)

        self.note(renewing_since=started)
        try:
            outcome = await self._renewal.run(grant, self._custody.keeper, cause, save)
            if epoch != self._epoch:
                raise SignInNeeded("The sign-in changed meanwhile.", Facts(origin=self.host.origin))
            return self._renewed(outcome, cause, (monotonic() - started) * 1000)
        except SignInNeeded as failure:
            other = await self._end(grant, failure, cause) if epoch == self._epoch else None
            if other is None:
                raise
            return other.tokens
        except BurrowError as failure:
            self._tell(RENEWAL, str(cause), type(failure).__name__, grant, (monotonic() - started) * 1000)
            self._renewal_failed(failure, grant)
            raise
        finally:
            self.note(renewing_since=None)

    def _renewed(self, outcome: Outcome, cause: Cause, milliseconds: float) -> TokenSet:
        if outcome.how is How.REPLACED:
            self._replace(outcome.grant)
            facts = Facts(code=REPLACED, origin=self.host.origin)
            raise SignInNeeded("Somebody signed in again in another window.", facts)
        tokens = outcome.grant.tokens
        self._tell(RENEWAL, str(cause), outcome.how.value, outcome.grant, milliseconds)
        if outcome.how is How.RENEWED:
            self._unproven = Unproven(outcome.number, cause, tokens)
        self._publish(outcome.grant)
        if outcome.number:
            self._chores.record(self.journal.settle_due(outcome.number, self.renews_at))
        return tokens

    def _renewal_failed(self, failure: BurrowError, grant: Grant) -> None:
        if isinstance(failure, VaultFailure):
            self._custody.failed(failure)
        elif failure.facts.code == BRAKED:
            self._braked(failure)
        elif self._status.trouble is None:
            self.note(trouble=OFFLINE if isinstance(failure, Offline) else SERVER)
        if self._grant is grant:
            self._plan.plan(grant.tokens, failing=True)

    def _braked(self, failure: BurrowError) -> None:
        """One clear state while the brake is on and somebody still asks; it goes when nobody does any more."""
        self._braked_until = self._clock.boot() + (failure.facts.retry_after or 0.0) + BRAKED_LONGER_SECONDS
        if self._status.trouble != REFUSED:
            self._chores.start(self._release())
        self.note(trouble=REFUSED, reason=failure.cause)

    async def _release(self) -> None:
        while (left := self._braked_until - self._clock.boot()) > 0:
            await self._clock.sleep(left)
        if self._status.trouble == REFUSED:
            self.note(trouble=None, reason=None)

    async def _finish_unfinished(self, stored: Grant) -> None:
        """Repeat a renewal that a process has died in: inside the server's grace it brings the same pair (row 19)."""
        if stored.renewable and await self.journal.unfinished(stored) is not None:
            log.info("a renewal was interrupted; repeating it")
            self._chores.start(self._renew_quietly(stored.tokens, UNFINISHED))

    async def _end(self, grant: Grant, failure: SignInNeeded, cause: Cause) -> Grant | None:
        """The grant is over: forget it here if the vault still holds this very one, else go on with what it holds."""
        if failure.facts.code == SIGNED_OUT_ELSEWHERE:
            await self._follow_end()
            return None
        outcome = failure.facts.code or "refused"
        async with self._shared.lock.hold_briefly():
            stored = await self._custody.in_place_of(grant)
            if stored is grant:
                await self.journal.ended(grant, cause, outcome)
                await self._custody.remove_ended()
        if stored is grant:
            self._leave(SessionState.NEEDS_SIGN_IN, failure.cause)
            self._tell(ENDED, str(cause), outcome, grant)
        elif stored is None:
            await self._follow_end()
        elif stored.same_sign_in(grant):
            self._publish(stored, persistent=True)
            return stored
        else:
            self._replace(stored)
        return None

    async def _follow_end(self) -> None:
        """The stored grant was removed by another process: it signed out, or the server had ended the grant."""
        if self._grant is None:
            return
        self._leave(*await self._how_it_ended())

    async def _how_it_ended(self) -> tuple[SessionState, str | None]:
        """Whether the person knows that nobody is signed in, and what to say."""
        last = await self.journal.last_end()
        if last is not None and last.what == ENDED:
            return SessionState.NEEDS_SIGN_IN, GRANT_ENDED
        return SessionState.SIGNED_OUT, None

    def _replace(self, grant: Grant) -> None:
        """Somebody signed in in another process, perhaps as somebody else."""
        self._start_over()
        self._tell(SIGNED_IN, ELSEWHERE, "ok", grant)
        self.note(reason=None, trouble=None)
        self._publish(grant, persistent=True)

    def _start_over(self) -> None:
        """Nothing of the former grant counts any more."""
        self._epoch += 1
        self._renewal.start_over()
        self._unproven = None
        if self._status.trouble == REFUSED:
            self.note(trouble=None, reason=None)

    def _leave(self, state: SessionState, reason: str | None = None) -> None:
        """There is no grant any more."""
        self._start_over()
        self._grant, self._fit_until = None, -inf
        self._plan.stop()
        self.note(state=state, reason=reason, trouble=None, renewing_since=None)

    async def _revoke(self, grant: Grant) -> None:
        """At the server that issued it, best effort (faults row 40). A personal API key is not ours to revoke."""
        if grant.personal_key:
            return
        token = grant.tokens.refresh_token or grant.tokens.access_token
        try:
            async with asyncio.timeout(REVOKE_SECONDS):
                metadata = await self.client.metadata()
                if grant.issuer in {"", metadata.issuer}:
                    await self.oauth.revoke(metadata, grant.client_id, token)
        except (TimeoutError, BurrowError) as failure:
            log.info("the grant could not be revoked: %s", type(failure).__name__)

    def _publish(self, grant: Grant, *, persistent: bool | None = None) -> None:
        self._grant = grant
        self._measure()
        self._plan.plan(grant.tokens, failing=self._renewal.failing)
        if persistent is not None:
            self.note(persistent=persistent)
        reason = None if self._status.persistent and self._status.trouble is None else self._status.reason
        self.note(state=SessionState.SIGNED_IN, reason=reason)

    def _measure(self) -> None:
        """Until when the token may be sent without a further look, in the time since boot."""
        if self._grant is not None:
            tokens = self._grant.tokens
            left = inf if tokens.expires_at is None else tokens.expires_at - tokens.margin - self.oauth.time.now()
            self._fit_until = self._clock.boot() + left

    def _alive(self, grant: Grant) -> bool:
        """Whether the token itself has not run out, however close that is."""
        return grant.tokens.expires_at is not None and self.oauth.time.now() < grant.tokens.expires_at

    async def _renew_quietly(self, tokens: TokenSet, cause: Cause) -> None:
        try:
            await self.renew(tokens, cause)
        except BurrowError as failure:
            log.info("the renewal (%s) failed: %s", cause, type(failure).__name__)

    def note(self, **changes: object) -> None:
        """Change the status and tell it, if that changes anything."""
        status = replace(self._status, **changes)  # type: ignore[arg-type]
        if status != self._status:
            self._status = status
            self.changed.emit(status)

    def _tell(self, what: str, why: str, outcome: str, grant: Grant, milliseconds: float | None = None) -> None:
        tokens = grant.tokens
        token = self.journal.fingerprint(tokens.access_token)
        self.happened.emit(AuthEvent(what, why, outcome, tokens.generation, token, milliseconds))
