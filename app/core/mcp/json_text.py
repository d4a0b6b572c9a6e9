"""Parsing and writing JSON without rounding: fractions are `Decimal`, integers have any size (RFC 8259)."""

from __future__ import annotations

import json
import re
import secrets
from decimal import Decimal
from typing import Any, NoReturn

DEPTH_LIMIT = 64


class NotJson(ValueError):
    """Text that is not JSON, or a value that JSON cannot represent.

    `line` and `column` count from 1; both are 0 when the position is not known.
    """

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


def parse_json(text: str) -> Any:
    """The value of a JSON text. Raises `NotJson`, also for duplicate names and for nesting beyond 64 levels."""
    # The recursion limit depends on the caller's stack. The explicit limit makes the result the same everywhere.
    try:
        value = json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant, object_pairs_hook=_object)
    except NotJson:
        raise
    except json.JSONDecodeError as problem:
        raise NotJson(f"{problem.msg} in line {problem.lineno}", problem.lineno, problem.colno) from None
    except RecursionError:
        raise NotJson("It is nested too deeply") from None
    except ValueError:
        raise NotJson("A number has too many digits") from None
    if _deeper_than(value, DEPTH_LIMIT):
        raise NotJson("It is nested too deeply")
    return value


def write_json(value: object, *, indent: int | None = 2) -> str:
    """The JSON text of a value, whose fractions may be `Decimal`. Raises `NotJson` for what JSON cannot represent."""
    placeholders = NumberPlaceholders()
    try:
        text = json.dumps(
            _with_placeholders(value, placeholders, DEPTH_LIMIT), indent=indent, ensure_ascii=False, allow_nan=False
        )
    except (ValueError, TypeError) as problem:
        raise NotJson(str(problem)) from None
    return placeholders.restore(text)


class NumberPlaceholders:
    """Texts in the place of numbers, for encoders that would round the numbers.

    `add` gives a text for a number. After encoding, `restore` replaces the texts in the JSON by the numbers' digits.
    """

    def __init__(self) -> None:
        # Unguessable, so that no other text in the value can be a placeholder.
        self._name = secrets.token_hex(16)
        self._literals: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._literals)

    def add(self, number: Decimal) -> str:
        """The placeholder for `number`. Raises `NotJson` if the number is not finite."""
        if not number.is_finite():
            raise NotJson("A number is not finite")
        self._literals.append(str(number))
        return f"{self._name}:{len(self._literals) - 1}"

    def restore(self, text: str) -> str:
        """JSON text with every placeholder replaced by its number."""
        if not self._literals:
            return text
        return re.sub(rf'"{self._name}:(\d+)"', lambda found: self._literals[int(found[1])], text)


def exact_numbers(value: Any) -> Any:
    """A copy with numbers as `parse_json` returns them: floats become `Decimal`, whole `Decimal`s become int."""
    match value:
        case float():
            return Decimal(repr(value))
        case Decimal() if value.is_finite() and value.as_tuple().exponent == 0:
            return int(value)
        case dict():
            return {name: exact_numbers(item) for name, item in value.items()}
        case list() | tuple():
            return [exact_numbers(item) for item in value]
        case _:
            return value


def same_json(one: object, two: object) -> bool:
    """Whether two values have the same JSON text: 1, 1.0 and true are three values."""
    match (
        exact_numbers(one) if isinstance(one, Decimal) else one,
        exact_numbers(two) if isinstance(two, Decimal) else two,
    ):
        case bool(first), bool(second):
            return first == second
        case int(first), int(second) if not isinstance(first, bool) and not isinstance(second, bool):
            return first == second
        case ((Decimal() | float() as first), (Decimal() | float() as second)):
            return str(exact_numbers(first)) == str(exact_numbers(second))
        case str(first), str(second):
            return first == second
        case None, None:
            return True
        case dict(first), dict(second):
            return first.keys() == second.keys() and all(same_json(item, second[name]) for name, item in first.items())
        case ((list() | tuple() as first), (list() | tuple() as second)):
            return len(first) == len(second) and all(same_json(a, b) for a, b in zip(first, second, strict=True))
        case _:
            return False


def _with_placeholders(value: Any, placeholders: NumberPlaceholders, depth: int) -> Any:
    if depth < 0:
        raise NotJson("It is nested too deeply")
    match value:
        case Decimal():
            return placeholders.add(value)
        case dict():
            return {name: _with_placeholders(item, placeholders, depth - 1) for name, item in value.items()}
        case list() | tuple():
            return [_with_placeholders(item, placeholders, depth - 1) for item in value]
        case _:
            return value


def _deeper_than(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    if levels == 0:
        return True
    items = value.values() if isinstance(value, dict) else value
    return any(_deeper_than(item, levels - 1) for item in items)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise NotJson(f"The name “{twice[:60]}” appears twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise NotJson(f"{name} is not a JSON value")
