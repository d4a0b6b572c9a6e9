"""Registered OAuth clients and the scopes each may have (docs/wire.md, "Client registration" and "Scopes")."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

SUBJECTS = (
    "action", "activity_log", "annotation", "cohort", "dashboard", "error_tracking", "event_definition",
    "experiment", "feature_flag", "insight", "integration", "notebook", "organization", "person", "project",
    "property_definition", "query", "session_recording", "survey", "task", "user",
)  # fmt: skip
IDENTITY_SCOPES = ("openid", "profile", "email", "introspection")
SELF_SERVE: tuple[str, ...] = (
    *IDENTITY_SCOPES,
    *(f"{subject}:{level}" for subject in SUBJECTS for level in ("read", "write")),
)


@dataclass(frozen=True)
class OAuthClient:
    """A registered application.

    `dynamic` clients registered themselves. `ceiling` are the scopes they can have at most; None means no limit, and
    then `*` is granted as it is.
    """

    client_id: str
    name: str
    dynamic: bool
    secret_hash: str | None
    redirect_uris: tuple[str, ...]
    auth_method: str
    ceiling: frozenset[str] | None

    def cap(self, scopes: list[str]) -> list[str]:
        """The requested scopes within the ceiling; the others are left out silently, never refused."""
        if self.ceiling is None:
            return scopes
        if "*" in scopes:
            return [scope for scope in SELF_SERVE if scope in self.ceiling]
        return [scope for scope in scopes if scope in self.ceiling]


def find_client(db: sqlite3.Connection, client_id: str) -> OAuthClient | None:
    row = db.execute("SELECT * FROM clients WHERE client_id = ?", (client_id,)).fetchone()
    if row is None:
        return None
    # The fault switchboard lowers a ceiling without losing the one that was registered.
    ceiling = row["lowered_ceiling"] if row["lowered_ceiling"] is not None else row["ceiling"]
    return OAuthClient(
        client_id=row["client_id"],
        name=row["name"],
        dynamic=bool(row["dynamic"]),
        secret_hash=row["secret_hash"],
        redirect_uris=tuple(json.loads(row["redirect_uris"])),
        auth_method=row["auth_method"],
        ceiling=None if ceiling is None else frozenset(ceiling.split()),
    )


def unique_scopes(text: str) -> list[str]:
    """The scopes of a scope parameter, each once, in their order."""
    return list(dict.fromkeys(text.split()))
