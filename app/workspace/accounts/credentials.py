"""Who calls: access tokens and personal API keys, and how they are refused (docs/wire.md, "Dead tokens").

A failed credential is 401 with `WWW-Authenticate`, except in the views of tasks and runs, which answer 403 with the
same body: in PostHog their first authenticator has no challenge to offer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.workspace.runtime.context import Workspace, workspace_of
from app.workspace.runtime.digests import digest
from app.workspace.web.errors import ApiError, not_found, permission_denied

if TYPE_CHECKING:
    import sqlite3

    from starlette.requests import HTTPConnection, Request

ACCESS_PREFIX = "pha_"
REFRESH_PREFIX = "phr_"
PERSONAL_PREFIX = "phx_"

NO_CREDENTIALS = "Authentication credentials were not provided."
BAD_TOKEN = "Invalid access token."
EXPIRED_TOKEN = "Access token has expired."
BAD_KEY = "Personal API key found in request Authorization header is invalid."
NO_SCOPES = "OAuth token has no scopes and cannot access this resource"
PROJECTS_ONLY = "API keys with scoped projects are only supported on project-based endpoints."


@dataclass(frozen=True)
class BearerGrant:
    """What a credential allows whoever sends it. Empty `teams` and `organizations` mean all that the user has."""

    user_id: int
    client_id: str | None
    scopes: frozenset[str]
    teams: tuple[int, ...]
    organizations: tuple[str, ...]
    expires_at: float | None
    grant_id: int | None
    credential: str

    @property
    def personal(self) -> bool:
        """True for a personal API key."""
        return self.client_id is None

    def covers(self, scope: str) -> bool:
        """Whether `scope` is granted; `x:write` includes `x:read`."""
        if "*" in self.scopes or scope in self.scopes:
            return True
        subject, _, level = scope.partition(":")
        return level == "read" and f"{subject}:write" in self.scopes


def bearer_of(request: HTTPConnection) -> str | None:
    """The credential of an `Authorization: Bearer` header."""
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() or None if kind.lower() == "bearer" else None


async def grant_of(workspace: Workspace, credential: str) -> BearerGrant:
    """Look a credential up. Raises `ApiError` 401 `authentication_failed`.

    Only access tokens are looked up as tokens: anything without their prefix is refused as a bad personal API key.
    """
    if credential.startswith(ACCESS_PREFIX):
        found = await workspace.db.read(lambda db: _by_access_token(db, credential))
        if found is None:
            raise _failed(BAD_TOKEN)
        # Compared here, not in SQL: an expired token is refused in other words than an unknown one.
        if found.expires_at is not None and found.expires_at <= workspace.clock.now():
            raise _failed(EXPIRED_TOKEN)
        return found
    if credential.startswith(PERSONAL_PREFIX):
        found = await workspace.db.read(lambda db: _by_personal_key(db, credential))
        if found is not None:
            return found
    raise _failed(BAD_KEY)


async def authenticate(request: Request, *scopes: str, challenge: bool) -> BearerGrant:
    """Authenticate and require `scopes`.

    A missing or failed credential raises 401 with `WWW-Authenticate` when `challenge` is true, else 403. A missing
    scope raises 403 `permission_denied`.
    """
    workspace = workspace_of(request)
    credential = bearer_of(request)
    try:
        if credential is None:
            raise ApiError(401, "authentication_error", "not_authenticated", NO_CREDENTIALS)
        grant = await grant_of(workspace, credential)
    except ApiError as refusal:
        if challenge:
            refusal.headers["WWW-Authenticate"] = challenge_header(workspace)
        else:
            refusal.status = 403
        raise
    if not grant.scopes:
        raise permission_denied(NO_SCOPES)
    for scope in scopes:
        if not grant.covers(scope):
            raise permission_denied(f"API key missing required scope '{scope}'")
    return grant


def challenge_header(workspace: Workspace, suffix: str = "") -> str:
    """The `WWW-Authenticate` value; `suffix` names a resource below the origin, such as `/mcp`."""
    return f'Bearer resource_metadata="{workspace.settings.url}/.well-known/oauth-protected-resource{suffix}"'


async def authenticate_in_project(request: Request, *scopes: str, challenge: bool) -> tuple[BearerGrant, int]:
    """Authenticate for the project in the path, whose parameter is `project_id`.

    Also raises 404 for an unknown project and 403 `permission_denied` for one that the credential does not cover.
    """
    grant = await authenticate(request, *scopes, challenge=challenge)
    return grant, await project_in_path(request, grant)


async def project_in_path(request: Request, grant: BearerGrant) -> int:
    workspace = workspace_of(request)
    asked = str(request.path_params["project_id"])
    if asked == "@current":
        project = await workspace.db.read(lambda db: _current_project(db, grant.user_id))
    # Longer numbers do not fit an integer of SQLite.
    elif asked.isascii() and asked.isdigit() and len(asked) <= 18:
        project = int(asked)
    else:
        raise not_found("Project not found.")
    organization = await workspace.db.read(lambda db: organization_of(db, project))
    if organization is None:
        raise not_found("Project not found.")
    if grant.teams and project not in grant.teams:
        raise permission_denied(f"API key does not have access to the requested project: ID {project}.")
    if grant.organizations and organization not in grant.organizations:
        raise permission_denied(f"API key does not have access to the requested organization: ID {organization}.")
    return project


def organization_of(db: sqlite3.Connection, project: int) -> str | None:
    row = db.execute("SELECT organization_id FROM projects WHERE id = ?", (project,)).fetchone()
    return None if row is None else str(row["organization_id"])


def _current_project(db: sqlite3.Connection, user: int) -> int:
    return int(db.execute("SELECT current_project FROM users WHERE id = ?", (user,)).fetchone()[0])


def _failed(detail: str) -> ApiError:
    return ApiError(401, "authentication_error", "authentication_failed", detail)


def _by_access_token(db: sqlite3.Connection, token: str) -> BearerGrant | None:
    row = db.execute(
        "SELECT a.hash, a.scope, a.expires_at, g.id, g.client_id, g.user_id, g.teams, g.organizations"
        " FROM access_tokens a JOIN grants g ON g.id = a.grant_id WHERE a.hash = ? AND g.revoked_at IS NULL",
        (digest(token),),
    ).fetchone()
    if row is None:
        return None
    return BearerGrant(
        user_id=row["user_id"],
        client_id=row["client_id"],
        scopes=frozenset(row["scope"].split()),
        teams=tuple(json.loads(row["teams"])),
        organizations=tuple(json.loads(row["organizations"])),
        expires_at=row["expires_at"],
        grant_id=row["id"],
        credential=row["hash"],
    )


def _by_personal_key(db: sqlite3.Connection, key: str) -> BearerGrant | None:
    row = db.execute("SELECT hash, user_id, scopes FROM personal_keys WHERE hash = ?", (digest(key),)).fetchone()
    if row is None:
        return None
    return BearerGrant(
        user_id=row["user_id"],
        client_id=None,
        scopes=frozenset(row["scopes"].split()),
        teams=(),
        organizations=(),
        expires_at=None,
        grant_id=None,
        credential=row["hash"],
    )
