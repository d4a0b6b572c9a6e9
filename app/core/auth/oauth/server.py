"""The OAuth protocol, without state of its own: metadata, registration, authorization with PKCE, tokens, revocation.

RFC 6749 (sections 4.1, 5 and 6), 7009, 7591, 7636, 8252, 8414 and 9207; contract sections 1.3 to 1.8.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from app.core.auth.grant.tokens import TokenSet
from app.core.auth.http.transport import TIMEOUT_SECONDS, retry_after, transport_error
from app.core.clock import ServerTime, SystemClock
from app.core.diagnostics.redaction import hide
from app.core.errors import BurrowError, Facts, ProtocolTrouble, Rejected, ServerTrouble, Throttled, TimedOut
from app.core.hosts import is_loopback, origin_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from app.core.auth.http.transport import HttpTransport
    from app.core.clock import Clock

CLIENT_NAME = "Burrow"
SCOPES = (
    "openid",
    "user:read",
    "organization:read",
    "project:read",
    "task:read",
    "task:write",
    "integration:read",
)
GRANT_OVER = frozenset({"invalid_grant", "invalid_token"})
TOKEN_TYPES = frozenset({"bearer", "dpop"})
# What a server answers to a parameter that it does not take from this client (RFC 6749 section 5.2, RFC 8707).
NARROWING_REFUSED = frozenset({"invalid_scope", "invalid_target"})
# How an authorization endpoint says that it knows a client or its redirect URI not or no longer (contract section 1.7).
CLIENT_UNKNOWN = frozenset({"invalid_client", "unauthorized_client", "invalid_request"})
# A reply that is lost is asked for again well inside the shortest grace known (contract section 1.6).
TOKEN_SECONDS = 20.0
KNOWS_SECONDS = 5.0
ANSWER_LIMIT = 1024 * 1024


class GrantRefused(Exception):
    """The authorization server says that the grant is over (`invalid_grant` or `invalid_token`). Terminal."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ClientRefused(Exception):
    """`invalid_client`: the registration is unknown there. The grant is not at fault."""


@dataclass(frozen=True, slots=True)
class ServerMetadata:
    """What an authorization server says of itself (RFC 8414)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    registration_endpoint: str | None = None
    revocation_endpoint: str | None = None
    names_issuer: bool = False


@dataclass(frozen=True, slots=True)
class ClientRegistration:
    """Burrow as a client of one issuer. `redirect_path` is registered with it; the port may differ (RFC 8252 7.3)."""

    client_id: str
    redirect_path: str
    issuer: str

    @property
    def redirect_uri(self) -> str:
        """The redirect URI as it is registered."""
        return f"http://127.0.0.1{self.redirect_path}"


@dataclass(frozen=True, slots=True, repr=False)
class AuthorizationRequest:
    """One authorization under way; holds the verifier and the state that prove the answer is ours."""

    url: str
    redirect_uri: str
    state: str
    verifier: str
    issuer: str | None
    scope: str

    def __post_init__(self) -> None:
        hide(self.state, self.verifier)

    def is_answered_by(self, state: str | None, issuer: str | None) -> bool:
        """Whether a redirect with this `state` and `iss` answers this request (RFC 9207 section 2.4)."""
        same_state = hmac.compare_digest(self.state.encode(), (state or "").encode())
        if self.issuer is None:
            return same_state
        return same_state and hmac.compare_digest(self.issuer.encode(), (issuer or "").encode())


class OAuthClient:
    """The protocol with one host. Every call raises `BurrowError` kinds for transport and server trouble."""

    def __init__(self, transport: HttpTransport, origin: str, *, clock: Clock | None = None) -> None:
        self.time = ServerTime(clock or SystemClock())
        self._transport = transport
        self._origin = origin

    async def discover(self) -> ServerMetadata:
        """The host's metadata; a host without any gets PostHog's documented paths (contract section 1.3).

        Raises `ProtocolTrouble` when the metadata names another issuer, an endpoint elsewhere, or no S256.
        """
        status, headers, body = await self._send("GET", f"{self._origin}/.well-known/oauth-authorization-server")
        if status in {404, 405}:
            return self._documented()
        answer = self._object(status, headers, body)
        if status != 200:
            raise self._failure(status, headers, answer)
        return self._checked(answer)

    async def register(self, metadata: ServerMetadata) -> ClientRegistration:
        """Register Burrow as a native public client (RFC 7591).

        Which scopes it may ask for is left to the server: a registration is remembered, and a later step-up asks for
        scopes that nobody can name now (contract section 1.8). Raises `Rejected` (attr `client_id`) when the host
        offers no registration or refuses it.
        """
        if metadata.registration_endpoint is None:
            raise self._unregistered("does not let applications register themselves")
        path = f"/callback/{secrets.token_urlsafe(12)}"
        status, headers, body = await self._send(
            "POST",
            metadata.registration_endpoint,
            json_body={
                "client_name": CLIENT_NAME,
                "redirect_uris": [ClientRegistration("", path, "").redirect_uri],
                "grant_types": ["authorization_code", "refresh_token"],
                "response_types": ["code"],
                "token_endpoint_auth_method": "none",
                "application_type": "native",
            },
        )
        answer = self._object(status, headers, body)
        client_id = answer.get("client_id")
        if status not in {200, 201}:
            failure = self._failure(status, headers, answer)
            if isinstance(failure, Rejected):
                raise self._unregistered(f"refused to register Burrow ({failure.facts.code or status})", failure.facts)
            raise failure
        if not isinstance(client_id, str) or not client_id:
            raise ProtocolTrouble(f"{self._origin} registered Burrow without naming a client id.")
        return ClientRegistration(client_id, path, metadata.issuer)

    async def knows(self, metadata: ServerMetadata, registration: ClientRegistration) -> bool:
        """Whether the server still knows a registration, as far as it tells without a person (faults row 31).

        Only a plain refusal says that it does not; a page, a redirect, trouble, or silence for five seconds say
        nothing. It is asked with a request that nobody waits for, so that no answer to it is worth anything.
        """
        trial = self.request_authorization(metadata, registration.client_id, registration.redirect_uri)
        try:
            status, headers, body = await self._send("GET", trial.url, timeout=KNOWS_SECONDS)
            answer = self._object(status, headers, body)
        except BurrowError:
            return True
        error = answer.get("error")
        return not (status in {400, 401} and isinstance(error, str) and error in CLIENT_UNKNOWN)

    def request_authorization(
        self,
        metadata: ServerMetadata,
        client_id: str,
        redirect_uri: str,
        *,
        scopes: Iterable[str] = (),
        parameters: Mapping[str, str] | None = None,
    ) -> AuthorizationRequest:
        """Build the address to open in the browser, with PKCE S256 and a fresh `state`.

        `scopes` are asked for besides the usual ones.
        """
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        state = secrets.token_urlsafe(32)
        scope = " ".join(dict.fromkeys((*SCOPES, *scopes)))
        query = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": redirect_uri,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "scope": scope,
            "state": state,
            "required_access_level": "project",
            **(parameters or {}),
        }
        separator = "&" if urlsplit(metadata.authorization_endpoint).query else "?"
        url = f"{metadata.authorization_endpoint}{separator}{urlencode(query)}"
        issuer = metadata.issuer if metadata.names_issuer else None
        return AuthorizationRequest(url, redirect_uri, state, verifier, issuer, scope)

    async def follow_ticket(self, request: AuthorizationRequest) -> str:
        """Ask for the authorization ourselves, with a login ticket in the address, and return the code.

        Only the embedded workspace gives tickets. Raises `Rejected` when it answers anything but the redirect.
        """
        status, headers, _ = await self._send("GET", request.url)
        target = urlsplit(headers.get("location", ""))
        query = parse_qs(target.query)
        state, issuer, code = (query.get(name, [""])[0] for name in ("state", "iss", "code"))
        hide(code)
        expected = urlsplit(request.redirect_uri)
        if status != 302 or target[:3] != expected[:3] or not request.is_answered_by(state, issuer) or not code:
            raise Rejected(
                f"{self._origin} did not accept the login ticket.", Facts(status=status, origin=self._origin)
            )
        return code

    async def exchange(
        self, metadata: ServerMetadata, client_id: str, code: str, request: AuthorizationRequest
    ) -> TokenSet:
        """Trade an authorization code for tokens. Raises `GrantRefused`, `ClientRefused` or a `BurrowError`.

        An answer without `scope` grants what was asked for (RFC 6749 section 5.1).
        """
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": request.redirect_uri,
            "client_id": client_id,
            "code_verifier": request.verifier,
        }
        return self._tokens({"scope": request.scope, **await self._token_endpoint(metadata, form)}, previous=None)

    async def refresh(
        self, metadata: ServerMetadata, client_id: str, tokens: TokenSet, *, resource: str | None = None
    ) -> TokenSet:
        """Renew `tokens`; the old refresh token is kept when the answer brings none (faults row 33).

        `resource` is the audience to ask for (RFC 8707), left out at a second try where a server does not take it
        (faults row 32). Raises `GrantRefused`, `ClientRefused`, or a `BurrowError` for what may pass.
        """
        if tokens.refresh_token is None:
            raise GrantRefused("no_refresh_token")
        form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token, "client_id": client_id}
        if resource is not None:
            try:
                return self._tokens(await self._token_endpoint(metadata, {**form, "resource": resource}), tokens)
            except Rejected as refusal:
                if refusal.facts.code not in NARROWING_REFUSED:
                    raise
        return self._tokens(await self._token_endpoint(metadata, form), previous=tokens)

    async def revoke(self, metadata: ServerMetadata, client_id: str, token: str) -> None:
        """Revoke a token (RFC 7009). Raises `BurrowError` when the server could not be asked."""
        if metadata.revocation_endpoint is not None:
            await self._send("POST", metadata.revocation_endpoint, form={"token": token, "client_id": client_id})

    async def _token_endpoint(self, metadata: ServerMetadata, form: dict[str, str]) -> dict[str, Any]:
        status, headers, body = await self._send("POST", metadata.token_endpoint, form=form, timeout=TOKEN_SECONDS)
        answer = self._object(status, headers, body)
        if status == 200:
            self.time.learn(headers, at_once=True)
        error = answer.get("error")
        if isinstance(error, str):
            if error in GRANT_OVER and 400 <= status < 500:
                raise GrantRefused(error)
            if error == "invalid_client":
                raise ClientRefused(error)
        if status != 200 or error is not None:
            raise self._failure(status, headers, answer)
        return answer

    def _tokens(self, answer: dict[str, Any], previous: TokenSet | None) -> TokenSet:
        access_token, kind = answer.get("access_token"), answer.get("token_type", "Bearer")
        if not isinstance(access_token, str) or not access_token:
            raise ServerTrouble(f"{self._origin} answered without an access token.", Facts(origin=self._origin))
        if not isinstance(kind, str) or kind.lower() not in TOKEN_TYPES:
            raise ProtocolTrouble(f"{self._origin} gave a token of an unknown type.", Facts(origin=self._origin))
        refresh_token = answer.get("refresh_token")
        if not isinstance(refresh_token, str) or not refresh_token:
            refresh_token = previous.refresh_token if previous else None
        issued_at = self.time.now()
        lifetime = _lifetime(answer.get("expires_in"))
        scope = answer.get("scope")
        return TokenSet(
            access_token=access_token,
            refresh_token=refresh_token,
            issued_at=issued_at,
            expires_at=None if lifetime is None else issued_at + lifetime,
            scope=scope if isinstance(scope, str) else (previous.scope if previous else ""),
            generation=previous.generation + 1 if previous else 1,
            scoped_teams=tuple(t for t in _list(answer.get("scoped_teams")) if isinstance(t, int)),
            scoped_organizations=tuple(o for o in _list(answer.get("scoped_organizations")) if isinstance(o, str)),
        )

    async def _send(
        self,
        method: str,
        url: str,
        *,
        form: dict[str, str] | None = None,
        json_body: object | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> tuple[int, Mapping[str, str], bytes]:
        import httpx

        client = await self._transport.aside()
        try:
            async with (
                asyncio.timeout(timeout),
                client.stream(method, url, data=form, json=json_body, auth=None) as response,
            ):
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > ANSWER_LIMIT:
                        raise ServerTrouble(f"{self._origin} sent an answer without end.", Facts(origin=self._origin))
                return response.status_code, response.headers, bytes(body)
        except TimeoutError:
            raise TimedOut(f"{self._origin} did not answer in time.", Facts(origin=self._origin)) from None
        except httpx.HTTPError as failure:
            raise transport_error(failure, origin=self._origin) from None
        except httpx.InvalidURL:
            raise ProtocolTrouble(f"{self._origin} named an address that cannot be used.") from None

    def _object(self, status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        if isinstance(answer, dict):
            return answer
        if status == 429:
            raise self._failure(status, headers, {})
        facts = Facts(status=status, retry_after=retry_after(headers), origin=self._origin)
        raise ServerTrouble(f"{self._origin} answered with something else than sign-in data ({status}).", facts)

    def _failure(self, status: int, headers: Mapping[str, str], answer: dict[str, Any]) -> BurrowError:
        code = answer.get("error") or answer.get("code")
        code = code if isinstance(code, str) else None
        facts = Facts(status=status, code=code, retry_after=retry_after(headers), origin=self._origin)
        if status == 429:
            return Throttled(f"{self._origin} asks to wait before signing in again.", facts)
        if status < 400 or status >= 500 or code == "temporarily_unavailable":
            return ServerTrouble(f"{self._origin} cannot handle sign-ins at the moment.", facts)
        return Rejected(f"{self._origin} refused the sign-in request ({code or status}).", facts)

    def _unregistered(self, why: str, facts: Facts | None = None) -> Rejected:
        return Rejected(
            f"{self._origin} {why}.",
            replace(facts or Facts(origin=self._origin), attr="client_id"),
            action="Ask its administrator for an OAuth client id, or use a personal API key.",
        )

    def _checked(self, answer: dict[str, Any]) -> ServerMetadata:
        def endpoint(name: str) -> str | None:
            value = answer.get(name)
            if value is None:
                return None
            if not isinstance(value, str) or origin_of(value) != self._origin:
                raise ProtocolTrouble(f"{self._origin} names its {name} on another server.")
            return value

        issuer = answer.get("issuer")
        if not isinstance(issuer, str) or issuer.rstrip("/") != self._origin:
            raise ProtocolTrouble(f"{self._origin} calls itself by another name.")
        methods = answer.get("code_challenge_methods_supported")
        if not isinstance(methods, list) or "S256" not in methods:
            raise ProtocolTrouble(f"{self._origin} does not support PKCE with S256.")
        authorize, token = endpoint("authorization_endpoint"), endpoint("token_endpoint")
        if authorize is None or token is None:
            raise ProtocolTrouble(f"{self._origin} does not name its sign-in endpoints.")
        return ServerMetadata(
            issuer,
            authorize,
            token,
            endpoint("registration_endpoint"),
            endpoint("revocation_endpoint"),
            answer.get("authorization_response_iss_parameter_supported") is True,
        )

    def _documented(self) -> ServerMetadata:
        base = f"{self._origin}/oauth"
        return ServerMetadata(
            self._origin, f"{base}/authorize/", f"{base}/token/", f"{base}/register/", f"{base}/revoke/"
        )


def safe_to_open(url: str) -> bool:
    """Whether an address may be handed to the browser: https, or http on this machine (faults, OAuth redirect)."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if parts.username is not None or not parts.hostname:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))


def _lifetime(value: object) -> float | None:
    """Seconds, or None for what servers send instead of a positive number (faults row 34)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if isfinite(seconds) and seconds > 0 else None


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
