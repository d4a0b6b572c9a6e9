"""Arguments on their way into JSON without rounding.

The SDK turns a `Decimal` into a string and knows numbers only as doubles. A number that a double cannot hold travels
through it as a mark, and its digits are put back into the request's body just before it is sent.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from app.core.errors import Facts, Rejected
from app.core.mcp.json_text import DEPTH_LIMIT, Marks, NotJson


def prepare(arguments: dict[str, Any]) -> tuple[dict[str, Any], Marks]:
    """The arguments for the SDK, and the marks in them.

    Raises `Rejected` for what JSON cannot carry: other types, NaN, lone surrogates, nesting beyond 64 levels.
    """
    marks = Marks()
    return _prepare(arguments, marks, "", DEPTH_LIMIT), marks


def as_plain(number: Decimal) -> int | float | None:
    """The int or float that is exactly `number`, None when there is none."""
    if number.as_tuple().exponent == 0:
        return int(number)
    double = float(number)
    return double if Decimal(repr(double)) == number else None


def _prepare(value: Any, marks: Marks, path: str, depth: int) -> Any:
    if depth < 0:
        raise _refused("The arguments are nested too deeply.", path)
    match value:
        case None | bool() | int():
            return value
        case str():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise _refused("The text has half a character in it that cannot be sent.", path) from None
            return value
        case float() if value - value == 0:
            return value
        case Decimal():
            plain = as_plain(value) if value.is_finite() else None
            try:
                return marks.put(value) if plain is None else plain
            except NotJson as problem:
                raise _refused(f"{problem.message}.", path) from None
        case dict():
            if not all(isinstance(name, str) for name in value):
                raise _refused("A name is not text.", path)
            return {
                _prepare(name, marks, path, depth): _prepare(item, marks, f"{path}/{name}", depth - 1)
                for name, item in value.items()
            }
        case list() | tuple():
            return [_prepare(item, marks, f"{path}/{index}", depth - 1) for index, item in enumerate(value)]
        case _:
            raise _refused("The value cannot be written as JSON.", path)


def _refused(cause: str, path: str) -> Rejected:
    return Rejected(cause, Facts(attr=path.lstrip("/") or None))
