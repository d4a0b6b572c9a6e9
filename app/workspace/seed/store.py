"""The installed servers of a new workspace, and what the vendors have in them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from app.workspace.store.catalogue import LEDGER_TEMPLATE, POSTBOX_TEMPLATE
from app.workspace.store.oauth_client import REDIRECT_PATH
from app.workspace.store.rows import APPROVED, DO_NOT_USE, SELF_MCP, add_installation
from app.workspace.vendors.authorization_server import seed_partner
from app.workspace.vendors.endpoints import issue_api_key
from app.workspace.vendors.names import POSTBOX

if TYPE_CHECKING:
    import sqlite3
    from datetime import date

    from app.workspace.runtime.context import Workspace

# What is not named needs approval, so that every policy can be seen in a new workspace.
OWN_STATES = {
    "list_tasks": APPROVED,
    "search_tasks": APPROVED,
    "get_task": APPROVED,
    "list_event_names": APPROVED,
    "count_events": APPROVED,
    "event_trend": APPROVED,
    "chart_events": APPROVED,
    "list_documents": APPROVED,
    "read_document": APPROVED,
    "import_legacy_export": DO_NOT_USE,
}
POSTBOX_STATES = {"list_mailboxes": APPROVED, "search_messages": APPROVED}

INVOICES: tuple[tuple[str, str, str, str, int, tuple[tuple[str, int, int], ...]], ...] = (
    ("HB-2031", "Café Lumière", "EUR", "paid", 74, (("Cookery books, assorted", 12, 1850), ("Shelf display", 1, 9900))),
    ("HB-2032", "Northgate School", "GBP", "paid", 61, (("Reading set, year 4", 30, 799),)),
    ("HB-2033", "Ines Duarte", "EUR", "paid", 52, (("Atlas of rivers", 1, 4500),)),
    (
        "HB-2034",
        "Harbour Museum Shop",
        "EUR",
        "overdue",
        48,
        (("Tide tables", 40, 620), ("Sea birds", 25, 990)),
    ),
    ("HB-2035", "Café Lumière", "EUR", "sent", 21, (("Bread, a history", 10, 2100),)),
    ("HB-2036", "Bookbinders' Guild", "EUR", "sent", 17, (("Marbled paper, sheet", 200, 310), ("Delivery", 1, 1500))),
    ("HB-2037", "Northgate School", "GBP", "void", 12, (("Reading set, year 5", 28, 799),)),
    ("HB-2038", "Oakfield Library", "EUR", "sent", 9, (("Large print novels", 16, 1490),)),
    ("HB-2039", "Harbour Museum Shop", "EUR", "draft", 3, (("Tide tables", 60, 620),)),
    ("HB-2040", "Ines Duarte", "EUR", "draft", 1, (("Gift card", 2, 2500),)),
)
MESSAGES: tuple[tuple[str, str, str, str, int, bool], ...] = (
    (
        "hello",
        "ines@duarte.example",
        "Where is my atlas?",
        "Is the Atlas of rivers on its way?",
        50,
        False,
    ),
    (
        "hello",
        "office@northgate.example",
        "Reading sets for year 5",
        "Please cancel the sets for year 5.",
        13,
        False,
    ),
    ("hello", "tom@oakfield.example", "Opening hours in December", "Are you open on the 24th?", 5, True),
    ("hello", "press@tidings.example", "Interview about the new shop page", "Could we talk on Thursday?", 2, True),
    ("orders", "shop@harbour.example", "Reminder received", "The invoice HB-2034 is with our bookkeeping.", 7, False),
    (
        "orders",
        "lea@lumiere.example",
        "Ten more of Bread, a history",
        "They sold within a week.",
        4,
        True,
    ),
    (
        "orders",
        "noreply@parcels.example",
        "Parcel 77120 delivered",
        "Delivered to Oakfield Library.",
        3,
        False,
    ),
    (
        "alerts",
        "monitor@hedgerow.example",
        "Checkout errors above 2 %",
        "error_shown rose with the release.",
        6,
        False,
    ),
    (
        "alerts",
        "monitor@hedgerow.example",
        "Checkout errors back to normal",
        "error_shown is below 0.5 %.",
        5,
        False,
    ),
    ("alerts", "monitor@hedgerow.example", "Slow search", "The 95th percentile of search is above 1.8 s.", 1, True),
)
ENTRIES: tuple[tuple[str, str, int, int, str], ...] = (
    ("Ana Pereira", "Shop page", 9, 240, "First version of the gift card page"),
    ("Ben Okafor", "Checkout", 8, 185, "Found the cause of the double charge"),
    ("Ana Pereira", "Checkout", 7, 90, "Review"),
    ("Mei Lindqvist", "Search", 4, 310, "New index"),
    ("Ben Okafor", "Search", 2, 120, "Measured it again"),
    ("Ana Pereira", "Shop page", 1, 60, ""),
)


async def seed_store(workspace: Workspace) -> None:
    """Fill a new store: the workspace's own server and Postbox are connected, Ledger waits for its sign-in."""
    now = workspace.clock.now()
    redirect = workspace.settings.url + REDIRECT_PATH

    def fill(db: sqlite3.Connection) -> None:
        _contents(db, datetime.fromtimestamp(now, UTC))
        seed_partner(db, redirect, now)
        _installed(db, now)

    await workspace.db.run(fill)


def _installed(db: sqlite3.Connection, now: float) -> None:
    [project] = db.execute("SELECT min(id) FROM projects").fetchone()
    add_installation(
        db,
        project,
        now,
        name="Workspace",
        url=SELF_MCP,
        auth_type="api_key",
        description="The workspace's own server: tasks, events and documents of this project.",
        icon_key="workspace",
        icon_domain="workspace.example",
        first_states=OWN_STATES,
    )
    for template, key, states in (
        (POSTBOX_TEMPLATE, issue_api_key(db, POSTBOX), POSTBOX_STATES),
        (LEDGER_TEMPLATE, "", {}),
    ):
        add_installation(
            db,
            project,
            now,
            name=template.name,
            url=template.url,
            auth_type=template.auth_type,
            template_id=template.id,
            description=template.description,
            icon_key=template.icon_key,
            icon_domain=template.icon_domain,
            api_key=key,
            first_states=states,
        )


def _contents(db: sqlite3.Connection, now: datetime) -> None:
    def day(ago: int) -> date:
        return (now - timedelta(days=ago)).date()

    for number, customer, currency, status, ago, lines in INVOICES:
        packed = json.dumps(
            [{"description": words, "quantity": count, "unit_cents": cents} for words, count, cents in lines]
        )
        values = (number, customer, currency, status, day(ago).isoformat(), day(ago - 30).isoformat(), packed)
        db.execute("INSERT INTO ledger_invoices VALUES (?, ?, ?, ?, ?, ?, ?)", values)
    for mailbox, sender, subject, body, ago, unread in MESSAGES:
        sent = (now - timedelta(days=ago, minutes=7 * len(subject))).isoformat(timespec="seconds")
        db.execute(
            "INSERT INTO postbox_messages (mailbox, sender, recipients, subject, body, sent_at, unread)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (mailbox, sender, json.dumps([f"{mailbox}@hedgerow.example"]), subject, body, sent, unread),
        )
    for person, project, ago, minutes, note in ENTRIES:
        db.execute(
            "INSERT INTO timesheet_entries (person, project, day, minutes, note) VALUES (?, ?, ?, ?, ?)",
            (person, project, day(ago).isoformat(), minutes, note),
        )
