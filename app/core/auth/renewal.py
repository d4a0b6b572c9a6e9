"""Renewal: what happens between a refused token and a newer one, once the session has decided that it must be.

The rules, in order: allowed at all; locked across processes; the vault read again inside the
lock; asked for at most three times; durable before anyone sees it. The session makes sure that only one runs at a time.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from app.core.auth.brake import Brake
from app.core.auth.oauth import ClientRefused, GrantRefused
from app.core.auth.vault import VaultFailure
from app.core.errors import BurrowError, Facts, Offline, Rejected, ServerTrouble, SignInNeeded, Throttled, TimedOut

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.core.auth.client import Client
    from app.core.auth.grant import Grant
    from app.core.auth.keeper import Keeper
    from app.core.auth.lock import ProcessLock
    from app.core.auth.oauth import OAuth
    from app.core.auth.tokens import TokenSet
    from app.core.hosts import Host

ATTEMPTS = 3
PAUSES = (0.3, 1.0)
# A server that asks for a longer wait is not waited for inside a request.
LONGEST_PAUSE = 15.0
COOLDOWN = (1.0, 15.0)

GRANT_ENDED = "The server no longer accepts this sign-in."
RENEWED, ADOPTED = "renewed", "adopted"


class Renewal:
    """Renews grants of one host. `refused` refresh tokens are remembered and never sent twice."""

    def __init__(self, host: Host, oauth: OAuth, client: Client, lock: ProcessLock, brake: Brake | None = None) -> None:
        self._host = host
        self._oauth = oauth
        self._client = client
        self._lock = lock
        self._refused: set[str] = set()
        self._pause_until = 0.0
        self._pause = COOLDOWN[0]
        self._failure: BurrowError | None = None
        self.brake = brake or Brake()

    @property
    def failing(self) -> bool:
        """Whether the last renewal failed in a way that may pass."""
        return self._failure is not None

    def wake(self) -> None:
        """The network is back or the machine woke: forget the pause after a failure."""
        self._pause_until, self._pause = 0.0, COOLDOWN[0]

    def start_over(self) -> None:
        """A new grant was issued: nothing of the former one counts."""
        self._refused.clear()
        self._failure = None
        self.wake()
        self.brake.accepted()

    async def run(
        self, grant: Grant, keeper: Keeper, now: Callable[[], float], save: Callable[[Grant], Awaitable[None]]
    ) -> tuple[Grant, str]:
        """A grant newer than `grant` and how it was had: `renewed` here, or `adopted` from another process.

        `save` is called inside the lock before the new grant is returned. Raises `SignInNeeded` when the grant is over,
        and `Offline`, `TimedOut`, `Throttled`, `ServerTrouble` or `Rejected` when it may still be alive.
        """
        try:
            self._check_allowed(grant)
            async with self._lock.hold():
                newest = await self._newest(grant, keeper)
                if newest.tokens.access_token != grant.tokens.access_token and not newest.tokens.expired(now()):
                    found = newest, ADOPTED
                else:
                    renewed = await self._ask(newest, keeper)
                    self.brake.renewed()
                    await save(renewed)
                    found = renewed, RENEWED
        except SignInNeeded:
            raise
        except BurrowError as failure:
            self._remember(failure)
            raise
        self._failure = None
        self.wake()
        return found

    def _check_allowed(self, grant: Grant) -> None:
        if not grant.renewable or grant.digest in self._refused:
            raise SignInNeeded(GRANT_ENDED, Facts(origin=self._host.origin))
        if self._failure is not None and monotonic() < self._pause_until:
            raise self._failure
        if self.brake.wait > 0:
            raise ServerTrouble(
                f"{self._host.name} keeps refusing tokens that it has just issued.",
                Facts(retry_after=self.brake.wait, origin=self._host.origin),
                action="Burrow tries once more in a minute; signing in again may help.",
            )

    def _remember(self, failure: BurrowError) -> None:
        """Pause before the next try, twice as long each time."""
        if failure is self._failure:
            return
        self._failure = failure
        self._pause_until = monotonic() + max(failure.facts.retry_after or 0.0, self._pause)
        self._pause = min(self._pause * 2, COOLDOWN[1])

    async def _newest(self, grant: Grant, keeper: Keeper) -> Grant:
        """What another process stored meanwhile, else `grant`."""
        if not keeper.has_one:
            return grant
        try:
            stored = await keeper.read()
        except VaultFailure:
            # The copy in memory is as good; saving the new one will tell of the trouble.
            return grant
        if stored is None:
            raise SignInNeeded("Signed out in another window.", Facts(origin=self._host.origin))
        return stored

    async def _ask(self, grant: Grant, keeper: Keeper) -> Grant:
        """Renew at the token endpoint; a refused grant that the vault replaced meanwhile is tried once (row 16)."""
        for last_try in (False, True):
            try:
                return replace(grant, tokens=await self._attempts(grant))
            except GrantRefused as refusal:
                self._refused.add(grant.digest)
                newer = await self._newest(grant, keeper)
                if last_try or not newer.renewable or newer.digest in self._refused:
                    facts = Facts(code=refusal.code, origin=self._host.origin)
                    raise SignInNeeded(GRANT_ENDED, facts) from None
                grant = newer
            except ClientRefused:
                raise await self._unknown_client() from None
        raise AssertionError("the second try returns or raises")

    async def _unknown_client(self) -> BurrowError:
        facts = Facts(code="invalid_client", attr="client_id", origin=self._host.origin)
        if self._host.client_id is not None:
            return Rejected(
                f"{self._host.name} does not know the configured client id.",
                facts,
                action="Check the client id and that the region is the right one.",
            )
        await self._client.forget_registration()
        return SignInNeeded(f"{self._host.name} no longer knows this installation of Burrow.", facts)

    async def _attempts(self, grant: Grant) -> TokenSet:
        metadata = await self._client.metadata()
        for attempt in range(ATTEMPTS):
            try:
                return await self._oauth.refresh(metadata, grant.client_id, grant.tokens)
            except (Offline, TimedOut, ServerTrouble, Throttled) as failure:
                pause = failure.facts.retry_after or PAUSES[min(attempt, len(PAUSES) - 1)]
                if attempt == ATTEMPTS - 1 or pause > LONGEST_PAUSE:
                    raise
                await asyncio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")
