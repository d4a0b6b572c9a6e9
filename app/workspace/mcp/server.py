"""The workspace's own MCP server: who calls, and what all its tools share.

Imported in a thread, because the MCP SDK takes a second to import.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.subscriptions import InMemorySubscriptionBus, ToolsListChanged
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, InputRequiredResult, Resource, TextContent, ToolAnnotations

from app.workspace.accounts.credentials import BearerGrant
from app.workspace.mcp.mount import GRANT_KEY
from app.workspace.mcp.state import McpState

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from app.workspace.runtime.context import Workspace

Function = TypeVar("Function", bound="Callable[..., Any]")

READS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False)
CHANGES = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
DESTROYS = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)
AUTHENTICATION_FAILED = {
    "type": "authentication_error",
    "code": "authentication_failed",
    "detail": "Invalid access token.",
    "attr": None,
}
API_REFUSED = -32000
EXTRA_TOOL = "extra_tool"
DOCUMENT_SCHEME = "workspace://documents/"
INSTRUCTIONS = (
    "Tasks, events and documents of one project. Times are UTC. Start with list_event_names before counting,"
    " and with search_tasks before creating a task."
)


@dataclass(frozen=True)
class Caller:
    """The credential that a tool is called with, and the project it acts on."""

    grant: BearerGrant
    project: int


class WorkspaceMcpServer(MCPServer[Any]):
    """Lists documents from the database as resources. The fault switchboard can make its tool calls fail."""

    def __init__(self, workspace: Workspace, version: str) -> None:
        self.changes = InMemorySubscriptionBus()
        super().__init__(
            "burrow-workspace",
            title="Workspace",
            version=version,
            instructions=INSTRUCTIONS,
            log_level="WARNING",
            subscriptions=self.changes,
        )
        self.workspace = workspace
        self.scopes: dict[str, str] = {}
        """The scope that each tool needs, by the tool's name."""

    def needing(self, scope: str, *, title: str, annotations: ToolAnnotations) -> Callable[[Function], Function]:
        """Register a tool that only a credential with `scope` may call."""
        register = self.tool(title=title, annotations=annotations)

        def registered(function: Function) -> Function:
            self.scopes[function.__name__] = scope
            return register(function)

        return registered

    async def offer_extra_tool(self, offered: bool) -> None:
        """Add the extra tool, or take it away, and notify the listeners."""
        state = self.workspace.state(McpState)
        if offered == state.extra_tool:
            return
        state.extra_tool = offered
        if offered:
            self.add_tool(_extra_tool, EXTRA_TOOL, "Extra tool", annotations=READS)
        else:
            self.remove_tool(EXTRA_TOOL)
        await self.changes.publish(ToolsListChanged())

    async def list_resources(self) -> list[Resource]:
        query = "SELECT id, title, summary FROM documents ORDER BY title"
        rows = await self.workspace.db.read(lambda db: db.execute(query).fetchall())
        return [
            Resource(
                uri=DOCUMENT_SCHEME + row["id"],
                name=row["id"],
                title=row["title"],
                description=row["summary"],
                mime_type="text/markdown",
            )
            for row in rows
        ]

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        failure = self.workspace.state(McpState).tool_failure
        if failure.times > 0:
            failure.times -= 1
            if failure.shape == "error":
                raise MCPError(API_REFUSED, "The API refused the request", AUTHENTICATION_FAILED)
            words = f"Error calling the API: {json.dumps(AUTHENTICATION_FAILED)}"
            return CallToolResult(content=[TextContent(type="text", text=words)], is_error=True)
        # The endpoint has checked this too, but it reads the body by itself and may read it otherwise than the SDK.
        needed, grant = self.scopes.get(name), grant_in(context)
        if needed is not None and grant is not None and not grant.covers(needed):
            raise _denied(f"API key missing required scope '{needed}'")
        return await super().call_tool(name, arguments, context)


def _extra_tool() -> str:
    """Say that this tool is here; the switchboard brings it and takes it away."""
    return "Here."


def grant_in(ctx: Context[Any, Any] | None) -> BearerGrant | None:
    """The credential that came with a request."""
    request = ctx.request_context.request if ctx is not None else None
    grant = request.scope.get(GRANT_KEY) if request is not None else None
    return grant if isinstance(grant, BearerGrant) else None


async def caller(server: WorkspaceMcpServer, ctx: Context[Any, Any]) -> Caller:
    """The caller of this request. Raises `ToolError` with the API's error envelope.

    The project is that of the header `x-posthog-project-id` or the query parameter `project_id`, else the user's
    current one.
    """
    request, grant = ctx.request_context.request, grant_in(ctx)
    if request is None or grant is None:
        raise ToolError(json.dumps(AUTHENTICATION_FAILED))
    asked = request.headers.get("x-posthog-project-id") or request.query_params.get("project_id")

    def find(db: sqlite3.Connection) -> int | None:
        if asked is None:
            query, value = "SELECT current_project FROM users WHERE id = ?", str(grant.user_id)
        else:
            query, value = "SELECT id FROM projects WHERE CAST(id AS TEXT) = ?", asked
        row = db.execute(query, (value,)).fetchone()
        return None if row is None else int(row[0])

    project = await server.workspace.db.read(find)
    if project is None or (grant.teams and project not in grant.teams):
        raise _denied(f"API key does not have access to the requested project: ID {(asked or '')[:20]}.")
    return Caller(grant, project)


def _denied(detail: str) -> ToolError:
    body = {"type": "authentication_error", "code": "permission_denied", "detail": detail, "attr": None}
    return ToolError(json.dumps(body))
