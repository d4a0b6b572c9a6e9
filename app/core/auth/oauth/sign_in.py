"""BrowserSignIn: a sign-in through the browser, with a registration that the server knows (RFC 8252, faults row 31)."""

from __future__ import annotations

import asyncio
import logging
import webbrowser
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from app.core.auth.oauth.attempt import AuthorizationAttempt, cancellation
from app.core.auth.oauth.callback import is_unused
from app.core.errors import Facts, Rejected
from app.core.events import Event

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.core.auth.metadata import ServerMetadata
    from app.core.auth.oauth.authorization_server import AuthorizationServer
    from app.core.auth.oauth.registrar import ClientRegistrar
    from app.core.auth.profile import CredentialProfile
    from app.core.auth.registration import ClientRegistration
    from app.core.auth.tokens import TokenSet

log = logging.getLogger(__name__)


class SignInTarget(Protocol):
    """The credential that somebody signs in to (`app.core.auth.credential`)."""

    profile: CredentialProfile
    oauth: AuthorizationServer
    registrar: ClientRegistrar

    async def take(self, tokens: TokenSet, registration: ClientRegistration, resource: str | None, why: str) -> None:
        """Put newly issued tokens in force."""


class BrowserSignIn:
    """A sign-in that waits for the browser. Ends by `finish`, `cancel` or after three minutes.

    A registration of Burrow's own that the server does not know is made anew, once: before the browser is opened where
    the server says so when it is asked, else afterwards, and then the consent page is opened again. `moved` tells that
    page's new address.
    """

    def __init__(
        self, target: SignInTarget, metadata: ServerMetadata, scopes: tuple[str, ...], *, open_browser: bool
    ) -> None:
        self.moved: Event[str] = Event()
        self._target = target
        self._metadata = metadata
        self._scopes = scopes
        self._open_browser = open_browser
        self._attempt: AuthorizationAttempt | None = None
        self._registered_anew = False
        self._cancelled = asyncio.Event()
        self._opening: set[asyncio.Task[bool]] = set()

    @staticmethod
    async def begin(target: SignInTarget, *, scopes: Iterable[str] = (), open_browser: bool = True) -> BrowserSignIn:
        """Discover, register, listen, and open the browser; `scopes` are asked for besides the usual ones.

        Raises `BurrowError` kinds when the server cannot be asked, `ProtocolTrouble` when its sign-in page's address is
        neither https nor on this machine, `Rejected` (attr `client_id`) when a client id must be given.
        """
        metadata = await target.registrar.rediscover()
        sign_in = BrowserSignIn(target, metadata, tuple(scopes), open_browser=open_browser)
        await sign_in._set_out(await sign_in._registration())
        return sign_in

    @property
    def url(self) -> str:
        """The address of the consent page."""
        return self._under_way.url

    def open_again(self) -> None:
        """Open the consent page in the browser that the system or `$BROWSER` names, without a shell."""
        task = asyncio.create_task(asyncio.to_thread(webbrowser.open, self.url))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def cancel(self) -> None:
        """End the sign-in; `finish` raises `SignInNeeded`."""
        self._cancelled.set()
        if self._attempt is not None:
            self._attempt.end()

    async def finish(self) -> None:
        """Wait for the browser, exchange the code and put the grant in force.

        Raises `TimedOut` after three minutes, `SignInNeeded` when cancelled here or denied there, `Rejected` when the
        server refuses the code or the client, other `BurrowError` kinds for transport trouble.
        """
        tokens = await self._under_way.tokens(self._cancelled)
        while tokens is None:
            await self._set_out(await self._another_registration())
            self.moved.emit(self.url)
            tokens = await self._under_way.tokens(self._cancelled)
        registration = self._under_way.registration
        await self._target.registrar.confirm(registration)
        await self._target.take(tokens, registration, self._under_way.resource, "browser")

    @property
    def _under_way(self) -> AuthorizationAttempt:
        assert self._attempt is not None
        return self._attempt

    async def _set_out(self, registration: ClientRegistration) -> None:
        self._attempt = await AuthorizationAttempt.begin(self._target.oauth, self._metadata, registration, self._scopes)
        if self._open_browser:
            self.open_again()

    async def _registration(self) -> ClientRegistration:
        """A remembered one is shown to the server first: the browser would show its refusal to the person only, and
        Burrow would wait for an answer that never comes.
        """
        registrar = self._target.registrar
        known = await registrar.known(self._metadata)
        if known is None:
            return await registrar.register(self._metadata)
        if registrar.gave(known.client_id):
            return known
        # Another program listens where the answer would be sent: a server that compares ports needs another address.
        free = known.port == 0 or is_unused(known.port)
        if free and await self._target.oauth.knows(self._metadata, known):
            return known
        return await self._register_anew()

    async def _register_anew(self) -> ClientRegistration:
        log.info("%s does not know this registration; registering anew", self._target.profile.origin)
        self._registered_anew = True
        return await self._target.registrar.register(self._metadata)

    async def _another_registration(self) -> ClientRegistration:
        """In place of the one that the token endpoint does not know. Raises `Rejected` when there can be none."""
        profile, registrar = self._target.profile, self._target.registrar
        facts = Facts(code="invalid_client", origin=profile.origin)
        if registrar.gave(self._under_way.registration.client_id):
            raise Rejected(
                f"{profile.name} does not know the configured client id.",
                replace(facts, attr="client_id"),
                action="Check the client id and that the region is the right one.",
            )
        if self._registered_anew:
            await registrar.forget_registration()
            raise Rejected(
                f"{profile.name} does not know this installation of Burrow.",
                facts,
                action="Sign in again: Burrow registers itself anew.",
            )
        registration = await self._register_anew()
        if self._cancelled.is_set():
            raise cancellation(profile)
        return registration
