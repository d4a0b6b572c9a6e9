"""The page of a run at every text size, narrow and wide, light and dark: nothing is cut off, covered, small or unnamed.

With `BURROW_SCREENS` the pictures are written there, for a person to look at.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication

from app.core.runs.items import (
    ConfigChoice,
    ConfigOption,
    DiffPart,
    Message,
    Permission,
    PermissionOption,
    Question,
    QuestionChoice,
    SessionState,
    Usage,
)
from app.ui.theme.state import State
from app.ui.transcript.connection_line import ConnectionState
from app.ui.transcript.header import HeaderFacts
from app.ui.transcript.page import TranscriptPage
from tests.ui._screens import look, nameless, save
from tests.ui._walk import clipped, misnamed, overlapping, small_targets
from tests.ui.transcript._items import CART, CART_MENDED, ListedItems, lived_run
from tests.ui.transcript.test_transcript_page import OPTIONS, Waits

LOOKS = [
    ("light", 1.0, (320, 560)),
    ("light", 1.0, (560, 520)),
    ("dark", 1.0, (1300, 900)),
    ("light", 1.5, (900, 800)),
    ("dark", 1.6, (620, 400)),
]
BEGAN = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
FACTS = HeaderFacts(
    State("play", "Running", "accent"),
    BEGAN,
    BEGAN + timedelta(minutes=4, seconds=12),
    "posthog-code/mend-the-empty-cart-and-its-callers",
    "claude-opus-4-6",
    "https://github.com/acme/shop/pull/12",
    Usage(62_000, 200_000),
    stops=True,
)
MODE = ConfigOption("mode", "Mode", "plan", (ConfigChoice("plan", "Plan"), ConfigChoice("auto", "Auto")))


def filled(page: TranscriptPage, *asked: Permission) -> ListedItems:
    items = ListedItems([*lived_run(), *asked])
    items.state = SessionState(True, True, 2, tuple(each.key for each in asked), options=(MODE,))
    page.show_run(items)
    page.show_facts(FACTS)
    page.header.set_title("Mend the crash of the checkout when the cart is empty")
    page.reply.show_turn(busy=True, steers=True)
    return items


def running(page: TranscriptPage) -> None:
    filled(page)
    page.show_queued(
        [
            Waits("1", "Please update the changelog too"),
            Waits("2", "And test it", ("a.png",)),
            Waits("3", "And what else there is", state="unknown"),
        ],
        steers=True,
    )


def asking(page: TranscriptPage) -> None:
    parts = (DiffPart("src/checkout/cart.py", CART, CART_MENDED),)
    ask = Permission(
        key="ask", request_id="1", call_id="9", title="Edit cart.py", kind="edit", options=OPTIONS, parts=parts
    )
    filled(page, ask)


def questions(page: TranscriptPage) -> None:
    choices = (QuestionChoice("SQLite", "In memory, fast"), QuestionChoice("PostgreSQL", "As in production. " * 9))
    asked = (
        Question("Which database should the tests use?", "Database", choices),
        Question("Which checks?", choices=(QuestionChoice("Lint"), QuestionChoice("Types")), several=True),
    )
    filled(page, Permission(key="ask", request_id="1", call_id="9", title="Two questions", questions=asked))


def approving(page: TranscriptPage) -> None:
    options = (PermissionOption("auto", "Yes, and accept edits", "allow_always"), *OPTIONS[1:])
    plan = "# Plan\n\n1. Read the cart\n2. Write a test that fails\n3. Mend `total()`\n" * 3
    filled(
        page,
        Permission(
            key="ask", request_id="1", call_id="9", title="Ready?", kind="switch_mode", options=options, plan=plan
        ),
    )


def healing(page: TranscriptPage) -> None:
    items = filled(page)
    page.show_connection(ConnectionState("waiting", 8))
    page.view.pause()
    items.add(Message(key="new", text="More\nand more"))
    page.view._take_in()


def searching(page: TranscriptPage) -> None:
    filled(page)
    page.open_find()
    page.find_bar.field.setText("cart")
    page.find_bar._begin()
    while page.find_bar.busy:
        QApplication.processEvents()


def empty(page: TranscriptPage) -> None:
    page.show_run(ListedItems())
    page.show_facts(FACTS)
    page.show_connection(ConnectionState("live"))


SCREENS: dict[str, Callable[[TranscriptPage], None]] = {
    each.__name__: each for each in (running, asking, questions, approving, healing, searching, empty)
}


@pytest.mark.parametrize(("mode", "scale", "size"), LOOKS, ids=str)
def test_no_state_of_a_run_cuts_covers_shrinks_or_misnames_anything(
    qapp: QApplication, tmp_path: Path, mode: str, scale: float, size: tuple[int, int]
) -> None:
    faults = []
    with look(mode, scale):
        for name, show in SCREENS.items():
            page = TranscriptPage()
            page.resize(*size)
            page.show()
            QApplication.processEvents()
            show(page)
            for _ in range(4):
                QApplication.processEvents()
            found = [*clipped(page), *overlapping(page), *small_targets(page, scale), *misnamed(page), *nameless(page)]
            faults.extend(f"{name}: {fault}" for fault in found)
            save(page, f"transcript-{name}-{size[0]}", mode, scale, tmp_path)
            page.close()
            page.deleteLater()
            QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert not faults, "\n".join(faults)
