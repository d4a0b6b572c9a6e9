"""Trip: one way to the consent page and back to a listener of its own (RFC 8252; contract section 1.4)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from app.core.auth.oauth.callback import AuthorizationResponse, CallbackServer
from app.core.auth.oauth.server import ClientRefused, GrantRefused, safe_to_open
from app.core.auth.status import CANCELLED
from app.core.errors import Facts, ProtocolTrouble, Rejected, SignInNeeded, TimedOut

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.core.auth.grant.tokens import TokenSet
    from app.core.auth.oauth.server import AuthorizationRequest, ClientRegistration, OAuthClient, ServerMetadata
    from app.core.hosts import Host

LIMIT_SECONDS = 180.0


class AuthorizationAttempt:
    """Who asks, what is asked, and where the answer comes. Listens from `begin` until `tokens` has ended."""

    def __init__(
        self,
        host: Host,
        oauth: OAuthClient,
        metadata: ServerMetadata,
        registration: ClientRegistration,
        request: AuthorizationRequest,
        server: CallbackServer,
    ) -> None:
        self.registration = registration
        self._host = host
        self._oauth = oauth
        self._metadata = metadata
        self._request = request
        self._server = server

    @staticmethod
    async def begin(
        host: Host,
        oauth: OAuthClient,
        metadata: ServerMetadata,
        registration: ClientRegistration,
        scopes: Iterable[str],
    ) -> AuthorizationAttempt:
        """Listen for the answer to a request for `scopes` besides the usual ones; nothing is opened yet.

        Raises `ProtocolTrouble` when the sign-in page's address is neither https nor on this machine.
        """
        holder: list[AuthorizationRequest] = []

        def accepts(redirect: AuthorizationResponse) -> bool:
            return bool(holder) and holder[0].is_answered_by(redirect.state, redirect.issuer)

        server = CallbackServer(registration.redirect_path, accepts)
        redirect_uri = await server.open()
        request = oauth.request_authorization(metadata, registration.client_id, redirect_uri, scopes=scopes)
        holder.append(request)
        if not safe_to_open(request.url):
            server.close()
            raise ProtocolTrouble(f"{host.name} names a sign-in page that is not safe to open.")
        return AuthorizationAttempt(host, oauth, metadata, registration, request, server)

    @property
    def url(self) -> str:
        """The address of the consent page."""
        return self._request.url

    def end(self) -> None:
        """Stop listening, also when nobody waits for `tokens`."""
        self._server.close()

    async def tokens(self, cancelled: asyncio.Event) -> TokenSet | None:
        """What the browser's answer buys; None when the token endpoint does not know the client.

        Raises `TimedOut` after three minutes, `SignInNeeded` when cancelled here or denied there, `Rejected` when the
        server refuses the code, other `BurrowError` kinds for transport trouble.
        """
        redirect = await self._redirect(cancelled)
        if redirect.code is None:
            denied = redirect.error == "access_denied"
            cause = "Access was denied in the browser." if denied else f"{self._host.name} did not sign you in."
            raise SignInNeeded(cause, Facts(code=redirect.error, origin=self._host.origin))
        try:
            return await self._oauth.exchange(self._metadata, self.registration.client_id, redirect.code, self._request)
        except GrantRefused as refusal:
            raise Rejected(
                "The authorization code was refused.", Facts(code=refusal.code, origin=self._host.origin)
            ) from None
        except ClientRefused:
            return None

    async def _redirect(self, cancelled: asyncio.Event) -> AuthorizationResponse:
        waiting = asyncio.create_task(self._server.wait())
        cancelling = asyncio.create_task(cancelled.wait())
        try:
            done, _ = await asyncio.wait(
                {waiting, cancelling}, timeout=LIMIT_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if cancelled.is_set():
                raise cancellation(self._host)
            if waiting in done:
                return waiting.result()
            facts = Facts(origin=self._host.origin)
            raise TimedOut("The browser did not come back within three minutes.", facts)
        finally:
            waiting.cancel()
            cancelling.cancel()
            self.end()


def cancellation(host: Host) -> SignInNeeded:
    """What a sign-in that was cancelled here ends with."""
    return SignInNeeded("Signing in was cancelled.", Facts(code=CANCELLED, origin=host.origin))
