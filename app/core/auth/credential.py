"""Credential: a sign-in at one issuer, for one resource, in one slot, kept alive by refreshes.

The rules: one refresh at a time in the process, and one at a time among processes; what another process stored is
adopted; new tokens are stored before they are used; only `invalid_grant` and `invalid_token` end a grant; a refused
refresh token is never sent again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from app.core.auth.cause import EXPIRED
from app.core.auth.grant.coordinator import RefreshCoordinator
from app.core.auth.grant.grant import Grant
from app.core.auth.grant.journal import ENDED, Journal
from app.core.auth.grant.lifecycle import GrantLifecycle
from app.core.auth.grant.refresh import BRAKED, UNRENEWABLE, TokenRefresh
from app.core.auth.grant.state import GrantState
from app.core.auth.grant.store import GrantStore
from app.core.auth.grant.watcher import GrantWatcher
from app.core.auth.oauth.check import TokenCheck
from app.core.auth.oauth.registrar import ClientRegistrar
from app.core.auth.settings import CredentialSettings
from app.core.auth.status import CredentialState
from app.core.auth.vault.base import StoreKind
from app.core.auth.vault.identity import FolderIdentity
from app.core.background import BackgroundTasks
from app.core.errors import BurrowError, ServerTrouble, SignInNeeded, VaultTrouble

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from app.core.auth.cause import Cause
    from app.core.auth.grant.files import GrantFiles
    from app.core.auth.http.bearer import BearerAuth
    from app.core.auth.http.target import Target
    from app.core.auth.key import CredentialKey
    from app.core.auth.oauth.authorization_server import AuthorizationServer
    from app.core.auth.oauth.sign_in import BrowserSignIn, PageProof
    from app.core.auth.registration import ClientRegistration
    from app.core.auth.settings import SettingsStore
    from app.core.auth.status import AuthEvent, CredentialStatus, Trouble
    from app.core.auth.tokens import TokenSet
    from app.core.auth.vault.base import Vault
    from app.core.events import Event

log = logging.getLogger(__name__)

# A token in the margin before its expiry is refreshed before it is sent. If that takes longer, it is sent all the same.
MARGIN_WAIT_SECONDS = 2.0
REVOKE_SECONDS = 5.0

SIGNED_IN_NOWHERE = "Nobody is signed in."


class Credential:
    """The sign-in for one key. All methods run on the loop.

    `fresh_token` is called for each request, so it neither waits nor takes a lock.
    """

    def __init__(
        self,
        oauth: AuthorizationServer,
        files: GrantFiles,
        settings_store: SettingsStore,
        folder: Path,
        *,
        store: StoreKind | None = None,
        vault: Vault | None = None,
        journal: Journal | None = None,
        keeps_unstored: bool = True,
        page_proof: PageProof | None = None,
    ) -> None:
        """`oauth` has the profile and the clock. `store` and `vault` replace what the user chose before.

        `keeps_unstored`: see `TokenRefresh`.
        """
        self.profile = oauth.profile
        self.oauth = oauth
        self.page_proof = page_proof
        clock = oauth.time.clock
        key = self.profile.key
        self.journal = journal or Journal(key, clock=clock)
        settings = CredentialSettings(settings_store, key)
        # All data folders of a user share one keyring, so the folder is part of the name there.
        self._store = GrantStore(
            key.vault_name(FolderIdentity(folder).id), folder, settings, files, kind=store, vault=vault
        )
        self.registrar = ClientRegistrar(self.profile, oauth, settings, self._store)
        self._state = GrantState(oauth.time, self.journal.fingerprint)
        self._lifecycle = GrantLifecycle(self._state, self._store, files, self.journal, clock, self.revoke)
        self._background = BackgroundTasks()
        refresh = TokenRefresh(oauth, self.registrar, self._store, files, self.journal, keeps_unstored=keeps_unstored)
        self._coordinator = RefreshCoordinator(
            self.profile, self._state, refresh, self._lifecycle, self.journal, self._background, oauth.time
        )
        self._check = TokenCheck(oauth)
        self._restored = asyncio.Event()
        self._watcher = GrantWatcher(clock, lambda: self._store.changed_elsewhere, self.reload)
        self._sign_in: BrowserSignIn | None = None

    @property
    def key(self) -> CredentialKey:
        """The key under which everything about this credential is stored."""
        return self.profile.key

    @property
    def changed(self) -> Event[CredentialStatus]:
        """Emits each new status."""
        return self._state.changed

    @property
    def happened(self) -> Event[AuthEvent]:
        """Emits each thing that happened to the grant."""
        return self._state.happened

    @property
    def status(self) -> CredentialStatus:
        return self._state.status

    @property
    def grant(self) -> Grant | None:
        """The current grant. Its tokens are secrets: show only their fingerprints."""
        return self._state.grant

    @property
    def renews_at(self) -> float | None:
        """When the token is due for a refresh, in Unix seconds by this machine's clock; None when no refresh is due."""
        return self._coordinator.due

    async def restore(self) -> None:
        """Read the stored grant, and repeat a refresh that a process died in.

        Afterwards the state is no longer `RESTORING`, unless the vault failed in a way that may pass.
        """
        self._watcher.start()
        try:
            restored = await self._lifecycle.restore()
            if restored is not None:
                await self._coordinator.resume(restored)
        finally:
            self._restored.set()

    async def wait_restored(self) -> None:
        """Wait until it is known whether there is a grant."""
        if not self._restored.is_set():
            await self._restored.wait()

    def fresh_token(self) -> TokenSet | None:
        """The token to send now; None when `access_token` has to be awaited instead."""
        return self._state.fresh_token()

    async def access_token(self) -> TokenSet | None:
        """A token to send now, refreshed first if it counts as expired; None when there is no grant.

        Raises `BurrowError` when the token has expired and could not be refreshed.
        """
        await self.wait_restored()
        grant = self.grant
        if grant is None:
            return None
        if not grant.tokens.expired(self.oauth.time.now()):
            return grant.tokens
        if self._unexpired(grant):
            if self.status.works_until is not None:
                # It cannot be refreshed. A server may refuse it from now on, which then ends the grant.
                return grant.tokens
            # In the margin the token still works. A slow or failing refresh must not hold the request up.
            try:
                async with asyncio.timeout(MARGIN_WAIT_SECONDS):
                    return await self.refresh(grant.tokens, EXPIRED)
            except SignInNeeded as failure:
                if failure.facts.code == UNRENEWABLE:
                    return grant.tokens
                raise
            except (BurrowError, TimeoutError):
                if self._unexpired(grant):
                    return grant.tokens
        try:
            return await self.refresh(grant.tokens, EXPIRED)
        except ServerTrouble as failure:
            if failure.facts.code != BRAKED:
                raise
            # The server states lifetimes of a moment. Perhaps they are not meant: it decides whether the token is good.
            return grant.tokens

    def no_token_error(self) -> BurrowError:
        """The error that says why there is no token."""
        status = self.status
        if status.vault_failing:
            return VaultTrouble(status.reason or "", self.profile.facts(status.trouble))
        return SignInNeeded(status.reason or SIGNED_IN_NOWHERE, self.profile.facts())

    async def refresh(self, refused: TokenSet, cause: Cause) -> TokenSet:
        """A newer token than `refused`: the current one, or that of the refresh that all callers share.

        Raises what `TokenRefresh.run` raises, and `no_token_error` without a grant.
        """
        grant = self.grant
        if grant is None:
            raise self.no_token_error()
        return await self._coordinator.refresh(grant, refused, cause)

    def adopted(self, tokens: TokenSet) -> bool:
        """Whether this process did not refresh to get `tokens`."""
        return self._coordinator.adopted(tokens)

    def accepted(self, tokens: TokenSet, target: str, headers: Mapping[str, str]) -> None:
        """`target` accepted a request that carried `tokens`; `headers` are those of its response.

        So the token is good, the host is reachable, and its `Date` tells its time.
        """
        if self.oauth.time.learn(headers):
            self._state.update_freshness()
        self._coordinator.accepted(tokens, target)
        grant = self._state.grant
        if self.status.unreachable and grant is not None and grant.tokens is tokens:
            self._state.update_status(trouble=None)

    def unreachable(self, trouble: Trouble) -> None:
        """The host could not be reached (`OFFLINE`) or failed (`SERVER`)."""
        # A trouble of the vault or of the brake says more, and stays.
        if self.status.trouble is None:
            self._state.update_status(trouble=trouble)

    def wake(self, *, slept: bool = False) -> None:
        """The network is back, or the machine `slept`: forget the pause after a failed refresh."""
        self._coordinator.wake(slept=slept)

    def key_refused(self, cause: Cause) -> None:
        """A personal API key, or a token of the wrong kind, was refused. Neither can be refreshed."""
        grant = self.grant
        if grant is not None and not grant.refreshable and self.status.state is not CredentialState.NEEDS_SIGN_IN:
            self._state.emit_event(ENDED, str(cause), "key refused", grant)
            self._background.record(self.journal.record_end(grant, cause, "key refused"))
            # The key stays stored, so the next start tries it once more.
            self._state.update_status(state=CredentialState.NEEDS_SIGN_IN, reason="The server refused this API key.")

    async def is_dead(self, tokens: TokenSet) -> bool | None:
        """Whether the host itself refuses `tokens`; None when it does not say.

        This settles an ambiguous refusal. The host is asked once for each token, and all callers share its answer.
        """
        grant = self.grant
        if grant is None or grant.tokens.access_token != tokens.access_token:
            # No longer the current token. The caller repeats the request with the current one, which settles it too.
            return True
        return await self._check.refuses(tokens)

    def auth(self, target: Target) -> BearerAuth:
        """An auth flow for httpx and httpx2 that sends this credential's token to `target` and refreshes a dead one."""
        from app.core.auth.http.bearer import BearerAuth

        return BearerAuth(self, target)

    async def begin_sign_in(self, *, scopes: Iterable[str] = (), open_browser: bool = True) -> BrowserSignIn:
        """Start a sign-in through the browser. One that is under way is cancelled.

        `scopes` are requested in addition to those of the profile and those granted so far (MCP 2025-11-25: the union).
        """
        from app.core.auth.oauth.sign_in import BrowserSignIn
        from app.core.auth.oauth.step_up import union

        self._cancel_sign_in()
        granted = self.grant.tokens.scope.split() if scopes and self.grant is not None else ()
        sign_in = await BrowserSignIn.begin(self, scopes=union(granted, scopes), open_browser=open_browser)
        # Another one may have begun during the await; the later one wins.
        self._cancel_sign_in()
        self._sign_in = sign_in
        return sign_in

    @property
    def signing_in(self) -> bool:
        """Whether a sign-in waits for the browser."""
        return self._sign_in is not None and self._sign_in.waiting

    @property
    def renewing(self) -> bool:
        """Whether the request of a renewal was sent and its answer is not stored yet."""
        return self._coordinator.sending

    async def sign_in(self, grant: Grant, why: str) -> None:
        """Save a newly issued grant, then make it the current one. `why` is the journal's word for how it was obtained.

        If the vault fails, the grant stays in memory and the status says so. No other vault is used instead.
        """
        await self._lifecycle.sign_in(grant, why)
        self._watcher.start()
        self._restored.set()

    async def complete_sign_in(
        self, tokens: TokenSet, registration: ClientRegistration, resource: str | None, why: str
    ) -> None:
        """Sign in with newly issued tokens; see `sign_in`."""
        await self.sign_in(Grant.issued(tokens, registration, resource), why)

    async def sign_out(self) -> bool:
        """Delete the grant, and try for five seconds to revoke it at the server; returns whether nothing is left there.

        If something is, `by_hand` says how to end it.
        """
        return await self._lifecycle.sign_out()

    @property
    def by_hand(self) -> str:
        """What the user can do after a sign-out that the server was not told of."""
        name = self.profile.name
        return (
            f"{name} could not be told: what was issued to Burrow stays valid there until it expires. To end it now, "
            f"remove Burrow from the connected applications in your account's settings at {self.profile.origin}."
        )

    async def choose_store(self, kind: StoreKind | str) -> None:
        """Store the grant in another kind of vault from now on, as the user chose."""
        former = self._store.vault
        await self._lifecycle.move_to(StoreKind(kind))
        await self.registrar.move_secret(former)
        if self.grant is None:
            await self.restore()

    async def reload(self) -> None:
        """Another process changed the stored grant: make the current grant agree with it. Raises `VaultFailure`."""
        if await self._lifecycle.reload():
            self._restored.set()

    async def close(self) -> None:
        """Finish and store a refresh whose request was sent, however long the token endpoint takes. Then stop."""
        self._cancel_sign_in()
        # First the refresh, which still uses all the others.
        await self._coordinator.close()
        await self._watcher.stop()
        await self._lifecycle.close()
        await self._check.close()
        await self._background.close()

    async def revoke(self, grant: Grant) -> bool:
        """Try to revoke a grant at the server that issued it; returns whether it is over. Raises nothing (row 40).

        The access token alone is revoked if the current grant has the same client, which Burrow registered: servers end
        all grants of such a client with one refresh token (docs/wire.md, "Revocation").
        """
        if grant.api_key:
            # Other programs may use the key too.
            return True
        old, current = grant.tokens, self.grant
        token = old.refresh_token or old.access_token
        if current is not None and not current.api_key:
            new = current.tokens
            if old.access_token == new.access_token or (old.refresh_token or "") == new.refresh_token:
                return True
            if grant.client_id == current.client_id and not self.registrar.is_preregistered(grant.client_id):
                token = old.access_token
        try:
            async with asyncio.timeout(REVOKE_SECONDS):
                metadata = await self.registrar.metadata()
                if grant.issuer in {"", metadata.issuer}:
                    return await self.oauth.revoke(metadata, grant.registration, token)
        except (TimeoutError, BurrowError) as failure:
            log.info("the grant could not be revoked: %s", type(failure).__name__)
        return False

    def _cancel_sign_in(self) -> None:
        if self._sign_in is not None:
            self._sign_in.cancel()

    def _unexpired(self, grant: Grant) -> bool:
        """Whether the token has not expired yet, the margin left aside."""
        return grant.tokens.expires_at is not None and self.oauth.time.now() < grant.tokens.expires_at
