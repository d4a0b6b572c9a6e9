"""SignInGate: holds background work on a connection until the user is signed in."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol

from app.core.auth.http.recovery import TokenSource
from app.core.auth.status import CredentialState
from app.core.auth.tokens import fingerprint
from app.core.errors import BurrowError

if TYPE_CHECKING:
    from app.core.auth.cause import Cause
    from app.core.auth.http.target import Target
    from app.core.auth.status import CredentialStatus
    from app.core.events import Event

log = logging.getLogger(__name__)


class CredentialSource(TokenSource, Protocol):
    """The credential of a connection (`app.core.auth.credential`)."""

    @property
    def changed(self) -> Event[CredentialStatus]: ...

    @property
    def status(self) -> CredentialStatus: ...

    def auth(self, target: Target) -> Any:
        """An `httpx2.Auth`."""

    async def wait_restored(self) -> None:
        """Wait until it is known whether there is a grant."""


class SignInGate:
    """Holds background work until the user signs in: without a token it would only be refused."""

    def __init__(self, credential: CredentialSource | None) -> None:
        """`credential` is None for a server without one, whose gate is always open."""
        self._credential = credential

    async def ready(self) -> bool:
        """Wait until the user is signed in and the vault works; returns whether it had to wait."""
        if self._credential is None or self._usable():
            return False
        changed = asyncio.Event()
        unsubscribe = self._credential.changed.subscribe(lambda _status: changed.set())
        try:
            while not self._usable():
                await changed.wait()
                changed.clear()
        finally:
            unsubscribe()
        return True

    async def refused(self, bearer: str, cause: Cause) -> None:
        """Have the token refreshed that a request carried, unless that has happened already.

        `bearer` is the fingerprint of the request's header. Raises nothing: a failed refresh shows in the status.
        """
        if self._credential is None:
            return
        try:
            tokens = await self._credential.access_token()
            if tokens is not None and fingerprint(tokens.bearer) == bearer:
                await self._credential.refresh(tokens, cause)
        except BurrowError as failure:
            log.info("a token that a stream refused could not be refreshed: %s", type(failure).__name__)

    def _usable(self) -> bool:
        assert self._credential is not None
        status = self._credential.status
        return status.state is CredentialState.SIGNED_IN and not status.vault_failing
