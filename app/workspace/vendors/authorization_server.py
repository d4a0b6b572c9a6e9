"""A vendor's authorization server: metadata, registration, consent, token and revocation endpoints.

RFC 6749, 7591, 7636 (S256 only), 8252 (loopback ports may differ), 8414, 9207. Refresh tokens rotate without a grace
period: one that is used twice ends its grant (RFC 9700, section 4.14.2).
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.responses import RedirectResponse, Response

from app.workspace.runtime.context import workspace_of
from app.workspace.runtime.digests import digest, s256
from app.workspace.runtime.one_time import OneTimeValues
from app.workspace.vendors.names import CLOSED_CLIENT_ID, CLOSED_CLIENT_SECRET, TIMESHEET_ISSUER, VENDORS, Issuer
from app.workspace.vendors.pages import consent_page
from app.workspace.web.errors import reply
from app.workspace.web.fields import decode_json
from app.workspace.web.pages import page

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from starlette.requests import Request

    from app.workspace.runtime.context import Workspace

ACCESS_SECONDS = 3600.0
CODE_SECONDS = 120.0
CONSENT_SECONDS = 600.0
MOST_CONSENTS = 200
MOST_CLIENTS = 500
MOST_REDIRECTS = 10
# Of an application on the user's machine, which may listen on any port (RFC 8252 section 7.3).
NATIVE_REDIRECT = "http://127.0.0.1/callback"


@dataclass(frozen=True)
class PendingVendorAuthorization:
    """An authorization request that waits for the person's decision."""

    issuer: str
    client_id: str
    redirect_uri: str
    state: str | None
    challenge: str
    scope: str


@dataclass
class VendorState:
    """What the vendors keep in memory; one per running workspace."""

    consents: OneTimeValues[PendingVendorAuthorization] = field(
        default_factory=lambda: OneTimeValues(CONSENT_SECONDS, MOST_CONSENTS)
    )


class VendorOAuthError(Exception):
    """An error answer of RFC 6749 section 5.2 or RFC 7591 section 3.2.2."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(error)
        self.error = error
        self.description = description
        self.status = status

    def response(self) -> Response:
        return _no_store({"error": self.error, "error_description": self.description}, self.status)


class VendorAuthorizationServer:
    """The endpoints of one authorization server."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer

    async def metadata(self, request: Request) -> Response:
        base = workspace_of(request).settings.url + self._issuer.path
        found: dict[str, object] = {
            "issuer": base,
            "authorization_endpoint": f"{base}/authorize",
            "token_endpoint": f"{base}/token",
            "revocation_endpoint": f"{base}/revoke",
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_post", "client_secret_basic"],
            "scopes_supported": [scope for scope, _words in self._issuer.scopes],
            "authorization_response_iss_parameter_supported": True,
        }
        if self._issuer.registers:
            found["registration_endpoint"] = f"{base}/register"
        return reply(found)

    async def register(self, request: Request) -> Response:
        workspace = workspace_of(request)
        try:
            return await self._register(workspace, _json_fields(await request.body()))
        except VendorOAuthError as refusal:
            return refusal.response()

    async def _register(self, workspace: Workspace, asked: Mapping[str, object]) -> Response:
        uris = asked.get("redirect_uris")
        if not isinstance(uris, list) or not 1 <= len(uris) <= MOST_REDIRECTS:
            raise VendorOAuthError("invalid_redirect_uri", "redirect_uris must name at least one address")
        redirects = [_checked_redirect(uri) for uri in uris]
        name = asked.get("client_name", "")
        if not isinstance(name, str) or len(name) > 200:
            raise VendorOAuthError("invalid_client_metadata", "client_name must be a short text")
        method = asked.get("token_endpoint_auth_method", "none")
        if method not in ("none", "client_secret_post", "client_secret_basic"):
            raise VendorOAuthError("invalid_client_metadata", "this authentication method is not supported")
        client_id, now = str(uuid.uuid4()), workspace.clock.now()
        secret = "" if method == "none" else secrets.token_urlsafe(32)

        def store(db: sqlite3.Connection) -> None:
            _insert_client(db, self._issuer.path, client_id, name or "An application", redirects, secret, now)

        await workspace.db.run(store)
        answer: dict[str, object] = {
            "client_id": client_id,
            "client_id_issued_at": int(now),
            "client_name": name,
            "redirect_uris": redirects,
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": method,
        }
        if secret:
            answer |= {"client_secret": secret, "client_secret_expires_at": 0}
        return _no_store(answer, 201)

    async def authorize(self, request: Request) -> Response:
        workspace = workspace_of(request)
        query = request.query_params
        client_id, redirect_uri = query.get("client_id", ""), query.get("redirect_uri", "")
        client = await workspace.db.read(lambda db: _client(db, self._issuer.path, client_id))
        if client is None:
            return page("Unknown application", "The application must be registered here first.", status=400)
        if not _redirect_matches(redirect_uri, json.loads(client["redirect_uris"])):
            words = "The application did not register the address that the answer is to be sent to."
            return page("Unknown redirect address", words, status=400)
        state = query.get("state")
        known = [scope for scope, _words in self._issuer.scopes]
        asked = query.get("scope", "").split() or known
        problem = self._problem(request, asked, known)
        if problem is not None:
            return self._answer(request, redirect_uri, state, {"error": problem[0], "error_description": problem[1]})
        pending = PendingVendorAuthorization(
            issuer=self._issuer.path,
            client_id=client_id,
            redirect_uri=redirect_uri,
            state=state,
            challenge=query["code_challenge"],
            scope=" ".join(asked),
        )
        ticket = workspace.state(VendorState).consents.put(pending, workspace.clock.now())
        return consent_page(self._issuer, ticket, client["client_name"], asked)

    def _problem(self, request: Request, asked: list[str], known: list[str]) -> tuple[str, str] | None:
        query = request.query_params
        if query.get("response_type") != "code":
            return "unsupported_response_type", "only the code response type is supported"
        if query.get("code_challenge_method") != "S256" or not 43 <= len(query.get("code_challenge", "")) <= 128:
            return "invalid_request", "a code_challenge with method S256 is needed"
        if not set(asked) <= set(known):
            return "invalid_scope", "an unknown scope was asked for"
        # A token for something that this server does not protect is refused before anybody is asked (RFC 8707).
        resource = query.get("resource")
        origin = workspace_of(request).settings.url
        served = [origin + vendor.path for vendor in VENDORS.values() if vendor.issuer == self._issuer]
        if resource is not None and resource.rstrip("/") not in served:
            return "invalid_target", "this server issues no tokens for that resource"
        return None

    def _answer(self, request: Request, redirect: str, state: str | None, fields: dict[str, str]) -> Response:
        if state is not None:
            fields["state"] = state
        fields["iss"] = workspace_of(request).settings.url + self._issuer.path
        mark = "&" if urlsplit(redirect).query else "?"
        return RedirectResponse(f"{redirect}{mark}{urlencode(fields)}", 302, {"Cache-Control": "no-store"})

    async def decide(self, request: Request) -> Response:
        workspace = workspace_of(request)
        form = _form_fields(await request.body())
        now = workspace.clock.now()
        pending = workspace.state(VendorState).consents.take(form.get("ticket", ""), now)
        if pending is None or pending.issuer != self._issuer.path:
            return page("This page has expired", "Start again from your application.", status=400)
        if form.get("decision") != "approve":
            refused = {"error": "access_denied", "error_description": "The user denied access."}
            return self._answer(request, pending.redirect_uri, pending.state, refused)
        code = secrets.token_urlsafe(32)

        def store(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM vendor_codes WHERE expires_at <= ?", (now,))
            db.execute(
                "INSERT INTO vendor_codes VALUES (?, ?, ?, ?, ?, ?)",
                (
                    digest(code),
                    pending.client_id,
                    pending.redirect_uri,
                    pending.challenge,
                    pending.scope,
                    now + CODE_SECONDS,
                ),
            )

        await workspace.db.run(store)
        return self._answer(request, pending.redirect_uri, pending.state, {"code": code})

    async def token(self, request: Request) -> Response:
        workspace = workspace_of(request)
        form = _form_fields(await request.body())
        try:
            client_id = await self._authenticated_client(workspace, request, form)
            now = workspace.clock.now()
            if form.get("grant_type") == "authorization_code":
                outcome = await workspace.db.run(lambda db: _exchange(db, self._issuer.path, client_id, form, now))
            elif form.get("grant_type") == "refresh_token":
                outcome = await workspace.db.run(lambda db: _rotate(db, self._issuer.path, client_id, form, now))
            else:
                raise VendorOAuthError("unsupported_grant_type", "use authorization_code or refresh_token")
            if isinstance(outcome, VendorOAuthError):
                raise outcome
        except VendorOAuthError as refusal:
            return refusal.response()
        return _no_store(outcome)

    async def revoke(self, request: Request) -> Response:
        form = _form_fields(await request.body())
        await workspace_of(request).db.run(lambda db: _end_family(db, form.get("token", "")))
        return _no_store({})

    async def _authenticated_client(self, workspace: Workspace, request: Request, form: dict[str, str]) -> str:
        client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        kind, _, packed = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "basic":
            client_id, secret = _basic_credentials(packed)
        client = await workspace.db.read(lambda db: _client(db, self._issuer.path, client_id))
        if client is None:
            raise VendorOAuthError("invalid_client", "this client is not known", 401)
        if client["secret_hash"] and not hmac.compare_digest(client["secret_hash"], digest(secret)):
            raise VendorOAuthError("invalid_client", "the client secret is wrong", 401)
        return client_id


def _exchange(
    db: sqlite3.Connection, issuer: str, client_id: str, form: Mapping[str, str], now: float
) -> dict[str, object] | VendorOAuthError:
    """Exchange a code for tokens. A request of its client uses the code up, even if it is then refused."""
    row = db.execute("SELECT * FROM vendor_codes WHERE code_hash = ?", (digest(form.get("code", "")),)).fetchone()
    if row is None or row["client_id"] != client_id or row["expires_at"] <= now:
        return VendorOAuthError("invalid_grant", "the code is unknown, used or expired")
    db.execute("DELETE FROM vendor_codes WHERE code_hash = ?", (row["code_hash"],))
    if form.get("redirect_uri") != row["redirect_uri"]:
        return VendorOAuthError("invalid_grant", "the redirect_uri differs from the authorization request")
    if not hmac.compare_digest(s256(form.get("code_verifier", "")), row["challenge"]):
        return VendorOAuthError("invalid_grant", "the code_verifier does not match")
    return _issue(db, issuer, client_id, str(uuid.uuid4()), row["scope"], now)


def _rotate(
    db: sqlite3.Connection, issuer: str, client_id: str, form: Mapping[str, str], now: float
) -> dict[str, object] | VendorOAuthError:
    row = db.execute(
        "SELECT * FROM vendor_tokens WHERE token_hash = ? AND kind = 'refresh' AND issuer = ? AND client_id = ?",
        (digest(form.get("refresh_token", "")), issuer, client_id),
    ).fetchone()
    if row is None:
        return VendorOAuthError("invalid_grant", "the refresh token is unknown or revoked")
    if row["spent"]:
        # The error is returned, not raised: raising would roll this deletion back.
        db.execute("DELETE FROM vendor_tokens WHERE family = ?", (row["family"],))
        return VendorOAuthError("invalid_grant", "the refresh token was used before; the grant has ended")
    db.execute("UPDATE vendor_tokens SET spent = 1 WHERE token_hash = ?", (row["token_hash"],))
    db.execute("DELETE FROM vendor_tokens WHERE family = ? AND kind = 'access'", (row["family"],))
    return _issue(db, issuer, client_id, row["family"], row["scope"], now)


def _issue(
    db: sqlite3.Connection, issuer: str, client_id: str, family: str, scope: str, now: float
) -> dict[str, object]:
    access, refresh = f"vat_{secrets.token_urlsafe(32)}", f"vrt_{secrets.token_urlsafe(32)}"
    insert = "INSERT INTO vendor_tokens VALUES (?, ?, ?, ?, ?, ?, ?, 0)"
    db.execute(insert, (digest(access), "access", family, client_id, issuer, scope, now + ACCESS_SECONDS))
    db.execute(insert, (digest(refresh), "refresh", family, client_id, issuer, scope, None))
    return {
        "access_token": access,
        "token_type": "Bearer",
        "expires_in": int(ACCESS_SECONDS),
        "refresh_token": refresh,
        "scope": scope,
    }


def _end_family(db: sqlite3.Connection, token: str) -> None:
    db.execute(
        "DELETE FROM vendor_tokens WHERE family IN (SELECT family FROM vendor_tokens WHERE token_hash = ?)",
        (digest(token),),
    )


def live_token(db: sqlite3.Connection, issuer: str, kind: str, token: str, now: float) -> sqlite3.Row | None:
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM vendor_tokens WHERE token_hash = ? AND kind = ? AND issuer = ?"
        " AND (expires_at IS NULL OR expires_at > ?)",
        (digest(token), kind, issuer, now),
    ).fetchone()
    return row


def seed_partner(db: sqlite3.Connection, redirect_uri: str, now: float) -> None:
    """Register the one client that Timesheet knows; it lets none register themselves."""
    name = "Workspace"
    redirects = [redirect_uri, NATIVE_REDIRECT]
    _insert_client(db, TIMESHEET_ISSUER.path, CLOSED_CLIENT_ID, name, redirects, CLOSED_CLIENT_SECRET, now)


def _insert_client(
    db: sqlite3.Connection, issuer: str, client_id: str, name: str, redirects: list[str], secret: str, now: float
) -> None:
    # Anybody may register, so the oldest registrations make room.
    db.execute(
        "DELETE FROM vendor_clients WHERE client_id IN"
        " (SELECT client_id FROM vendor_clients WHERE client_id != ? ORDER BY created_at DESC LIMIT -1 OFFSET ?)",
        (CLOSED_CLIENT_ID, MOST_CLIENTS),
    )
    db.execute(
        "INSERT INTO vendor_clients VALUES (?, ?, ?, ?, ?, ?)",
        (client_id, issuer, name, json.dumps(redirects), digest(secret) if secret else "", now),
    )


def _client(db: sqlite3.Connection, issuer: str, client_id: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM vendor_clients WHERE client_id = ? AND issuer = ?", (_clean(client_id), issuer)
    ).fetchone()
    return row


def _checked_redirect(uri: object) -> str:
    if not isinstance(uri, str) or len(uri) > 2000 or not uri.isascii() or not uri.isprintable():
        raise VendorOAuthError("invalid_redirect_uri", "a redirect address must be a URL")
    try:
        parts = urlsplit(uri)
        loopback = parts.hostname in ("127.0.0.1", "localhost", "::1")
    except ValueError:
        raise VendorOAuthError("invalid_redirect_uri", "a redirect address must be a URL") from None
    if parts.fragment or not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and loopback)):
        raise VendorOAuthError("invalid_redirect_uri", "use https, or http on the loopback address")
    return uri


def _redirect_matches(uri: str, registered: list[str]) -> bool:
    """Exact, except that the port of a loopback address may differ (RFC 8252 section 7.3)."""
    if uri in registered:
        return True
    try:
        asked = urlsplit(uri)
        if asked.scheme != "http" or asked.hostname not in ("127.0.0.1", "localhost", "::1") or asked.username:
            return False
        found = [urlsplit(candidate) for candidate in registered]
    except ValueError:
        return False
    return any(
        (asked.scheme, asked.hostname, asked.path, asked.query) == (one.scheme, one.hostname, one.path, one.query)
        for one in found
    )


def _basic_credentials(packed: str) -> tuple[str, str]:
    try:
        client_id, _, secret = base64.b64decode(packed, validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return client_id, secret


def _json_fields(raw: bytes) -> dict[str, object]:
    try:
        value = decode_json(raw)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise VendorOAuthError("invalid_client_metadata", "the body must be a JSON object")
    return value


def _form_fields(raw: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=100)
    except ValueError:
        return {}
    return {name: _clean(value) for name, value in pairs}


def _clean(value: str) -> str:
    """`value` without what SQLite cannot store or compare: lone surrogates and null characters."""
    return value.encode("utf-8", "replace").decode().replace("\x00", "")


def _no_store(body: object, status: int = 200) -> Response:
    return reply(body, status, {"Cache-Control": "no-store"})
