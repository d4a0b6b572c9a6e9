"""A server's credential as connections see it: what carries the token, and when one may be asked for."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol

from app.core.auth.status import CredentialState
from app.core.auth.tokens import fingerprint
from app.core.errors import BurrowError

if TYPE_CHECKING:
    from app.core.auth.cause import Cause
    from app.core.auth.http.target import Target
    from app.core.auth.status import CredentialStatus
    from app.core.auth.tokens import TokenSet
    from app.core.events import Event

log = logging.getLogger(__name__)


class CredentialSource(Protocol):
    """What carries the token (`app.core.auth.credential`)."""

    @property
    def changed(self) -> Event[CredentialStatus]: ...

    @property
    def status(self) -> CredentialStatus: ...

    def auth(self, target: Target) -> Any:
        """An `httpx2.Auth`."""

    async def access_token(self) -> TokenSet | None: ...

    async def refresh(self, refused: TokenSet, cause: Cause) -> TokenSet: ...


class SignInGate:
    """Holds background work until the user signs in: it asks for nothing while only the user can help."""

    def __init__(self, credentials: CredentialSource | None) -> None:
        """None for a server without a credential, whose gate is always open."""
        self._credentials = credentials

    async def ready(self) -> bool:
        """Wait until somebody is signed in and the grant is where it can be kept; whether there was a wait."""
        if self._credentials is None or self._usable():
            return False
        told = asyncio.Event()
        unsubscribe = self._credentials.changed.subscribe(lambda _status: told.set())
        try:
            while not self._usable():
                await told.wait()
                told.clear()
        finally:
            unsubscribe()
        return True

    async def refused(self, bearer: str, cause: Cause) -> None:
        """Have the token renewed that a request carried, named by the fingerprint of its header, unless it was already.

        Raises nothing: a renewal that failed shows in the session's status.
        """
        if self._credentials is None:
            return
        try:
            tokens = await self._credentials.access_token()
            if tokens is not None and fingerprint(tokens.bearer) == bearer:
                await self._credentials.refresh(tokens, cause)
        except BurrowError as failure:
            log.info("a token refused while listening was not renewed: %s", type(failure).__name__)

    def _usable(self) -> bool:
        assert self._credentials is not None
        status = self._credentials.status
        return status.state is CredentialState.SIGNED_IN and not status.vault_failing
