"""Credential: who the user is to one issuer, for one resource, in one slot, kept signed in.

The rules: a refresh is single-flight in the process and locked across processes; what other processes store is adopted;
the new pair is durable before anyone sees it; only `invalid_grant` and `invalid_token` end a grant; a refused refresh
token is never sent again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import TYPE_CHECKING

from app.core.auth.cause import EXPIRED
from app.core.auth.grant.coordinator import RefreshCoordinator
from app.core.auth.grant.grant import Grant
from app.core.auth.grant.journal import ENDED, Journal
from app.core.auth.grant.lifecycle import GrantLifecycle
from app.core.auth.grant.refresh import TokenRefresh
from app.core.auth.grant.state import GrantState
from app.core.auth.grant.store import GrantStore
from app.core.auth.grant.watcher import GrantWatcher
from app.core.auth.oauth.check import TokenCheck
from app.core.auth.oauth.registrar import ClientRegistrar
from app.core.auth.settings import CredentialSettings
from app.core.auth.status import CredentialState
from app.core.auth.vault.base import StoreKind
from app.core.background import BackgroundTasks
from app.core.errors import BurrowError, SignInNeeded, VaultTrouble

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from app.core.auth.cause import Cause
    from app.core.auth.grant.files import GrantFiles
    from app.core.auth.http.bearer import BearerAuth
    from app.core.auth.http.target import Target
    from app.core.auth.key import CredentialKey
    from app.core.auth.oauth.authorization_server import AuthorizationServer
    from app.core.auth.oauth.sign_in import BrowserSignIn
    from app.core.auth.registration import ClientRegistration
    from app.core.auth.settings import SettingsStore
    from app.core.auth.status import AuthEvent, CredentialStatus, Trouble
    from app.core.auth.tokens import TokenSet
    from app.core.auth.vault.base import Vault
    from app.core.events import Event

log = logging.getLogger(__name__)

# Inside the margin before its expiry a token is refreshed first, but not waited for longer than this.
MARGIN_WAIT_SECONDS = 2.0
REVOKE_SECONDS = 5.0

SIGNED_IN_NOWHERE = "Nobody is signed in."


class Credential:
    """The grant of one host. All methods run on the loop; `fit` is the hot path and takes no lock."""

    def __init__(
        self,
        oauth: AuthorizationServer,
        files: GrantFiles,
        remembered: SettingsStore,
        folder: Path,
        *,
        store: StoreKind | None = None,
        vault: Vault | None = None,
        journal: Journal | None = None,
    ) -> None:
        """`oauth` brings the profile and the clock. `store` and `vault` are used instead of what was chosen before."""
        self.profile = oauth.profile
        self.oauth = oauth
        clock = oauth.time.clock
        key = self.profile.key
        self.journal = journal or Journal(key, clock=clock)
        settings = CredentialSettings(remembered, key)
        # State that is kept in another folder is another profile, in the keyring too.
        folder_digest = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
        self._store = GrantStore(key.vault_name(folder_digest), folder, settings, files, kind=store, vault=vault)
        self.registrar = ClientRegistrar(self.profile, oauth, settings, self._store)
        self._state = GrantState(oauth.time, self.journal.fingerprint)
        self._lifecycle = GrantLifecycle(self._state, self._store, files, self.journal, clock, self.revoke)
        self._background = BackgroundTasks()
        refresh = TokenRefresh(oauth, self.registrar, self._store, files, self.journal)
        self._coordinator = RefreshCoordinator(
            self.profile, self._state, refresh, self._lifecycle, self.journal, self._background, oauth.time
        )
        self._check = TokenCheck(oauth)
        self._known = asyncio.Event()
        self._watcher = GrantWatcher(clock, lambda: self._store.moved, self.look)
        self._sign_in: BrowserSignIn | None = None

    @property
    def key(self) -> CredentialKey:
        """The name of everything that is kept of this credential."""
        return self.profile.key

    @property
    def changed(self) -> Event[CredentialStatus]:
        """Tells each new status."""
        return self._state.changed

    @property
    def happened(self) -> Event[AuthEvent]:
        """Tells each thing that happened to the grant."""
        return self._state.happened

    @property
    def status(self) -> CredentialStatus:
        return self._state.status

    @property
    def grant(self) -> Grant | None:
        """The current grant. Its tokens are secrets: show fingerprints only."""
        return self._state.grant

    @property
    def renews_at(self) -> float | None:
        """When the token will be renewed ahead of its expiry, in Unix seconds; None when nothing is due."""
        return self._coordinator.due

    async def restore(self) -> None:
        """Read the stored grant. Ends in any other state than `RESTORING`, or in that with a trouble of the vault."""
        self._watcher.start()
        try:
            restored = await self._lifecycle.restore()
            if restored is not None:
                await self._coordinator.finish(restored)
        finally:
            self._known.set()

    async def known(self) -> None:
        """Wait until it is clear whether there is a grant."""
        if not self._known.is_set():
            await self._known.wait()

    def fit(self) -> TokenSet | None:
        """The token to send now, without waiting; None when `access_token` must be asked."""
        return self._state.fit()

    async def access_token(self) -> TokenSet | None:
        """A token fit to be sent, renewed first when it has run out; None when there is no grant.

        Raises `BurrowError` when the token has run out and could not be renewed.
        """
        await self.known()
        grant = self.grant
        if grant is None:
            return None
        if not grant.tokens.expired(self.oauth.time.now()):
            return grant.tokens
        if self._alive(grant):
            try:
                async with asyncio.timeout(MARGIN_WAIT_SECONDS):
                    return await self.refresh(grant.tokens, EXPIRED)
            except SignInNeeded:
                raise
            except (BurrowError, TimeoutError):
                if self._alive(grant):
                    return grant.tokens
        return await self.refresh(grant.tokens, EXPIRED)

    def missing(self) -> BurrowError:
        """Why there is no token."""
        status = self.status
        if status.vault_troubled:
            return VaultTrouble(status.reason or "", self.profile.facts(status.trouble))
        return SignInNeeded(status.reason or SIGNED_IN_NOWHERE, self.profile.facts())

    async def refresh(self, refused: TokenSet, cause: Cause) -> TokenSet:
        """A newer token than `refused`: the current one, or what the one renewal brings that all callers share.

        Raises what `TokenRefresh.run` raises, and `missing` without a grant.
        """
        grant = self.grant
        if grant is None:
            raise self.missing()
        return await self._coordinator.newer(grant, refused, cause)

    def accepted(self, tokens: TokenSet, target: str, headers: Mapping[str, str]) -> None:
        """`target` answered a request carrying `tokens`: they are proven, and troubles are over."""
        if self.oauth.time.learn(headers):
            self._state.measure()
        self._coordinator.accepted(tokens, target)
        grant = self._state.grant
        if self.status.unreachable and grant is not None and grant.tokens is tokens:
            self._state.note(trouble=None)

    def unreachable(self, trouble: Trouble) -> None:
        """The host could not be reached (`OFFLINE`), or it failed (`SERVER`)."""
        if self.status.trouble is None:
            self._state.note(trouble=trouble)

    def wake(self, *, slept: bool = False) -> None:
        """The network is back, or the machine `slept`: forget the pause after a failed renewal."""
        self._coordinator.wake(slept=slept)

    def key_refused(self, cause: Cause) -> None:
        """A personal API key, or a token of the wrong kind, was refused: nothing can renew it."""
        grant = self.grant
        if grant is not None and not grant.renewable and self.status.state is not CredentialState.NEEDS_SIGN_IN:
            self._state.tell(ENDED, str(cause), "key refused", grant)
            self._background.record(self.journal.ended(grant, cause, "key refused"))
            self._state.note(state=CredentialState.NEEDS_SIGN_IN, reason="The server refused this API key.")

    async def is_dead(self, tokens: TokenSet) -> bool | None:
        """Whether the host itself refuses `tokens`; None when it does not say.

        An ambiguous refusal is settled by this. Once for each generation of the token the host is asked; all who ask
        meanwhile wait for the same answer.
        """
        grant = self.grant
        if grant is None or grant.tokens.access_token != tokens.access_token:
            # Another token is in force: whoever sent this one repeats the request with that one.
            return True
        return await self._check.refuses(tokens)

    def auth(self, target: Target) -> BearerAuth:
        """What makes an httpx or httpx2 client carry this session's token to `target` and heal it."""
        from app.core.auth.http.bearer import BearerAuth

        return BearerAuth(self, target)

    async def begin_sign_in(self, *, scopes: Iterable[str] = (), open_browser: bool = True) -> BrowserSignIn:
        """Start signing in through the browser; a sign-in already under way is cancelled.

        `scopes` are asked for besides the usual ones and those granted so far (MCP 2025-11-25: the union).
        """
        from app.core.auth.oauth.sign_in import BrowserSignIn
        from app.core.auth.oauth.step_up import union

        self._cancel_sign_in()
        granted = self.grant.tokens.scope.split() if scopes and self.grant is not None else ()
        sign_in = await BrowserSignIn.begin(self, scopes=union(granted, scopes), open_browser=open_browser)
        # Of two that were begun at once, the later one.
        self._cancel_sign_in()
        self._sign_in = sign_in
        return sign_in

    async def adopt(self, grant: Grant, why: str) -> None:
        """Make a newly issued grant the one in force: durable first, published afterwards.

        A vault that fails leaves the grant in memory and says so in the status; nothing else is tried silently.
        """
        await self._lifecycle.adopt(grant, why)
        self._watcher.start()
        self._known.set()

    async def take(self, tokens: TokenSet, registration: ClientRegistration, resource: str | None, why: str) -> None:
        """Make newly issued tokens the grant in force; see `adopt`."""
        await self.adopt(Grant.issued(tokens, registration, resource), why)

    async def sign_out(self) -> None:
        """Forget the grant here and revoke it there, best effort within five seconds."""
        await self._lifecycle.sign_out()

    async def choose_store(self, kind: StoreKind | str) -> None:
        """Store the grant elsewhere from now on: `keyring`, `file` or `memory`, as the user chose."""
        former = self._store.vault
        await self._lifecycle.move_to(StoreKind(kind))
        await self.registrar.move_secret(former)
        if self.grant is None:
            await self.restore()

    async def look(self) -> None:
        """Another process changed the stored grant: make this credential agree with it. Raises `VaultFailure`."""
        if await self._lifecycle.look():
            self._known.set()

    async def close(self) -> None:
        """Let a refresh in flight become durable (at most two seconds), then stop everything."""
        self._cancel_sign_in()
        await self._coordinator.close()
        await self._watcher.stop()
        await self._lifecycle.close()
        await self._check.close()
        await self._background.close()

    async def revoke(self, grant: Grant) -> None:
        """At the server that issued it, best effort (faults row 40). An API key is not ours to revoke."""
        if grant.api_key:
            return
        token = grant.tokens.refresh_token or grant.tokens.access_token
        try:
            async with asyncio.timeout(REVOKE_SECONDS):
                metadata = await self.registrar.metadata()
                if grant.issuer in {"", metadata.issuer}:
                    await self.oauth.revoke(metadata, grant.registration, token)
        except (TimeoutError, BurrowError) as failure:
            log.info("the grant could not be revoked: %s", type(failure).__name__)

    def _cancel_sign_in(self) -> None:
        if self._sign_in is not None:
            self._sign_in.cancel()

    def _alive(self, grant: Grant) -> bool:
        """Whether the token itself has not run out, however close that is."""
        return grant.tokens.expires_at is not None and self.oauth.time.now() < grant.tokens.expires_at
