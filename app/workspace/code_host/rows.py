"""The accounts of the code host that people have connected, and the project's own installation of it.

Every function that takes a connection runs inside a transaction of its caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from app.workspace.runtime.clock import iso

if TYPE_CHECKING:
    import sqlite3

PROJECT_INTEGRATION = 1
"""The id of the installation that each project of the workspace has."""
INSTALLATION = "70001"


def project_integration() -> dict[str, object]:
    """The project's installation as the API shows it."""
    return {
        "id": PROJECT_INTEGRATION,
        "kind": "github",
        "config": {"installation_id": INSTALLATION, "account": {"type": "Organization", "name": "hedgerow"}},
        "display_name": "hedgerow",
        "errors": "",
        "created_at": "2026-01-12T09:00:00.000000Z",
    }


def connected_account(db: sqlite3.Connection, user_id: int) -> sqlite3.Row | None:
    """The account that a person has connected; None when there is none."""
    row: sqlite3.Row | None = db.execute("SELECT * FROM code_accounts WHERE user_id = ?", (user_id,)).fetchone()
    return row


def connect_account(db: sqlite3.Connection, user_id: int, now: float) -> None:
    """Connect the person's account, whose login is the local part of their address. Done again it changes nothing."""
    email = str(db.execute("SELECT email FROM users WHERE id = ?", (user_id,)).fetchone()["email"])
    db.execute(
        "INSERT INTO code_accounts (id, user_id, installation_id, login, created_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (user_id) DO NOTHING",
        (str(uuid4()), user_id, INSTALLATION, email.partition("@")[0], iso(now)),
    )


def disconnect_account(db: sqlite3.Connection, user_id: int, installation_id: str) -> bool:
    """Whether there was such an account."""
    query = "DELETE FROM code_accounts WHERE user_id = ? AND installation_id = ?"
    return db.execute(query, (user_id, installation_id)).rowcount > 0


def account_json(row: sqlite3.Row) -> dict[str, object]:
    """A connected account as the API shows it."""
    return {
        "id": row["id"],
        "kind": "github",
        "installation_id": row["installation_id"],
        "repository_selection": "all",
        "account": {"type": "User", "name": row["login"]},
        "uses_shared_installation": True,
        "created_at": row["created_at"],
    }
