"""The workspace's own MCP endpoint at /mcp and its authentication (docs/wire.md, "The host's MCP endpoint").

Streamable HTTP. Revisions with a handshake have sessions but no listen stream (GET is 405); revision 2026-07-28 has
`subscriptions/listen` and no sessions.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from app.workspace.accounts.credentials import ACCESS_PREFIX, PERSONAL_PREFIX, bearer_of, challenge_header, grant_of
from app.workspace.mcp.mount import WORKSPACE, McpMount, Principal, header, mounts_of
from app.workspace.mcp.scopes import refusal, replayed, scope_of_call
from app.workspace.mcp.state import McpState
from app.workspace.runtime.context import workspace_of
from app.workspace.web.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from mcp.server.mcpserver import MCPServer
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import Receive, Scope, Send

    from app.workspace.accounts.credentials import BearerGrant
    from app.workspace.mcp.server import WorkspaceMcpServer
    from app.workspace.runtime.context import Workspace

PATH = "/mcp"
LISTEN = "subscriptions/listen"
ENTRY_SCOPE = "project:read"
# Clients go by how these begin (docs/wire.md, "The host's MCP endpoint").
NO_TOKEN = "No token provided, please provide a valid API token."
BAD_PREFIX = "Invalid token, please provide a valid API token"
INACTIVE_TOKEN = "OAuth token is inactive"
BAD_KEY = "Invalid API key"


def routes() -> list[BaseRoute]:
    """The MCP endpoint."""
    return [Route(PATH, WorkspaceEndpoint()), Route(f"{PATH}/", WorkspaceEndpoint())]


def startup(workspace: Workspace) -> None:
    """Mount the endpoint. Its server is built at first use."""
    mounts_of(workspace)[WORKSPACE] = McpMount(workspace, _build)


async def after_ready(workspace: Workspace) -> None:
    """Import the SDK in a thread now, so that the first request does not wait for it."""
    await mounts_of(workspace)[WORKSPACE].server()


def _build(workspace: Workspace) -> MCPServer[Any]:
    from app.workspace.mcp.build import build_workspace_server

    return build_workspace_server(workspace)


class WorkspaceEndpoint:
    """The endpoint behind the workspace's own credentials."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        workspace = workspace_of(request)
        mount = mounts_of(workspace)[WORKSPACE]
        admitted = await _admit(workspace, bearer_of(request))
        if isinstance(admitted, Principal) and admitted.grant is not None and request.method == "POST":
            # Before the SDK sees the call, so that the tool has not begun when its scope turns out to be missing.
            body = await request.body()
            receive = replayed(body, receive)
            server = cast("WorkspaceMcpServer", await mount.server())
            admitted = refusal(admitted.grant, scope_of_call(body, server.scopes)) or admitted
        if not isinstance(admitted, Principal):
            await admitted(scope, receive, send)
            return
        with _listener(workspace.state(McpState), scope):
            await mount.serve(scope, receive, send, admitted)


@contextmanager
def _listener(state: McpState, scope: Scope) -> Iterator[None]:
    """Note the client's address while a listen stream is open, so that the fault switchboard can break it."""
    client = scope.get("client")
    if client is None or header(scope, "mcp-method") != LISTEN:
        yield
        return
    state.listeners.add(tuple(client))
    try:
        yield
    finally:
        state.listeners.discard(tuple(client))


async def _admit(workspace: Workspace, credential: str | None) -> Principal | Response:
    challenge = challenge_header(workspace, PATH)
    if credential is None:
        return PlainTextResponse(NO_TOKEN, 401, {"WWW-Authenticate": challenge})
    if not credential.startswith((ACCESS_PREFIX, PERSONAL_PREFIX)):
        return PlainTextResponse(BAD_PREFIX, 401, {"WWW-Authenticate": challenge})
    try:
        grant = await grant_of(workspace, credential)
    except ApiError:
        words = INACTIVE_TOKEN if credential.startswith(ACCESS_PREFIX) else BAD_KEY
        return PlainTextResponse(words, 401, {"WWW-Authenticate": f'{challenge}, error="invalid_token"'})
    return refusal(grant, ENTRY_SCOPE) or Principal(_session_key(workspace, grant), grant.scopes, grant)


def _session_key(workspace: Workspace, grant: BearerGrant) -> str:
    """What a session is bound to: the user and client, so that it outlives a refresh.

    With the switch `bind_sessions_to_token` it is the token itself, as at PostHog.
    """
    if workspace.state(McpState).bind_sessions_to_token:
        return grant.credential
    return f"{grant.user_id}:{grant.client_id or 'personal'}"


async def offer_extra_tool(workspace: Workspace, offered: bool) -> None:
    """Add one tool to the list, or take it away, and tell the listeners."""
    from app.workspace.mcp.server import WorkspaceMcpServer

    server = await mounts_of(workspace)[WORKSPACE].server()
    assert isinstance(server, WorkspaceMcpServer)
    await server.offer_extra_tool(offered)
