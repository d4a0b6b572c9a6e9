"""The switches of the MCP parts: the workspace's endpoint, the store and its proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.workspace.mcp.endpoint import offer_extra_tool
from app.workspace.mcp.state import McpState, ToolFailure
from app.workspace.store.state import UPSTREAM_SECONDS, StoreState
from app.workspace.web.fields import boolean, choice, integer, number
from app.workspace.web.guard import abort_connection

if TYPE_CHECKING:
    from app.workspace.runtime.context import Workspace


async def switch(workspace: Workspace, body: dict[str, object]) -> object:
    """`POST /_faults/mcp`: changes the switches that the body names; answers with all of them.

    - `tool_authentication_failed`, a number: so many of the next tool calls at /mcp answer 200 with a failure that says
      `authentication_failed`: a JSON-RPC `error` (`shape` "error") or an `isError` result (`shape` "result").
    - `bind_sessions_to_token`: an MCP session answers 404 to a refreshed token.
    - `throttles`: false lifts the limits of the proxy and of connecting servers.
    - `upstream_seconds`: how long the proxy waits for a server.
    - `extra_tool`: /mcp lists one tool more, and listeners are notified.
    - `cut_listeners`: true closes every listen stream at /mcp.
    """
    mcp, store = workspace.state(McpState), workspace.state(StoreState)
    times = integer(body, "tool_authentication_failed", minimum=0, maximum=1_000_000)
    shape = choice(body, "shape", ("error", "result"))
    if times is not None:
        mcp.tool_failure = ToolFailure(times, shape or "error")
    bound = boolean(body, "bind_sessions_to_token")
    if bound is not None:
        mcp.bind_sessions_to_token = bound
    throttles = boolean(body, "throttles")
    if throttles is not None:
        store.throttles.lifted = not throttles
    seconds = number(body, "upstream_seconds", minimum=0.05, maximum=UPSTREAM_SECONDS)
    if seconds is not None:
        store.upstream_seconds = seconds
    extra = boolean(body, "extra_tool")
    if extra is not None:
        await offer_extra_tool(workspace, extra)
    if boolean(body, "cut_listeners"):
        for client in tuple(mcp.listeners):
            abort_connection(client)
    return {
        "tool_authentication_failed": mcp.tool_failure.times,
        "shape": mcp.tool_failure.shape,
        "bind_sessions_to_token": mcp.bind_sessions_to_token,
        "throttles": not store.throttles.lifted,
        "upstream_seconds": store.upstream_seconds,
        "reports_running": mcp.reports_running,
        "reports_cancelled": mcp.reports_cancelled,
        "extra_tool": mcp.extra_tool,
        "listeners": len(mcp.listeners),
    }


def reset(workspace: Workspace) -> None:
    """Turn all switches off. Taking the extra tool away may import the SDK, so that happens in the background."""
    workspace.state(McpState).reset()
    workspace.state(StoreState).reset()
    workspace.background(offer_extra_tool(workspace, False))
