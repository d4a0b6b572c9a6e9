"""Tools for the project's documents, which are also MCP resources."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from mcp.server.mcpserver import Context  # noqa: TC002 - read at run time from the tools' signatures
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, ResourceLink, TextContent, ToolAnnotations
from pydantic import BaseModel, Field

from app.workspace.mcp.server import DOCUMENT_SCHEME, READS, WorkspaceMcpServer, caller
from app.workspace.runtime.clock import iso

if TYPE_CHECKING:
    import sqlite3

REPLACES = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)


class DocumentLine(BaseModel):
    """A document in a list."""

    id: str
    title: str
    summary: str
    uri: str
    updated_at: str


class Document(DocumentLine):
    """A document with its headings; the text is behind `uri`."""

    headings: list[str]
    words: int


def add_document_tools(server: WorkspaceMcpServer) -> None:
    """Register the tools for documents."""
    db = server.workspace.db

    @server.needing("project:read", title="List documents", annotations=READS)
    async def list_documents(
        ctx: Context,
        query: Annotated[str, Field(description="Words to find in title, summary or text", max_length=200)] = "",
    ) -> list[DocumentLine]:
        """List the project's documents, optionally only those that mention something."""
        who = await caller(server, ctx)
        sql = (
            "SELECT * FROM documents WHERE project_id = ?"
            " AND instr(lower(title || ' ' || summary || ' ' || markdown), lower(?)) ORDER BY title"
        )
        rows = await db.read(lambda at: at.execute(sql, (who.project, query)).fetchall())
        return [_line(row) for row in rows]

    @server.needing("project:read", title="Read a document", annotations=READS)
    async def read_document(
        ctx: Context, document: Annotated[str, Field(description="The document's id", min_length=1, max_length=200)]
    ) -> Annotated[CallToolResult, Document]:
        """Describe a document and link to its text, which is a resource of this server."""
        who = await caller(server, ctx)
        row = await db.read(lambda at: _row(at, who.project, document))
        if row is None:
            raise ToolError(f"There is no document {document}.")
        text = str(row["markdown"])
        headings = re.findall(r"^#+\s+(.+)$", text, re.MULTILINE)
        found = Document(**_line(row).model_dump(), headings=headings, words=len(text.split()))
        link = ResourceLink(
            type="resource_link",
            uri=found.uri,
            name=found.id,
            title=found.title,
            description=found.summary,
            mime_type="text/markdown",
            size=len(text.encode()),
        )
        words = TextContent(type="text", text=f"{found.title}: {found.summary}")
        return CallToolResult(content=[words, link], structured_content=found.model_dump(mode="json"))

    @server.needing("project:write", title="Write a document", annotations=REPLACES)
    async def write_document(
        ctx: Context,
        document: Annotated[str, Field(description="The id, such as release-notes", pattern=r"^[a-z0-9-]{1,100}$")],
        title: Annotated[str, Field(min_length=1, max_length=200)],
        markdown: Annotated[str, Field(description="The whole text", max_length=100_000)],
        summary: Annotated[str, Field(description="One sentence", max_length=300)] = "",
    ) -> DocumentLine:
        """Create a document or replace all of its text."""
        who = await caller(server, ctx)
        now = iso(server.workspace.clock.now())

        def store(at: sqlite3.Connection) -> DocumentLine:
            if at.execute(
                "SELECT 1 FROM documents WHERE id = ? AND project_id != ?", (document, who.project)
            ).fetchone():
                raise ToolError(f"The id {document} is taken in another project.")
            at.execute(
                "INSERT INTO documents (id, project_id, title, summary, markdown, updated_at) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET title = excluded.title, summary = excluded.summary,"
                " markdown = excluded.markdown, updated_at = excluded.updated_at",
                (document, who.project, title, summary, markdown, now),
            )
            row = _row(at, who.project, document)
            assert row is not None
            return _line(row)

        written = await db.run(store)
        await ctx.notify_resources_changed()
        await ctx.notify_resource_updated(written.uri)
        return written


def _row(at: sqlite3.Connection, project: int, wanted: str) -> sqlite3.Row | None:
    query = "SELECT * FROM documents WHERE id = ? AND project_id = ?"
    row: sqlite3.Row | None = at.execute(query, (wanted, project)).fetchone()
    return row


def _line(row: sqlite3.Row) -> DocumentLine:
    names = ("id", "title", "summary", "updated_at")
    return DocumentLine(**{name: row[name] for name in names}, uri=DOCUMENT_SCHEME + row["id"])
