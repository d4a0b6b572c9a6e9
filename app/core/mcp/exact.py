"""Arguments on their way into JSON without rounding.

The SDK turns a `Decimal` into a string and knows numbers only as doubles. A number that a double cannot hold travels
through it as a placeholder, and its literal is put back into the request's body just before it is sent.
"""

from __future__ import annotations

import json
import secrets
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from app.core.errors import Facts, Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping

DEPTH_LIMIT = 64


def prepare(arguments: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The arguments for the SDK, and the literals behind its placeholders.

    Raises `Rejected` for what JSON cannot carry: other types, NaN, lone surrogates, nesting beyond 64 levels.
    """
    numbers: dict[str, str] = {}
    prepared = _prepare(arguments, numbers, "", DEPTH_LIMIT)
    return prepared, numbers


def restore(body: bytes, numbers: Mapping[str, str]) -> bytes:
    """The body with every placeholder replaced by its number."""
    for placeholder, literal in numbers.items():
        body = body.replace(json.dumps(placeholder).encode(), literal.encode())
    return body


def as_plain(number: Decimal) -> int | float | None:
    """The int or float that is exactly `number`, None when there is none."""
    if number.as_tuple().exponent == 0:
        return int(number)
    double = float(number)
    return double if Decimal(repr(double)) == number else None


def _prepare(value: Any, numbers: dict[str, str], path: str, depth: int) -> Any:
    if depth == 0:
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
        case Decimal() if value.is_finite():
            plain = as_plain(value)
            if plain is not None:
                return plain
            placeholder = f"number-{secrets.token_hex(16)}"
            numbers[placeholder] = str(value)
            return placeholder
        case dict():
            if not all(isinstance(name, str) for name in value):
                raise _refused("A name is not text.", path)
            return {
                _prepare(name, numbers, path, depth): _prepare(item, numbers, f"{path}/{name}", depth - 1)
                for name, item in value.items()
            }
        case list() | tuple():
            return [_prepare(item, numbers, f"{path}/{index}", depth - 1) for index, item in enumerate(value)]
        case _:
            raise _refused("The value cannot be written as JSON.", path)


def _refused(cause: str, path: str) -> Rejected:
    return Rejected(cause, Facts(attr=path.lstrip("/") or None))
