"""The MCP store's REST views: templates, installations, OAuth connecting, tools and approvals (contract 4.1 to 4.4)."""

from __future__ import annotations

import dataclasses
import html
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from app.workspace.accounts.credentials import authenticate_in_project
from app.workspace.pictures import letter_tile
from app.workspace.runtime.clock import iso
from app.workspace.runtime.context import workspace_of
from app.workspace.store.addresses import absolute, relative, url_problem
from app.workspace.store.catalogue import BY_ID, TEMPLATES, StoreTemplate
from app.workspace.store.oauth_client import (
    REDIRECT_PATH,
    ConnectFailed,
    begin,
    connect,
    finish,
    take_state,
)
from app.workspace.store.rows import (
    APPROVAL_STATES,
    StoreInstallation,
    add_installation,
    installation,
    installation_at,
    installations,
    save_connection,
    set_approval,
    tools,
)
from app.workspace.store.state import StoreState, StoreThrottles
from app.workspace.store.sync import SyncFailed, sync_quietly, sync_tools
from app.workspace.vendors.pages import PAGE_HEADERS
from app.workspace.web.errors import method_not_allowed, not_found, reply, validation
from app.workspace.web.fields import boolean, choice, identifier, json_object, required, text
from app.workspace.web.pagination import page, page_range

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from app.workspace.accounts.credentials import BearerGrant
    from app.workspace.runtime.context import Workspace

SCOPE = "project:read"
CALLBACK_SCHEMES = ("array", "posthog-code")
INSTALL_SOURCES = ("posthog", "posthog-code")
SCOPES = ("personal", "shared")
BASE = "/api/environments/{project_id}"
ONE = BASE + "/mcp_server_installations/{installation_id}"


class _Refused(Exception):
    """A refusal the views word as a bare `detail` (contract 4.3)."""

    def __init__(self, detail: str, status: int = 400) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status

    def response(self) -> Response:
        return reply({"detail": self.detail}, self.status)


def routes() -> list[BaseRoute]:
    """The store's routes; `/proxy/` is `app.workspace.store.proxy`'s."""
    many = BASE + "/mcp_server_installations"
    return [
        Route(f"{BASE}/mcp_servers/", _templates, methods=["GET"]),
        Route(f"{BASE}/mcp_servers/icon/", _icon, methods=["GET"]),
        Route(f"{many}/", _list, methods=["GET", "POST", "PUT"]),
        Route(f"{many}/install_template/", _install_template, methods=["POST"]),
        Route(f"{many}/install_custom/", _install_custom, methods=["POST"]),
        Route(f"{many}/authorize/", _authorize, methods=["GET"]),
        Route(f"{ONE}/", _one, methods=["GET", "PATCH", "DELETE"]),
        Route(f"{ONE}/share/", _share, methods=["POST"]),
        Route(f"{ONE}/unshare/", _unshare, methods=["POST"]),
        Route(f"{ONE}/tools/", _tools, methods=["GET"]),
        Route(f"{ONE}/tools/refresh/", _refresh, methods=["POST"]),
        Route(f"{ONE}/tools/{{tool_name}}/", _approve, methods=["PATCH"]),
        Route(REDIRECT_PATH, _oauth_redirect, methods=["GET"]),
        Route("/project/{project_id}/settings/mcp-servers", _settings_page, methods=["GET"]),
    ]


async def after_ready(workspace: Workspace) -> None:
    """List the tools of connected installations that have none yet, as after a first start."""

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


async def _project(request: Request) -> tuple[BearerGrant, int]:
    return await authenticate_in_project(request, SCOPE, challenge=True)


async def _wanted(request: Request) -> StoreInstallation:
    _grant, project = await _project(request)
    wanted = str(request.path_params["installation_id"])
    found = await workspace_of(request).db.read(lambda db: installation(db, project, wanted))
    if found is None:
        raise not_found()
    return found


def _throttles(workspace: Workspace) -> StoreThrottles:
    return workspace.state(StoreState).throttles


async def _templates(request: Request) -> Response:
    await _project(request)
    origin = workspace_of(request).settings.url
    return reply({"results": [template.as_json(origin) for template in TEMPLATES]})


async def _icon(request: Request) -> Response:
    await _project(request)
    domain = request.query_params.get("domain", "")[:253]
    picture = letter_tile(domain, dark=request.query_params.get("theme") == "dark")
    return Response(picture, media_type="image/png", headers={"Cache-Control": "private, max-age=86400"})


async def _list(request: Request) -> Response:
    _grant, project = await _project(request)
    if request.method in ("POST", "PUT"):
        raise method_not_allowed(request.method)
    workspace, asked = workspace_of(request), page_range(request)
    rows, count = await workspace.db.read(lambda db: installations(db, project, asked.limit, asked.offset))
    return page(request, [row.as_json(workspace.settings.url) for row in rows], count, asked)


async def _one(request: Request) -> Response:
    wanted, workspace = await _wanted(request), workspace_of(request)
    origin, now = workspace.settings.url, workspace.clock.now()
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
    return await _shown(workspace, wanted.project_id, wanted.id, origin)


async def _shown(workspace: Workspace, project: int, wanted: str, origin: str, status: int = 200) -> Response:
    found = await workspace.db.read(lambda db: installation(db, project, wanted))
    if found is None:
        raise not_found()
    return reply(found.as_json(origin), status)


async def _share(request: Request) -> Response:
    return await _rescope(request, "shared")


async def _unshare(request: Request) -> Response:
    return await _rescope(request, "personal")


async def _rescope(request: Request, scope: str) -> Response:
    wanted, workspace = await _wanted(request), workspace_of(request)
    if wanted.scope == scope:
        return _Refused(f"This server is already {scope}.", 409).response()
    query = "UPDATE store_installations SET scope = ?, updated_at = ? WHERE id = ?"
    values = (scope, iso(workspace.clock.now()), wanted.id)
    await workspace.db.run(lambda db: db.execute(query, values))
    return await _shown(workspace, wanted.project_id, wanted.id, workspace.settings.url)


async def _install_template(request: Request) -> Response:
    grant, project = await _project(request)
    workspace, body = workspace_of(request), await json_object(request)
    _throttles(workspace).check("oauth", str(grant.user_id), workspace.clock.now())
    wanted = identifier(body, "template_id") or str(required(body, "template_id"))
    try:
        template = BY_ID.get(wanted)
        if template is None:
            raise _Refused("Template not found", 404)
        plan = _Plan.of_template(template, text(body, "api_key", maximum=4000) or "")
        return await _install(workspace, project, body, plan)
    except _Refused as refusal:
        return refusal.response()


async def _install_custom(request: Request) -> Response:
    grant, project = await _project(request)
    workspace, body = workspace_of(request), await json_object(request)
    _throttles(workspace).check("oauth", str(grant.user_id), workspace.clock.now())
    required(body, "auth_type")
    origin = workspace.settings.url
    url = (text(body, "url", maximum=2000, needed=True, blank=False) or "").strip()
    problem = url_problem(url)
    if problem is None and relative(url, origin).startswith("self:/api/"):
        problem = "This address is the workspace's own API"
    if problem is not None:
        raise validation(f"URL not allowed: {problem}", "url")
    plan = _Plan(
        name=(text(body, "name", maximum=200, needed=True, blank=False) or "").strip(),
        url=relative(url, origin),
        auth_type=choice(body, "auth_type", ("api_key", "oauth")) or "api_key",
        api_key=text(body, "api_key", maximum=4000) or "",
        description=text(body, "description", maximum=2000) or "",
        client_id=text(body, "client_id", maximum=500) or "",
        client_secret=text(body, "client_secret", maximum=4000) or "",
        icon_domain=urlsplit(url).hostname or "",
    )
    try:
        return await _install(workspace, project, body, plan)
    except _Refused as refusal:
        return refusal.response()


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What is about to be installed; `url` as stored."""

    name: str
    url: str
    auth_type: str
    api_key: str
    description: str
    client_id: str
    client_secret: str
    icon_domain: str
    icon_key: str = ""
    template_id: str | None = None

    @classmethod
    def of_template(cls, template: StoreTemplate, api_key: str) -> _Plan:
        return cls(
            name=template.name,
            url=template.url,
            auth_type=template.auth_type,
            api_key=api_key,
            description=template.description,
            client_id=template.client_id,
            client_secret=template.client_secret,
            icon_domain=template.icon_domain,
            icon_key=template.icon_key,
            template_id=template.id,
        )


async def _install(workspace: Workspace, project: int, body: Mapping[str, object], plan: _Plan) -> Response:
    origin = workspace.settings.url
    callback = _callback(body.get("posthog_code_callback_url"))
    choice(body, "install_source", INSTALL_SOURCES)
    scope = choice(body, "scope", SCOPES) or "personal"
    if await workspace.db.read(lambda db: installation_at(db, project, plan.url)) is not None:
        raise _Refused("This server URL is already installed.")
    if plan.auth_type == "api_key":
        if not plan.api_key.strip():
            raise _Refused("api_key is required")
        if not plan.api_key.isascii() or not plan.api_key.isprintable():
            raise validation("Not a valid API key.", "api_key")
        new = await _add(workspace, project, plan, scope)
        workspace.background(sync_quietly(workspace, project, new))
        return await _shown(workspace, project, new, origin, 201)
    try:
        connection = await connect(workspace, absolute(plan.url, origin), plan.client_id, plan.client_secret)
    except ConnectFailed as trouble:
        raise _Refused(str(trouble)) from None
    new = await _add(workspace, project, plan, scope)

    def link(db: sqlite3.Connection) -> str | None:
        save_connection(db, new, connection)
        found = installation(db, project, new)
        return None if found is None else begin(workspace, db, found, callback)

    return reply({"redirect_url": await workspace.db.run(link)})


async def _add(workspace: Workspace, project: int, plan: _Plan, scope: str) -> str:
    def insert(db: sqlite3.Connection) -> str:
        if installation_at(db, project, plan.url) is not None:
            raise _Refused("This server URL is already installed.")
        return add_installation(
            db,
            project,
            workspace.clock.now(),
            name=plan.name,
            url=plan.url,
            auth_type=plan.auth_type,
            template_id=plan.template_id,
            description=plan.description,
            icon_key=plan.icon_key,
            icon_domain=plan.icon_domain,
            scope=scope,
            api_key=plan.api_key.strip(),
        )

    return await workspace.db.run(insert)


def _callback(value: object) -> str:
    """Where the browser may end: the app's own schemes, or plain localhost as in the original's dev mode."""
    if value is None or value == "":
        return ""
    if isinstance(value, str) and len(value) <= 2000 and value.isascii() and value.isprintable():
        try:
            parts = urlsplit(value)
            if parts.scheme in CALLBACK_SCHEMES or (parts.scheme == "http" and parts.hostname == "localhost"):
                return value
        except ValueError:
            pass
    raise _Refused("Invalid callback URL")


async def _authorize(request: Request) -> Response:
    grant, project = await _project(request)
    workspace, query = workspace_of(request), request.query_params
    _throttles(workspace).check("oauth", str(grant.user_id), workspace.clock.now())
    wanted, template_id = query.get("installation_id"), query.get("template_id")
    if (wanted is None) == (template_id is None):
        raise validation("Provide exactly one of installation_id or template_id.", "installation_id")
    try:
        callback = _callback(query.get("posthog_code_callback_url"))
        found = await _to_authorize(workspace, project, wanted, template_id)
        address = await _begin(workspace, found, callback)
    except _Refused as refusal:
        return refusal.response()
    if query.get("install_source") == "posthog-code":
        return reply({"redirect_url": address})
    return RedirectResponse(address, 302)


async def _to_authorize(
    workspace: Workspace, project: int, wanted: str | None, template_id: str | None
) -> StoreInstallation:
    if wanted is not None:
        found = await workspace.db.read(lambda db: installation(db, project, wanted))
        if found is None:
            raise not_found()
        return found
    template = BY_ID.get(template_id or "")
    if template is None:
        raise _Refused("Template not found", 404)
    found = await workspace.db.read(lambda db: installation_at(db, project, template.url))
    if found is not None:
        return found
    if template.auth_type != "oauth":
        raise _Refused("Installation is missing OAuth state — reinstall the server")
    new = await _add(workspace, project, _Plan.of_template(template, ""), "personal")
    found = await workspace.db.read(lambda db: installation(db, project, new))
    assert found is not None
    return found


async def _begin(workspace: Workspace, found: StoreInstallation, callback: str) -> str:
    if found.auth_type != "oauth":
        raise _Refused("Installation is missing OAuth state — reinstall the server")
    connection = found.connection
    if connection is None:
        template = BY_ID.get(found.template_id or "")
        known = (template.client_id, template.client_secret) if template is not None else ("", "")
        try:
            connection = await connect(workspace, absolute(found.url, workspace.settings.url), *known)
        except ConnectFailed as trouble:
            raise _Refused(str(trouble)) from None
    linked = dataclasses.replace(found, connection=connection)

    def link(db: sqlite3.Connection) -> str:
        if found.connection is None:
            save_connection(db, found.id, connection)
        if installation(db, found.project_id, found.id) is None:
            raise not_found()
        return begin(workspace, db, linked, callback)

    return await workspace.db.run(link)


async def _oauth_redirect(request: Request) -> Response:
    workspace, query = workspace_of(request), request.query_params
    now = workspace.clock.now()
    _throttles(workspace).check("redirect", request.client.host if request.client else "", now)
    state = query.get("state", "")
    pending = await workspace.db.run(lambda db: take_state(db, state, now))
    if pending is None:
        words = "This attempt to connect a server is too old or was already used. Start it again."
        return _plain_page("Not connected", words, 400)
    error = query.get("error")
    if error is not None:
        trouble = "cancelled" if error == "access_denied" else error[:100]
    elif not query.get("code"):
        trouble = "Missing authorization code"
    else:
        done = await finish(workspace, pending, query["code"], query.get("iss"))
        trouble = "" if done else "token_exchange_failed"
    if not trouble:
        workspace.background(sync_quietly(workspace, pending.project_id, pending.installation_id))
    if pending.callback:
        fields = {"status": "error", "error": trouble} if trouble else {"status": "success"}
        mark = "&" if urlsplit(pending.callback).query else "?"
        return RedirectResponse(f"{pending.callback}{mark}{urlencode(fields)}", 302, {"Cache-Control": "no-store"})
    mark = "oauth_error=true" if trouble else "oauth_complete=true"
    return RedirectResponse(f"/project/{pending.project_id}/settings/mcp-servers?{mark}", 302)


async def _settings_page(request: Request) -> Response:
    if "oauth_error" in request.query_params:
        return _plain_page("Not connected", "The server was not connected. Go back to the app to try again.")
    return _plain_page("Connected", "You can close this page and go back to the app.")


def _plain_page(title: str, words: str, status: int = 200) -> Response:
    style = (
        ":root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}"
        "body{min-height:90vh;display:grid;place-items:center}main{max-width:26rem;padding:2rem}"
    )
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{style}</style></head><body><main><h1>{html.escape(title)}</h1><p>{html.escape(words)}</p>"
        "</main></body></html>",
        status,
        PAGE_HEADERS,
    )


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
        return _Refused("Installation is disabled").response()
    try:
        await sync_tools(workspace, wanted)
    except SyncFailed:
        return _Refused("Could not refresh tools from the upstream MCP server", 502).response()
    return reply({"results": await workspace.db.read(lambda db: tools(db, wanted.id, False))})
