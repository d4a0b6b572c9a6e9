"""Session: who is signed in to one host, and the one renewal in flight.

The state machine of contract section 1.14, with these rules: a renewal is single-flight in the process and
locked across processes; the vault is read again inside the lock; the new pair is durable before anyone sees it; only
`invalid_grant` and `invalid_token` end a session; a refused refresh token is never sent twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass, replace
from enum import Enum
from time import monotonic, time
from typing import TYPE_CHECKING

from app.core.auth.client import Client
from app.core.auth.grant import Grant
from app.core.auth.keeper import Keeper
from app.core.auth.renewal import Renewal
from app.core.auth.settings import HostSettings
from app.core.auth.tokens import TokenSet, fingerprint
from app.core.auth.vault import StoreKind, VaultFailure, open_vault
from app.core.errors import BurrowError, Facts, Offline, Rejected, SignInNeeded, VaultTrouble
from app.core.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from app.core.auth.brake import Brake
    from app.core.auth.lock import ProcessLock
    from app.core.auth.oauth import OAuth
    from app.core.auth.recovery import SessionAuth
    from app.core.auth.settings import Remembered
    from app.core.auth.signin import SignIn
    from app.core.auth.target import Target
    from app.core.auth.vault import Vault
    from app.core.hosts import Host

log = logging.getLogger(__name__)

RENEW_AT = 0.8
JITTER = 0.05
RENEW_AGAIN_SECONDS = 15.0
REVOKE_SECONDS = 5.0
CLOSE_SECONDS = 2.0
SAVE_AGAIN_SECONDS = 30.0
PERSONAL_KEY_PREFIX = "phx_"
VAULT_TROUBLE = "vault-"
STORE = "store"

SIGNED_IN_NOWHERE = "Nobody is signed in."


class SessionState(Enum):
    """`RESTORING` is "not known yet", never "signed out"."""

    SIGNED_OUT = "signed_out"
    RESTORING = "restoring"
    SIGNED_IN = "signed_in"
    NEEDS_SIGN_IN = "needs_sign_in"


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """What a window shows of a session.

    `renewing_since` is `time.monotonic()` of a renewal under way. `trouble` is `offline`, `server`, `vault-absent`,
    `vault-locked` or `vault-unreadable`. `persistent` tells whether the grant outlives the process.
    """

    state: SessionState = SessionState.RESTORING
    reason: str | None = None
    renewing_since: float | None = None
    trouble: str | None = None
    store: str = StoreKind.KEYRING.value
    persistent: bool = True


@dataclass(frozen=True, slots=True)
class AuthEvent:
    """One thing that happened to the grant, for the activity record. Holds fingerprints, never tokens."""

    what: str
    why: str
    outcome: str
    generation: int = 0
    token: str = ""
    milliseconds: float | None = None


class Session:
    """The grant of one host. All methods run on the loop; `access_token` is the hot path and takes no lock."""

    def __init__(
        self,
        host: Host,
        oauth: OAuth,
        lock: ProcessLock,
        remembered: Remembered,
        folder: Path,
        *,
        store: StoreKind | None = None,
        vault: Vault | None = None,
        now: Callable[[], float] = time,
        brake: Brake | None = None,
    ) -> None:
        self.host = host
        self.oauth = oauth
        self.changed: Event[SessionStatus] = Event()
        self.happened: Event[AuthEvent] = Event()
        self._settings = HostSettings(remembered, host.key)
        self.client = Client(host, oauth, self._settings)
        self._lock = lock
        self._folder = folder
        self._now = now
        self._keeper = self._keeper_of(vault or open_vault(store or self._remembered_store(), folder))
        self._renewal = Renewal(host, oauth, self.client, lock, brake)
        self._renewing: asyncio.Task[TokenSet] | None = None
        self._status = SessionStatus(store=self._keeper.kind.value)
        self._grant: Grant | None = None
        self._epoch = 0
        self._known = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._renews_at: float | None = None
        self._background: set[asyncio.Task[None]] = set()
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
        return self._renews_at

    async def restore(self) -> None:
        """Read the stored grant. Ends in `SIGNED_IN`, `SIGNED_OUT`, or `RESTORING` with a vault trouble."""
        self._set(state=SessionState.RESTORING, reason=None, trouble=None)
        try:
            if not self._keeper.expects_one:
                self._set(state=SessionState.SIGNED_OUT)
                return
            stored = await self._keeper.read()
            if stored is None:
                reason = "The stored sign-in is gone or unreadable."
                self._set(state=SessionState.NEEDS_SIGN_IN, reason=reason)
            elif self._grant is None:
                self._publish(stored)
        except VaultFailure as failure:
            self._vault_failed(failure)
        finally:
            self._known.set()

    async def known(self) -> None:
        """Wait until it is clear whether there is a grant."""
        if not self._known.is_set():
            await self._known.wait()

    async def access_token(self) -> TokenSet | None:
        """A token fit to be sent, renewed first when it has run out; None when there is no grant.

        Raises `BurrowError` when the token has run out and could not be renewed.
        """
        await self.known()
        grant = self._grant
        if grant is None:
            return None
        now = self._now()
        if not grant.tokens.expired(now):
            return grant.tokens
        try:
            return await self.renew(grant.tokens, "expired")
        except SignInNeeded:
            raise
        except BurrowError:
            if grant.tokens.expires_at is not None and now < grant.tokens.expires_at:
                return grant.tokens
            raise

    def missing(self) -> BurrowError:
        """Why there is no token."""
        if self._status.trouble is not None and self._status.trouble.startswith(VAULT_TROUBLE):
            return VaultTrouble(self._status.reason or "", Facts(code=self._status.trouble))
        return SignInNeeded(self._status.reason or SIGNED_IN_NOWHERE, Facts(origin=self.host.origin))

    async def renew(self, refused: TokenSet, why: str) -> TokenSet:
        """A newer token than `refused`; joins the renewal in flight, or starts the only one.

        The renewal itself is not cancelled with a caller (faults rows 6 and 7). Raises what `Renewal.run` raises.
        """
        grant = self._grant
        if grant is None:
            raise self.missing()
        if grant.tokens.access_token != refused.access_token:
            return grant.tokens
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._renew(grant, why), name="renewal")
            self._renewing.add_done_callback(_retrieve)
        return await asyncio.shield(self._renewing)

    def accepted(self, tokens: TokenSet) -> None:
        """A server answered a request carrying `tokens`: the brake opens and troubles are over."""
        grant = self._grant
        if grant is None or grant.tokens is not tokens:
            return
        self._renewal.brake.accepted()
        if self._status.trouble in {"offline", "server"}:
            self._set(trouble=None)

    def unreachable(self, trouble: str) -> None:
        """The host could not be reached (`offline`) or is in trouble (`server`)."""
        if self._status.trouble is None:
            self._set(trouble=trouble)

    def wake(self) -> None:
        """The network is back or the machine woke: forget the pause after a failed renewal."""
        self._renewal.wake()

    def key_refused(self, why: str) -> None:
        """A personal API key, or a token of the wrong kind, was refused: nothing can renew it."""
        if self._grant is not None and not self._grant.renewable:
            self._tell("ended", why, "key refused", self._grant)
            self._set(state=SessionState.NEEDS_SIGN_IN, reason="The server refused this API key.")

    def auth(self, target: Target) -> SessionAuth:
        """What makes an httpx or httpx2 client carry this session's token to `target` and heal it."""
        from app.core.auth.recovery import SessionAuth

        return SessionAuth(self, target)

    async def begin_sign_in(self, *, open_browser: bool = True) -> SignIn:
        """Start signing in through the browser; a sign-in already under way is cancelled."""
        from app.core.auth.signin import SignIn

        if self._sign_in is not None:
            self._sign_in.cancel()
        self._sign_in = await SignIn.begin(self, open_browser=open_browser)
        return self._sign_in

    async def sign_in_with_ticket(self, ticket: str) -> None:
        """Sign in to the embedded workspace without a page (it gives tickets to its own supervisor)."""
        metadata = await self.client.metadata()
        client_id = (await self.client.registration(metadata)).client_id
        request = self.oauth.request_authorization(
            metadata, client_id, "http://127.0.0.1:1/callback", parameters={"login_ticket": ticket}
        )
        code = await self.oauth.follow_ticket(request)
        tokens = await self.oauth.exchange(metadata, client_id, code, request)
        await self.adopt(Grant(tokens, client_id), "ticket")

    async def sign_in_with_key(self, key: str) -> None:
        """Use a personal API key (contract section 1.10). Raises `Rejected` (attr `key`) when it cannot be one."""
        typed = key.strip()
        if not typed.startswith(PERSONAL_KEY_PREFIX) or not typed.isascii() or not typed.isprintable() or " " in typed:
            raise Rejected("A personal API key starts with phx_.", Facts(attr="key"), action="Paste the whole key.")
        await self.adopt(Grant(TokenSet(typed, issued_at=self._now())), "personal API key")

    async def adopt(self, grant: Grant, why: str) -> None:
        """Make a freshly issued grant the current one: durable first, published after.

        A vault that fails leaves the grant in memory and says so in the status; nothing else is tried silently.
        """
        self._epoch += 1
        self._renewal.start_over()
        async with self._lock.hold():
            await self._save(grant)
        self._known.set()
        self._tell("signed in", why, "ok", grant)
        self._publish(grant)

    async def sign_out(self) -> None:
        """Forget the grant here and revoke it there, best effort within five seconds."""
        grant, self._grant = self._grant, None
        self._epoch += 1
        self._stop_timer()
        async with self._lock.hold():
            await self._forget(grant)
        self._set(state=SessionState.SIGNED_OUT, reason=None, trouble=None, renewing_since=None)
        if grant is None:
            return
        self._tell("signed out", "asked", "ok", grant)
        if not grant.personal_key:
            try:
                async with asyncio.timeout(REVOKE_SECONDS):
                    token = grant.tokens.refresh_token or grant.tokens.access_token
                    await self.oauth.revoke(await self.client.metadata(), grant.client_id, token)
            except (TimeoutError, BurrowError) as failure:
                log.info("the grant could not be revoked: %s", type(failure).__name__)

    async def choose_store(self, kind: str) -> None:
        """Keep the grant elsewhere from now on: `keyring`, `file` or `memory`, as the person chose."""
        self._keeper = self._keeper_of(open_vault(StoreKind(kind), self._folder))
        await self._settings.set(STORE, kind)
        self._set(store=kind, trouble=None, reason=None)
        if self._grant is None:
            await self.restore()
            return
        async with self._lock.hold():
            await self._save(self._grant)

    async def close(self) -> None:
        """Let a renewal in flight become durable (at most two seconds), then stop everything."""
        self._stop_timer()
        if self._sign_in is not None:
            self._sign_in.cancel()
        if self._renewing is not None and not self._renewing.done():
            await asyncio.wait({self._renewing}, timeout=CLOSE_SECONDS)
            self._renewing.cancel()
        for task in tuple(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    async def _renew(self, grant: Grant, why: str) -> TokenSet:
        epoch, started = self._epoch, monotonic()

        async def save(renewed: Grant) -> None:
            if epoch == self._epoch:
                await self._save(renewed)

        self._set(renewing_since=started)
        try:
            current, outcome = await self._renewal.run(grant, self._keeper, self._now, save)
            if epoch != self._epoch:
                raise SignInNeeded("The sign-in changed meanwhile.", Facts(origin=self.host.origin))
        except SignInNeeded as failure:
            if epoch == self._epoch:
                await self._end(grant, failure, why)
            raise
        except BurrowError as failure:
            self._tell("renewal", why, type(failure).__name__, grant, (monotonic() - started) * 1000)
            self._set(trouble=self._status.trouble or ("offline" if isinstance(failure, Offline) else "server"))
            self._schedule(grant.tokens)
            raise
        finally:
            self._set(renewing_since=None)
        self._tell("renewal", why, outcome, current, (monotonic() - started) * 1000)
        self._publish(current)
        return current.tokens

    async def _end(self, grant: Grant, failure: SignInNeeded, why: str) -> None:
        """The grant is over: forget it here if the vault still holds this very one."""
        self._stop_timer()
        self._grant = None
        self._tell("ended", why, failure.facts.code or "refused", grant)
        self._set(state=SessionState.NEEDS_SIGN_IN, reason=failure.cause, renewing_since=None)
        try:
            async with self._lock.hold():
                await self._forget(grant)
        except BurrowError as trouble:
            log.info("the ended grant could not be removed: %s", type(trouble).__name__)

    async def _save(self, grant: Grant) -> None:
        """Make `grant` durable, or say why it is not and try again later."""
        had_one = self._keeper.has_one
        try:
            await self._keeper.save(grant)
        except VaultFailure as failure:
            log.warning("the sign-in could not be stored: %s", failure.state.value)
            self._vault_failed(failure)
            self._set(persistent=False)
            if had_one:
                self._later(SAVE_AGAIN_SECONDS, self._save_again)
            return
        trouble = self._status.trouble
        recovered = trouble is not None and trouble.startswith(VAULT_TROUBLE)
        self._set(persistent=self._keeper.persistent, trouble=None if recovered else trouble)

    async def _save_again(self) -> None:
        async with self._lock.hold():
            if self._grant is not None and not self._status.persistent:
                await self._save(self._grant)

    async def _forget(self, grant: Grant | None) -> None:
        try:
            await self._keeper.forget(grant)
        except VaultFailure as failure:
            log.warning("the stored sign-in could not be removed: %s", failure.state.value)
            self._vault_failed(failure)

    def _vault_failed(self, failure: VaultFailure) -> None:
        self._set(trouble=f"{VAULT_TROUBLE}{failure.state.value}", reason=failure.cause)

    def _publish(self, grant: Grant) -> None:
        self._grant = grant
        self._schedule(grant.tokens)
        self._set(state=SessionState.SIGNED_IN, reason=self._status.reason if not self._status.persistent else None)

    def _schedule(self, tokens: TokenSet) -> None:
        """Renew at 80 % of the token's life, a little apart from other processes."""
        from random import uniform

        self._stop_timer()
        if tokens.lifetime is None or tokens.refresh_token is None:
            return
        at = tokens.issued_at + tokens.lifetime * (RENEW_AT + uniform(-JITTER, JITTER))
        delay = max(at - self._now(), RENEW_AGAIN_SECONDS if self._renewal.failing else 0.0)
        self._renews_at = self._now() + delay
        self._timer = asyncio.get_running_loop().call_later(delay, self._renew_ahead, tokens)

    def _renew_ahead(self, tokens: TokenSet) -> None:
        async def renew() -> None:
            try:
                await self.renew(tokens, "ahead of expiry")
            except BurrowError as failure:
                log.info("the renewal ahead of expiry failed: %s", type(failure).__name__)

        self._spawn(renew())

    def _later(self, seconds: float, action: Callable[[], Coroutine[None, None, None]]) -> None:
        async def wait() -> None:
            await asyncio.sleep(seconds)
            await action()

        self._spawn(wait())

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        task.add_done_callback(_retrieve)

    def _stop_timer(self) -> None:
        self._renews_at = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, **changes: object) -> None:
        status = replace(self._status, **changes)  # type: ignore[arg-type]
        if status != self._status:
            self._status = status
            self.changed.emit(status)

    def _tell(self, what: str, why: str, outcome: str, grant: Grant, milliseconds: float | None = None) -> None:
        tokens = grant.tokens
        self.happened.emit(
            AuthEvent(what, why, outcome, tokens.generation, fingerprint(tokens.access_token), milliseconds)
        )

    def _keeper_of(self, vault: Vault) -> Keeper:
        """State that lives in another folder is another profile, in the keyring too."""
        profile = hashlib.sha256(str(self._folder).encode()).hexdigest()[:12]
        return Keeper(vault, f"{self.host.origin}|{profile}", self._settings)

    def _remembered_store(self) -> StoreKind:
        try:
            return StoreKind(self._settings.get(STORE, StoreKind.KEYRING.value))
        except ValueError:
            return StoreKind.KEYRING


def _retrieve(task: asyncio.Task[TokenSet] | asyncio.Task[None]) -> None:
    """Look at a task's exception so that asyncio does not report it: those who wait for it have had it."""
    if not task.cancelled():
        task.exception()
