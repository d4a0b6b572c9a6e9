"""Fills the database of a new workspace: one person, one organisation, one project, and contents for them."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

from app.workspace.accounts.credentials import PERSONAL_PREFIX
from app.workspace.runtime.context import FIRST_PARTY_CLIENT_ID, Workspace
from app.workspace.runtime.digests import digest
from app.workspace.seed.documents import seed_documents
from app.workspace.seed.events import seed_events
from app.workspace.seed.repositories import offer_repositories
from app.workspace.seed.store import seed_store
from app.workspace.seed.tasks import seed_tasks

if TYPE_CHECKING:
    import sqlite3

# Ids are derived from it, so they are the same in every new workspace.
NAMESPACE = uuid5(NAMESPACE_URL, "burrow:workspace")
USER_ID = 1
PROJECT_ID = 1
ORGANIZATION_ID = str(uuid5(NAMESPACE, "organization"))
LOOPBACK_REDIRECTS = (
    "http://127.0.0.1/callback",
    "http://127.0.0.1/callback/*",
    "http://[::1]/callback",
    "http://[::1]/callback/*",
    "http://localhost/callback",
    "http://localhost/callback/*",
    "burrow://callback",
)


async def seed(workspace: Workspace) -> None:
    """Fill a new database. Later starts find the mark `seeded` and change nothing."""
    offer_repositories(workspace)
    now = workspace.clock.now()
    fresh = await workspace.db.run(lambda db: _fill(db, now))
    if fresh:
        await seed_store(workspace)


def _fill(db: sqlite3.Connection, now: float) -> bool:
    if db.execute("SELECT 1 FROM meta WHERE name = 'seeded'").fetchone():
        return False
    _identity(db, now)
    seed_tasks(db, NAMESPACE, PROJECT_ID, USER_ID, now)
    seed_events(db, PROJECT_ID, now)
    seed_documents(db, NAMESPACE, PROJECT_ID, now)
    db.execute("INSERT INTO meta VALUES ('seeded', '1')")
    return True


def _identity(db: sqlite3.Connection, now: float) -> None:
    created = "2026-01-12T09:00:00.000000Z"
    db.execute(
        "INSERT INTO organizations VALUES (?, ?, ?, 1, ?)",
        (ORGANIZATION_ID, "Hedgerow Books", "hedgerow-books", created),
    )
    db.execute(
        "INSERT INTO projects VALUES (?, ?, ?, ?, 'UTC', ?)",
        (PROJECT_ID, str(uuid5(NAMESPACE, "project")), ORGANIZATION_ID, "Hedgerow shop", created),
    )
    db.execute(
        "INSERT INTO users VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            USER_ID,
            str(uuid5(NAMESPACE, "user")),
            str(uuid5(NAMESPACE, "distinct")),
            "ana@example.org",
            "Ana",
            "Pereira",
            ORGANIZATION_ID,
            PROJECT_ID,
            created,
        ),
    )
    db.execute(
        "INSERT INTO clients (client_id, name, dynamic, redirect_uris, grant_types, response_types, auth_method,"
        " created_at) VALUES (?, 'Burrow', 0, ?, ?, ?, 'none', ?)",
        (
            FIRST_PARTY_CLIENT_ID,
            json.dumps(LOOPBACK_REDIRECTS),
            json.dumps(["authorization_code", "refresh_token"]),
            json.dumps(["code"]),
            now,
        ),
    )
    # This key is stored in clear beside its digest, because the fault switchboard shows it to the secret's holder.
    key = PERSONAL_PREFIX + secrets.token_urlsafe(32)
    db.execute("INSERT INTO meta VALUES ('personal_api_key', ?)", (key,))
    db.execute("INSERT INTO personal_keys VALUES (?, ?, 'Workspace key', '*', ?)", (digest(key), USER_ID, now))
