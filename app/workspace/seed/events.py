"""Thirty days of events of a small bookshop, to count, compare and chart."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING

from app.workspace.runtime.clock import iso

if TYPE_CHECKING:
    import sqlite3

DAYS = 30
DAY = 86_400.0
PEOPLE = 180
BROWSERS = (("Chrome", 52), ("Safari", 27), ("Firefox", 14), ("Edge", 7))
COUNTRIES = (("PT", 38), ("GB", 24), ("DE", 16), ("BR", 14), ("US", 8))
PAGES = (("/", 30), ("/books", 26), ("/books/detail", 24), ("/search", 12), ("/wish-list", 8))
REFERRERS = (("direct", 40), ("search", 33), ("newsletter", 17), ("social", 10))
ERRORS = (("payment_declined", 45), ("network", 30), ("out_of_stock", 25))
# What the first of the sample tasks asks about.
FAILING_BROWSER = "Safari"


def seed_events(db: sqlite3.Connection, project: int, now: float) -> None:
    """The same events in every workspace, with dates that end at `now`."""
    random = Random(20_261_123)
    midnight = now - now % DAY
    people = [(f"reader-{number:03d}", _pick(random, BROWSERS), _pick(random, COUNTRIES)) for number in range(PEOPLE)]
    rows: list[tuple[int, str, str, str, str]] = []
    known: set[str] = set()

    def add(event: str, moment: float, person: tuple[str, str, str], **properties: object) -> None:
        shared = {"$browser": person[1], "$geoip_country_code": person[2]}
        if moment <= now:
            rows.append((project, event, person[0], iso(moment), json.dumps({**shared, **properties})))

    for day in range(DAYS, -1, -1):
        start = midnight - day * DAY
        # Day 0 of the epoch was a Thursday, which is 3 where Monday is 0.
        weekend = int(start // DAY + 3) % 7 >= 5
        for _ in range(random.randint(18, 24) if weekend else random.randint(24, 34)):
            person = random.choice(people)
            moment = start + random.gauss(15.5, 3.6) % 24 * 3600
            referrer = _pick(random, REFERRERS)
            if person[0] not in known and random.random() < 0.45:
                known.add(person[0])
                add("signed_up", moment, person, plan="reader", referrer=referrer)
            for _ in range(random.randint(1, 4)):
                moment += random.uniform(8, 140)
                add("$pageview", moment, person, **{"$pathname": _pick(random, PAGES), "referrer": referrer})
            if random.random() >= 0.34:
                continue
            moment += random.uniform(20, 200)
            books = random.randint(1, 4)
            value = round(sum(random.uniform(7, 24) for _ in range(books)), 2)
            add("checkout_started", moment, person, books=books, value=value, currency="EUR")
            trouble = 0.42 if person[1] == FAILING_BROWSER else 0.12
            moment += random.uniform(20, 160)
            if random.random() < trouble:
                page, kind = "/checkout/payment", _pick(random, ERRORS)
                add("error_shown", moment, person, **{"$pathname": page, "error": kind})
            elif random.random() < 0.86:
                add("checkout_completed", moment, person, books=books, value=value, currency="EUR")
    rows.sort(key=lambda row: row[3])
    db.executemany(
        "INSERT INTO events (project_id, event, distinct_id, timestamp, properties) VALUES (?, ?, ?, ?, ?)", rows
    )


def _pick(random: Random, weighted: tuple[tuple[str, int], ...]) -> str:
    names, weights = zip(*weighted, strict=True)
    return str(random.choices(names, weights)[0])
