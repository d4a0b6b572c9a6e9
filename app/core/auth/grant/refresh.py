"""TokenRefresh: what happens between a refused token and a newer one.

The rules, in this order: allowed at all; locked across processes; the refresh of another process adopted; the intent
written to the journal before the refresh token is spent; at most three attempts; durable before anyone sees it.
`RefreshCoordinator` makes sure that only one runs at a time in this process.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from app.core.auth.cause import CauseKind
from app.core.auth.grant import brake
from app.core.auth.grant.journal import RENEWED, UNSTORED
from app.core.auth.grant.lock import LockBusy
from app.core.auth.oauth.authorization_server import ClientRefused, GrantRefused
from app.core.auth.vault.base import VaultFailure
from app.core.errors import BurrowError, Offline, Rejected, ServerTrouble, SignInNeeded, Throttled, TimedOut

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.core.auth.cause import Cause
    from app.core.auth.grant.files import GrantFiles
    from app.core.auth.grant.grant import Grant
    from app.core.auth.grant.journal import Journal
    from app.core.auth.grant.store import GrantStore
    from app.core.auth.metadata import ServerMetadata
    from app.core.auth.oauth.authorization_server import AuthorizationServer
    from app.core.auth.oauth.registrar import ClientRegistrar

ATTEMPTS = 3
PAUSES = (0.3, 1.0)
# A server that asks for a longer wait is not waited for inside a request.
LONGEST_PAUSE = 15.0
# All attempts of one renewal together; the lock between processes is waited for a little longer.
LONGEST_SECONDS = 45.0
COOLDOWN = (1.0, 15.0)
# After the machine slept its network may take a while: so long a missing connection is waited for.
PATIENCE_SECONDS = 20.0
PATIENT_PAUSE = 0.5
# How long a server answers a spent refresh token with the same pair again, less some seconds.
# See docs/wire.md, "Token lifetimes and rotation".
GRACE_SECONDS = 110.0

GRANT_ENDED = "The server no longer accepts this sign-in."
SIGNED_OUT_ELSEWHERE = "signed-out"
BRAKED = "braked"
# Answers that say that nothing was done; after any other failure the refresh token may be spent.
NOTHING_DONE = frozenset({429, 503})
MOVED_AWAY = frozenset({404, 405, 410})


class Obtained(Enum):
    """How the new grant was obtained: refreshed here, adopted from another process, or by a sign-in there."""

    RENEWED = "renewed"
    ADOPTED = "adopted"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """A grant newer than the one asked about. `number` is that of the journal's event, for `Journal.accept`."""

    grant: Grant
    obtained: Obtained
    number: int = 0


class TokenRefresh:
    """Refreshes grants of one credential. A refresh token that was refused is remembered and never sent again."""

    def __init__(
        self,
        oauth: AuthorizationServer,
        registrar: ClientRegistrar,
        store: GrantStore,
        files: GrantFiles,
        journal: Journal,
    ) -> None:
        self._profile = oauth.profile
        self._oauth = oauth
        self._registrar = registrar
        self._store = store
        self._files = files
        self._journal = journal
        self._clock = oauth.time.clock
        self._refused: set[str] = set()
        self._pause_until = 0.0
        self._pause = COOLDOWN[0]
        self._failure: BurrowError | None = None
        self._patient_until = 0.0

    @property
    def failing(self) -> bool:
        """Whether the last renewal failed in a way that may pass."""
        return self._failure is not None

    def wake(self, *, slept: bool = False) -> None:
        """The network is back: forget the pause after a failure. After a sleep it may not be back yet: be patient."""
        self._pause_until, self._pause = 0.0, COOLDOWN[0]
        if slept:
            self._patient_until = self._clock.boot() + PATIENCE_SECONDS

    def start_over(self) -> None:
        """A new grant was issued: nothing of the former one counts."""
        self._refused.clear()
        self._failure = None
        self.wake()

    async def run(self, grant: Grant, cause: Cause, save: Callable[[Grant], Awaitable[bool]]) -> RefreshResult:
        """A grant newer than `grant`.

        `save` is called inside the lock before a renewed grant is returned, and tells whether it is durable. Raises
        `SignInNeeded` when the grant is over, and `Offline`, `TimedOut`, `Throttled`, `ServerTrouble`, `Rejected` or
        `VaultTrouble` when it may still be alive.
        """
        try:
            self._check_allowed(grant)
            outcome = await self._locked(grant, cause, save)
        except SignInNeeded:
            raise
        except BurrowError as failure:
            self._remember(failure)
            raise
        self._failure = None
        self.wake()
        return outcome

    async def _locked(self, grant: Grant, cause: Cause, save: Callable[[Grant], Awaitable[bool]]) -> RefreshResult:
        try:
            async with self._files.lock.hold():
                stored = await self._newest(grant)
                return self._taken_over(stored, grant) or await self._spend(stored, cause, save)
        except LockBusy:
            # Its holder hangs: what it has stored counts, but the refresh token is its to spend (faults row 14).
            found = self._taken_over(await self._newest(grant), grant)
            if found is None:
                raise
            return found

    def _check_allowed(self, grant: Grant) -> None:
        if not grant.renewable or grant.digest in self._refused:
            raise SignInNeeded(GRANT_ENDED, self._profile.facts())
        if self._failure is not None and self._clock.boot() < self._pause_until:
            raise self._failure

    def _remember(self, failure: BurrowError) -> None:
        """Pause before the next try, twice as long each time."""
        if failure is self._failure:
            return
        self._failure = failure
        self._pause_until = self._clock.boot() + max(failure.facts.retry_after or 0.0, self._pause)
        self._pause = min(self._pause * 2, COOLDOWN[1])

    async def _newest(self, grant: Grant) -> Grant:
        """What another process stored meanwhile, else `grant`."""
        stored = await self._store.newest(grant)
        if stored is None:
            facts = self._profile.facts(SIGNED_OUT_ELSEWHERE)
            raise SignInNeeded("Signed out in another window.", facts)
        return stored

    def _taken_over(self, stored: Grant, grant: Grant) -> RefreshResult | None:
        """What the others left in place of `grant`, if it is of use."""
        if not stored.same_sign_in(grant):
            return RefreshResult(stored, Obtained.REPLACED)
        newer = stored.tokens.access_token != grant.tokens.access_token
        if newer and not stored.tokens.expired(self._oauth.time.now()):
            return RefreshResult(stored, Obtained.ADOPTED)
        return None

    async def _spend(self, grant: Grant, cause: Cause, save: Callable[[Grant], Awaitable[bool]]) -> RefreshResult:
        """Renew at the token endpoint; a refused grant that the vault replaced meanwhile is tried once (row 16)."""
        for last_try in (False, True):
            await self._check_spendable(grant, cause)
            number, began = await self._journal.begin(grant, cause), self._clock.boot()
            try:
                refreshed = await self._attempts(grant)
            except GrantRefused as refusal:
                self._refused.add(grant.digest)
                await self._journal.settle(number, refusal.code, milliseconds=self._since(began))
                newer = None if last_try else await self._replaced(grant)
                if newer is None:
                    raise SignInNeeded(GRANT_ENDED, self._profile.facts(refusal.code)) from None
                found = self._taken_over(newer, grant)
                if found is not None:
                    return found
                grant = newer
            except ClientRefused:
                await self._journal.settle(number, "invalid_client", milliseconds=self._since(began))
                raise await self._unknown_client(grant) from None
            except BurrowError as failure:
                outcome, spent = type(failure).__name__, _may_be_spent(failure)
                await self._journal.settle(number, outcome, open=spent, milliseconds=self._since(began))
                raise
            else:
                return await self._keep(refreshed, number, began, save)
        raise AssertionError("the second try returns or raises")

    async def _keep(
        self, renewed: Grant, number: int, began: float, save: Callable[[Grant], Awaitable[bool]]
    ) -> RefreshResult:
        access = self._journal.fingerprint(renewed.tokens.access_token)
        took = self._since(began)
        try:
            stored = await save(renewed)
        except SignInNeeded:
            await self._journal.settle(number, "signed out meanwhile", milliseconds=took, access=access)
            raise
        outcome = RENEWED if stored else UNSTORED
        await self._journal.settle(number, outcome, open=not stored, milliseconds=took, access=access)
        return RefreshResult(renewed, Obtained.RENEWED, number)

    async def _check_spendable(self, grant: Grant, cause: Cause) -> None:
        if not grant.renewable or grant.digest in self._refused:
            raise SignInNeeded(GRANT_ENDED, self._profile.facts())
        if cause.kind is CauseKind.REFUSED:
            wait = brake.wait(await self._journal.renewals(), self._clock.boot())
            if wait > 0:
                raise ServerTrouble(
                    f"{cause.target or self._profile.name} keeps refusing tokens that were issued a moment ago.",
                    self._profile.facts(BRAKED, retry_after=wait),
                    action="Burrow tries once more in a minute; signing in again may help.",
                )
        open_event = await self._journal.unfinished(grant)
        if open_event is None or open_event.outcome != UNSTORED or not self._files.claimed_elsewhere:
            return
        if not 0 <= self._clock.boot() - open_event.boot < GRACE_SECONDS:
            raise ServerTrouble(
                "Another Burrow process has renewed the sign-in and could not store it yet.",
                self._profile.facts("unstored"),
                action="Unlock the keyring or free some disk space there.",
            )

    async def _replaced(self, grant: Grant) -> Grant | None:
        """What the vault holds instead of a refused grant, if it can be tried."""
        try:
            newer = await self._store.read() if self._store.persistent else None
        except VaultFailure:
            return None
        return newer if newer is not None and newer.renewable and newer.digest not in self._refused else None

    async def _unknown_client(self, grant: Grant) -> BurrowError:
        facts = self._profile.facts("invalid_client", attr="client_id")
        if self._registrar.gave(grant.client_id):
            return Rejected(
                f"{self._profile.name} does not know the configured client id.",
                facts,
                action="Check that the client id is one of this server.",
            )
        await self._registrar.forget_registration(grant.client_id)
        return SignInNeeded(f"{self._profile.name} no longer knows this installation of Burrow.", facts)

    async def _attempts(self, grant: Grant) -> Grant:
        """`grant` with newer tokens, after at most three attempts."""
        until = self._clock.boot() + LONGEST_SECONDS
        attempt, looked = 0, False
        metadata: ServerMetadata | None = None
        while True:
            try:
                metadata = metadata or self._of_same_issuer(await self._registrar.metadata(), grant)
                tokens, taken = await self._oauth.refresh(
                    metadata, grant.registration, grant.tokens, resource=grant.resource or self._profile.resource
                )
                # The server may have taken the client's secret in the other way only: what follows begins with that.
                if taken.method is not grant.registration.method:
                    await self._registrar.confirm(taken)
                return replace(grant, tokens=tokens, auth_method=taken.method.value if taken.secret else "")
            except (Offline, TimedOut, ServerTrouble, Throttled, Rejected) as failure:
                if metadata is not None and failure.facts.status in MOVED_AWAY and not looked:
                    metadata, looked = await self._moved(metadata, grant, failure), True
                    continue
                if isinstance(failure, Rejected):
                    raise
                patient = isinstance(failure, Offline) and self._clock.boot() < self._patient_until
                attempt += not patient
                pause = PATIENT_PAUSE if patient else _pause_after(failure, attempt)
                if attempt == ATTEMPTS or pause > LONGEST_PAUSE or self._clock.boot() + pause > until:
                    raise
                await self._clock.sleep(pause)

    async def _moved(self, metadata: ServerMetadata, grant: Grant, failure: BurrowError) -> ServerMetadata:
        """Where the token endpoint is now. Raises `failure` if it is where it was."""
        found = self._of_same_issuer(await self._registrar.rediscover(), grant)
        if found.token_endpoint == metadata.token_endpoint:
            raise failure
        return found

    def _of_same_issuer(self, metadata: ServerMetadata, grant: Grant) -> ServerMetadata:
        """A refresh token is never sent to another issuer than its own (faults row 40)."""
        if grant.issuer and metadata.issuer != grant.issuer:
            facts = self._profile.facts("issuer-changed")
            raise SignInNeeded(f"{self._profile.name} signs in through another issuer now.", facts)
        return metadata

    def _since(self, began: float) -> float:
        return (self._clock.boot() - began) * 1000


def _pause_after(failure: BurrowError, attempt: int) -> float:
    return failure.facts.retry_after or PAUSES[min(attempt, len(PAUSES)) - 1]


def _may_be_spent(failure: BurrowError) -> bool:
    """Whether the server may have taken the refresh token without the answer having reached us."""
    if isinstance(failure, Offline | Rejected | Throttled | SignInNeeded):
        return False
    return failure.facts.status not in NOTHING_DONE
