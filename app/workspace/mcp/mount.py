"""MCP servers built with the SDK, served by the workspace over Streamable HTTP in both protocol eras.

The SDK takes about a second to import, so a mount builds its server in a thread, when it is first used.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from app.workspace.runtime.import_thread import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mcp.server.mcpserver import MCPServer
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from starlette.types import Receive, Scope, Send

    from app.workspace.accounts.credentials import BearerGrant
    from app.workspace.runtime.context import Workspace

SESSION_IDLE_SECONDS = 1800.0
GRANT_KEY = "workspace.grant"
WORKSPACE = "workspace"


@dataclass(frozen=True)
class Principal:
    """An authenticated caller.

    The SDK lets only callers with the same `key` use a session. `scopes` and `grant` are what tools look at.
    """

    key: str
    scopes: frozenset[str]
    grant: BearerGrant | None = None


class McpMount:
    """One MCP server of the workspace."""

    def __init__(self, workspace: Workspace, build: Callable[[Workspace], MCPServer[Any]]) -> None:
        self._workspace = workspace
        self._build = build
        self._ready: asyncio.Future[tuple[MCPServer[Any], StreamableHTTPSessionManager]] | None = None

    async def server(self) -> MCPServer[Any]:
        """The SDK's server, built and running."""
        return (await self._started())[0]

    async def serve(self, scope: Scope, receive: Receive, send: Send, principal: Principal) -> None:
        """Answer one request of an authenticated caller. GET, the listen stream of older revisions, is refused."""
        if scope["method"] not in ("POST", "DELETE"):
            await Response(status_code=405, headers={"Allow": "POST, DELETE"})(scope, receive, send)
            return
        _server, manager = await self._started()
        scope["user"] = _user(principal)
        scope[GRANT_KEY] = principal.grant
        await manager.handle_request(scope, receive, send)

    async def _started(self) -> tuple[MCPServer[Any], StreamableHTTPSessionManager]:
        # Callers wait for one start together; one that failed is tried again by the next caller.
        if self._ready is None or (self._ready.done() and self._ready.exception() is not None):
            self._ready = asyncio.get_running_loop().create_future()
            self._workspace.background(self._run(self._ready))
        return await asyncio.shield(self._ready)

    async def _run(self, ready: asyncio.Future[tuple[MCPServer[Any], StreamableHTTPSessionManager]]) -> None:
        try:
            server, manager = await in_thread(lambda: _assemble(self._build(self._workspace)))
            # The SDK wants its context opened and closed by one task, and this one lives as long as the workspace.
            async with manager.run():
                ready.set_result((server, manager))
                await self._workspace.stopping.wait()
        except Exception as trouble:
            logging.getLogger(__name__).exception("An MCP server of the workspace stopped")
            if not ready.done():
                ready.set_exception(trouble)
        finally:
            if not ready.done():
                ready.cancel()


class McpMounts(dict[str, McpMount]):
    """The mounts of a running workspace: its own MCP server under `WORKSPACE`, each vendor's under its slug."""


def mounts_of(workspace: Workspace) -> McpMounts:
    return workspace.state(McpMounts)


def _assemble(server: MCPServer[Any]) -> tuple[MCPServer[Any], StreamableHTTPSessionManager]:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    logging.getLogger("mcp").setLevel(logging.WARNING)
    manager = StreamableHTTPSessionManager(server._lowlevel_server, session_idle_timeout=SESSION_IDLE_SECONDS)
    return server, manager


def _user(principal: Principal) -> object:
    from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
    from mcp.server.auth.provider import AccessToken

    # The SDK binds a session to the client id of its caller. It needs no token, so it gets none.
    return AuthenticatedUser(AccessToken(token="", client_id=principal.key, scopes=sorted(principal.scopes)))


def header(scope: Scope, name: str) -> str | None:
    """One request header of an ASGI scope, by its lower-case name."""
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    wanted = name.encode("ascii")
    return next((value.decode("latin-1") for key, value in headers if key == wanted), None)
