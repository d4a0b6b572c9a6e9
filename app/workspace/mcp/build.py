"""The workspace's MCP server with everything it offers: tools, documents as resources, one prompt.

Imported in a thread, because the MCP SDK takes a second to import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from mcp.server.mcpserver import Context, MCPServer  # noqa: TC002 - read at run time from the functions' signatures
from mcp.server.mcpserver.exceptions import ResourceNotFoundError
from pydantic import Field

from app.workspace.mcp.document_tools import add_document_tools
from app.workspace.mcp.event_tools import add_event_tools
from app.workspace.mcp.server import DOCUMENT_SCHEME, WorkspaceMcpServer, caller
from app.workspace.mcp.task_tools import add_task_tools

if TYPE_CHECKING:
    from app.workspace.runtime.context import Workspace


def build_workspace_server(workspace: Workspace) -> MCPServer[Any]:
    """The server, ready to be mounted."""
    server = WorkspaceMcpServer(workspace, workspace.settings.version)
    add_task_tools(server)
    add_event_tools(server)
    add_document_tools(server)
    _add_resources(server)
    _add_prompt(server)
    return server


def _add_resources(server: WorkspaceMcpServer) -> None:
    @server.resource(DOCUMENT_SCHEME + "{document_id}", name="document", title="A document", mime_type="text/markdown")
    async def document(document_id: str, ctx: Context) -> str:
        """The Markdown text of one document of the project."""
        who = await caller(server, ctx)
        query = "SELECT markdown FROM documents WHERE id = ? AND project_id = ?"
        row = await server.workspace.db.read(lambda db: db.execute(query, (document_id, who.project)).fetchone())
        if row is None:
            raise ResourceNotFoundError(f"There is no document {document_id}.")
        return str(row["markdown"])


def _add_prompt(server: WorkspaceMcpServer) -> None:
    @server.prompt(title="Weekly review")
    def weekly_review(
        focus: Annotated[str, Field(description="What to look at most closely, such as checkout")] = "checkout",
        days: Annotated[str, Field(description="How many days back, such as 7")] = "7",
    ) -> str:
        """Review the last days of a project: what happened, what broke, what to do next."""
        return (
            f"Review the last {days} days of this project, looking most closely at {focus}.\n"
            "1. Call list_event_names, then event_trend for the events that matter.\n"
            "2. Compare with the days before and name what changed.\n"
            "3. Search the tasks for work that is already under way.\n"
            "4. Propose at most three new tasks, each with one sentence why."
        )
