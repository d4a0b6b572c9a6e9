"""Dynamic client registration (RFC 7591; docs/wire.md, "Client registration")."""

from __future__ import annotations

import json
import secrets
import string
from typing import TYPE_CHECKING

from starlette.routing import Route

from app.workspace.oauth.clients import SELF_SERVE, unique_scopes
from app.workspace.oauth.redirect_uris import problem_with
from app.workspace.oauth.state import OAuthState
from app.workspace.oauth.wire import NO_STORE, OAuthError
from app.workspace.runtime.context import workspace_of
from app.workspace.runtime.digests import digest
from app.workspace.web.errors import reply
from app.workspace.web.fields import decode_json

if TYPE_CHECKING:
    import sqlite3

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

GRANT_TYPES = ("authorization_code", "refresh_token")
AUTH_METHODS = ("none", "client_secret_post")
RESERVED_WORDS = ("official", "verified", "trusted")
MOST_REDIRECTS = 20


def routes() -> list[BaseRoute]:
    return [Route("/oauth/register/", register, methods=["POST"])]


async def register(request: Request) -> Response:
    """Answer 201 with the registration, 400 `invalid_client_metadata` or `invalid_redirect_uri`, or 429."""
    workspace = workspace_of(request)
    # Anybody may register, so the only limit is per address, and it counts bad requests too.
    now = workspace.clock.now()
    workspace.state(OAuthState).registrations.check(request.client.host if request.client else "", now)
    try:
        body = decode_json(await request.body())
    except ValueError:
        raise _bad_metadata("The request body must be JSON.") from None
    if not isinstance(body, dict):
        raise _bad_metadata("The request body must be a JSON object.")

    redirect_uris = _redirects(body.get("redirect_uris"))
    name = _name(body.get("client_name"))
    grant_types = _subset(body, "grant_types", GRANT_TYPES, ["authorization_code"])
    response_types = _subset(body, "response_types", ("code",), ["code"])
    method = body.get("token_endpoint_auth_method", "none")
    if method not in AUTH_METHODS:
        raise _bad_metadata("token_endpoint_auth_method must be none or client_secret_post.")
    ceiling = _ceiling(body.get("scope"))

    alphabet = string.ascii_letters + string.digits
    client_id = "".join(secrets.choice(alphabet) for _ in range(40))
    secret = secrets.token_urlsafe(32) if method == "client_secret_post" else None

    # The 1 is `dynamic`: such a client is shown as unverified, and its refresh tokens do not rotate.
    def store(db: sqlite3.Connection) -> None:
        db.execute(
            "INSERT INTO clients VALUES (?, ?, 1, ?, ?, ?, ?, ?, ?, NULL, ?)",
            (
                client_id,
                name,
                None if secret is None else digest(secret),
                json.dumps(redirect_uris),
                json.dumps(grant_types),
                json.dumps(response_types),
                method,
                ceiling,
                now,
            ),
        )

    await workspace.db.run(store)
    answer: dict[str, object] = {
        "client_id": client_id,
        "client_name": name,
        "redirect_uris": redirect_uris,
        "grant_types": grant_types,
        "response_types": response_types,
        "token_endpoint_auth_method": method,
        "scope": ceiling,
        "client_id_issued_at": int(now),
    }
    if secret is not None:
        answer |= {"client_secret": secret, "client_secret_expires_at": 0}
    return reply(answer, 201, NO_STORE)


def _bad_metadata(description: str) -> OAuthError:
    return OAuthError("invalid_client_metadata", description)


def _redirects(value: object) -> list[str]:
    if not isinstance(value, list) or not value or len(value) > MOST_REDIRECTS:
        raise OAuthError("invalid_redirect_uri", f"redirect_uris must list 1 to {MOST_REDIRECTS} URIs.")
    for uri in value:
        problem = problem_with(uri) if isinstance(uri, str) else "Redirect URI must be a string."
        if problem is not None:
            raise OAuthError("invalid_redirect_uri", problem)
    return value


def _name(value: object) -> str:
    if value is None:
        return "Unnamed application"
    if not isinstance(value, str) or not value.strip() or len(value) > 255 or not value.isprintable():
        raise _bad_metadata("client_name must be a printable string of at most 255 characters.")
    # The name is all that the consent page shows of an unknown application: it must not claim to be trusted.
    lower = value.strip().lower()
    if lower.startswith("posthog"):
        raise _bad_metadata("client_name must not start with 'posthog'.")
    for word in RESERVED_WORDS:
        if word in lower:
            raise _bad_metadata(f"client_name must not contain '{word}'.")
    return value.strip()


def _subset(body: dict[str, object], name: str, allowed: tuple[str, ...], default: list[str]) -> list[str]:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, list) or not value or any(member not in allowed for member in value):
        raise _bad_metadata(f"{name} may contain {', '.join(allowed)}.")
    return list(dict.fromkeys(value))


def _ceiling(value: object) -> str:
    """The most a client can ever be granted: what it registered for, or every self-serve scope if it named none."""
    if value is None:
        return " ".join(SELF_SERVE)
    if not isinstance(value, str) or len(value) > 4000:
        raise _bad_metadata("scope must be a string.")
    asked = unique_scopes(value)
    if not asked or "*" in asked:
        return " ".join(SELF_SERVE)
    return " ".join(scope for scope in asked if scope in SELF_SERVE)
