"""Grants and their tokens: issue, exchange, rotate, revoke (docs/wire.md, "Token lifetimes and rotation").

Every function runs inside a transaction of its caller. Refusals are returned as `TokenRefusal`, not raised: raising
would roll back the revocation that the reuse of a refresh token causes.

Only digests of tokens are stored, yet the same pair must be returned again within the grace period. So the successors
of a rotated refresh token are derived: HMAC-SHA-256, keyed with the spent token, over a random salt that is stored
beside its digest. The database alone does not yield them, nor does the spent token alone. A later rotation of the grant
erases the salts whose grace period is over.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.workspace.accounts.credentials import ACCESS_PREFIX, REFRESH_PREFIX
from app.workspace.oauth.clients import OAuthClient, unique_scopes
from app.workspace.runtime.digests import digest, s256

if TYPE_CHECKING:
    import sqlite3

# Rows outlive what they stand for: an expired token is refused as expired, not as unknown.
RETENTION_SECONDS = 30 * 86_400.0
# Why a grant was revoked, and the `error_description` of a refresh after that.
REVOKED_WORDS: dict[str, str | None] = {
    "access": "This application's access was revoked; re-authorize.",
    "sessions": "Application sessions were revoked; re-authorize.",
    "reuse": None,
    "user": None,
}
BAD_CODE = "Authorization code is invalid or has already been used"
NO_SCOPES = "Token carries no scopes; re-authorize to obtain a scoped token."
OUT_OF_CEILING = "Token scopes are no longer within the application's allowed scopes; re-authorize."
TEMPORARILY_UNAVAILABLE = {
    "error": "temporarily_unavailable",
    "error_description": ("The authorization server is temporarily unable to handle the request. Please retry."),
}


@dataclass(frozen=True)
class TokenRefusal:
    """An error answer of the token endpoint. `revoked` counts the grants that it ended."""

    error: str
    description: str | None = None
    status: int = 400
    revoked: int = 0


@dataclass(frozen=True)
class IssuedTokens:
    """What the token endpoint answers. `expires_in` in seconds; `replayed` when the pair had been issued before."""

    access_token: str
    refresh_token: str
    expires_in: int
    scope: str
    teams: tuple[int, ...]
    organizations: tuple[str, ...]
    replayed: bool = False

    def __repr__(self) -> str:
        return f"IssuedTokens(scope={self.scope!r}, expires_in={self.expires_in})"


@dataclass(frozen=True)
class ConsentedAccess:
    """What a person approved. Empty `teams` and `organizations` mean everything that the person has access to."""

    user_id: int
    scope: str
    teams: tuple[int, ...] = ()
    organizations: tuple[str, ...] = ()


def store_code(
    db: sqlite3.Connection,
    code: str,
    client: OAuthClient,
    consent: ConsentedAccess,
    redirect_uri: str,
    challenge: str,
    expires_at: float,
) -> None:
    db.execute(
        "INSERT INTO codes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            digest(code),
            client.client_id,
            consent.user_id,
            redirect_uri,
            challenge,
            consent.scope,
            json.dumps(consent.teams),
            json.dumps(consent.organizations),
            expires_at,
        ),
    )


def held(db: sqlite3.Connection, client_id: str, user_id: int) -> ConsentedAccess | None:
    """What a person has approved for a client and not revoked: the scopes of all grants, the level of the newest."""
    rows = db.execute(
        "SELECT scope, teams, organizations FROM grants WHERE client_id = ? AND user_id = ? AND revoked_at IS NULL"
        " ORDER BY id",
        (client_id, user_id),
    ).fetchall()
    if not rows:
        return None
    scope = " ".join(unique_scopes(" ".join(row["scope"] for row in rows)))
    last = rows[-1]
    return ConsentedAccess(user_id, scope, tuple(json.loads(last["teams"])), tuple(json.loads(last["organizations"])))


def exchange_code(
    db: sqlite3.Connection,
    client: OAuthClient,
    code: str,
    redirect_uri: str | None,
    verifier: str | None,
    now: float,
    lifetime: float,
) -> IssuedTokens | TokenRefusal:
    """Exchange an authorization code for the first tokens of a new grant. A code works once."""
    db.execute("DELETE FROM codes WHERE expires_at < ?", (now - RETENTION_SECONDS,))
    row = db.execute("SELECT * FROM codes WHERE hash = ?", (digest(code),)).fetchone()
    if row is None or row["client_id"] != client.client_id or row["expires_at"] <= now:
        return TokenRefusal("invalid_grant", BAD_CODE)
    # These refusals leave the code in place: a client that made a mistake may correct it.
    if not verifier:
        return TokenRefusal("invalid_request", "Code verifier required.")
    if not hmac.compare_digest(s256(verifier), row["challenge"]):
        return TokenRefusal("invalid_grant", "Code verifier does not match the code challenge.")
    if redirect_uri != row["redirect_uri"]:
        return TokenRefusal("invalid_request", "Mismatching redirect URI.")
    db.execute("DELETE FROM codes WHERE hash = ?", (row["hash"],))
    grant = db.execute(
        "INSERT INTO grants (client_id, user_id, scope, teams, organizations, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        (client.client_id, row["user_id"], row["scope"], row["teams"], row["organizations"], now),
    ).lastrowid
    assert grant is not None
    access, refresh = ACCESS_PREFIX + secrets.token_urlsafe(32), REFRESH_PREFIX + secrets.token_urlsafe(32)
    _store_pair(db, grant, access, refresh, row["scope"], now, lifetime)
    return _issued(db, client, grant, access, refresh, row["scope"], lifetime)


def refresh(
    db: sqlite3.Connection,
    client: OAuthClient,
    token: str,
    requested: str | None,
    now: float,
    lifetime: float,
    grace: float,
) -> IssuedTokens | TokenRefusal:
    """Answer a refresh request.

    A first-party client's refresh token rotates: it is spent, and the access token issued with it ends at once. Spent
    again within `grace` seconds it returns the very same successors, so that a client whose answer was lost can repeat
    the request. Later than that, somebody holds a copy: the whole grant is revoked. A dynamic client's refresh token
    stays, and so do its earlier access tokens until they expire.
    """
    row = db.execute(
        "SELECT r.*, g.client_id, g.scope, g.revoked_at, g.revoked_because FROM refresh_tokens r"
        " JOIN grants g ON g.id = r.grant_id WHERE r.hash = ?",
        (digest(token),),
    ).fetchone()
    if row is None or row["client_id"] != client.client_id:
        return TokenRefusal("invalid_grant")
    if row["revoked_at"] is not None:
        return TokenRefusal("invalid_grant", REVOKED_WORDS.get(row["revoked_because"]))
    grant = int(row["grant_id"])
    # A dynamic client's refresh token is never spent, so only rotated ones come here.
    if row["spent_at"] is not None:
        if row["successor_salt"] is None or now - row["spent_at"] >= grace:
            return TokenRefusal("invalid_grant", revoked=revoke_grant(db, grant, "reuse", now))
        # A replay extends nothing: the lifetime that remains is that of the pair when it was issued.
        access, successor = _successors(token, row["successor_salt"])
        left = row["successor_expires_at"] - now
        return _issued(db, client, grant, access, successor, row["successor_scope"], left, replayed=True)

    scope = _narrowed(client, row["scope"], requested)
    if isinstance(scope, TokenRefusal):
        return scope
    if client.dynamic:
        access = ACCESS_PREFIX + secrets.token_urlsafe(32)
        db.execute("DELETE FROM access_tokens WHERE grant_id = ? AND expires_at < ?", (grant, now - RETENTION_SECONDS))
        _store_access(db, grant, access, row["hash"], scope, now, lifetime)
        return _issued(db, client, grant, access, token, scope, lifetime)

    salt = secrets.token_bytes(32)
    access, successor = _successors(token, salt)
    # The earlier access token ends with the refresh token that it was issued with, whatever its lifetime was.
    db.execute("DELETE FROM access_tokens WHERE refresh_hash = ?", (row["hash"],))
    # Without its salt, a spent token whose grace period is over can only be a reuse.
    db.execute(
        "UPDATE refresh_tokens SET successor_salt = NULL WHERE grant_id = ? AND spent_at <= ?", (grant, now - grace)
    )
    db.execute(
        "UPDATE refresh_tokens SET spent_at = ?, successor_salt = ?, successor_scope = ?, successor_expires_at = ?"
        " WHERE hash = ?",
        (now, salt, scope, now + lifetime, row["hash"]),
    )
    _store_pair(db, grant, access, successor, scope, now, lifetime)
    return _issued(db, client, grant, access, successor, scope, lifetime)


def revoke_token(db: sqlite3.Connection, client_id: str, token: str, now: float) -> int:
    """RFC 7009. Returns how many grants ended.

    A refresh token ends its grant; a dynamic client's ends every grant between that client and user. An access token
    ends alone. An unknown token, or one of another client, changes nothing.
    """
    key = digest(token)
    row = db.execute(
        "SELECT g.id, g.client_id, g.user_id, c.dynamic FROM refresh_tokens r JOIN grants g ON g.id = r.grant_id"
        " JOIN clients c ON c.client_id = g.client_id WHERE r.hash = ?",
        (key,),
    ).fetchone()
    if row is not None:
        if row["client_id"] != client_id:
            return 0
        if not row["dynamic"]:
            return revoke_grant(db, row["id"], "user", now)
        same = db.execute("SELECT id FROM grants WHERE client_id = ? AND user_id = ?", (client_id, row["user_id"]))
        return sum(revoke_grant(db, other["id"], "user", now) for other in same.fetchall())
    db.execute(
        "DELETE FROM access_tokens WHERE hash = ? AND grant_id IN (SELECT id FROM grants WHERE client_id = ?)",
        (key, client_id),
    )
    return 0


def revoke_grant(db: sqlite3.Connection, grant: int, because: str, now: float) -> int:
    """End a grant with all its tokens. Returns 1 if it was not revoked before, else 0."""
    db.execute("DELETE FROM access_tokens WHERE grant_id = ?", (grant,))
    return db.execute(
        "UPDATE grants SET revoked_at = ?, revoked_because = ? WHERE id = ? AND revoked_at IS NULL",
        (now, because, grant),
    ).rowcount


def revoke_all(db: sqlite3.Connection, client_id: str | None, because: str, now: float) -> int:
    """Revoke every grant, or those of one client. Returns how many."""
    rows = db.execute(
        "SELECT id FROM grants WHERE revoked_at IS NULL AND (? IS NULL OR client_id = ?)", (client_id, client_id)
    ).fetchall()
    return sum(revoke_grant(db, row["id"], because, now) for row in rows)


def kill_access_tokens(db: sqlite3.Connection, client_id: str | None) -> int:
    """Delete every access token, or those of one client; refresh tokens stay valid."""
    return db.execute(
        "DELETE FROM access_tokens WHERE ? IS NULL OR grant_id IN (SELECT id FROM grants WHERE client_id = ?)",
        (client_id, client_id),
    ).rowcount


def set_ceiling(db: sqlite3.Connection, client_id: str, scope: str) -> int:
    """Lower the scopes a client can have at most, until `lift_ceilings`. Returns 0 for an unknown client."""
    return db.execute(
        "UPDATE clients SET lowered_ceiling = ? WHERE client_id = ?", (" ".join(unique_scopes(scope)), client_id)
    ).rowcount


def lift_ceilings(db: sqlite3.Connection) -> None:
    db.execute("UPDATE clients SET lowered_ceiling = NULL")


def live_summary(db: sqlite3.Connection, now: float) -> list[dict[str, object]]:
    """Every grant that is not revoked, without any secret."""
    rows = db.execute(
        "SELECT g.id, g.client_id, c.name, g.scope, g.created_at,"
        " (SELECT count(*) FROM access_tokens a WHERE a.grant_id = g.id AND a.expires_at > ?) AS live,"
        " (SELECT max(expires_at) FROM access_tokens a WHERE a.grant_id = g.id) AS expires_at"
        " FROM grants g JOIN clients c ON c.client_id = g.client_id WHERE g.revoked_at IS NULL ORDER BY g.id",
        (now,),
    ).fetchall()
    return [
        {
            "id": row["id"],
            "client_id": row["client_id"],
            "client_name": row["name"],
            "scope": row["scope"],
            "created_at": row["created_at"],
            "live_access_tokens": row["live"],
            "expires_at": row["expires_at"],
        }
        for row in rows
    ]


def _narrowed(client: OAuthClient, granted: str, requested: str | None) -> str | TokenRefusal:
    """The scopes of the new tokens: those granted, within today's ceiling, and of those the ones that are requested."""
    scopes = unique_scopes(granted)
    if not scopes:
        return TokenRefusal("invalid_grant", NO_SCOPES)
    capped = client.cap(scopes)
    if not capped:
        return TokenRefusal("invalid_grant", OUT_OF_CEILING)
    if requested:
        wanted = unique_scopes(requested)
        if "*" not in scopes and not set(wanted) <= set(scopes):
            return TokenRefusal("invalid_scope")
        capped = wanted if "*" in capped else [scope for scope in capped if scope in wanted]
        if not capped:
            return TokenRefusal("invalid_grant", OUT_OF_CEILING)
    return " ".join(capped)


def _successors(token: str, salt: bytes) -> tuple[str, str]:
    def derive(use: bytes) -> str:
        made = hmac.digest(token.encode(), salt + use, "sha256")
        return base64.urlsafe_b64encode(made).rstrip(b"=").decode()

    return ACCESS_PREFIX + derive(b"access"), REFRESH_PREFIX + derive(b"refresh")


def _store_pair(
    db: sqlite3.Connection, grant: int, access: str, refresh_token: str, scope: str, now: float, lifetime: float
) -> None:
    key = digest(refresh_token)
    db.execute("INSERT INTO refresh_tokens (hash, grant_id, issued_at) VALUES (?, ?, ?)", (key, grant, now))
    _store_access(db, grant, access, key, scope, now, lifetime)


def _store_access(
    db: sqlite3.Connection, grant: int, access: str, refresh_hash: str, scope: str, now: float, lifetime: float
) -> None:
    db.execute(
        "INSERT INTO access_tokens VALUES (?, ?, ?, ?, ?, ?)",
        (digest(access), grant, refresh_hash, scope, now, now + lifetime),
    )


def _issued(
    db: sqlite3.Connection,
    client: OAuthClient,
    grant: int,
    access: str,
    refresh_token: str,
    scope: str,
    lifetime: float,
    *,
    replayed: bool = False,
) -> IssuedTokens:
    row = db.execute("SELECT teams, organizations FROM grants WHERE id = ?", (grant,)).fetchone()
    teams: tuple[int, ...] = tuple(json.loads(row["teams"]))
    organizations: tuple[str, ...] = tuple(json.loads(row["organizations"]))
    # PostHog lists the projects of an organisation-wide grant for its own clients, although none are stored.
    if not client.dynamic and organizations and not teams:
        marks = ",".join("?" * len(organizations))
        found = db.execute(
            f"SELECT id FROM projects WHERE organization_id IN ({marks}) ORDER BY id",
            organizations,
        )
        teams = tuple(project["id"] for project in found.fetchall())
    return IssuedTokens(access, refresh_token, max(0, int(lifetime)), scope, teams, organizations, replayed)
