"""AuthorizationServer: requests to one authorization server. It remembers only that server's time.

RFC 6749 (sections 2.3.1, 4.1, 5 and 6), 7009 and 7591.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

from app.core.auth.http.classifier import TOKEN_ACCEPTED, Reply, Verdict, classify
from app.core.auth.oauth.authorization import authorization_request
from app.core.auth.oauth.callback import unused_port
from app.core.auth.oauth.discovery import find_metadata
from app.core.auth.oauth.requests import send
from app.core.auth.profile import IssuerTrust
from app.core.auth.registration import (
    AuthMethod,
    ClientRegistration,
    client_metadata,
    method_of,
    secret_method,
)
from app.core.auth.tokens import TokenSet
from app.core.clock import ServerTime, SystemClock
from app.core.errors import BurrowError, Facts, ProtocolTrouble, Rejected, ServerTrouble, SignInRefused
from app.core.redaction import hide
from app.core.urls import origin_of, same_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.core.auth.http.clients import HttpClients
    from app.core.auth.metadata import ServerMetadata
    from app.core.auth.oauth.authorization import AuthorizationRequest
    from app.core.auth.profile import CredentialProfile
    from app.core.clock import Clock

AUTH_METHODS = frozenset(method.value for method in AuthMethod)
# The only errors that end a grant (docs/wire.md, "Token endpoint errors").
GRANT_ENDED_ERRORS = frozenset({"invalid_grant", "invalid_token"})
TOKEN_TYPES = frozenset({"bearer", "dpop"})
# How a server refuses a `scope` or `resource` of a token request (RFC 6749 section 5.2, RFC 8707 section 2).
PARAMETER_REFUSED_ERRORS = frozenset({"invalid_scope", "invalid_target"})
# How an authorization endpoint refuses an unknown client or redirect URI.
CLIENT_UNKNOWN_ERRORS = frozenset({"invalid_client", "unauthorized_client", "invalid_request"})
# Short enough for a second attempt within the grace period of a spent refresh token
# (docs/wire.md, "Token lifetimes and rotation").
TOKEN_SECONDS = 20.0
# Ten years: a server that states more means "for ever", and later dates cannot be shown.
LONGEST_LIFETIME = 10 * 365.25 * 86400
CLIENT_CHECK_SECONDS = 5.0
TOKEN_CHECK_SECONDS = 2.0


class GrantRefused(Exception):
    """The authorization server ended the grant (`invalid_grant` or `invalid_token`). No retry can help."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ClientRefused(Exception):
    """`invalid_client`: the server does not accept the client. The grant is not at fault."""


class IncompleteAnswer(Exception):
    """The answer to a refresh has a new refresh token and no access token that can be used.

    The former refresh token may be spent, so the new one has to be stored. `tokens` has it beside the former access
    token. `failure` says what is wrong with the answer.
    """

    def __init__(self, tokens: TokenSet, failure: BurrowError) -> None:
        super().__init__(failure.cause)
        self.tokens = tokens
        self.failure = failure


class AuthorizationServer:
    """Requests to the issuer of one profile. Every method raises `BurrowError` when the server fails."""

    def __init__(self, clients: HttpClients, profile: CredentialProfile, *, clock: Clock | None = None) -> None:
        self.time = ServerTime(clock or SystemClock())
        self.profile = profile
        self._clients = clients

    async def discover(self) -> ServerMetadata:
        """The issuer's metadata; see `find_metadata` for what it raises."""
        return await find_metadata(self._clients, self.profile)

    def trusts(self, metadata: ServerMetadata) -> bool:
        """Whether remembered metadata still belongs to the profile."""
        # A server on this machine gets another port at each start, and with it another origin.
        if self.profile.trust is IssuerTrust.SAME_ORIGIN:
            return origin_of(metadata.token_endpoint) == self.profile.origin
        return same_url(metadata.issuer, self.profile.issuer)

    async def register(self, metadata: ServerMetadata) -> ClientRegistration:
        """Register Burrow as a native client (RFC 7591), a public one if the issuer accepts those.

        Raises `Rejected` (attr `client_id`) when the issuer offers no registration or refuses it.
        """
        if metadata.registration_endpoint is None:
            raise self._unregistered(origin_of(metadata.issuer), "does not let applications register themselves")
        # Unguessable, so that a page in the browser cannot address the callback server.
        path = f"/callback/{secrets.token_urlsafe(12)}"
        blank = ClientRegistration("", path, "")
        redirect_uris, port = [blank.redirect_uri], 0
        if self.profile.trust is IssuerTrust.METADATA:
            # Servers made with the MCP SDK, among others, compare the port of a loopback address too.
            port = unused_port()
            redirect_uris.insert(0, replace(blank, port=port).redirect_uri)
        public = not metadata.auth_methods or AuthMethod.NONE.value in metadata.auth_methods
        method = AuthMethod.NONE if public else secret_method(metadata)
        answer = await send(
            self._clients,
            "POST",
            metadata.registration_endpoint,
            json_body=client_metadata(redirect_uris, method),
        )
        record = answer.object()
        client_id = record.get("client_id")
        if answer.status not in {200, 201}:
            failure = answer.failure(record)
            if isinstance(failure, Rejected):
                why = f"refused to register Burrow ({failure.facts.code or answer.status})"
                raise self._unregistered(answer.origin, why, failure.facts)
            raise failure
        if not isinstance(client_id, str) or not client_id:
            raise ProtocolTrouble(f"{answer.origin} registered Burrow without naming a client id.")
        registration = ClientRegistration(client_id, path, metadata.issuer, port=port)
        return self._registered(registration, record, metadata, answer.origin)

    def check_auth_methods(self, metadata: ServerMetadata) -> None:
        """Raises `Rejected` (attr `client_id`) when Burrow supports none of the issuer's authentication methods."""
        if metadata.auth_methods and not AUTH_METHODS.intersection(metadata.auth_methods):
            raise self._unregistered(origin_of(metadata.token_endpoint), _no_method(", ".join(metadata.auth_methods)))

    async def knows_client(self, metadata: ServerMetadata, registration: ClientRegistration) -> bool:
        """Whether the server still knows a client, as far as it can tell without a user (faults row 31).

        False only after a plain refusal. A page, a redirect, a failure, or silence for five seconds proves nothing.
        """
        # An authorization request without a cookie, whose state and verifier are thrown away: whatever the server
        # answers, nobody can use it.
        probe = self.request_authorization(metadata, registration.client_id, registration.redirect_uri)
        try:
            answer = await send(self._clients, "GET", probe.url, timeout=CLIENT_CHECK_SECONDS)
            error = answer.object().get("error")
        except BurrowError:
            return True
        return not (answer.status in {400, 401} and isinstance(error, str) and error in CLIENT_UNKNOWN_ERRORS)

    def request_authorization(
        self,
        metadata: ServerMetadata,
        client_id: str,
        redirect_uri: str,
        *,
        scopes: tuple[str, ...] = (),
        parameters: Mapping[str, str] | None = None,
    ) -> AuthorizationRequest:
        """A request for the profile's scopes and `scopes`; see `authorization_request`."""
        return authorization_request(
            metadata, self.profile, client_id, redirect_uri, scopes=scopes, parameters=parameters
        )

    async def authorize_directly(self, request: AuthorizationRequest) -> str:
        """Send an authorization request without a browser, and return the code.

        For a server that needs no user, because the request carries a single-use ticket. Raises `Rejected` unless the
        server answers with the redirect.
        """
        answer = await send(self._clients, "GET", request.url)
        target = urlsplit(answer.headers.get("location", ""))
        query = parse_qs(target.query)
        state, issuer, code = (query.get(name, [None])[0] for name in ("state", "iss", "code"))
        hide(code)
        expected = urlsplit(request.redirect_uri)
        ours = request.is_answered_by(state) and request.is_answered_from(issuer)
        arrived = answer.status == 302 and target[:3] == expected[:3] and ours
        if not arrived or not code:
            facts = Facts(status=answer.status, origin=answer.origin)
            raise SignInRefused(f"{answer.origin} did not accept the login ticket.", facts)
        return code

    async def exchange(
        self, metadata: ServerMetadata, registration: ClientRegistration, code: str, request: AuthorizationRequest
    ) -> tuple[TokenSet, ClientRegistration]:
        """Exchange an authorization code for tokens. Also returns the registration with the method that was accepted.

        Raises `GrantRefused`, `ClientRefused` or a `BurrowError`. A response without `scope` grants what was requested
        (RFC 6749 section 5.1).
        """
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": request.redirect_uri,
            "code_verifier": request.verifier,
            **({} if request.resource is None else {"resource": request.resource}),
        }
        try:
            answer, registration = await self._token_request(metadata, registration, form)
        except _RefreshTokenOnly as found:
            raise found.failure from None
        return self._tokens(answer, None, request.scope), registration

    async def refresh(
        self,
        metadata: ServerMetadata,
        registration: ClientRegistration,
        tokens: TokenSet,
        *,
        resource: str | None = None,
    ) -> tuple[TokenSet, ClientRegistration]:
        """Refresh `tokens`. The refresh token stays the same when the response has none (faults row 33).

        `resource` is the one that the grant was made for (RFC 8707). If the server refuses it, a second request leaves
        it out (faults row 32). Raises `GrantRefused`, `ClientRefused`, `IncompleteAnswer`, or a `BurrowError` for a
        failure that may pass.
        """
        if tokens.refresh_token is None:
            raise GrantRefused("no_refresh_token")
        form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}
        forms = [form] if resource is None else [{**form, "resource": resource}, form]
        try:
            answer, client = await self._token_request(metadata, registration, *forms)
        except _RefreshTokenOnly as found:
            raise _incomplete(found.answer, tokens, found.failure) from None
        try:
            return self._tokens(answer, tokens, tokens.scope), client
        except BurrowError as failure:
            raise _incomplete(answer, tokens, failure) from None

    async def refuses(self, tokens: TokenSet) -> bool | None:
        """Whether the profile's own server refuses an access token; None when it does not say.

        Waits two seconds at most, and raises nothing. Only a refusal in the server's own format counts: a bare 401 may
        come from an intermediary.
        """
        if self.profile.check_url is None:
            return None
        try:
            answer = await send(
                self._clients,
                "GET",
                self.profile.check_url,
                headers={"Authorization": tokens.bearer},
                timeout=TOKEN_CHECK_SECONDS,
            )
        except BurrowError:
            return None
        reply = Reply(answer.status, answer.headers, answer.body)
        verdict, _rule = classify(reply)
        if verdict is Verdict.RECOVERABLE_AUTH:
            return True if reply.says_dead_token or reply.has_error("invalid_token") else None
        return False if verdict in TOKEN_ACCEPTED else None

    async def revoke(self, metadata: ServerMetadata, registration: ClientRegistration, token: str) -> bool:
        """Revoke a token (RFC 7009); returns whether the server did. Without an endpoint for it, it did not."""
        if metadata.revocation_endpoint is None:
            return False
        form, headers = authenticated(registration, {"token": token})
        answer = await send(self._clients, "POST", metadata.revocation_endpoint, form=form, headers=headers)
        return 200 <= answer.status < 300

    async def _token_request(
        self, metadata: ServerMetadata, registration: ClientRegistration, *forms: Mapping[str, str]
    ) -> tuple[dict[str, Any], ClientRegistration]:
        """The answer to the first form that the server accepts; each further one lacks a parameter of the one before.

        A secret that the server refuses in one way is sent once in the other way.
        """
        # Each retry follows a refusal that comes before the code or refresh token is looked at. So none spends it
        # twice.
        left, switched = list(forms), False
        while True:
            try:
                return await self._post_token_request(metadata, registration, left[0]), registration
            except ClientRefused:
                if registration.secret is None or switched:
                    raise
                registration, switched = replace(registration, method=registration.method.other), True
            except Rejected as refusal:
                if len(left) == 1 or refusal.facts.code not in PARAMETER_REFUSED_ERRORS:
                    raise
                del left[0]

    async def _post_token_request(
        self, metadata: ServerMetadata, registration: ClientRegistration, form: Mapping[str, str]
    ) -> dict[str, Any]:
        body, headers = authenticated(registration, form)
        answer = await send(
            self._clients, "POST", metadata.token_endpoint, form=body, headers=headers, timeout=TOKEN_SECONDS
        )
        found = answer.object()
        if answer.status == 200:
            self.time.learn(answer.headers, at_once=True)
            if _text(found.get("access_token")):
                # An `error` beside tokens says nothing that could be acted on: the tokens are what was asked for.
                return found
        error = found.get("error")
        refused = answer.status != 200 or error is not None
        if refused and _text(found.get("refresh_token")) not in {None, form.get("refresh_token")}:
            raise _RefreshTokenOnly(found, answer.failure(found))
        if isinstance(error, str):
            # The grant ends only by an error with its proper status: a captive portal may put the word into a 200 (row
            # 36).
            if error in GRANT_ENDED_ERRORS and 400 <= answer.status < 500:
                raise GrantRefused(error)
            if error == "invalid_client":
                raise ClientRefused(error)
        if refused:
            raise answer.failure(found)
        return found

    def _tokens(self, answer: dict[str, Any], previous: TokenSet | None, default_scope: str) -> TokenSet:
        origin = self.profile.origin
        access_token, kind = answer.get("access_token"), answer.get("token_type", "Bearer")
        if not isinstance(access_token, str) or not access_token:
            raise ServerTrouble(f"{origin} answered without an access token.", Facts(origin=origin))
        if not access_token.isascii() or not access_token.isprintable():
            # Not allowed by RFC 6749 appendix A.12, and no header can carry it.
            raise ProtocolTrouble(f"{origin} issued an access token that cannot be sent.", Facts(origin=origin))
        if not isinstance(kind, str) or kind.lower() not in TOKEN_TYPES:
            raise ProtocolTrouble(f"{origin} issued a token of an unknown type.", Facts(origin=origin))
        refresh_token = _text(answer.get("refresh_token")) or (previous.refresh_token if previous else None)
        issued_at = self.time.now()
        lifetime = _seconds(answer.get("expires_in"))
        scope = answer.get("scope")
        return TokenSet(
            access_token=access_token,
            refresh_token=refresh_token,
            issued_at=issued_at,
            expires_at=None if lifetime is None else issued_at + min(lifetime, LONGEST_LIFETIME),
            scope=scope if isinstance(scope, str) else default_scope,
            generation=previous.generation + 1 if previous else 1,
            scoped_teams=tuple(t for t in _list(answer.get("scoped_teams")) if isinstance(t, int)),
            scoped_organizations=tuple(o for o in _list(answer.get("scoped_organizations")) if isinstance(o, str)),
        )

    def _registered(
        self, registration: ClientRegistration, record: dict[str, Any], metadata: ServerMetadata, origin: str
    ) -> ClientRegistration:
        """The registration as the server answered it. It may assign a secret and another authentication method."""
        secret, named = record.get("client_secret"), record.get("token_endpoint_auth_method")
        if isinstance(named, str) and named and named not in AUTH_METHODS:
            raise self._unregistered(origin, _no_method(named))
        if not isinstance(secret, str) or not secret:
            if method_of(named, AuthMethod.NONE) is not AuthMethod.NONE:
                raise self._unregistered(origin, "requires a client secret but issued none")
            return registration
        if named == AuthMethod.NONE.value:
            return registration
        return replace(
            registration,
            secret=secret,
            method=secret_method(metadata, named),
            secret_expires_at=_seconds(record.get("client_secret_expires_at")) or 0.0,
        )

    def _unregistered(self, origin: str, why: str, facts: Facts | None = None) -> Rejected:
        return Rejected(
            f"{origin} {why}.",
            replace(facts or Facts(origin=origin), attr="client_id"),
            action=self.profile.registration_advice,
        )


def authenticated(registration: ClientRegistration, form: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """`form` and the headers, with the client's authentication in one of them (RFC 6749 section 2.3.1).

    The id is in the body in any case: servers made with the MCP SDK look the client up by it before they read the
    header.
    """
    # Never in both: a request must not use more than one method. In the header, id and secret are form-encoded first
    # (appendix B), with %20 for a space: servers that do not decode a plus understand it too.
    body = {**form, "client_id": registration.client_id}
    if registration.secret is not None and registration.method is AuthMethod.BASIC:
        pair = f"{quote(registration.client_id, safe='')}:{quote(registration.secret, safe='')}"
        return body, {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    if registration.secret is not None and registration.method is AuthMethod.POST:
        body["client_secret"] = registration.secret
    return body, {}


class _RefreshTokenOnly(Exception):
    """A refusal whose body has a refresh token all the same."""

    def __init__(self, answer: dict[str, Any], failure: BurrowError) -> None:
        super().__init__(failure.cause)
        self.answer = answer
        self.failure = failure


def _incomplete(answer: dict[str, Any], previous: TokenSet, failure: BurrowError) -> Exception:
    """What to raise for an answer without a usable access token; `failure` itself if it has no new refresh token."""
    refresh_token = _text(answer.get("refresh_token"))
    if not refresh_token or refresh_token == previous.refresh_token:
        return failure
    hide(refresh_token)
    # A higher generation makes the record the newer one for every process that shares the grant.
    tokens = replace(previous, refresh_token=refresh_token, generation=previous.generation + 1)
    return IncompleteAnswer(tokens, failure)


def _text(value: object) -> str | None:
    """A text that a request can carry (RFC 6749 appendix A); None for anything else."""
    return value if isinstance(value, str) and value and value.isascii() and value.isprintable() else None


def _no_method(named: str) -> str:
    return f"requires a client authentication method that Burrow does not support ({named[:60]})"


def _seconds(value: object) -> float | None:
    """A positive number of seconds; None for anything else that servers send (faults row 34)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if isfinite(seconds) and seconds > 0 else None


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
