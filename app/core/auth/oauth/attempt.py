"""AuthorizationAttempt: one request to the consent page, and the listener for its answer (RFC 8252 section 7.3)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from app.core.auth.oauth.authorization_server import ClientRefused, GrantRefused
from app.core.auth.oauth.callback import AuthorizationResponse, CallbackServer
from app.core.auth.status import CANCELLED
from app.core.errors import Facts, ProtocolTrouble, Rejected, SignInNeeded, TimedOut
from app.core.urls import is_confidential

if TYPE_CHECKING:
    from app.core.auth.metadata import ServerMetadata
    from app.core.auth.oauth.authorization import AuthorizationRequest
    from app.core.auth.oauth.authorization_server import AuthorizationServer
    from app.core.auth.profile import CredentialProfile
    from app.core.auth.registration import ClientRegistration
    from app.core.auth.tokens import TokenSet

LIMIT_SECONDS = 180.0


class AuthorizationAttempt:
    """Listens from `begin` until `tokens` has ended."""

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
        self._server = server

    @staticmethod
    async def begin(
        oauth: AuthorizationServer, metadata: ServerMetadata, registration: ClientRegistration, scopes: tuple[str, ...]
    ) -> AuthorizationAttempt:
        """Listen for the answer to a request for `scopes` besides the usual ones; nothing is opened yet.

        Raises `ProtocolTrouble` when the sign-in page's address is neither https nor on this machine.
        """
        holder: list[AuthorizationRequest] = []

        def accepts(answer: AuthorizationResponse) -> bool:
            return bool(holder) and holder[0].is_answered_by(answer.state, answer.issuer)

        server = CallbackServer(registration.redirect_path, accepts)
        redirect_uri = await server.open(registration.port)
        request = oauth.request_authorization(metadata, registration.client_id, redirect_uri, scopes=scopes)
        holder.append(request)
        if not is_confidential(request.url):
            server.close()
            raise ProtocolTrouble(f"{oauth.profile.name} names a sign-in page that is not safe to open.")
        return AuthorizationAttempt(oauth, metadata, registration, request, server)

    @property
    def url(self) -> str:
        """The address of the consent page."""
        return self._request.url

    @property
    def resource(self) -> str | None:
        """The resource that the tokens are asked for."""
        return self._request.resource

    def end(self) -> None:
        """Stop listening, also when nobody waits for `tokens`."""
        self._server.close()

    async def tokens(self, cancelled: asyncio.Event) -> TokenSet | None:
        """The tokens for the browser's answer; None when the token endpoint does not know the client.

        `registration` is afterwards the one that the server has taken. Raises `TimedOut` after three minutes,
        `SignInNeeded` when cancelled here or denied there, `Rejected` when the server refuses the code, other
        `BurrowError` kinds for transport trouble.
        """
        answer = await self._answer(cancelled)
        origin = self._profile.origin
        if answer.error or not answer.code:
            denied = answer.error == "access_denied"
            cause = "Access was denied in the browser." if denied else f"{self._profile.name} did not sign you in."
            raise SignInNeeded(cause, Facts(code=answer.error, origin=origin))
        try:
            tokens, self.registration = await self._oauth.exchange(
                self._metadata, self.registration, answer.code, self._request
            )
        except GrantRefused as refusal:
            raise Rejected("The authorization code was refused.", Facts(code=refusal.code, origin=origin)) from None
        except ClientRefused:
            return None
        return tokens

    async def _answer(self, cancelled: asyncio.Event) -> AuthorizationResponse:
        waiting = asyncio.create_task(self._server.wait())
        cancelling = asyncio.create_task(cancelled.wait())
        try:
            done, _ = await asyncio.wait(
                {waiting, cancelling}, timeout=LIMIT_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if cancelled.is_set():
                raise cancellation(self._profile)
            if waiting in done:
                return waiting.result()
            facts = Facts(origin=self._profile.origin)
            raise TimedOut("The browser did not come back within three minutes.", facts)
        finally:
            waiting.cancel()
            cancelling.cancel()
            self.end()


def cancellation(profile: CredentialProfile) -> SignInNeeded:
    """The error that a sign-in ends with when it is cancelled here."""
    return SignInNeeded("Signing in was cancelled.", Facts(code=CANCELLED, origin=profile.origin))
