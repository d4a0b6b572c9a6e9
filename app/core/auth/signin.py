"""SignIn: one trip to the browser and back (RFC 8252; contract section 1.4)."""

from __future__ import annotations

import asyncio
import webbrowser
from typing import TYPE_CHECKING

from app.core.auth.callback import CallbackServer, Redirect
from app.core.auth.grant import Grant
from app.core.auth.oauth import AuthorizationRequest, ClientRefused, GrantRefused, Metadata, safe_to_open
from app.core.errors import Facts, ProtocolTrouble, Rejected, SignInNeeded, TimedOut

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.core.auth.oauth import Registration
    from app.core.auth.session import Session

LIMIT_SECONDS = 180.0


class SignIn:
    """A sign-in that waits for the browser. Ends by `finish`, `cancel` or after three minutes."""

    def __init__(
        self,
        session: Session,
        server: CallbackServer,
        metadata: Metadata,
        registration: Registration,
        request: AuthorizationRequest,
    ) -> None:
        self._session = session
        self._server = server
        self._metadata = metadata
        self._registration = registration
        self._request = request
        self._cancelled = asyncio.Event()
        self._opening: set[asyncio.Task[bool]] = set()

    @staticmethod
    async def begin(session: Session, *, scopes: Iterable[str] = (), open_browser: bool = True) -> SignIn:
        """Discover, register, listen, and open the browser; `scopes` are asked for besides the usual ones.

        Raises `BurrowError` kinds when the host cannot be asked, `ProtocolTrouble` when its sign-in page's address is
        neither https nor on this machine.
        """
        metadata = await session.client.rediscover()
        registration = await session.client.registration(metadata)
        holder: list[AuthorizationRequest] = []

        def accepts(redirect: Redirect) -> bool:
            return bool(holder) and holder[0].is_answered_by(redirect.state, redirect.issuer)

        server = CallbackServer(registration.redirect_path, accepts)
        redirect_uri = await server.open()
        request = session.oauth.request_authorization(metadata, registration.client_id, redirect_uri, scopes=scopes)
        holder.append(request)
        if not safe_to_open(request.url):
            await server.close()
            raise ProtocolTrouble(f"{session.host.name} names a sign-in page that is not safe to open.")
        sign_in = SignIn(session, server, metadata, registration, request)
        if open_browser:
            sign_in.open_again()
        return sign_in

    @property
    def url(self) -> str:
        """The address of the consent page."""
        return self._request.url

    def open_again(self) -> None:
        """Open the consent page in the browser that the system or `$BROWSER` names, without a shell."""
        task = asyncio.create_task(asyncio.to_thread(webbrowser.open, self.url))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def cancel(self) -> None:
        """End the sign-in; `finish` raises `SignInNeeded`."""
        self._cancelled.set()

    async def finish(self) -> None:
        """Wait for the browser, trade the code and hand the grant to the session.

        Raises `TimedOut` after three minutes, `SignInNeeded` when cancelled here or denied there, `Rejected` when the
        server refuses the code, other `BurrowError` kinds for transport trouble.
        """
        origin = self._session.host.origin
        waiting = asyncio.create_task(self._server.wait())
        cancelling = asyncio.create_task(self._cancelled.wait())
        try:
            done, _ = await asyncio.wait(
                {waiting, cancelling}, timeout=LIMIT_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if waiting not in done:
                if cancelling in done:
                    raise SignInNeeded("Signing in was cancelled.", Facts(code="cancelled", origin=origin))
                raise TimedOut("The browser did not come back within three minutes.", Facts(origin=origin))
            redirect = waiting.result()
        finally:
            waiting.cancel()
            cancelling.cancel()
            await self._server.close()
        if redirect.code is None:
            denied = redirect.error == "access_denied"
            cause = "Access was denied in the browser." if denied else f"{self._session.host.name} did not sign you in."
            raise SignInNeeded(cause, Facts(code=redirect.error, origin=origin))
        await self._exchange(redirect.code)

    async def _exchange(self, code: str) -> None:
        session, client_id = self._session, self._registration.client_id
        try:
            tokens = await session.oauth.exchange(self._metadata, client_id, code, self._request)
        except GrantRefused as refusal:
            raise Rejected(
                "The authorization code was refused.", Facts(code=refusal.code, origin=session.host.origin)
            ) from None
        except ClientRefused:
            await session.client.forget_registration()
            raise Rejected(
                f"{session.host.name} does not know this installation of Burrow.",
                Facts(code="invalid_client", origin=session.host.origin),
                action="Sign in again: Burrow registers itself anew.",
            ) from None
        await session.adopt(Grant(tokens, client_id, self._metadata.issuer), "browser")
