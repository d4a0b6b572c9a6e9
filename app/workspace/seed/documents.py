"""The documents of a new workspace, in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from app.workspace.runtime.clock import iso

if TYPE_CHECKING:
    import sqlite3

DAY = 86_400.0

CHECKOUT = """# How the checkout works

The checkout has three pages: **cart**, **address** and **payment**. Each sends one event when it is left.

| step | event | most common reason to leave |
|---|---|---|
| cart | `checkout_started` | shipping cost shown late |
| payment | `error_shown` | `payment_declined` |
| done | `checkout_completed` | |

## Known trouble

- Safari opens the bank's sheet in a new tab; the return address is lost when pop-ups are blocked.
- A cart older than 30 minutes releases its reserved copies.

## Who to ask

Payments: the *api* team. Pages: the *shop* team.
"""

EVENTS = """# Events we send

1. `$pageview`: every page, with `$pathname` and `referrer`.
2. `signed_up`: once per person, with `plan`.
3. `checkout_started`: with `books`, `value`, `currency`.
4. `checkout_completed`: as above; the money is certain.
5. `error_shown`: a message a person saw, with `error` and `$pathname`.

Values are in euro. Names never change; a new meaning gets a new name.

```json
{"event": "checkout_completed", "properties": {"books": 2, "value": 27.4, "currency": "EUR"}}
```
"""

RELEASE = """# Release checklist

- [x] Tests are green on `main`
- [x] Release notes read by someone who did not write them
- [ ] Error rate watched for one hour after the release
- [ ] Old flags removed

> If `error_shown` doubles within the hour, roll back first and ask afterwards.
"""

VOICE = """# How we write

Short sentences. We say *you*, never *the user*. We name the thing that went wrong and what to do next.

**Instead of** “An error occurred” **write** “Your bank did not answer. Your card was not charged; try again.”
"""

DOCUMENTS = (
    ("checkout", "How the checkout works", "The three pages, their events and known trouble.", CHECKOUT, 41),
    ("events", "Events we send", "Every event with its properties.", EVENTS, 23),
    ("release", "Release checklist", "What to do before and after a release.", RELEASE, 9),
    ("voice", "How we write", "The tone of texts in the shop.", VOICE, 88),
)


def seed_documents(db: sqlite3.Connection, namespace: UUID, project: int, now: float) -> None:
    for key, title, summary, markdown, age in DOCUMENTS:
        document_id = str(uuid5(namespace, f"document-{key}"))
        db.execute(
            "INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?)",
            (document_id, project, title, summary, markdown, iso(now - age * DAY)),
        )
