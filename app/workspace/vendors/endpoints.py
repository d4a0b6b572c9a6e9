"""The routes of the vendors: MCP endpoints behind their own credentials, authorization servers, metadata (RFC 9728).

They stand for third parties, so that the proxy has credentials of others behind it: nothing here accepts a token of
the workspace. Ledger lets clients register themselves, Timesheet knows one client that was registered by hand, Postbox
takes an API key.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.routing import Route

from app.workspace.accounts.credentials import bearer_of
from app.workspace.mcp.mount import McpMount, Principal, mounts_of
from app.workspace.runtime.context import workspace_of
from app.workspace.runtime.digests import digest
from app.workspace.vendors.authorization_server import VendorAuthorizationServer, live_token
from app.workspace.vendors.names import ISSUERS, POSTBOX, PREFIX, VENDORS, Vendor
from app.workspace.web.errors import reply
from app.workspace.web.pages import page

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable
    from typing import Any

    from mcp.server.mcpserver import MCPServer
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import Receive, Scope, Send

    from app.workspace.runtime.context import Workspace


def routes() -> list[BaseRoute]:
    """Metadata, authorization servers and MCP endpoints of all vendors."""
    found: list[BaseRoute] = []
    for issuer in ISSUERS:
        at = VendorAuthorizationServer(issuer)
        found += [
            Route(f"/.well-known/oauth-authorization-server{issuer.path}", at.metadata, methods=["GET"]),
            Route(f"{issuer.path}/.well-known/openid-configuration", at.metadata, methods=["GET"]),
            Route(f"{issuer.path}/authorize", at.authorize, methods=["GET"]),
            Route(f"{issuer.path}/authorize", at.decide, methods=["POST"]),
            Route(f"{issuer.path}/token", at.token, methods=["POST"]),
            Route(f"{issuer.path}/revoke", at.revoke, methods=["POST"]),
        ]
        if issuer.registers:
            found.append(Route(f"{issuer.path}/register", at.register, methods=["POST"]))
    found.append(Route(f"{PREFIX}/{POSTBOX.slug}/keys", _keys_page, methods=["GET", "POST"]))
    for vendor in VENDORS.values():
        found.append(Route(vendor.path, VendorEndpoint(vendor)))
        if vendor.issuer is not None:
            found.append(
                Route(f"/.well-known/oauth-protected-resource{vendor.path}", _resource_view(vendor), methods=["GET"])
            )
    return found


def startup(workspace: Workspace) -> None:
    """Mount the vendors' endpoints. Their servers are built at first use."""
    mounts = mounts_of(workspace)
    for slug in VENDORS:
        mounts[slug] = McpMount(workspace, _builder(slug))


def _builder(slug: str) -> Callable[[Workspace], MCPServer[Any]]:
    def build(workspace: Workspace) -> MCPServer[Any]:
        from app.workspace.vendors import tools

        return tools.BUILDERS[slug](workspace)

    return build


class VendorEndpoint:
    """The MCP endpoint of one vendor, behind the vendor's own credentials."""

    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        workspace = workspace_of(request)
        principal = await self._principal(workspace, bearer_of(request))
        if principal is None:
            await self._refusal(workspace)(scope, receive, send)
            return
        await mounts_of(workspace)[self._vendor.slug].serve(scope, receive, send, principal)

    async def _principal(self, workspace: Workspace, credential: str | None) -> Principal | None:
        if credential is None:
            return None
        vendor, now = self._vendor, workspace.clock.now()
        if vendor.issuer is None:
            known = await workspace.db.read(lambda db: _key_is_known(db, vendor.slug, credential))
            return Principal(digest(credential), frozenset()) if known else None
        issuer = vendor.issuer.path
        row = await workspace.db.read(lambda db: live_token(db, issuer, "access", credential, now))
        return None if row is None else Principal(row["family"], frozenset(str(row["scope"]).split()))

    def _refusal(self, workspace: Workspace) -> Response:
        vendor = self._vendor
        if vendor.issuer is None:
            return reply({"error": "invalid_api_key", "message": f"{vendor.name} does not know this API key."}, 401)
        metadata = f"{workspace.settings.url}/.well-known/oauth-protected-resource{vendor.path}"
        challenge = f'Bearer error="invalid_token", resource_metadata="{metadata}"'
        body = {"error": "invalid_token", "error_description": "The access token is missing, expired or revoked."}
        return reply(body, 401, {"WWW-Authenticate": challenge})


def _resource_view(vendor: Vendor) -> Callable[[Request], Awaitable[Response]]:
    async def metadata(request: Request) -> Response:
        assert vendor.issuer is not None
        origin = workspace_of(request).settings.url
        return reply(
            {
                "resource": origin + vendor.path,
                "resource_name": vendor.name,
                "authorization_servers": [origin + vendor.issuer.path],
                "scopes_supported": [scope for scope, _words in vendor.issuer.scopes],
                "bearer_methods_supported": ["header"],
            }
        )

    return metadata


def _key_is_known(db: sqlite3.Connection, slug: str, key: str) -> bool:
    query = "SELECT 1 FROM vendor_api_keys WHERE key_hash = ? AND vendor = ?"
    return db.execute(query, (digest(key), slug)).fetchone() is not None


def issue_api_key(db: sqlite3.Connection, vendor: Vendor) -> str:
    """A new API key of a vendor. Only its digest is stored."""
    key = f"{vendor.slug[:3]}_{secrets.token_urlsafe(24)}"
    db.execute("INSERT INTO vendor_api_keys VALUES (?, ?)", (digest(key), vendor.slug))
    return key


async def _keys_page(request: Request) -> Response:
    """Postbox's own settings page, where a person creates the API key that the store asks for."""
    if request.method == "GET":
        form = '<form method="post"><div class="buttons"><button value="approve">Create a key</button></div></form>'
        return page(f"{POSTBOX.name}: API keys", "A key lets an application read and send your mail.", form)
    key = await workspace_of(request).db.run(lambda db: issue_api_key(db, POSTBOX))
    words = "Copy it now; it is not shown again."
    return page(f"{POSTBOX.name}: your new key", words, f"<p><code>{key}</code></p>")
