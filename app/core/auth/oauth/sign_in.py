"""BrowserSignIn: a sign-in through the browser (RFC 8252), with a client that the server knows (faults row 31)."""

from __future__ import annotations

import asyncio
import logging
import webbrowser
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from app.core.auth.oauth.attempt import AuthorizationAttempt, cancellation
from app.core.auth.oauth.callback import is_unused
from app.core.errors import Facts, Rejected, SignInNeeded, SignInRefused
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


class PageProof(Protocol):
    """What proves to a server on this machine that its consent page was opened by Burrow (`app.core.consent`)."""

    async def ticket(self, url: str, challenge: str) -> str | None:
        """A single-use ticket for the page at `url`; None where no proof is needed. Raises nothing."""

    async def code(self, url: str) -> str | None:
        """What a person types into the page at `url` who opens it by hand; None as for `ticket`. Raises nothing."""


class SignInTarget(Protocol):
    """The credential to sign in (`app.core.auth.credential`)."""

    profile: CredentialProfile
    oauth: AuthorizationServer
    registrar: ClientRegistrar
    page_proof: PageProof | None

    async def complete_sign_in(
        self, tokens: TokenSet, registration: ClientRegistration, resource: str | None, why: str
    ) -> None:
        """Save newly issued tokens and use them."""


class BrowserSignIn:
    """A sign-in that waits for the browser. It ends by `finish`, by `cancel` or after three minutes.

    If the server does not know Burrow's client any more, Burrow registers a new one, once. That happens before the
    browser is opened, if the server says so when it is asked. Otherwise the token endpoint says so afterwards, and the
    consent page is opened again: `url_changed` emits its new URL.
    """

    def __init__(
        self, target: SignInTarget, metadata: ServerMetadata, scopes: tuple[str, ...], *, open_browser: bool
    ) -> None:
        self.url_changed: Event[str] = Event()
        self._target = target
        self._metadata = metadata
        self._scopes = scopes
        self._open_browser = open_browser
        self._attempt: AuthorizationAttempt | None = None
        self._registered = False
        self._cancelled = asyncio.Event()
        self._finished = False
        self._opening: set[asyncio.Task[None]] = set()

    @staticmethod
    async def begin(target: SignInTarget, *, scopes: Iterable[str] = (), open_browser: bool = True) -> BrowserSignIn:
        """Discover the server, register a client if necessary, listen, and open the browser.

        `scopes` are requested in addition to the profile's. Raises `BurrowError` when the server cannot be reached or
        fails, `ProtocolTrouble` when the URL of its sign-in page is neither https nor on this machine, `Rejected` (attr
        `client_id`) when the user must enter a client id.
        """
        metadata = await target.registrar.rediscover()
        sign_in = BrowserSignIn(target, metadata, tuple(scopes), open_browser=open_browser)
        await sign_in._start_attempt(await sign_in._registration())
        return sign_in

    @property
    def url(self) -> str:
        """The URL of the consent page. Whoever opens it by hand may be asked for the `page_code`."""
        return self._current.url

    @property
    def port(self) -> int:
        """The port of this machine that the browser comes back to."""
        return self._current.port

    @property
    def waiting(self) -> bool:
        """Whether it has neither ended nor been cancelled."""
        return not (self._finished or self._cancelled.is_set())

    def open_again(self) -> None:
        """Open the consent page in the browser that the system or `$BROWSER` names."""
        task = asyncio.create_task(self._open(self._current))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def page_code(self) -> str | None:
        """The code that the consent page asks for when a person opens it by hand; None if it asks for none."""
        proof = self._target.page_proof
        return None if proof is None else await proof.code(self.url)

    def take(self, address: str) -> None:
        """Take the address that the browser was redirected to, where it cannot come back to this machine by itself.

        The same checks apply as to the redirect itself, and whichever comes first counts. Raises `Rejected` (attr
        `address`) when it does not answer this sign-in.
        """
        if not self._current.take(address):
            raise Rejected(
                "This is not the address that this sign-in leads to.",
                Facts(attr="address", origin=self._target.profile.origin),
                action="Copy the whole address from the browser's address bar, after you have approved.",
            )

    def cancel(self) -> None:
        """End the sign-in; `finish` raises `SignInNeeded`."""
        self._cancelled.set()
        if self._attempt is not None:
            self._attempt.close()

    async def finish(self) -> None:
        """Wait for the redirect, exchange the code, and save and use the tokens.

        Raises `TimedOut` after three minutes, `SignInNeeded` when the user cancels here or denies access there,
        `Rejected` when the server refuses the code or the client, other `BurrowError`s when the server cannot be
        reached or fails.
        """
        try:
            await self._finish()
        finally:
            self._finished = True

    async def _finish(self) -> None:
        tokens = await self._current.wait_for_tokens(self._cancelled)
        # Ends: a second unknown client raises.
        while tokens is None:
            await self._start_attempt(await self._replacement_registration())
            self.url_changed.emit(self.url)
            tokens = await self._current.wait_for_tokens(self._cancelled)
        registration = self._current.registration
        await self._target.registrar.confirm(registration)
        await self._target.complete_sign_in(tokens, registration, self._current.resource, "browser")

    @property
    def _current(self) -> AuthorizationAttempt:
        assert self._attempt is not None
        return self._attempt

    async def _open(self, attempt: AuthorizationAttempt) -> None:
        url, proof = attempt.url, self._target.page_proof
        ticket = None if proof is None else await proof.ticket(url, attempt.challenge)
        if ticket is not None:
            url = f"{url}&page_ticket={ticket}"
        # `webbrowser` starts programs without a shell, so the URL is never interpreted by one. It may block.
        await asyncio.to_thread(webbrowser.open, url)

    async def _start_attempt(self, registration: ClientRegistration) -> None:
        self._attempt = await AuthorizationAttempt.begin(self._target.oauth, self._metadata, registration, self._scopes)
        if self._open_browser:
            self.open_again()

    async def _registration(self) -> ClientRegistration:
        """The client to sign in with."""
        registrar = self._target.registrar
        known = await registrar.known(self._metadata)
        if known is None:
            return await registrar.register(self._metadata)
        # The server is asked first whether it knows a remembered client. In the browser it would show its refusal to
        # the user only, and Burrow would wait for a redirect that never comes.
        if registrar.is_preregistered(known.client_id):
            return known
        # Another program listens on the registered port: a server that compares ports needs a new registration.
        free = known.port == 0 or is_unused(known.port)
        if free and await self._target.oauth.knows_client(self._metadata, known):
            return known
        return await self._register_again()

    async def _register_again(self) -> ClientRegistration:
        log.info("%s does not know this client; registering a new one", self._target.profile.origin)
        self._registered = True
        return await self._target.registrar.register(self._metadata)

    async def _replacement_registration(self) -> ClientRegistration:
        """A new client in place of one that the token endpoint does not know. Raises `Rejected` if that cannot help."""
        profile, registrar = self._target.profile, self._target.registrar
        facts = Facts(code="invalid_client", origin=profile.origin)
        if registrar.is_preregistered(self._current.registration.client_id):
            raise Rejected(
                f"{profile.name} does not know the configured client id.",
                replace(facts, attr="client_id"),
                action="Check the client id and that the region is the right one.",
            )
        if self._registered:
            # The server does not know a client that it has just registered. Another one would fare no better.
            await registrar.forget_registration()
            raise SignInRefused(
                f"{profile.name} does not know this installation of Burrow.",
                facts,
                action="Sign in again: Burrow registers itself again.",
                exit_code=SignInNeeded.exit_code,
            )
        registration = await self._register_again()
        if self._cancelled.is_set():
            raise cancellation(profile)
        return registration
