"""The switches of the MCP parts: the workspace's endpoint, the store and its proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.workspace.mcp.endpoint import offer_extra_tool
from app.workspace.mcp.state import McpState, ToolFailure
from app.workspace.store.state import UPSTREAM_SECONDS, StoreState
from app.workspace.web.fields import boolean, choice, integer, number
from app.workspace.web.guard import cut

if TYPE_CHECKING:
    from app.workspace.runtime.context import Workspace


async def switch(workspace: Workspace, body: dict[str, object]) -> object:
    """`POST /_faults/mcp`: switches of the MCP parts; answers with how they stand.

    `tool_authentication_failed` {n}: the next n tool calls at /mcp answer 200 with a JSON-RPC `error`
    (`shape` "error") or an `isError` result (`shape` "result") that says `authentication_failed`.
    `bind_sessions_to_token`: a session answers 404 to a renewed token. `throttles` false lifts the limits of
    the proxy and of connecting. `upstream_seconds`: how long the proxy waits for a server. `extra_tool`: the list of
    tools at /mcp has one more, and who listens is told. `cut_listeners` true breaks every listen stream there.
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
            cut(client)
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
    """Turn all switches off. Taking the extra tool away may import the SDK, so nobody waits for that."""
    workspace.state(McpState).reset()
    workspace.state(StoreState).reset()
    workspace.background(offer_extra_tool(workspace, False))
