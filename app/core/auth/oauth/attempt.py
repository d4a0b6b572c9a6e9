"""AuthorizationAttempt: one authorization request, and the listener for its response (RFC 8252 section 7.3)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app.core.auth.oauth.authorization_server import ClientRefused, GrantRefused
from app.core.auth.oauth.callback import (
    INVALID,
    NOT_GRANTED,
    NOT_SIGNED_IN,
    ONCE_MORE,
    SIGNED_IN,
    AuthorizationResponse,
    CallbackServer,
)
from app.core.auth.status import CANCELLED
from app.core.errors import Facts, ProtocolTrouble, SignInNeeded, SignInRefused, TimedOut
from app.core.urls import is_confidential

if TYPE_CHECKING:
    from app.core.auth.metadata import ServerMetadata
    from app.core.auth.oauth.authorization import AuthorizationRequest
    from app.core.auth.oauth.authorization_server import AuthorizationServer
    from app.core.auth.profile import CredentialProfile
    from app.core.auth.registration import ClientRegistration
    from app.core.auth.tokens import TokenSet

# How long the user may take in the browser.
LIMIT_SECONDS = 180.0
# The code of the error for a response to this request whose parameters cannot be used.
WRONG_RESPONSE = "wrong_response"


class AuthorizationAttempt:
    """Listens from `begin` until `wait_for_tokens` has ended, or `close`."""

    def __init__(
        self,
        oauth: AuthorizationServer,
        metadata: ServerMetadata,
        registration: ClientRegistration,
        request: AuthorizationRequest,
        server: CallbackServer,
    ) -> None:
        self.registration = registration
        self._profile = oauth.profile
        self._oauth = oauth
        self._metadata = metadata
        self._request = request
        self._callback = server

    @staticmethod
    async def begin(
        oauth: AuthorizationServer, metadata: ServerMetadata, registration: ClientRegistration, scopes: tuple[str, ...]
    ) -> AuthorizationAttempt:
        """Make a request for the profile's scopes and `scopes`, and listen for its response. Opens no browser.

        Raises `ProtocolTrouble` when the URL of the consent page is neither https nor on this machine.
        """
        # The request has the port in its redirect URI, and the port is known only when the server listens. A redirect
        # that arrives before there is a request is none of ours.
        made: list[AuthorizationRequest] = []

        def accepts(response: AuthorizationResponse) -> bool:
            return bool(made) and made[0].is_answered_by(response.state)

        server = CallbackServer(registration.redirect_path, accepts)
        redirect_uri = await server.open(registration.port)
        request = oauth.request_authorization(metadata, registration.client_id, redirect_uri, scopes=scopes)
        made.append(request)
        if not is_confidential(request.url):
            server.close()
            raise ProtocolTrouble(f"{oauth.profile.name} names a sign-in page that is not safe to open.")
        return AuthorizationAttempt(oauth, metadata, registration, request, server)

    @property
    def url(self) -> str:
        """The URL of the consent page."""
        return self._request.url

    @property
    def port(self) -> int:
        """The port of this machine that the redirect goes to."""
        return urlsplit(self._request.redirect_uri).port or 0

    @property
    def challenge(self) -> str:
        """The code challenge of the request (RFC 7636)."""
        return self._request.challenge

    @property
    def resource(self) -> str | None:
        """The resource that the tokens are requested for (RFC 8707)."""
        return self._request.resource

    def close(self) -> None:
        """Stop listening."""
        self._callback.close()

    def take(self, address: str) -> bool:
        """Take the address that a browser was redirected to; returns whether it answers this request."""
        return self._callback.take(address)

    async def wait_for_tokens(self, cancelled: asyncio.Event) -> TokenSet | None:
        """Wait for the redirect and exchange its code; None when the token endpoint does not know the client.

        The browser shows what became of it. Afterwards `registration` has the authentication method that the server
        accepted. Raises `TimedOut` after three minutes, `SignInNeeded` when the user cancels here or denies access
        there, `ProtocolTrouble` when the response comes from another server (RFC 9207), `SignInRefused` when the server
        refuses the code, other `BurrowError`s when the server cannot be reached or fails.
        """
        response = await self._wait_for_response(cancelled)
        page = NOT_SIGNED_IN
        try:
            tokens = await self._exchange(response)
            page = ONCE_MORE if tokens is None else SIGNED_IN
            return tokens
        except SignInNeeded:
            page = NOT_GRANTED
            raise
        except ProtocolTrouble as failure:
            page = INVALID if failure.facts.code == WRONG_RESPONSE else page
            raise
        finally:
            await self._callback.answer(page)

    async def _exchange(self, response: AuthorizationResponse) -> TokenSet | None:
        origin = self._profile.origin
        if response.repeated:
            facts = Facts(code=WRONG_RESPONSE, origin=origin)
            raise ProtocolTrouble("The answer of the sign-in page says something more than once.", facts)
        if not self._request.is_answered_from(response.issuer):
            raise ProtocolTrouble(
                f"The browser came back from another server than {self._profile.name}.",
                Facts(code=WRONG_RESPONSE, origin=origin),
                action="Sign in again, and check the address of the page before you approve.",
            )
        if response.error or not response.code:
            denied = response.error == "access_denied"
            cause = "Access was denied in the browser." if denied else f"{self._profile.name} did not sign you in."
            raise SignInNeeded(cause, Facts(code=response.error, origin=origin))
        try:
            tokens, self.registration = await self._oauth.exchange(
                self._metadata, self.registration, response.code, self._request
            )
        except GrantRefused as refusal:
            raise SignInRefused(
                f"{self._profile.name} refused the code that the browser brought.",
                Facts(code=refusal.code, origin=origin),
                action="Sign in once more: a code works once, and not for long.",
                exit_code=SignInNeeded.exit_code,
            ) from None
        except ClientRefused:
            return None
        return tokens

    async def _wait_for_response(self, cancelled: asyncio.Event) -> AuthorizationResponse:
        """The redirect of this sign-in. Afterwards no other one is accepted, whatever the outcome."""
        waiting = asyncio.create_task(self._callback.wait())
        cancelling = asyncio.create_task(cancelled.wait())
        try:
            done, _ = await asyncio.wait(
                {waiting, cancelling}, timeout=LIMIT_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            # Checked first: a code that arrives with the cancellation is not exchanged any more.
            if cancelled.is_set():
                raise cancellation(self._profile)
            if waiting in done:
                self._callback.stop_accepting()
                return waiting.result()
            facts = Facts(origin=self._profile.origin)
            raise TimedOut("The browser did not come back within three minutes.", facts)
        except BaseException:
            self.close()
            raise
        finally:
            waiting.cancel()
            cancelling.cancel()


def cancellation(profile: CredentialProfile) -> SignInNeeded:
    """The error of a sign-in that was cancelled here."""
    return SignInNeeded("The sign-in was cancelled.", Facts(code=CANCELLED, origin=profile.origin))
