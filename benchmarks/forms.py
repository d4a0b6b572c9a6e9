"""What it costs to open the form of a tool: published tools of tests/corpora, and schemas that are large in each way.

`model` is the work without widgets: the form model and its initial draft. `opened` is model, widgets and the first
painting in a window of 800 by 900. Both are processor time of this process, the median of a few rounds.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
from pathlib import Path
from statistics import median, quantiles
from time import process_time
from typing import TYPE_CHECKING, Any, NamedTuple

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from PySide6.QtWidgets import QApplication

from app.core.mcp.forms.model import FormModel
from app.core.mcp.forms.validation import check
from app.ui.servers.form import ArgumentForm
from app.ui.theme import apply_theme
from app.ui.widgets.column import ScrollColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

CORPORA = Path(__file__).resolve().parents[1] / "tests" / "corpora"
ROUNDS = 5
TARGET, LARGE_TARGET, MODEL_TARGET = 50.0, 1000.0, 300.0
SIZES = (100, 400, 1_600, 10_000)
# A form that would take longer, at the square of its size, is not opened.
LONGEST = 60_000.0


class Opening(NamedTuple):
    """Times in ms."""

    name: str
    model: float
    opened: float


def published() -> Iterator[tuple[str, Any]]:
    """Name and schema of each tool of the corpora."""
    for path in sorted(CORPORA.glob("*.json")):
        for tool in json.loads(path.read_text("utf-8"))["tools"]:
            yield f"{path.stem}/{tool['name']}", tool["inputSchema"]


def arguments(count: int) -> dict[str, Any]:
    """A tool with this many arguments of the usual kinds, half of them required."""
    kinds: list[dict[str, Any]] = [
        {"type": "string", "description": "What it is for, in a sentence of usual length."},
        {"type": "integer", "minimum": 0, "default": 5},
        {"enum": ["first", "second", "third"]},
        {"$ref": "#/$defs/place"},
        {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
        {"type": "boolean", "default": True},
    ]
    names = [f"argument{number}" for number in range(count)]
    place = {"type": "object", "properties": {"latitude": {"type": "number"}}, "required": ["latitude"]}
    properties = {name: kinds[number % len(kinds)] for number, name in enumerate(names)}
    return {"type": "object", "properties": properties, "required": names[::2], "$defs": {"place": place}}


def one(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": schema, "limit": {"type": "integer"}}, "required": ["x"]}


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _level in range(levels):
        schema = {"type": "object", "properties": {"inner": schema}, "required": ["inner"]}
    return schema


def large() -> Iterator[tuple[str, Any]]:
    """Schemas that are large in one way each."""
    yield "a description of 1 MB", one({"type": "string", "description": "word " * 200_000})
    yield "an enumeration of 5,000", one({"enum": [f"value {number}" for number in range(5_000)]})
    yield "an enumeration of 50,000", one({"enum": [f"value {number}" for number in range(50_000)]})
    yield (
        "a default of 2,000 items",
        one({"type": "array", "items": {"type": "string"}, "default": [f"item {number}" for number in range(2_000)]}),
    )
    yield "5,000 levels", one(deep(5_000))


class Bench:
    """One window whose form shows one tool after another."""

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self._area = ScrollColumn("Tool")
        self._form = ArgumentForm()
        self._area.box.addWidget(self._form)
        self._area.box.addStretch()
        self._area.resize(800, 900)
        self._area.show()

    def open(self, name: str, schema: Any, rounds: int | None = None) -> Opening:
        """Open the form of a schema; an empty form is shown in between."""
        models, opened = [], []
        for _ in range(rounds or self._rounds):
            self._form.show_model(FormModel({"type": "object"}))
            self._area.grab()
            gc.collect()
            started = process_time()
            model = FormModel(schema)
            draft = model.seed()
            models.append((process_time() - started) * 1000)
            self._form.show_model(model, draft)
            self._area.grab()
            opened.append((process_time() - started) * 1000)
        return Opening(name, median(models), median(opened))


def real(bench: Bench) -> None:
    """Every published tool, and how they stand together."""
    found = [bench.open(name, schema) for name, schema in published()]
    for title, times in (("model", [it.model for it in found]), ("opened", [it.opened for it in found])):
        p99, most = quantiles(times, n=100)[98], max(times)
        print(
            f"{len(found)} published tools, {title:6} median {median(times):6.1f} ms  p99 {p99:6.1f}  max {most:6.1f}"
        )
    slow = sorted((it for it in found if it.opened > TARGET), key=lambda it: -it.opened)
    verdict = "missed" if slow else "met"
    print(f"over {TARGET:.0f} ms: {len(slow)}  target 0: {verdict}")
    for it in slow[:10]:
        print(f"    {it.name:60} {it.opened:6.1f} ms")


def generated(bench: Bench) -> None:
    """The large schemas, then more and more arguments."""
    for name, schema in large():
        it = bench.open(name, schema, 2)
        print(f"{it.name:26} model {it.model:8.1f} ms  opened {it.opened:8.1f} ms")
    before = Opening("", 0.0, 0.0)
    smaller = SIZES[0]
    for size in SIZES:
        name, schema = f"{size:,} arguments", arguments(size)
        expected = before.opened * (size / smaller) ** 2
        if expected > LONGEST:
            gc.collect()
            started = process_time()
            FormModel(schema).seed()
            taken = (process_time() - started) * 1000
            print(f"{name:26} model {taken:8.1f} ms  not opened: it may take {expected / 1000:.0f} s")
            continue
        before, smaller = bench.open(name, schema, 2), size
        print(f"{name:26} model {before.model:8.1f} ms  opened {before.opened:8.1f} ms")
    print(f"targets for {SIZES[-1]:,} arguments: model {MODEL_TARGET:.0f} ms, opened {LARGE_TARGET:.0f} ms")


def checked() -> None:
    """What checking costs: all arguments of the largest form, and values that are hard to compare."""
    schema = arguments(SIZES[-1])
    values: list[Any] = ["text", 7, "second", {"latitude": 47.4}, ["one", "two"], False]
    found = {name: values[number % len(values)] for number, name in enumerate(schema["properties"])}
    rows = [{"id": number, "tags": ["a", number]} for number in range(2_000)]
    cases: list[tuple[str, Any, Any]] = [
        (f"{SIZES[-1]:,} arguments", schema, found),
        ("2,000 different objects", {"uniqueItems": True}, rows),
        ("one of 5,000 values", {"enum": [f"value {number}" for number in range(5_000)]}, "value 4999"),
        ("a pattern that backtracks", {"pattern": r"^(\w+\s?){8}$"}, "a" * 64 + "!"),
        ("a pattern that gives up", {"pattern": r"(.*)\1x"}, "a" * 10_000),
    ]
    for name, rules, value in cases:
        check(rules, value)
        started = process_time()
        check(rules, value)
        print(f"check of {name:28} {(process_time() - started) * 1000:8.1f} ms")


def main() -> None:
    """Open every form and say how it stands."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", choices=("real", "generated", "checked"))
    asked = parser.parse_args()
    # As in the application, whose collector runs between two events (app/ui/collector.py).
    gc.disable()
    app = QApplication([])
    apply_theme(app, "light", 1.0)
    bench = Bench(asked.rounds)
    bench.open("warm-up", arguments(20))
    if asked.only in (None, "real"):
        real(bench)
    if asked.only in (None, "generated"):
        generated(bench)
    if asked.only in (None, "checked"):
        checked()


if __name__ == "__main__":
    main()
