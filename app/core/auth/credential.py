"""Session: who is signed in to one host.

The state machine of contract section 1.14, with these rules: a renewal is single-flight in the process and
locked across processes; what other processes store is taken over; the new pair is durable before anyone sees it; only
`invalid_grant` and `invalid_token` end a session; a refused refresh token is never sent twice.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from app.core.auth.grant.coordinator import RefreshCoordinator
from app.core.auth.grant.custody import Custody
from app.core.auth.grant.grant import Grant
from app.core.auth.grant.journal import ENDED, EXPIRED, RENEWAL, SIGNED_IN, SIGNED_OUT, Journal
from app.core.auth.grant.refresh import GRANT_ENDED, SIGNED_OUT_ELSEWHERE, Obtained, TokenRefresh
from app.core.auth.grant.state import GrantState
from app.core.auth.grant.tokens import TokenSet
from app.core.auth.grant.watcher import GrantWatcher
from app.core.auth.oauth.registration import ClientRegistrar
from app.core.auth.settings import CredentialSettings
from app.core.auth.status import ELSEWHERE, CredentialState
from app.core.auth.vault.base import StoreKind, VaultFailure, VaultState
from app.core.background import BackgroundTasks
from app.core.errors import BurrowError, Facts, Rejected, SignInNeeded, VaultTrouble

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from app.core.auth.grant.journal import Cause
    from app.core.auth.grant.shared import Shared
    from app.core.auth.http.bearer import BearerAuth
    from app.core.auth.http.target import Target
    from app.core.auth.oauth.server import OAuthClient
    from app.core.auth.oauth.sign_in import BrowserSignIn
    from app.core.auth.settings import SettingsStore
    from app.core.auth.status import AuthEvent, CredentialStatus, Trouble
    from app.core.auth.vault.base import Vault
    from app.core.events import Event
    from app.core.hosts import Host

log = logging.getLogger(__name__)

# Inside the margin before its expiry a token is renewed first, but not waited for longer than this.
MARGIN_WAIT_SECONDS = 2.0
REVOKE_SECONDS = 5.0
PERSONAL_KEY_PREFIX = "phx_"

SIGNED_IN_NOWHERE = "Nobody is signed in."


class Credential:
    """The grant of one host. All methods run on the loop; `fit` is the hot path and takes no lock."""

    def __init__(
        self,
        host: Host,
        oauth: OAuthClient,
        shared: Shared,
        remembered: SettingsStore,
        folder: Path,
        *,
        store: StoreKind | None = None,
        vault: Vault | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.host = host
        self.oauth = oauth
        clock = oauth.time.clock
        self.journal = journal or Journal(host.key, clock=clock)
        settings = CredentialSettings(remembered, host.key)
        self.client = ClientRegistrar(host, oauth, settings)
        self._shared = shared
        self._current = GrantState(oauth.time, self.journal.fingerprint)
        self._custody = Custody(
            self._current,
            self.look,
            host.origin,
            folder,
            settings,
            shared,
            self.journal,
            clock,
            store=store,
            vault=vault,
        )
        self._chores = BackgroundTasks()
        renewal = TokenRefresh(host, oauth, self.client, shared, self.journal)
        self._renewing = RefreshCoordinator(
            self, host.origin, self._current, renewal, self._custody, self.journal, self._chores, oauth.time
        )
        self._known = asyncio.Event()
        self._follower = GrantWatcher(clock, lambda: self._custody.keeper.moved, self.look)
        self._sign_in: BrowserSignIn | None = None

    @property
    def changed(self) -> Event[CredentialStatus]:
        """Tells each new status."""
        return self._current.changed

    @property
    def happened(self) -> Event[AuthEvent]:
        """Tells each thing that happened to the grant."""
        return self._current.happened

    @property
    def status(self) -> CredentialStatus:
        return self._current.status

    @property
    def grant(self) -> Grant | None:
        """The current grant. Its tokens are secrets: show fingerprints only."""
        return self._current.grant

    @property
    def renews_at(self) -> float | None:
        """When the token will be renewed ahead of its expiry, in Unix seconds; None when nothing is due."""
        return self._renewing.due

    async def restore(self) -> None:
        """Read the stored grant. Ends in any other state than `RESTORING`, or in that with a vault trouble."""
        note = self._current.note
        note(state=CredentialState.RESTORING, reason=None, trouble=None)
        self._follower.start()
        keeper = self._custody.keeper
        try:
            if not keeper.expects_one:
                keeper.skip()
                state, reason = await self._how_it_ended()
                note(state=state, reason=reason)
                return
            stored = await keeper.read()
            if stored is None:
                note(state=CredentialState.NEEDS_SIGN_IN, reason="The stored sign-in is gone.")
            elif self.grant is None:
                self._renewing.put_in_force(stored)
                await self._renewing.finish(stored)
        except VaultFailure as failure:
            if failure.state is VaultState.DAMAGED:
                note(state=CredentialState.NEEDS_SIGN_IN, reason="The stored sign-in is unreadable.")
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
        return self._current.fit()

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
                    return await self.renew(grant.tokens, EXPIRED)
            except SignInNeeded:
                raise
            except (BurrowError, TimeoutError):
                if self._alive(grant):
                    return grant.tokens
        return await self.renew(grant.tokens, EXPIRED)

    def missing(self) -> BurrowError:
        """Why there is no token."""
        status = self.status
        if status.vault_troubled:
            return VaultTrouble(status.reason or "", Facts(code=status.trouble))
        return SignInNeeded(status.reason or SIGNED_IN_NOWHERE, Facts(origin=self.host.origin))

    async def renew(self, refused: TokenSet, cause: Cause) -> TokenSet:
        """A newer token than `refused`: the current one, or what the one renewal brings that all callers share.

        Raises what `TokenRefresh.run` raises, and `missing` without a grant.
        """
        grant = self.grant
        if grant is None:
            raise self.missing()
        return await self._renewing.newer(grant, refused, cause)

    def accepted(self, tokens: TokenSet, target: str, headers: Mapping[str, str]) -> None:
        """`target` answered a request carrying `tokens`: they are proven, and troubles are over."""
        current = self._current
        if self.oauth.time.learn(headers):
            current.measure()
        self._renewing.accepted(tokens, target)
        if current.status.unreachable and current.grant is not None and current.grant.tokens is tokens:
            current.note(trouble=None)

    def unreachable(self, trouble: Trouble) -> None:
        """The host could not be reached (`OFFLINE`), or it failed (`SERVER`)."""
        if self.status.trouble is None:
            self._current.note(trouble=trouble)

    def wake(self, *, slept: bool = False) -> None:
        """The network is back, or the machine `slept`: forget the pause after a failed renewal."""
        self._renewing.wake(slept=slept)

    def key_refused(self, cause: Cause) -> None:
        """A personal API key, or a token of the wrong kind, was refused: nothing can renew it."""
        grant = self.grant
        if grant is not None and not grant.renewable and self.status.state is not CredentialState.NEEDS_SIGN_IN:
            self._current.tell(ENDED, str(cause), "key refused", grant)
            self._chores.record(self.journal.ended(grant, cause, "key refused"))
            self._current.note(state=CredentialState.NEEDS_SIGN_IN, reason="The server refused this API key.")

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
        self._renewing.start_over()
        signed_in = replace(grant, sign_in=secrets.token_hex(8))
        async with self._shared.lock.hold_briefly():
            stored = await self._custody.save(signed_in)
            number = await self.journal.note(SIGNED_IN, why, signed_in, "ok" if stored else "not stored")
        self._follower.start()
        self._known.set()
        self._current.tell(SIGNED_IN, why, "ok", signed_in)
        self._renewing.put_in_force(signed_in, number=number)

    async def sign_out(self) -> None:
        """Forget the grant here and revoke it there, best effort within five seconds.

        Another process that is just renewing it is not waited for long: it looks before it stores (faults row 17).
        """
        grant = self.grant
        self._leave(CredentialState.SIGNED_OUT)
        async with self._shared.lock.hold_briefly():
            newest = await self._custody.remove_sign_in(grant)
            if newest is not None:
                await self.journal.note(SIGNED_OUT, "asked", newest)
        if newest is not None:
            self._current.tell(SIGNED_OUT, "asked", "ok", newest)
            await self.revoke(newest)

    async def choose_store(self, kind: str) -> None:
        """Keep the grant elsewhere from now on: `keyring`, `file` or `memory`, as the person chose."""
        await self._custody.move_to(StoreKind(kind))
        if self.grant is None:
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
        elif self.grant is None or not stored.same_sign_in(self.grant):
            self.replaced_by(stored)
        elif stored.tokens.generation > self.grant.tokens.generation:
            self._current.tell(RENEWAL, "noticed", Obtained.ADOPTED.value, stored)
            self._renewing.put_in_force(stored, persistent=True)

    async def close(self) -> None:
        """Let a renewal in flight become durable (at most two seconds), then stop everything."""
        self._cancel_sign_in()
        await self._renewing.close()
        await self._follower.stop()
        await self._custody.close()
        await self._chores.close()

    async def over(self, grant: Grant, failure: SignInNeeded, cause: Cause) -> Grant | None:
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
            self._leave(CredentialState.NEEDS_SIGN_IN, failure.cause)
            self._current.tell(ENDED, str(cause), outcome, grant)
        elif stored is None:
            await self._follow_end()
        elif stored.same_sign_in(grant):
            self._renewing.put_in_force(stored, persistent=True)
            return stored
        else:
            self.replaced_by(stored)
        return None

    def replaced_by(self, grant: Grant) -> None:
        """Somebody signed in in another process, perhaps as somebody else."""
        self._renewing.start_over()
        self._current.tell(SIGNED_IN, ELSEWHERE, "ok", grant)
        self._current.note(reason=None, trouble=None)
        self._renewing.put_in_force(grant, persistent=True)

    async def revoke(self, grant: Grant) -> None:
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

    def _cancel_sign_in(self) -> None:
        if self._sign_in is not None:
            self._sign_in.cancel()

    async def _follow_end(self) -> None:
        """The stored grant was removed by another process: it signed out, or the server had ended the grant."""
        if self.grant is not None:
            self._leave(*await self._how_it_ended())

    async def _how_it_ended(self) -> tuple[CredentialState, str | None]:
        """Whether the person knows that nobody is signed in, and what to say."""
        last = await self.journal.last_end()
        if last is not None and last.what == ENDED:
            return CredentialState.NEEDS_SIGN_IN, GRANT_ENDED
        return CredentialState.SIGNED_OUT, None

    def _leave(self, state: CredentialState, reason: str | None = None) -> None:
        """There is no grant any more."""
        self._renewing.start_over()
        self._renewing.stop()
        self._current.drop(state, reason)

    def _alive(self, grant: Grant) -> bool:
        """Whether the token itself has not run out, however close that is."""
        return grant.tokens.expires_at is not None and self.oauth.time.now() < grant.tokens.expires_at
