"""The vendors' MCP servers: invoices at Ledger, mail at Postbox, working hours at Timesheet, stored in the database.

Imported in a thread, because the MCP SDK takes a second to import.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from app.workspace.runtime.context import Workspace

READS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False)
SENDS = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=True)
REMOVES = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)

InvoiceNumber = Annotated[str, Field(description="Invoice number, such as HB-2041", max_length=40)]
Status = Literal["draft", "sent", "paid", "overdue", "void"]


class InvoiceLine(BaseModel):
    """One line of an invoice."""

    model_config = ConfigDict(title="Line")

    description: str = Field(max_length=200)
    quantity: int = Field(1, ge=1, le=100_000)
    unit_cents: int = Field(description="Price of one piece in cents", ge=0, le=100_000_000)


class Invoice(BaseModel):
    """An invoice with its total."""

    number: str
    customer: str
    currency: str
    status: Status
    issued_on: date
    due_on: date
    total_cents: int
    lines: list[InvoiceLine]


class InvoiceList(BaseModel):
    """The invoices found and what they add up to."""

    invoices: list[Invoice]
    total_cents: int


class Mailbox(BaseModel):
    """A mailbox and how much is in it."""

    name: str
    messages: int
    unread: int


class Mail(BaseModel):
    """One mail."""

    id: int
    mailbox: str
    sender: str
    recipients: list[str]
    subject: str
    body: str
    sent_at: str
    unread: bool


class TimeEntry(BaseModel):
    """Time spent on a project."""

    model_config = ConfigDict(title="Entry")

    id: int
    person: str
    project: str
    day: date
    minutes: int
    note: str


def build_ledger(workspace: Workspace) -> MCPServer[Any]:
    """Ledger: invoices."""
    server: MCPServer[Any] = MCPServer(
        "ledger",
        title="Ledger",
        version="4.2.0",
        instructions="Amounts are whole cents. Drafts are not sent to anyone.",
    )

    @server.tool(title="List invoices", annotations=READS)
    async def list_invoices(
        status: Annotated[Status | None, Field(description="Only invoices in this state")] = None,
        customer: Annotated[str, Field(description="Part of the customer's name", max_length=100)] = "",
        limit: Annotated[int, Field(ge=1, le=100)] = 20,
    ) -> InvoiceList:
        """List invoices, newest first, optionally only those of one state or customer."""
        query = (
            "SELECT * FROM ledger_invoices WHERE (? IS NULL OR status = ?) AND instr(lower(customer), lower(?))"
            " ORDER BY issued_on DESC, number DESC LIMIT ?"
        )
        rows = await workspace.db.read(lambda db: db.execute(query, (status, status, customer, limit)).fetchall())
        found = [_invoice(row) for row in rows]
        return InvoiceList(invoices=found, total_cents=sum(one.total_cents for one in found))

    @server.tool(title="Get an invoice", annotations=READS)
    async def get_invoice(number: InvoiceNumber) -> Invoice:
        """Read one invoice with all its lines."""
        return await workspace.db.read(lambda db: _invoice(_invoice_row(db, number)))

    @server.tool(title="Create a draft", annotations=ADDS)
    async def create_draft(
        ctx: Context,
        customer: Annotated[str, Field(description="Whom the invoice is for", min_length=1, max_length=100)],
        lines: Annotated[list[InvoiceLine], Field(description="What is charged", min_length=1, max_length=50)],
        currency: Annotated[Literal["EUR", "USD", "GBP"], Field(description="Currency of all lines")] = "EUR",
        due_in_days: Annotated[int, Field(ge=0, le=365)] = 30,
    ) -> Invoice:
        """Write a new invoice as a draft; nothing is sent."""
        _require(ctx, "invoices:write")
        today = datetime.fromtimestamp(workspace.clock.now(), UTC).date()
        raw = json.dumps([line.model_dump() for line in lines])

        def store(db: sqlite3.Connection) -> Invoice:
            [highest] = db.execute("SELECT max(CAST(substr(number, 4) AS INTEGER)) FROM ledger_invoices").fetchone()
            number = f"HB-{(highest or 2000) + 1}"
            due = today + timedelta(days=due_in_days)
            db.execute(
                "INSERT INTO ledger_invoices VALUES (?, ?, ?, 'draft', ?, ?, ?)",
                (number, customer, currency, today.isoformat(), due.isoformat(), raw),
            )
            return _invoice(_invoice_row(db, number))

        return await workspace.db.run(store)

    @server.tool(title="Void an invoice", annotations=REMOVES)
    async def void_invoice(ctx: Context, number: InvoiceNumber) -> Invoice:
        """Mark an invoice as void for good. Paid invoices cannot be voided."""
        _require(ctx, "invoices:write")

        def store(db: sqlite3.Connection) -> Invoice:
            if _invoice_row(db, number)["status"] == "paid":
                raise ToolError(f"Invoice {number} is paid; issue a credit note instead.")
            db.execute("UPDATE ledger_invoices SET status = 'void' WHERE number = ?", (number,))
            return _invoice(_invoice_row(db, number))

        return await workspace.db.run(store)

    return server


def build_postbox(workspace: Workspace) -> MCPServer[Any]:
    """Postbox: shared mailboxes."""
    server: MCPServer[Any] = MCPServer("postbox", title="Postbox", version="1.9.3")

    @server.tool(title="List mailboxes", annotations=READS)
    async def list_mailboxes() -> list[Mailbox]:
        """List the shared mailboxes with their message and unread counts."""
        query = "SELECT mailbox, count(*), sum(unread) FROM postbox_messages GROUP BY mailbox ORDER BY mailbox"
        rows = await workspace.db.read(lambda db: db.execute(query).fetchall())
        return [Mailbox(name=name, messages=count, unread=unread) for name, count, unread in rows]

    @server.tool(title="Search messages", annotations=READS)
    async def search_messages(
        query: Annotated[str, Field(description="Words to find in subject, body or sender", max_length=200)] = "",
        mailbox: Annotated[str | None, Field(description="Only this mailbox", max_length=100)] = None,
        unread_only: Annotated[bool, Field(description="Leave out what has been read")] = False,
        limit: Annotated[int, Field(ge=1, le=50)] = 10,
    ) -> list[Mail]:
        """Search mail, newest first."""
        sql = (
            "SELECT * FROM postbox_messages WHERE (? IS NULL OR mailbox = ?) AND (NOT ? OR unread)"
            " AND instr(lower(subject || ' ' || body || ' ' || sender), lower(?)) ORDER BY sent_at DESC LIMIT ?"
        )
        values = (mailbox, mailbox, unread_only, query, limit)
        return await workspace.db.read(lambda db: [_message(row) for row in db.execute(sql, values)])

    @server.tool(title="Send a message", annotations=SENDS)
    async def send_message(
        to: Annotated[list[str], Field(description="Addresses of the recipients", min_length=1, max_length=20)],
        subject: Annotated[str, Field(min_length=1, max_length=200)],
        body: Annotated[str, Field(description="The text of the mail", max_length=20_000)],
        mailbox: Annotated[str, Field(description="Mailbox to send from", max_length=100)] = "hello",
    ) -> Mail:
        """Send a mail from a shared mailbox. It cannot be taken back."""
        wrong = [address for address in to if address.count("@") != 1]
        if wrong:
            raise ToolError(f"Not a mail address: {wrong[0]}")
        sent = datetime.fromtimestamp(workspace.clock.now(), UTC).isoformat(timespec="seconds")

        def store(db: sqlite3.Connection) -> Mail:
            if not db.execute("SELECT 1 FROM postbox_messages WHERE mailbox = ?", (mailbox,)).fetchone():
                raise ToolError(f"There is no mailbox named {mailbox}.")
            cursor = db.execute(
                "INSERT INTO postbox_messages (mailbox, sender, recipients, subject, body, sent_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (mailbox, f"{mailbox}@hedgerow.example", json.dumps(to), subject, body, sent),
            )
            return _message(db.execute("SELECT * FROM postbox_messages WHERE id = ?", (cursor.lastrowid,)).fetchone())

        return await workspace.db.run(store)

    return server


def build_timesheet(workspace: Workspace) -> MCPServer[Any]:
    """Timesheet: hours per project."""
    server: MCPServer[Any] = MCPServer("timesheet", title="Timesheet", version="0.8.1")

    @server.tool(title="List entries", annotations=READS)
    async def list_entries(
        since: Annotated[date | None, Field(description="First day, such as 2026-03-01")] = None,
        project: Annotated[str, Field(description="Part of the project's name", max_length=100)] = "",
    ) -> list[TimeEntry]:
        """List time entries, newest first."""
        sql = (
            "SELECT * FROM timesheet_entries WHERE day >= ? AND instr(lower(project), lower(?))"
            " ORDER BY day DESC, id DESC LIMIT 100"
        )
        values = (since.isoformat() if since else "", project)
        return await workspace.db.read(lambda db: [_entry(row) for row in db.execute(sql, values)])

    @server.tool(title="Log time", annotations=ADDS)
    async def log_time(
        person: Annotated[str, Field(min_length=1, max_length=100)],
        project: Annotated[str, Field(min_length=1, max_length=100)],
        minutes: Annotated[int, Field(ge=1, le=1440)],
        day: date,
        note: Annotated[str, Field(max_length=500)] = "",
    ) -> TimeEntry:
        """Add time somebody spent on a project."""

        def store(db: sqlite3.Connection) -> TimeEntry:
            cursor = db.execute(
                "INSERT INTO timesheet_entries (person, project, day, minutes, note) VALUES (?, ?, ?, ?, ?)",
                (person, project, day.isoformat(), minutes, note),
            )
            return _entry(db.execute("SELECT * FROM timesheet_entries WHERE id = ?", (cursor.lastrowid,)).fetchone())

        return await workspace.db.run(store)

    return server


BUILDERS: dict[str, Callable[[Workspace], MCPServer[Any]]] = {
    "ledger": build_ledger,
    "postbox": build_postbox,
    "timesheet": build_timesheet,
}


def _require(ctx: Context[Any, Any], scope: str) -> None:
    request = ctx.request_context.request
    granted = getattr(getattr(request, "user", None), "scopes", [])
    if scope not in granted:
        raise ToolError(f"The connection was not granted {scope}.")


def _invoice_row(db: sqlite3.Connection, number: str) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute("SELECT * FROM ledger_invoices WHERE number = ?", (number,)).fetchone()
    if row is None:
        raise ToolError(f"There is no invoice {number}.")
    return row


def _invoice(row: sqlite3.Row) -> Invoice:
    lines = [InvoiceLine.model_validate(line) for line in json.loads(row["lines"])]
    total = sum(line.quantity * line.unit_cents for line in lines)
    return Invoice.model_validate(dict(row) | {"lines": lines, "total_cents": total})


def _message(row: sqlite3.Row) -> Mail:
    return Mail.model_validate(dict(row) | {"recipients": json.loads(row["recipients"])})


def _entry(row: sqlite3.Row) -> TimeEntry:
    return TimeEntry.model_validate(dict(row))
