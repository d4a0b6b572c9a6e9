"""The structured value of a result without rounding, and the tables in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.core.mcp.json_text import NotJson, parse_json, write_json
from app.core.mcp.results.blocks import ResourceBlock, TextBlock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from app.core.mcp.results.blocks import CallResult

# A longer text is not tried as JSON.
LONGEST_TEXT = 4_000_000
TABLE_COLUMNS = 100
# How far into a value is looked for tables.
TABLE_DEPTH = 3
TABLES = 20


# How deep a value may be. Beyond that it is shown as its rounded one.
DEPTH = 300


@dataclass(frozen=True)
class Table:
    """A list of objects: `path` as in `$.items`, `columns` the names of their members in the order they appear.

    `more_columns` is how many names there are beyond `columns`.
    """

    path: str
    rows: Sequence[dict[str, Any]]
    columns: tuple[str, ...]
    more_columns: int = 0


@dataclass(frozen=True)
class Exact:
    """`value` with its fractions as `Decimal`, `present` False when there is none (`value` may be null).

    `inexact` says why numbers may be rounded or names missing; empty when the value is exact.
    """

    value: Any = None
    present: bool = False
    inexact: str = ""
    tables: tuple[Table, ...] = ()


def exact_data(result: CallResult) -> Exact:
    """The structured content, or the value of a result that is one JSON text, as many servers send. Raises nothing."""
    if "structuredContent" in result.raw:
        return _structured(result)
    text = _json_text(result)
    if text is None:
        return Exact()
    try:
        value = parse_json(text, depth=DEPTH)
    except NotJson:
        return Exact()
    return Exact(value, True, tables=tuple(_tables(value)))


def written(value: Any) -> str:
    """The JSON text of any value, however deep, in one line where it is very deep."""
    try:
        return write_json(value, depth=DEPTH)
    except (NotJson, RecursionError):
        return "".join(_tokens(value))


def may_have_data(result: CallResult) -> bool:
    """Whether `exact_data` is worth asking: there is a structured content, or a text that looks like JSON."""
    return "structuredContent" in result.raw or _json_text(result) is not None


def _tokens(value: Any) -> Iterator[str]:
    """The parts of a JSON text, without recursion. What JSON cannot represent is written as Python does."""
    waiting: list[tuple[bool, Any]] = [(True, value)]
    while waiting:
        is_value, item = waiting.pop()
        if not is_value:
            yield item
        elif isinstance(item, dict):
            yield "{"
            waiting.append((False, "}"))
            for place, (name, inner) in reversed(list(enumerate(item.items()))):
                waiting += [(True, inner), (False, ("," if place else "") + json.dumps(str(name)) + ":")]
        elif isinstance(item, list | tuple):
            yield "["
            waiting.append((False, "]"))
            for place, inner in reversed(list(enumerate(item))):
                waiting += [(True, inner), (False, "," if place else "")]
        else:
            yield json.dumps(item) if isinstance(item, str | bool | None) else str(item)


def _structured(result: CallResult) -> Exact:
    value, inexact = result.structured, ""
    if result.message:
        try:
            value = parse_json(result.message.decode("utf-8", "replace"), depth=DEPTH)["result"]["structuredContent"]
        except NotJson as problem:
            inexact = problem.message
        except (KeyError, TypeError):
            inexact = "It has another form than expected"
    return Exact(value, True, inexact, tuple(_tables(value)))


def _json_text(result: CallResult) -> str | None:
    if len(result.blocks) != 1:
        return None
    match result.blocks[0]:
        case TextBlock(text=text) | ResourceBlock(text=str(text)) if len(text) <= LONGEST_TEXT:
            text = text.strip()
            return text if text.startswith(("{", "[")) else None
        case _:
            return None


def _tables(value: Any) -> Iterator[Table]:
    """The lists of objects that are not deep inside, the outer ones first."""
    waiting: list[tuple[str, Any, int]] = [("$", value, 0)]
    found = 0
    while waiting and found < TABLES:
        path, inner, depth = waiting.pop(0)
        if isinstance(inner, list):
            if inner and all(isinstance(row, dict) for row in inner):
                found += 1
                yield _table(path, inner)
        elif isinstance(inner, dict) and depth < TABLE_DEPTH:
            members = [(name, item) for name, item in inner.items() if isinstance(item, list | dict)]
            waiting += [(f"{path}.{name}", item, depth + 1) for name, item in members[:TABLES]]


def _table(path: str, rows: list[dict[str, Any]]) -> Table:
    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(row))
    columns = tuple(names)
    return Table(path, rows, columns[:TABLE_COLUMNS], max(0, len(columns) - TABLE_COLUMNS))
