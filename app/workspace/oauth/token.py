"""Token, revocation, introspection and userinfo endpoints (docs/wire.md, "Token request" to "Introspection")."""

from __future__ import annotations

import hmac
import sqlite3
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

from app.workspace.accounts.credentials import authenticate, bearer_of, grant_of
from app.workspace.oauth import grants
from app.workspace.oauth.clients import find_client
from app.workspace.oauth.grants import IssuedTokens, TokenRefusal
from app.workspace.oauth.metadata import JWT_BEARER
from app.workspace.oauth.wire import NO_STORE, OAuthError, parameters
from app.workspace.runtime.context import workspace_of
from app.workspace.runtime.digests import digest
from app.workspace.web.errors import ApiError, permission_denied, reply

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from app.workspace.accounts.credentials import BearerGrant
    from app.workspace.oauth.clients import OAuthClient
    from app.workspace.runtime.context import Workspace


def routes() -> list[BaseRoute]:
    return [
        Route("/oauth/token", token, methods=["POST"]),
        Route("/oauth/token/", token, methods=["POST"]),
        Route("/oauth/revoke/", revoke, methods=["POST"]),
        Route("/oauth/introspect/", introspect, methods=["POST"]),
        Route("/oauth/userinfo/", userinfo, methods=["GET"]),
    ]


async def token(request: Request) -> Response:
    """Exchange an authorization code, or refresh."""
    workspace = workspace_of(request)
    given = await parameters(request)
    refreshing = given.get("grant_type") == "refresh_token"
    try:
        issued = await _issue(workspace, given)
    except sqlite3.OperationalError:
        # A locked database is a temporary failure of the server: 503 keeps the client's sign-in, any 4xx could end it.
        busy = grants.TEMPORARILY_UNAVAILABLE
        return reply(busy, 503, {**NO_STORE, "Retry-After": "1"})
    except OAuthError:
        workspace.counters.refreshes_rejected += refreshing
        raise
    if refreshing and issued.replayed:
        workspace.counters.refreshes_replayed += 1
    elif refreshing:
        workspace.counters.refreshes_accepted += 1
    return reply(
        {
            "access_token": issued.access_token,
            "token_type": "Bearer",
            "expires_in": issued.expires_in,
            "scope": issued.scope,
            "refresh_token": issued.refresh_token,
            "scoped_teams": list(issued.teams),
            "scoped_organizations": list(issued.organizations),
        },
        200,
        NO_STORE,
    )


async def revoke(request: Request) -> Response:
    """RFC 7009: answers 200 whether or not the token existed."""
    workspace = workspace_of(request)
    given = await parameters(request)
    now = workspace.clock.now()

    def work(db: sqlite3.Connection) -> int:
        client = find_client(db, given.get("client_id", ""))
        if client is None or not _knows_secret(client, given):
            return 0
        return grants.revoke_token(db, client.client_id, given.get("token", ""), now)

    workspace.counters.grants_revoked += await workspace.db.run(work)
    return Response(b"", 200, NO_STORE)


async def introspect(request: Request) -> Response:
    """RFC 7662. A token may ask about itself; about others only with the `introspection` scope."""
    workspace = workspace_of(request)
    credential = bearer_of(request)
    if credential is None:
        # Raises the 401 of every other view.
        await authenticate(request, challenge=True)
    given = await parameters(request)
    asked = given.get("token") or credential or ""
    try:
        caller = await grant_of(workspace, credential or "")
        if asked != credential:
            if not caller.covers("introspection"):
                raise permission_denied("API key missing required scope 'introspection'")
            caller = await grant_of(workspace, asked)
    except ApiError as refusal:
        # A missing scope is an error. A dead token is not: it is what the question was about.
        if refusal.status == 403:
            raise
        return reply({"active": False}, 200, NO_STORE)
    return reply(await _description(workspace, caller), 200, NO_STORE)


async def userinfo(request: Request) -> Response:
    grant = await authenticate(request, "openid", challenge=True)
    workspace = workspace_of(request)
    row = await workspace.db.read(
        lambda db: db.execute("SELECT * FROM users WHERE id = ?", (grant.user_id,)).fetchone()
    )
    return reply(
        {
            "sub": row["uuid"],
            "email": row["email"],
            "email_verified": True,
            "given_name": row["first_name"],
            "family_name": row["last_name"],
            "name": f"{row['first_name']} {row['last_name']}",
        }
    )


async def _issue(workspace: Workspace, given: dict[str, str]) -> IssuedTokens:
    kind = given.get("grant_type", "")
    if kind == JWT_BEARER and not given.get("assertion"):
        raise OAuthError("invalid_request", "assertion is required")
    if kind not in ("authorization_code", "refresh_token", JWT_BEARER):
        raise OAuthError("unsupported_grant_type")
    now, settings = workspace.clock.now(), workspace.settings

    def work(db: sqlite3.Connection) -> IssuedTokens | TokenRefusal:
        client = find_client(db, given.get("client_id", ""))
        if client is None or not _knows_secret(client, given):
            return TokenRefusal("invalid_client", status=401)
        lifetime = settings.dynamic_access_token_seconds if client.dynamic else settings.access_token_seconds
        if kind == JWT_BEARER:
            return TokenRefusal("invalid_grant", "The assertion is not from a trusted issuer.")
        if kind == "authorization_code":
            code = given.get("code")
            if not code:
                return TokenRefusal("invalid_request", "Missing code parameter.")
            verifier, redirect_uri = given.get("code_verifier"), given.get("redirect_uri")
            return grants.exchange_code(db, client, code, redirect_uri, verifier, now, lifetime)
        refresh_token = given.get("refresh_token")
        if not refresh_token:
            return TokenRefusal("invalid_request", "Missing refresh token parameter.")
        grace = settings.refresh_grace_seconds
        return grants.refresh(db, client, refresh_token, given.get("scope"), now, lifetime, grace)

    # A refusal is returned, not raised, so that what it wrote is committed: a reused refresh token revokes its grant.
    outcome = await workspace.db.run(work)
    if isinstance(outcome, TokenRefusal):
        workspace.counters.grants_revoked += outcome.revoked
        raise OAuthError(outcome.error, outcome.description, outcome.status)
    return outcome


def _knows_secret(client: OAuthClient, given: dict[str, str]) -> bool:
    if client.secret_hash is None:
        return True
    return hmac.compare_digest(client.secret_hash, digest(given.get("client_secret", "")))


async def _description(workspace: Workspace, grant: BearerGrant) -> dict[str, object]:
    client_id = grant.client_id or ""
    client = await workspace.db.read(lambda db: find_client(db, client_id))
    return {
        "active": True,
        "token_type": "Bearer",
        "scope": " ".join(sorted(grant.scopes)),
        "is_impersonated": False,
        "scoped_teams": list(grant.teams),
        "scoped_organizations": list(grant.organizations),
        "exp": None if grant.expires_at is None else int(grant.expires_at),
        "client_id": grant.client_id,
        "client_name": None if client is None else client.name,
    }
