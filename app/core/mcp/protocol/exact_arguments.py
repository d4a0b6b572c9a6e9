"""Sending the numbers in a call's arguments without rounding.

The SDK turns a `Decimal` into a string and rounds numbers to doubles. So a number that a double cannot represent passes
through the SDK as a placeholder. Its digits are put into the body of the request just before it is sent.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from app.core.errors import Facts, Rejected
from app.core.mcp.json_text import DEPTH_LIMIT, NotJson, NumberPlaceholders, exact_numbers


def prepare_arguments(arguments: dict[str, Any]) -> tuple[dict[str, Any], NumberPlaceholders]:
    """The arguments for the SDK, and the placeholders in them.

    Raises `Rejected` (attr is the path) for what JSON cannot represent: other types, NaN, lone surrogates, nesting
    beyond 64 levels.
    """
    placeholders = NumberPlaceholders()
    return _prepare(arguments, placeholders, "", DEPTH_LIMIT), placeholders


def plain_number(number: Decimal) -> int | float | None:
    """The int or float that equals `number` exactly; None when there is none."""
    exact = exact_numbers(number)
    if not isinstance(exact, Decimal):
        return int(exact)
    if exact.as_tuple().exponent == 0:
        return None
    double = float(number)
    return double if Decimal(repr(double)) == number else None


def _prepare(value: Any, placeholders: NumberPlaceholders, path: str, depth: int) -> Any:
    if depth < 0:
        raise _refused("The arguments are nested too deeply.", path)
    match value:
        case None | bool() | int():
            return value
        case str():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise _refused("The text contains half a character, which cannot be sent.", path) from None
            return value
        # False for NaN and the infinities.
        case float() if value - value == 0:
            return value
        case Decimal():
            plain = plain_number(value) if value.is_finite() else None
            try:
                return placeholders.add(value) if plain is None else plain
            except NotJson as problem:
                raise _refused(f"{problem.message}.", path) from None
        case dict():
            if not all(isinstance(name, str) for name in value):
                raise _refused("A name is not text.", path)
            return {
                _prepare(name, placeholders, path, depth): _prepare(item, placeholders, f"{path}/{name}", depth - 1)
                for name, item in value.items()
            }
        case list() | tuple():
            return [_prepare(item, placeholders, f"{path}/{index}", depth - 1) for index, item in enumerate(value)]
        case _:
            raise _refused("The value cannot be written as JSON.", path)


def _refused(cause: str, path: str) -> Rejected:
    return Rejected(cause, Facts(attr=path.lstrip("/") or None))
