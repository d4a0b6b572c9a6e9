"""REST views of the store's templates, installations and their tools (docs/wire.md, "MCP store")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

from app.workspace.pictures import letter_tile
from app.workspace.runtime.clock import iso
from app.workspace.runtime.context import workspace_of
from app.workspace.store.catalogue import TEMPLATES
from app.workspace.store.common import BASE, INSTALLATIONS, StoreRefusal, installation_reply, store_caller
from app.workspace.store.rows import (
    APPROVAL_STATES,
    StoreInstallation,
    installation,
    installations,
    set_approval,
    tools,
)
from app.workspace.store.sync import SyncFailed, sync_quietly, sync_tools
from app.workspace.web.errors import method_not_allowed, not_found, reply
from app.workspace.web.fields import boolean, choice, json_object, required, text
from app.workspace.web.pagination import page, page_range

if TYPE_CHECKING:
    import sqlite3

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from app.workspace.runtime.context import Workspace

ONE = f"{INSTALLATIONS}/{{installation_id}}"


def routes() -> list[BaseRoute]:
    """The routes of this module, in matching order."""
    return [
        Route(f"{BASE}/mcp_servers/", _templates, methods=["GET"]),
        Route(f"{BASE}/mcp_servers/icon/", _icon, methods=["GET"]),
        Route(f"{INSTALLATIONS}/", _list, methods=["GET", "POST", "PUT"]),
        Route(f"{ONE}/", _one, methods=["GET", "PATCH", "DELETE"]),
        Route(f"{ONE}/share/", _share, methods=["POST"]),
        Route(f"{ONE}/unshare/", _unshare, methods=["POST"]),
        Route(f"{ONE}/tools/", _tools, methods=["GET"]),
        Route(f"{ONE}/tools/refresh/", _refresh, methods=["POST"]),
        Route(f"{ONE}/tools/{{tool_name}}/", _approve, methods=["PATCH"]),
    ]


async def after_ready(workspace: Workspace) -> None:
    """Fetch the tools of connected installations that have none yet; after the first start that is every one."""

    def fresh(db: sqlite3.Connection) -> list[tuple[int, str]]:
        rows = db.execute(
            "SELECT i.project_id, i.id FROM store_installations i"
            " LEFT JOIN store_connections c ON c.installation_id = i.id WHERE i.is_enabled"
            " AND (i.auth_type = 'api_key' OR c.access_token != '')"
            " AND NOT EXISTS (SELECT 1 FROM store_tools t WHERE t.installation_id = i.id)"
        )
        return [(row[0], row[1]) for row in rows.fetchall()]

    for project, wanted in await workspace.db.read(fresh):
        await sync_quietly(workspace, project, wanted)


async def _wanted(request: Request) -> StoreInstallation:
    _grant, project = await store_caller(request)
    wanted = str(request.path_params["installation_id"])
    found = await workspace_of(request).db.read(lambda db: installation(db, project, wanted))
    if found is None:
        raise not_found()
    return found


async def _templates(request: Request) -> Response:
    await store_caller(request)
    origin = workspace_of(request).settings.url
    return reply({"results": [template.as_json(origin) for template in TEMPLATES]})


async def _icon(request: Request) -> Response:
    await store_caller(request)
    domain = request.query_params.get("domain", "")[:253]
    picture = letter_tile(domain, dark=request.query_params.get("theme") == "dark")
    return Response(picture, media_type="image/png", headers={"Cache-Control": "private, max-age=86400"})


async def _list(request: Request) -> Response:
    _grant, project = await store_caller(request)
    if request.method in ("POST", "PUT"):
        raise method_not_allowed(request.method)
    workspace, asked = workspace_of(request), page_range(request)
    rows, count = await workspace.db.read(lambda db: installations(db, project, asked.limit, asked.offset))
    return page(request, [row.as_json(workspace.settings.url) for row in rows], count, asked)


async def _one(request: Request) -> Response:
    wanted, workspace = await _wanted(request), workspace_of(request)
    now = workspace.clock.now()
    if request.method == "DELETE":
        query = "DELETE FROM store_installations WHERE id = ?"
        await workspace.db.run(lambda db: db.execute(query, (wanted.id,)))
        return Response(status_code=204)
    if request.method == "PATCH":
        body = await json_object(request)
        display_name = text(body, "display_name", maximum=200)
        description = text(body, "description", maximum=2000)
        enabled = boolean(body, "is_enabled")

        def store(db: sqlite3.Connection) -> None:
            db.execute(
                "UPDATE store_installations SET display_name = coalesce(?, display_name),"
                " description = coalesce(?, description), is_enabled = coalesce(?, is_enabled), updated_at = ?"
                " WHERE id = ?",
                (display_name, description, enabled, iso(now), wanted.id),
            )

        await workspace.db.run(store)
    return await installation_reply(workspace, wanted.project_id, wanted.id)


async def _share(request: Request) -> Response:
    return await _rescope(request, "shared")


async def _unshare(request: Request) -> Response:
    return await _rescope(request, "personal")


async def _rescope(request: Request, scope: str) -> Response:
    wanted, workspace = await _wanted(request), workspace_of(request)
    if wanted.scope == scope:
        return StoreRefusal(f"This server is already {scope}.", 409).response()
    query = "UPDATE store_installations SET scope = ?, updated_at = ? WHERE id = ?"
    values = (scope, iso(workspace.clock.now()), wanted.id)
    await workspace.db.run(lambda db: db.execute(query, values))
    return await installation_reply(workspace, wanted.project_id, wanted.id)


async def _tools(request: Request) -> Response:
    wanted = await _wanted(request)
    removed = request.query_params.get("include_removed", "") in ("1", "true", "True")
    return reply({"results": await workspace_of(request).db.read(lambda db: tools(db, wanted.id, removed))})


async def _approve(request: Request) -> Response:
    wanted, workspace = await _wanted(request), workspace_of(request)
    body = await json_object(request)
    required(body, "approval_state")
    state = choice(body, "approval_state", APPROVAL_STATES) or ""
    name, now = str(request.path_params["tool_name"]), workspace.clock.now()
    changed = await workspace.db.run(lambda db: set_approval(db, wanted.id, name, state, now))
    if changed is None:
        raise not_found()
    return reply(changed)


async def _refresh(request: Request) -> Response:
    wanted, workspace = await _wanted(request), workspace_of(request)
    if not wanted.is_enabled:
        return StoreRefusal("Installation is disabled").response()
    try:
        await sync_tools(workspace, wanted)
    except SyncFailed:
        return StoreRefusal("Could not refresh tools from the upstream MCP server", 502).response()
    return reply({"results": await workspace.db.read(lambda db: tools(db, wanted.id, False))})
