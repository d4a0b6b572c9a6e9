"""TokenRefresh: obtains a newer grant, from another process or from the token endpoint (RFC 6749 section 6).

The order matters. Each step makes it safe to die in the next one:

1. Refuse what cannot succeed: no refresh token, a refused one, a failure a moment ago.
2. Take the lock between processes.
3. Read what others stored, and adopt it if it is newer.
4. Ask whether the token was refused before, ask the brake, and whether another process holds the new grant unstored.
5. Reserve the place of the new grant in the vault.
6. Record in the journal that the refresh token is about to be sent.
7. Send it, at most three times.
8. Store the new grant, still inside the lock, and settle the event. A grant that is refused is ended inside it too.

`RefreshCoordinator` runs one at a time in this process and makes the result the current grant after all this.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from app.core.auth.cause import CauseKind
from app.core.auth.grant import brake
from app.core.auth.grant.journal import REFRESHED, UNSTORED
from app.core.auth.grant.lock import LockBusy
from app.core.auth.oauth.authorization_server import ClientRefused, GrantRefused, IncompleteAnswer
from app.core.auth.vault.base import VaultFailure
from app.core.errors import (
    BurrowError,
    Offline,
    PermissionMissing,
    Rejected,
    ServerTrouble,
    SignInNeeded,
    SignInRefused,
    Throttled,
    TimedOut,
)

if TYPE_CHECKING:
    from app.core.auth.cause import Cause
    from app.core.auth.grant.files import GrantFiles
    from app.core.auth.grant.grant import Grant
    from app.core.auth.grant.journal import Journal
    from app.core.auth.grant.store import GrantStore
    from app.core.auth.metadata import ServerMetadata
    from app.core.auth.oauth.authorization_server import AuthorizationServer
    from app.core.auth.oauth.registrar import ClientRegistrar
    from app.core.errors import Facts

ATTEMPTS = 3
PAUSES = (0.3, 1.0)
# If a server asks for a longer pause, the refresh fails instead: a request is waiting for it.
LONGEST_PAUSE = 15.0
# No attempt starts later than this after the first one. `lock.DEADLINE_SECONDS` is longer.
LONGEST_SECONDS = 45.0
# After a failure the same error is raised without a request: first for a second, then twice as long each time.
COOLDOWN = (1.0, 15.0)
# For this long after the machine slept, a missing network does not count as an attempt: it takes a while to come back.
NETWORK_WAIT_SECONDS = 20.0
NETWORK_PAUSE = 0.5
# The grace period of a spent refresh token, less some seconds for the request itself.
# See docs/wire.md, "Token lifetimes and rotation".
GRACE_SECONDS = 110.0

GRANT_ENDED = "The server no longer accepts this sign-in."
# Codes of errors (`Facts.code`): another process signed out; the brake is on; the grant cannot be refreshed any more,
# and its access token still works.
SIGNED_OUT_ELSEWHERE = "signed-out"
BRAKED = "braked"
UNRENEWABLE = "unrenewable"
# After these statuses the request was not processed. After any other failure the refresh token may be spent.
NOT_PROCESSED = frozenset({429, 503})
MOVED_AWAY = frozenset({404, 405, 410})


class Obtained(Enum):
    """How the new grant was obtained: refreshed here, adopted from another process, or replaced by a new sign-in.

    The values are stored and shown.
    """

    REFRESHED = "renewed"
    ADOPTED = "adopted"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """A grant newer than the one asked about. `event_number` is that of the journal event, 0 when nothing was sent."""

    grant: Grant
    obtained: Obtained
    event_number: int = 0


class RefreshOutcomes(Protocol):
    """What becomes of a grant while the lock is held (`RefreshCoordinator`)."""

    async def save(self, refreshed: Grant) -> bool:
        """Make a refreshed grant durable; returns whether it is. Raises `SignInNeeded` if nobody wants it any more."""

    async def ended(self, grant: Grant, cause: Cause, code: str) -> None:
        """The server refused the refresh token of the stored grant: record that, and delete the grant."""


class TokenRefresh:
    """Refreshes the grants of one credential. A refused refresh token is never sent again, by no process."""

    def __init__(
        self,
        oauth: AuthorizationServer,
        registrar: ClientRegistrar,
        store: GrantStore,
        files: GrantFiles,
        journal: Journal,
        *,
        keeps_unstored: bool = True,
    ) -> None:
        """`keeps_unstored`: this process lives long enough to store later what the vault does not take now."""
        self._profile = oauth.profile
        self._keeps_unstored = keeps_unstored
        self._closing = False
        self.sending = False
        """Whether a request is on its way, or its answer is being stored. Then the process must not end."""
        self._oauth = oauth
        self._registrar = registrar
        self._store = store
        self._files = files
        self._journal = journal
        self._clock = oauth.time.clock
        # Digests, so that no secret is kept longer than its grant.
        self._refused: set[str] = set()
        self._failure: BurrowError | None = None
        self._pause = COOLDOWN[0]
        self._pause_until = 0.0
        self._network_wait_until = 0.0

    @property
    def failing(self) -> bool:
        """Whether the last refresh failed with an error that may pass."""
        return self._failure is not None

    def wake(self, *, slept: bool = False) -> None:
        """The network is back: forget the pause after a failure. `slept`: it may not be back yet, so wait for it."""
        self._pause_until, self._pause = 0.0, COOLDOWN[0]
        if slept:
            self._network_wait_until = self._clock.boot() + NETWORK_WAIT_SECONDS

    def reset(self) -> None:
        """Another sign-in began: forget everything about the former grant."""
        self._refused.clear()
        self._failure = None
        self.wake()

    def close(self) -> None:
        """Begin no further request. One that is on its way is finished."""
        self._closing = True

    async def recall_refusal(self, grant: Grant) -> bool:
        """Whether the server refused the refresh token of `grant`, in this process or in any other."""
        if not self.is_refused(grant) and await self._journal.refusal(grant) is not None:
            self._refused.add(grant.digest)
        return self.is_refused(grant)

    def is_refused(self, grant: Grant) -> bool:
        """Whether the server refused the refresh token of `grant`, as far as this process knows."""
        return grant.digest in self._refused

    async def run(self, grant: Grant, cause: Cause, outcomes: RefreshOutcomes) -> RefreshResult:
        """A grant newer than `grant`.

        Raises `SignInNeeded` when the grant has ended. If its access token still works, the error has the code
        `UNRENEWABLE`, and the grant stays. Raises `Offline`, `TimedOut`, `Throttled`, `ServerTrouble`, `Rejected` or
        `VaultTrouble` when the grant may still be good.
        """
        try:
            self._check_allowed(grant, cause)
            result = await self._run_locked(grant, cause, outcomes)
        except SignInNeeded:
            raise
        except BurrowError as failure:
            # The brake knows its own pause, and it is on for one target: another one may go on.
            if failure.facts.code != BRAKED:
                self._start_cooldown(failure)
            raise
        self._failure = None
        self.wake()
        return result

    async def _run_locked(self, grant: Grant, cause: Cause, outcomes: RefreshOutcomes) -> RefreshResult:
        try:
            async with self._files.lock.hold():
                stored = await self._newest(grant)
                return self._adoptable(stored, grant) or await self._request(stored, cause, outcomes)
        except LockBusy:
            # The holder hangs. What it stored may be used, but the refresh token is its to spend: two uses of one token
            # outside the grace period make the server revoke the grant (faults row 14).
            adopted = self._adoptable(await self._newest(grant), grant)
            if adopted is None:
                raise
            return adopted

    def _check_allowed(self, grant: Grant, cause: Cause) -> None:
        if not grant.refreshable or grant.digest in self._refused:
            raise self._refusal(grant, cause)
        if self._failure is not None and self._clock.boot() < self._pause_until:
            raise self._failure

    def _start_cooldown(self, failure: BurrowError) -> None:
        if failure is self._failure:
            # Raised by `_check_allowed`, without a request: this must not prolong the pause.
            return
        self._failure = failure
        self._pause_until = self._clock.boot() + max(failure.facts.retry_after or 0.0, self._pause)
        self._pause = min(self._pause * 2, COOLDOWN[1])

    async def _newest(self, grant: Grant) -> Grant:
        """What another process stored in place of `grant`, else `grant`."""
        stored = await self._store.newest(grant)
        if stored is None:
            cause = GRANT_ENDED if await self._journal.ended_by_server() else "Signed out in another window."
            raise SignInNeeded(cause, self._profile.facts(SIGNED_OUT_ELSEWHERE))
        return stored

    def _adoptable(self, stored: Grant, grant: Grant) -> RefreshResult | None:
        """`stored` as the result, if another process made it and it can be used as it is."""
        if not stored.same_sign_in(grant):
            return RefreshResult(stored, Obtained.REPLACED)
        newer = stored.tokens.access_token != grant.tokens.access_token
        if newer and not stored.tokens.expired(self._oauth.time.now()):
            return RefreshResult(stored, Obtained.ADOPTED)
        return None

    async def _request(self, grant: Grant, cause: Cause, outcomes: RefreshOutcomes) -> RefreshResult:
        """Refresh at the token endpoint."""
        # Twice at most: if the grant is refused but the vault holds another one, that one is tried (faults row 16).
        for last_try in (False, True):
            await self._check_spendable(grant, cause, outcomes)
            await self._reserve(grant, cause)
            # From here until `settle` this process may die with a spent refresh token. The open event says so.
            number, began = await self._journal.begin(grant, cause), self._clock.boot()
            try:
                refreshed = await self._refresh_with_retries(grant)
            except GrantRefused as refusal:
                self._refused.add(grant.digest)
                await self._journal.settle(number, refusal.code, milliseconds=self._milliseconds_since(began))
                replacement = None if last_try else await self._replacement()
                if replacement is None:
                    raise await self._refused_for_good(grant, cause, refusal.code, outcomes) from None
                adopted = self._adoptable(replacement, grant)
                if adopted is not None:
                    return adopted
                grant = replacement
            except ClientRefused:
                # The client is refused before the grant is looked at, so nothing is spent.
                await self._journal.settle(number, "invalid_client", milliseconds=self._milliseconds_since(began))
                raise await self._client_unknown(grant) from None
            except IncompleteAnswer as answer:
                # The old refresh token may be spent: the new one is all that is left of the grant.
                await self._save(replace(grant, tokens=answer.tokens), number, began, outcomes, answer.failure)
                raise answer.failure from None
            except BurrowError as failure:
                outcome, spent = type(failure).__name__, _may_be_spent(failure)
                took = self._milliseconds_since(began)
                await self._journal.settle(number, outcome, open=spent, milliseconds=took)
                raise
            else:
                return await self._save(refreshed, number, began, outcomes)
            finally:
                self.sending = False
        raise AssertionError("the last try returns or raises")

    async def _reserve(self, grant: Grant, cause: Cause) -> None:
        """Make sure that the vault takes the successor of `grant`, before its refresh token is spent (row 81).

        Raises `VaultFailure` while the access token still works, and where this process could not store it later.
        """
        try:
            await self._store.reserve(grant)
        except VaultFailure:
            if not self._keeps_unstored or self._still_works(grant, cause):
                raise

    def _still_works(self, grant: Grant, cause: Cause) -> bool:
        """Whether the access token of a grant is still good, as far as can be told without sending it."""
        if cause.kind in {CauseKind.REFUSED, CauseKind.ASKED}:
            return False
        expires_at = grant.tokens.expires_at
        return expires_at is None or self._oauth.time.now() < expires_at

    def _refusal(self, grant: Grant, cause: Cause, code: str | None = None) -> SignInNeeded:
        """The error for a grant whose refresh token is not good, or that has none."""
        if grant.refreshable and self._still_works(grant, cause):
            return SignInNeeded(GRANT_ENDED, self._profile.facts(UNRENEWABLE))
        return SignInNeeded(GRANT_ENDED, self._profile.facts(code))

    async def _refused_for_good(self, grant: Grant, cause: Cause, code: str, outcomes: RefreshOutcomes) -> SignInNeeded:
        """End the grant, unless its access token still works; returns the error that says which."""
        refusal = self._refusal(grant, cause, code)
        if refusal.facts.code != UNRENEWABLE:
            # Inside the lock: otherwise another process could read the grant in between and send its token again.
            await outcomes.ended(grant, cause, code)
        return refusal

    async def _save(
        self,
        refreshed: Grant,
        number: int,
        began: float,
        outcomes: RefreshOutcomes,
        failure: BurrowError | None = None,
    ) -> RefreshResult:
        """Store a refreshed grant and settle the event. `failure` says what its answer lacked."""
        access = self._journal.fingerprint(refreshed.tokens.access_token)
        took = self._milliseconds_since(began)
        try:
            stored = await outcomes.save(refreshed)
        except SignInNeeded:
            await self._journal.settle(number, "signed out meanwhile", milliseconds=took, access=access)
            raise
        # Settled only now: dying before this line leaves the event open, and the next process repeats the refresh. An
        # unstored grant keeps it open, because the stored refresh token is spent.
        outcome = UNSTORED if not stored else REFRESHED if failure is None else type(failure).__name__
        await self._journal.settle(number, outcome, open=not stored, milliseconds=took, access=access)
        return RefreshResult(refreshed, Obtained.REFRESHED, number)

    async def _check_spendable(self, grant: Grant, cause: Cause, outcomes: RefreshOutcomes) -> None:
        """Raises unless the refresh token of `grant` may be sent now."""
        if not grant.refreshable or grant.digest in self._refused:
            raise self._refusal(grant, cause)
        if await self.recall_refusal(grant):
            # Another process was refused. Perhaps it could not delete the grant, or its access token still worked.
            raise await self._refused_for_good(grant, cause, "refused", outcomes)
        wait = brake.wait_seconds(await self._journal.refreshes(), self._clock.boot(), cause)
        if wait > 0:
            raise _braked(cause, self._profile.name, self._profile.facts(BRAKED, retry_after=wait))
        open_event = await self._journal.unfinished(grant)
        if open_event is None or open_event.outcome != UNSTORED or not self._files.claimed_elsewhere:
            return
        # Another live process has the new tokens in memory only. Within the grace period the server gives the same ones
        # again. Later the spent token would count as reuse and end the grant for both.
        if not 0 <= self._clock.boot() - open_event.boot < GRACE_SECONDS:
            raise ServerTrouble(
                "Another Burrow process has renewed the sign-in and could not store it yet.",
                self._profile.facts("unstored"),
                action="Unlock the keyring or free some disk space there.",
            )

    async def _replacement(self) -> Grant | None:
        """What the vault holds instead of the refused grant, if it can be tried."""
        try:
            stored = await self._store.read() if self._store.persistent else None
        except VaultFailure:
            return None
        return stored if stored is not None and stored.refreshable and stored.digest not in self._refused else None

    async def _client_unknown(self, grant: Grant) -> BurrowError:
        facts = self._profile.facts("invalid_client", attr="client_id")
        if self._registrar.is_preregistered(grant.client_id):
            return SignInRefused(
                f"{self._profile.name} does not know the configured client id.",
                facts,
                action="Check that the client id is one of this server.",
                exit_code=PermissionMissing.exit_code,
            )
        await self._registrar.forget_registration(grant.client_id)
        return SignInNeeded(f"{self._profile.name} no longer knows this installation of Burrow.", facts)

    async def _refresh_with_retries(self, grant: Grant) -> Grant:
        """`grant` with newer tokens. Raises the last failure after three attempts."""
        until = self._clock.boot() + LONGEST_SECONDS
        attempt, rediscovered = 0, False
        metadata: ServerMetadata | None = None
        while True:
            try:
                metadata = metadata or self._check_issuer(await self._registrar.metadata(), grant)
                # Until the answer is stored (`_request`), or the next pause.
                self.sending = True
                tokens, client = await self._oauth.refresh(
                    metadata, grant.registration, grant.tokens, resource=grant.resource or self._profile.resource
                )
                # The server may have accepted the client's secret only in the other way: begin with that from now on.
                if client.method is not grant.registration.method:
                    await self._registrar.confirm(client)
                return replace(grant, tokens=tokens, auth_method=client.method.value if client.secret else "")
            except (Offline, TimedOut, ServerTrouble, Throttled, Rejected) as failure:
                if metadata is not None and failure.facts.status in MOVED_AWAY and not rediscovered:
                    metadata, rediscovered = await self._rediscover(metadata, grant, failure), True
                    continue
                if isinstance(failure, Rejected):
                    raise
                waiting = isinstance(failure, Offline) and self._clock.boot() < self._network_wait_until
                attempt += not waiting
                pause = NETWORK_PAUSE if waiting else _pause_after(failure, attempt)
                late = self._closing or self._clock.boot() + pause > until
                if late or attempt == ATTEMPTS or pause > LONGEST_PAUSE:
                    raise
                self.sending = False
                await self._clock.sleep(pause)

    async def _rediscover(self, metadata: ServerMetadata, grant: Grant, failure: BurrowError) -> ServerMetadata:
        """Metadata with the token endpoint's new address. Raises `failure` if the address is the same."""
        found = self._check_issuer(await self._registrar.rediscover(), grant)
        if found.token_endpoint == metadata.token_endpoint:
            raise failure
        return found

    def _check_issuer(self, metadata: ServerMetadata, grant: Grant) -> ServerMetadata:
        # A refresh token is never sent to another issuer than its own (faults row 40).
        if grant.issuer and metadata.issuer != grant.issuer:
            facts = self._profile.facts("issuer-changed")
            raise SignInNeeded(f"{self._profile.name} signs in through another issuer now.", facts)
        return metadata

    def _milliseconds_since(self, began: float) -> float:
        return (self._clock.boot() - began) * 1000


def _braked(cause: Cause, name: str, facts: Facts) -> ServerTrouble:
    if cause.kind is CauseKind.REFUSED:
        return ServerTrouble(
            f"{cause.target or name} keeps refusing tokens that were issued a moment ago.",
            facts,
            action="Burrow tries once more in a minute; signing in again may help.",
        )
    return ServerTrouble(f"{name} issues tokens that expire at once.", facts, action="Burrow tries again in a minute.")


def _pause_after(failure: BurrowError, attempt: int) -> float:
    return failure.facts.retry_after or PAUSES[min(attempt, len(PAUSES)) - 1]


def _may_be_spent(failure: BurrowError) -> bool:
    """Whether the server may have accepted the refresh token although no answer arrived."""
    if isinstance(failure, Offline | Rejected | Throttled | SignInNeeded):
        return False
    return failure.facts.status not in NOT_PROCESSED
