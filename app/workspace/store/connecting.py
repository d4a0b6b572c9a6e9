"""Installing MCP servers and connecting those with OAuth (docs/wire.md, "Installing and connecting")."""

from __future__ import annotations

import dataclasses
import html
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from app.workspace.runtime.context import workspace_of
from app.workspace.store.addresses import absolute, relative, url_problem
from app.workspace.store.catalogue import BY_ID, StoreTemplate
from app.workspace.store.common import INSTALLATIONS, StoreRefusal, installation_reply, store_caller
from app.workspace.store.oauth_client import (
    REDIRECT_PATH,
    ConnectFailed,
    begin,
    connect,
    finish,
    take_state,
)
from app.workspace.store.rows import (
    StoreInstallation,
    add_installation,
    installation,
    installation_at,
    save_connection,
)
from app.workspace.store.state import StoreState
from app.workspace.store.sync import sync_quietly
from app.workspace.web.errors import not_found, reply, validation
from app.workspace.web.fields import choice, identifier, json_object, required, text
from app.workspace.web.pages import PAGE_HEADERS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from app.workspace.runtime.context import Workspace

# Of PostHog's own applications (docs/wire.md, "Installing and connecting").
CALLBACK_SCHEMES = ("array", "posthog-code")
INSTALL_SOURCES = ("posthog", "posthog-code")
SCOPES = ("personal", "shared")


def routes() -> list[BaseRoute]:
    """They come before those of `views`, whose path of one installation would match them too."""
    return [
        Route(f"{INSTALLATIONS}/install_template/", _install_template, methods=["POST"]),
        Route(f"{INSTALLATIONS}/install_custom/", _install_custom, methods=["POST"]),
        Route(f"{INSTALLATIONS}/authorize/", _authorize, methods=["GET"]),
        Route(REDIRECT_PATH, _oauth_redirect, methods=["GET"]),
        Route("/project/{project_id}/settings/mcp-servers", _settings_page, methods=["GET"]),
    ]


async def _install_template(request: Request) -> Response:
    grant, project = await store_caller(request)
    workspace, body = workspace_of(request), await json_object(request)
    workspace.state(StoreState).throttles.check("oauth", str(grant.user_id), workspace.clock.now())
    wanted = identifier(body, "template_id") or str(required(body, "template_id"))
    try:
        template = BY_ID.get(wanted)
        if template is None:
            raise StoreRefusal("Template not found", 404)
        plan = _Plan.of_template(template, text(body, "api_key", maximum=4000) or "")
        return await _install(workspace, project, body, plan)
    except StoreRefusal as refusal:
        return refusal.response()


async def _install_custom(request: Request) -> Response:
    grant, project = await store_caller(request)
    workspace, body = workspace_of(request), await json_object(request)
    workspace.state(StoreState).throttles.check("oauth", str(grant.user_id), workspace.clock.now())
    required(body, "auth_type")
    origin = workspace.settings.url
    url = (text(body, "url", maximum=2000, needed=True, blank=False) or "").strip()
    problem = url_problem(url)
    # The proxy could be made to call itself.
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
    except StoreRefusal as refusal:
        return refusal.response()


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What is to be installed. `url` in the form that is stored."""

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
        raise StoreRefusal("This server URL is already installed.")
    if plan.auth_type == "api_key":
        if not plan.api_key.strip():
            raise StoreRefusal("api_key is required")
        if not plan.api_key.isascii() or not plan.api_key.isprintable():
            raise validation("Not a valid API key.", "api_key")
        new = await _add(workspace, project, plan, scope)
        workspace.background(sync_quietly(workspace, project, new))
        return await installation_reply(workspace, project, new, 201)
    # Discovery and registration come first: a server that cannot be connected leaves no installation behind.
    try:
        connection = await connect(workspace, absolute(plan.url, origin), plan.client_id, plan.client_secret)
    except ConnectFailed as trouble:
        raise StoreRefusal(str(trouble)) from None
    new = await _add(workspace, project, plan, scope)

    def link(db: sqlite3.Connection) -> str | None:
        save_connection(db, new, connection)
        found = installation(db, project, new)
        return None if found is None else begin(workspace, db, found, callback)

    return reply({"redirect_url": await workspace.db.run(link)})


async def _add(workspace: Workspace, project: int, plan: _Plan, scope: str) -> str:
    def insert(db: sqlite3.Connection) -> str:
        # Checked again inside the transaction: another request may have installed it while this one was discovering.
        if installation_at(db, project, plan.url) is not None:
            raise StoreRefusal("This server URL is already installed.")
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
    """Where the browser may be sent at the end, or an empty string for the workspace's own page.

    PostHog accepts the schemes of its own application, and http on localhost in its development mode.
    """
    if value is None or value == "":
        return ""
    if isinstance(value, str) and len(value) <= 2000 and value.isascii() and value.isprintable():
        try:
            parts = urlsplit(value)
            if parts.scheme in CALLBACK_SCHEMES or (parts.scheme == "http" and parts.hostname == "localhost"):
                return value
        except ValueError:
            pass
    raise StoreRefusal("Invalid callback URL")


async def _authorize(request: Request) -> Response:
    grant, project = await store_caller(request)
    workspace, query = workspace_of(request), request.query_params
    workspace.state(StoreState).throttles.check("oauth", str(grant.user_id), workspace.clock.now())
    wanted, template_id = query.get("installation_id"), query.get("template_id")
    if (wanted is None) == (template_id is None):
        raise validation("Provide exactly one of installation_id or template_id.", "installation_id")
    try:
        callback = _callback(query.get("posthog_code_callback_url"))
        found = await _to_authorize(workspace, project, wanted, template_id)
        address = await _begin(workspace, found, callback)
    except StoreRefusal as refusal:
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
        raise StoreRefusal("Template not found", 404)
    found = await workspace.db.read(lambda db: installation_at(db, project, template.url))
    if found is not None:
        return found
    if template.auth_type != "oauth":
        raise StoreRefusal("Installation is missing OAuth state — reinstall the server")
    new = await _add(workspace, project, _Plan.of_template(template, ""), "personal")
    found = await workspace.db.read(lambda db: installation(db, project, new))
    assert found is not None
    return found


async def _begin(workspace: Workspace, found: StoreInstallation, callback: str) -> str:
    if found.auth_type != "oauth":
        raise StoreRefusal("Installation is missing OAuth state — reinstall the server")
    connection = found.connection
    if connection is None:
        template = BY_ID.get(found.template_id or "")
        known = (template.client_id, template.client_secret) if template is not None else ("", "")
        try:
            connection = await connect(workspace, absolute(found.url, workspace.settings.url), *known)
        except ConnectFailed as trouble:
            raise StoreRefusal(str(trouble)) from None
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
    workspace.state(StoreState).throttles.check("redirect", request.client.host if request.client else "", now)
    state = query.get("state", "")
    # Used up before anything else is looked at, so that an answer counts once, whatever it says.
    pending = await workspace.db.run(lambda db: take_state(db, state, now))
    if pending is None:
        words = "This link has expired or was already used. Go back to the app and start again."
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
