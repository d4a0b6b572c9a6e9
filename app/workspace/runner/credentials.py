"""The access token that a run's agent gets for the workspace's MCP endpoint: for one project, and only for the run."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

from app.workspace.accounts.credentials import ACCESS_PREFIX
from app.workspace.runtime.digests import digest

if TYPE_CHECKING:
    import sqlite3

CLIENT_ID = "burrow-runs"
SCOPE = "project:read task:read task:write"
LIFETIME_SECONDS = 86_400.0


def issue(db: sqlite3.Connection, user_id: int, project: int, now: float) -> tuple[int, str]:
    """A new grant and its only token. Only the token's digest is stored."""
    db.execute(
        "INSERT OR IGNORE INTO clients (client_id, name, dynamic, redirect_uris, grant_types, response_types,"
        " auth_method, created_at) VALUES (?, 'Runs', 0, '[]', '[]', '[]', 'none', ?)",
        (CLIENT_ID, now),
    )
    grant = db.execute(
        "INSERT INTO grants (client_id, user_id, scope, teams, organizations, created_at) VALUES (?, ?, ?, ?, '[]', ?)",
        (CLIENT_ID, user_id, SCOPE, json.dumps([project]), now),
    ).lastrowid
    assert grant is not None
    token = ACCESS_PREFIX + secrets.token_urlsafe(32)
    db.execute(
        "INSERT INTO access_tokens (hash, grant_id, scope, issued_at, expires_at) VALUES (?, ?, ?, ?, ?)",
        (digest(token), grant, SCOPE, now, now + LIFETIME_SECONDS),
    )
    return grant, token


def withdraw(db: sqlite3.Connection, grant: int | None = None) -> None:
    """End a run's grant, or those of all runs: a workspace that was killed could not end its own."""
    query = "SELECT id FROM grants WHERE client_id = ? AND (? IS NULL OR id = ?)"
    for row in db.execute(query, (CLIENT_ID, grant, grant)).fetchall():
        db.execute("DELETE FROM access_tokens WHERE grant_id = ?", (row["id"],))
        db.execute("DELETE FROM grants WHERE id = ?", (row["id"],))
