"""REST views of the user, their organisations and projects (docs/wire.md, "Users, organisations and projects").

A dead token is a 401 in these views.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from app.workspace.accounts.credentials import PROJECTS_ONLY, authenticate, authenticate_in_project, organization_of
from app.workspace.runtime.context import workspace_of
from app.workspace.web.errors import not_found, permission_denied, reply, validation
from app.workspace.web.fields import as_uuid, checked_text, identifier, integer, json_object
from app.workspace.web.pagination import page, page_range

if TYPE_CHECKING:
    import sqlite3

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

# PostHog's `membership_level` of an administrator.
ADMIN = 8
NAMES = ("first_name", "last_name")


def routes() -> list[BaseRoute]:
    """The routes of this module, in matching order."""
    return [
        Route("/api/users/@me/", read_me, methods=["GET"]),
        Route("/api/users/@me/", change_me, methods=["PATCH"]),
        Route("/api/organizations/", organizations, methods=["GET"]),
        Route("/api/organizations/{organization_id}/", organization, methods=["GET"]),
        Route("/api/projects/{project_id}/", read_project, methods=["GET"]),
        Route("/api/projects/{project_id}/", change_project, methods=["PATCH"]),
        Route("/api/projects/{project_id}/desktop/access/", desktop_access, methods=["GET"]),
        Route("/api/projects/{project_id}/feature_flags/", feature_flags, methods=["GET"]),
    ]


async def read_me(request: Request) -> Response:
    """Open to every token with `user:read`, whatever projects it is limited to; so clients probe a token here."""
    grant = await authenticate(request, "user:read", challenge=True)
    return reply(await workspace_of(request).db.read(lambda db: me(db, grant.user_id)))


async def change_me(request: Request) -> Response:
    grant = await authenticate(request, "user:write", challenge=True)
    body = await json_object(request)
    asked_organization = identifier(body, "set_current_organization")
    asked_team = integer(body, "set_current_team")
    names = {name: checked_text(body[name], name, maximum=150) for name in NAMES if name in body}

    def change(db: sqlite3.Connection) -> dict[str, object]:
        if asked_organization is not None:
            row = db.execute(
                "SELECT o.id, p.id AS project FROM organizations o LEFT JOIN projects p ON p.organization_id = o.id"
                " WHERE o.id = ? ORDER BY p.id",
                (asked_organization,),
            ).fetchone()
            if row is None:
                raise validation("Organization does not exist.", "set_current_organization", "does_not_exist")
            db.execute(
                "UPDATE users SET current_organization = ?, current_project = coalesce(?, current_project)"
                " WHERE id = ?",
                (row["id"], row["project"], grant.user_id),
            )
        if asked_team is not None:
            owner = organization_of(db, asked_team)
            if owner is None:
                raise validation("Team does not exist.", "set_current_team", "does_not_exist")
            db.execute(
                "UPDATE users SET current_organization = ?, current_project = ? WHERE id = ?",
                (owner, asked_team, grant.user_id),
            )
        for name, value in names.items():
            db.execute(f"UPDATE users SET {name} = ? WHERE id = ?", (value, grant.user_id))
        return me(db, grant.user_id)

    return reply(await workspace_of(request).db.run(change))


async def organizations(request: Request) -> Response:
    grant = await authenticate(request, "organization:read", challenge=True)
    if grant.teams:
        raise permission_denied(PROJECTS_ONLY)
    rows = await workspace_of(request).db.read(
        lambda db: [
            _organization(db, row) for row in db.execute("SELECT * FROM organizations ORDER BY name").fetchall()
        ]
    )
    rows = [row for row in rows if not grant.organizations or row["id"] in grant.organizations]
    asked = page_range(request)
    return page(request, rows[asked.offset : asked.offset + asked.limit], len(rows), asked)


async def organization(request: Request) -> Response:
    """Refused to tokens that are limited to projects, as in PostHog."""
    grant = await authenticate(request, "organization:read", challenge=True)
    if grant.teams:
        raise permission_denied(PROJECTS_ONLY)
    asked = str(request.path_params["organization_id"])

    def find(db: sqlite3.Connection) -> dict[str, object] | None:
        if asked == "@current":
            sql = "SELECT o.* FROM organizations o JOIN users u ON u.current_organization = o.id WHERE u.id = ?"
            row = db.execute(sql, (grant.user_id,)).fetchone()
        else:
            row = db.execute("SELECT * FROM organizations WHERE id = ?", (as_uuid(asked),)).fetchone()
        return None if row is None else _organization(db, row)

    found = await workspace_of(request).db.read(find)
    if found is None:
        raise not_found()
    if grant.organizations and found["id"] not in grant.organizations:
        raise permission_denied(f"API key does not have access to the requested organization: ID {found['id']}.")
    return reply(found)


async def read_project(request: Request) -> Response:
    _, project = await authenticate_in_project(request, "project:read", challenge=True)
    return reply(await workspace_of(request).db.read(lambda db: _project(db, project)))


async def change_project(request: Request) -> Response:
    _, project = await authenticate_in_project(request, "project:write", challenge=True)
    body = await json_object(request)
    name = checked_text(body["name"], "name", maximum=200, blank=False) if "name" in body else None

    def change(db: sqlite3.Connection) -> dict[str, object]:
        if name is not None:
            db.execute("UPDATE projects SET name = ? WHERE id = ?", (name, project))
        return _project(db, project)

    return reply(await workspace_of(request).db.run(change))


async def desktop_access(request: Request) -> Response:
    await authenticate_in_project(request, "project:read", challenge=True)
    return reply({"allowed": True, "reason": None})


async def feature_flags(request: Request) -> Response:
    """Always empty: the workspace has no flags."""
    await authenticate_in_project(request, "feature_flag:read", challenge=True)
    return page(request, [], 0)


def me(db: sqlite3.Connection, user_id: int) -> dict[str, object]:
    """The `@me` object."""
    user = db.execute("SELECT * FROM users WHERE id = ?", (user_id,)).fetchone()
    current = db.execute("SELECT * FROM organizations WHERE id = ?", (user["current_organization"],)).fetchone()
    everywhere = db.execute("SELECT * FROM organizations ORDER BY name").fetchall()
    return {
        **user_summary(user),
        "date_joined": user["created_at"],
        "is_staff": False,
        "is_impersonated": False,
        "is_2fa_enabled": False,
        "has_password": True,
        "theme_mode": None,
        "team": _project(db, user["current_project"]),
        "organization": _organization(db, current),
        "organizations": [_membership(row) for row in everywhere],
    }


def user_summary(row: sqlite3.Row) -> dict[str, object]:
    """A user as shown inside other objects, for instance in `created_by`."""
    return {
        "id": row["id"],
        "uuid": row["uuid"],
        "distinct_id": row["distinct_id"],
        "first_name": row["first_name"],
        "last_name": row["last_name"],
        "email": row["email"],
        "is_email_verified": True,
        "hedgehog_config": None,
        "role_at_organization": "engineering",
    }


def _membership(row: sqlite3.Row) -> dict[str, object]:
    return {
        "id": row["id"],
        "name": row["name"],
        "slug": row["slug"],
        "logo_media_id": None,
        "membership_level": ADMIN,
    }


def _organization(db: sqlite3.Connection, row: sqlite3.Row) -> dict[str, object]:
    projects = db.execute("SELECT * FROM projects WHERE organization_id = ? ORDER BY id", (row["id"],)).fetchall()
    teams = [_project_fields(project) for project in projects]
    return {
        **_membership(row),
        "created_at": row["created_at"],
        "is_ai_data_processing_approved": bool(row["ai_approved"]),
        "teams": teams,
        "projects": teams,
    }


def _project(db: sqlite3.Connection, project: int) -> dict[str, object]:
    return _project_fields(db.execute("SELECT * FROM projects WHERE id = ?", (project,)).fetchone())


def _project_fields(row: sqlite3.Row) -> dict[str, object]:
    return {
        "id": row["id"],
        "uuid": row["uuid"],
        "organization": row["organization_id"],
        "name": row["name"],
        "timezone": row["timezone"],
        "is_demo": False,
        "access_control": False,
        "created_at": row["created_at"],
    }
