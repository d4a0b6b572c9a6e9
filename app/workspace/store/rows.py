"""Installations, their OAuth connections and their tools in the database.

Every function runs inside a transaction of its caller. Addresses are stored in the form of `addresses.relative`.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.workspace.runtime.clock import iso
from app.workspace.store.addresses import absolute

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

SELF_MCP = "self:/mcp"
APPROVED, NEEDS_APPROVAL, DO_NOT_USE = "approved", "needs_approval", "do_not_use"
APPROVAL_STATES = (APPROVED, NEEDS_APPROVAL, DO_NOT_USE)


@dataclass(frozen=True)
class VendorConnection:
    """The OAuth side of one installation. `access_token` is empty until the person has connected it."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    client_id: str
    client_secret: str
    resource: str
    scope: str
    access_token: str = ""
    refresh_token: str = ""
    expires_at: float | None = None


@dataclass(frozen=True)
class StoreInstallation:
    """One installed server. `url` in the form that is stored: `self:` stands for the workspace's own origin."""

    id: str
    project_id: int
    template_id: str | None
    name: str
    display_name: str
    url: str
    description: str
    auth_type: str
    icon_key: str
    icon_domain: str
    is_enabled: bool
    scope: str
    api_key: str
    needs_reauth: bool
    created_at: str
    updated_at: str
    tool_count: int
    connection: VendorConnection | None

    @property
    def pending_oauth(self) -> bool:
        """Whether it uses OAuth and never had an access token."""
        return self.auth_type == "oauth" and (self.connection is None or not self.connection.access_token)

    @property
    def is_own_server(self) -> bool:
        """Whether it is the workspace's own MCP endpoint, which receives the caller's own credential."""
        return self.url == SELF_MCP

    def as_json(self, origin: str) -> dict[str, object]:
        return {
            "id": self.id,
            "template_id": self.template_id,
            "name": self.name,
            "icon_key": self.icon_key,
            "icon_domain": self.icon_domain,
            "display_name": self.display_name,
            "url": absolute(self.url, origin),
            "description": self.description,
            "auth_type": self.auth_type,
            "is_enabled": self.is_enabled,
            "scope": self.scope,
            "is_owner": True,
            "needs_reauth": self.auth_type == "oauth" and self.needs_reauth,
            "pending_oauth": self.pending_oauth,
            "proxy_url": f"{origin}/api/environments/{self.project_id}/mcp_server_installations/{self.id}/proxy/",
            "tool_count": self.tool_count,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }


@dataclass(frozen=True)
class ListedTool:
    """A tool, as its server lists it."""

    name: str
    title: str
    description: str
    input_schema: Mapping[str, object]


_SELECT = (
    "SELECT i.*, (SELECT count(*) FROM store_tools t WHERE t.installation_id = i.id AND t.removed_at IS NULL)"
    " AS tool_count FROM store_installations i WHERE i.project_id = ?"
)


def installations(db: sqlite3.Connection, project: int, limit: int, offset: int) -> tuple[list[StoreInstallation], int]:
    """One page of a project's installations, oldest first, and how many there are."""
    query = f"{_SELECT} ORDER BY i.created_at, i.rowid LIMIT ? OFFSET ?"
    rows = [_installation(db, row) for row in db.execute(query, (project, limit, offset)).fetchall()]
    [count] = db.execute("SELECT count(*) FROM store_installations WHERE project_id = ?", (project,)).fetchone()
    return rows, count


def installation(db: sqlite3.Connection, project: int, wanted: str) -> StoreInstallation | None:
    row = db.execute(f"{_SELECT} AND i.id = ?", (project, wanted)).fetchone()
    return None if row is None else _installation(db, row)


def installation_at(db: sqlite3.Connection, project: int, url: str) -> StoreInstallation | None:
    """The installation of a stored address; a slash at the end makes no difference."""
    row = db.execute(f"{_SELECT} AND rtrim(i.url, '/') = rtrim(?, '/')", (project, url)).fetchone()
    return None if row is None else _installation(db, row)


def _installation(db: sqlite3.Connection, row: sqlite3.Row) -> StoreInstallation:
    linked = db.execute("SELECT * FROM store_connections WHERE installation_id = ?", (row["id"],)).fetchone()
    connection = None
    if linked is not None:
        connection = VendorConnection(**{name: linked[name] for name in VendorConnection.__dataclass_fields__})
    fields = {name: row[name] for name in StoreInstallation.__dataclass_fields__ if name != "connection"}
    fields["is_enabled"], fields["needs_reauth"] = bool(row["is_enabled"]), bool(row["needs_reauth"])
    return StoreInstallation(**fields, connection=connection)


def add_installation(
    db: sqlite3.Connection,
    project: int,
    now: float,
    *,
    name: str,
    url: str,
    auth_type: str,
    template_id: str | None = None,
    description: str = "",
    icon_key: str = "",
    icon_domain: str = "",
    scope: str = "personal",
    api_key: str = "",
    first_states: Mapping[str, str] | None = None,
) -> str:
    """Insert an installation and return its id. `first_states` are approval states of tools that appear later."""
    new = str(uuid.uuid4())
    db.execute(
        "INSERT INTO store_installations (id, project_id, template_id, name, display_name, url, description, auth_type,"
        " icon_key, icon_domain, scope, api_key, first_states, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            new,
            project,
            template_id,
            name,
            name,
            url,
            description,
            auth_type,
            icon_key,
            icon_domain,
            scope,
            api_key,
            json.dumps(dict(first_states or {})),
            iso(now),
            iso(now),
        ),
    )
    return new


def save_connection(db: sqlite3.Connection, wanted: str, connection: VendorConnection) -> None:
    """Store or replace the connection of an installation. Does nothing when the installation is gone."""
    names = tuple(VendorConnection.__dataclass_fields__)
    marks = ", ".join("?" for _name in names)
    db.execute(
        f"INSERT OR REPLACE INTO store_connections (installation_id, {', '.join(names)})"
        f" SELECT id, {marks} FROM store_installations WHERE id = ?",
        (*(getattr(connection, name) for name in names), wanted),
    )


def mark_needs_reauth(db: sqlite3.Connection, wanted: str, needed: bool, now: float) -> None:
    """Also sets `updated_at`, the only sign of a server that was connected again while it worked."""
    query = "UPDATE store_installations SET needs_reauth = ?, updated_at = ? WHERE id = ?"
    db.execute(query, (needed, iso(now), wanted))


def tools(db: sqlite3.Connection, wanted: str, removed: bool) -> list[dict[str, object]]:
    """The tools of an installation as the API shows them, in the server's order."""
    query = "SELECT * FROM store_tools WHERE installation_id = ? AND (? OR removed_at IS NULL) ORDER BY position"
    return [tool_json(row) for row in db.execute(query, (wanted, removed)).fetchall()]


def tool(db: sqlite3.Connection, wanted: str, name: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM store_tools WHERE installation_id = ? AND tool_name = ?", (wanted, name)
    ).fetchone()
    return row


def set_approval(db: sqlite3.Connection, wanted: str, name: str, state: str, now: float) -> dict[str, object] | None:
    """Decide on a tool; the tool as the API shows it, or None when there is none of that name."""
    query = "UPDATE store_tools SET approval_state = ?, updated_at = ? WHERE installation_id = ? AND tool_name = ?"
    db.execute(query, (state, iso(now), wanted, name))
    row = tool(db, wanted, name)
    return None if row is None else tool_json(row)


def tool_json(row: sqlite3.Row) -> dict[str, object]:
    return {
        "id": row["id"],
        "tool_name": row["tool_name"],
        "display_name": row["display_name"],
        "description": row["description"],
        "input_schema": json.loads(row["input_schema"]),
        "approval_state": row["approval_state"],
        "team_state": None,
        "locked": False,
        "decided_by": None,
        "last_seen_at": row["last_seen_at"],
        "removed_at": row["removed_at"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }


def save_tools(db: sqlite3.Connection, wanted: str, listed: Sequence[ListedTool], now: float) -> None:
    """Store a server's list of tools.

    A tool that is no longer listed is marked as removed and keeps its row: when the server lists it again, the decision
    about it still stands. A new tool gets its state of `first_states`, else it needs approval.
    """
    row = db.execute("SELECT first_states FROM store_installations WHERE id = ?", (wanted,)).fetchone()
    if row is None:
        return
    first_states, stamp = json.loads(row["first_states"]), iso(now)
    db.execute(
        "UPDATE store_tools SET removed_at = ? WHERE installation_id = ? AND removed_at IS NULL"
        " AND tool_name NOT IN (SELECT value FROM json_each(?))",
        (stamp, wanted, json.dumps([one.name for one in listed])),
    )
    for position, one in enumerate(listed):
        db.execute(
            "INSERT INTO store_tools (id, installation_id, tool_name, display_name, description, input_schema,"
            " approval_state, position, last_seen_at, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (installation_id, tool_name) DO UPDATE SET display_name = excluded.display_name,"
            " description = excluded.description, input_schema = excluded.input_schema,"
            " position = excluded.position, last_seen_at = excluded.last_seen_at, removed_at = NULL",
            (
                str(uuid.uuid4()),
                wanted,
                one.name,
                one.title or one.name,
                one.description,
                json.dumps(one.input_schema),
                first_states.get(one.name, NEEDS_APPROVAL),
                position,
                stamp,
                stamp,
                stamp,
            ),
        )
