"""The workspace's own MCP endpoint at /mcp: who may enter, in the shapes of contract 2.3.

The tools behind it are in `app.workspace.mcp.server`. Streamable HTTP with sessions and without a listen stream (GET is
405) for the handshake revisions; without sessions and with `subscriptions/listen` for 2026-07-28.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from app.workspace.accounts.credentials import ACCESS_PREFIX, PERSONAL_PREFIX, bearer_of, challenge_header, grant_of
from app.workspace.mcp.mount import McpMount, Principal, header
from app.workspace.mcp.scopes import once_more, refusal, scope_of_call
from app.workspace.runtime.context import workspace_of
from app.workspace.store.state import UPSTREAM_SECONDS, ToolFailure, runtime_of
from app.workspace.web.envelope import ApiError, boolean, choice, integer, number
from app.workspace.web.guard import cut

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from mcp.server.mcpserver import MCPServer
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import Receive, Scope, Send

    from app.workspace.accounts.credentials import Grant
    from app.workspace.mcp.server import WorkspaceServer
    from app.workspace.runtime.context import Workspace
    from app.workspace.store.state import StoreRuntime

PATH = "/mcp"
LISTEN = "subscriptions/listen"
ENTRY_SCOPE = "project:read"
NO_TOKEN = "No token provided, please provide a valid API token."
BAD_PREFIX = "Invalid token, please provide a valid API token"
INACTIVE_TOKEN = "OAuth token is inactive"
BAD_KEY = "Invalid API key"


def routes() -> list[BaseRoute]:
    """The MCP endpoint."""
    return [Route(PATH, WorkspaceEndpoint()), Route(f"{PATH}/", WorkspaceEndpoint())]


async def startup(workspace: Workspace) -> None:
    """Put the endpoint's switches on the fault switchboard."""
    runtime = runtime_of(workspace)
    runtime.mounts["workspace"] = McpMount(workspace, _build)

    def reset() -> None:
        runtime.reset()
        workspace.background(_offer_extra_tool(workspace, False))

    workspace.faults.register("mcp", _fault, reset)


async def after_ready(workspace: Workspace) -> None:
    """Import the SDK in a thread now, so that the first request does not wait for it."""
    await runtime_of(workspace).mounts["workspace"].server()


def _build(workspace: Workspace) -> MCPServer[Any]:
    from app.workspace.mcp.server import build_workspace_server

    return build_workspace_server(workspace)


class WorkspaceEndpoint:
    """The endpoint behind the workspace's own credentials."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        workspace = workspace_of(request)
        runtime = runtime_of(workspace)
        mount = runtime.mounts["workspace"]
        admitted = await _admit(workspace, bearer_of(request))
        if isinstance(admitted, Principal) and admitted.grant is not None and request.method == "POST":
            body = await request.body()
            receive = once_more(body, receive)
            server = cast("WorkspaceServer", await mount.server())
            admitted = refusal(admitted.grant, scope_of_call(body, server.scopes)) or admitted
        if not isinstance(admitted, Principal):
            await admitted(scope, receive, send)
            return
        with _listener(runtime, scope):
            await mount.serve(scope, receive, send, admitted)


@contextmanager
def _listener(runtime: StoreRuntime, scope: Scope) -> Iterator[None]:
    """Have it known meanwhile whose request is a listen stream, so that the switchboard can cut it."""
    client = scope.get("client")
    if client is None or header(scope, "mcp-method") != LISTEN:
        yield
        return
    runtime.listeners.add(tuple(client))
    try:
        yield
    finally:
        runtime.listeners.discard(tuple(client))


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


def _session_key(workspace: Workspace, grant: Grant) -> str:
    """Whose a session is: the person's with this client, or this token's only where the switch says so."""
    if runtime_of(workspace).bind_sessions_to_token:
        return grant.credential
    return f"{grant.user_id}:{grant.client_id or 'personal'}"


async def _fault(workspace: Workspace, body: dict[str, object]) -> object:
    """`POST /_faults/mcp`: switches of the MCP parts; answers with how they stand.

    `tool_authentication_failed` {n}: the next n tool calls at /mcp answer 200 with a JSON-RPC `error`
    (`shape` "error") or an `isError` result (`shape` "result") that says `authentication_failed`.
    `bind_sessions_to_token`: a session answers 404 to a renewed token. `throttles` false lifts the limits of
    the proxy and of connecting. `upstream_seconds`: how long the proxy waits for a server. `extra_tool`: the list of
    tools at /mcp has one more, and who listens is told. `cut_listeners` true breaks every listen stream there.
    """
    runtime = runtime_of(workspace)
    times = integer(body, "tool_authentication_failed", minimum=0, maximum=1_000_000)
    shape = choice(body, "shape", ("error", "result"))
    if times is not None:
        runtime.tool_failure = ToolFailure(times, shape or "error")
    bound = boolean(body, "bind_sessions_to_token")
    if bound is not None:
        runtime.bind_sessions_to_token = bound
    throttles = boolean(body, "throttles")
    if throttles is not None:
        runtime.throttles.lifted = not throttles
    seconds = number(body, "upstream_seconds", minimum=0.05, maximum=UPSTREAM_SECONDS)
    if seconds is not None:
        runtime.upstream_seconds = seconds
    extra = boolean(body, "extra_tool")
    if extra is not None:
        await _offer_extra_tool(workspace, extra)
    if boolean(body, "cut_listeners"):
        for client in tuple(runtime.listeners):
            cut(client)
    return {
        "tool_authentication_failed": runtime.tool_failure.times,
        "shape": runtime.tool_failure.shape,
        "bind_sessions_to_token": runtime.bind_sessions_to_token,
        "throttles": not runtime.throttles.lifted,
        "upstream_seconds": runtime.upstream_seconds,
        "reports_running": runtime.reports_running,
        "reports_cancelled": runtime.reports_cancelled,
        "extra_tool": runtime.extra_tool,
        "listeners": len(runtime.listeners),
    }


async def _offer_extra_tool(workspace: Workspace, offered: bool) -> None:
    from app.workspace.mcp.server import WorkspaceServer

    server = await runtime_of(workspace).mounts["workspace"].server()
    assert isinstance(server, WorkspaceServer)
    await server.offer_extra_tool(offered)
