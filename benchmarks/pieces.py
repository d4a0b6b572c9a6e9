"""What single pieces cost on the Qt thread or before the first paint, as a median of single runs against its target.

A piece is timed by the processor time of this process, because other work on the machine says nothing about ours.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import process_time
from typing import TYPE_CHECKING, Any, NamedTuple

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from PySide6.QtWidgets import QApplication

from app.core.diagnostics.activity import Activity
from app.core.posthog.types import Task
from app.core.posthog.wire import decode_page, decode_tasks, encode_tasks
from app.core.storage import Storage
from app.ui.bridge import Bridge
from app.ui.shell.drawer import ActivityDrawer
from app.ui.theme import apply_theme
from app.ui.widgets.jsontree import JsonTree
from app.ui.widgets.lists import ListTable
from app.ui.widgets.rows import Row
from tests.core.test_posthog_wire import page, wire_task
from tests.ui._shell_fakes import FakeBackend, FakeServices
from tests.ui.test_shell import make

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 15
TASKS = 1_000
ROWS = 100_000
RECORDS = 5_000
DETAIL = {"request": {"arguments": {"query": "x" * 100}}, "response": {"content": [{"text": "y" * 2000}]}}


class Piece(NamedTuple):
    """`prepare` makes what `work` is timed with; the target is in ms."""

    name: str
    target: float
    prepare: Callable[[], Any]
    work: Callable[[Any], object]


def rows(count: int, first: int = 0) -> list[Row]:
    return [Row(str(number), f"Row {number}", "some place") for number in range(first, first + count)]


def filled() -> tuple[ListTable, list[Row]]:
    """A painted list of many rows, and those rows."""
    table, many = ListTable("Rows", two_lines=True), rows(ROWS)
    table.resize(400, 600)
    table.show()
    table.set_rows(many)
    table.grab()
    return table, many


def grown() -> ListTable:
    table, many = filled()
    table.set_rows([*many, *rows(1, ROWS)])
    return table


def busy() -> Activity:
    """An activity that is full."""
    activity = Activity()
    for number in range(RECORDS):
        activity.record("http", "https://us.posthog.com", f"GET /api/{number}", "200", 1.0)
    return activity


def pieces(folder: Path) -> list[Piece]:
    modern = page([wire_task(number) for number in range(TASKS)])
    old = page([wire_task(number, slug=None, title_manually_set=None) for number in range(TASKS)])
    cached = encode_tasks(decode_page(modern, Task).items)
    value = [{"n": number, "text": "x" * 50} for number in range(ROWS)]
    return [
        Piece("read a page of 1,000 tasks", 60, lambda: modern, lambda answer: decode_page(answer, Task)),
        Piece("the same of an older server, item by item", 120, lambda: old, lambda answer: decode_page(answer, Task)),
        Piece("read 1,000 cached tasks", 60, lambda: cached, decode_tasks),
        Piece("open the storage", 15, lambda: folder, lambda place: asyncio.run(Storage.open(place).close())),
        Piece("keep a record of the activity", 1, Activity, lambda it: it.record("mcp", "Docs", "call", detail=DETAIL)),
        Piece("build the window", 120, FakeBackend, lambda backend: make(FakeServices(backend), Bridge())),
        Piece("open the drawer on 5,000 records", 1000, busy, lambda it: ActivityDrawer(it, Bridge()).grab()),
        Piece("add one to 100,000 rows", 1000, filled, lambda made: made[0].set_rows([*made[1], *rows(1, ROWS)])),
        Piece("paint them", 500, grown, lambda table: table.grab()),
        Piece("show a value of 100,000 items", 1000, lambda: JsonTree("Value"), lambda tree: tree.set_value(value)),
    ]


def measure(piece: Piece, rounds: int) -> float:
    """The median of its runs in ms; the first is not counted."""
    taken = []
    for _ in range(rounds + 1):
        subject = piece.prepare()
        started = process_time()
        piece.work(subject)
        taken.append((process_time() - started) * 1000)
    return median(taken[1:])


def main() -> None:
    """Measure each piece and say how it stands."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asked = parser.parse_args()
    app = QApplication([])
    apply_theme(app, "light", 1.0)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(Storage.open(Path(folder)).close())
        for piece in pieces(Path(folder)):
            taken = measure(piece, asked.rounds)
            verdict = "met" if taken <= piece.target else "missed"
            print(f"{piece.name:42} {taken:8.2f} ms  target {piece.target:5.0f}: {verdict}")


if __name__ == "__main__":
    main()
