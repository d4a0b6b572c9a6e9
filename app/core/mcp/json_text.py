"""The one reader and the one writer of JSON: nothing is rounded, dropped or changed (RFC 8259).

Fractions are `Decimal`, and so are `-0` and whole numbers of more digits than Python converts; other whole numbers are
int. Strings keep every character, lone surrogates too.

The scanner is the standard library's, in C. msgspec is quicker, but it takes the last of two equal names without a
word and refuses lone surrogates.
"""

from __future__ import annotations

import json
import re
import secrets
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn, TypeGuard

from app.core.mcp.json_faults import exponent_at, place_of, syntax_words, too_deep_at, twice_at, word_at

DEPTH_LIMIT = 64
# Python refuses to convert more digits than 4,300 between int and str.
DIGITS_LIMIT = 4_000
# What may stand between the values of a JSON text. A no-break space may not.
WHITE_SPACE = " \t\n\r"
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
Number = int | float | Decimal
TOO_DEEP = "It is nested too deeply"


class NotJson(ValueError):
    """Text that is not JSON, or a value that JSON cannot represent.

    `msg` says what is wrong, `message` where too. `line` and `column` count from 1; both are 0 when the position is not
    known.
    """

    def __init__(self, msg: str, line: int = 0, column: int = 0) -> None:
        self.msg = msg
        self.message = f"{msg} (line {line}, column {column})" if line else msg
        self.line = line
        self.column = column
        super().__init__(self.message)


def parse_json(text: str, *, depth: int = DEPTH_LIMIT) -> Any:
    """The value of a JSON text, which may begin with one byte order mark.

    Raises `NotJson` with the place, also for a name that appears twice in an object, for NaN and the infinities, and
    for nesting beyond `depth` levels (a few hundred at most).
    """
    text = text.removeprefix("\ufeff")
    try:
        value = _scan(text, whole=int if "-0" not in text else _whole)
    except json.JSONDecodeError as problem:
        raise _fault(text, syntax_words(text, problem.pos, problem.msg), problem.pos) from None
    except _Twice as problem:
        raise _fault(text, f"The name “{problem.name[:60]}” appears twice", twice_at(text)) from None
    except _NoNumber as problem:
        raise _fault(text, f"{problem.name} is not a JSON value", word_at(text, problem.name)) from None
    except InvalidOperation:
        raise _fault(text, "The exponent of a number is too large", exponent_at(text)) from None
    except RecursionError:
        raise _fault(text, TOO_DEEP, too_deep_at(text, depth)) from None
    # The recursion limit depends on the caller's stack. The explicit limit makes the result the same everywhere.
    if deeper_than(value, depth):
        raise _fault(text, TOO_DEEP, too_deep_at(text, depth))
    return value


def write_json(value: object, *, indent: int | None = 2, depth: int = DEPTH_LIMIT) -> str:
    """The JSON text of a value, whose fractions may be `Decimal`; lone surrogates are written as escapes.

    Raises `NotJson` for what JSON cannot represent, NaN and the infinities too, and for nesting beyond `depth` levels.
    """
    if deeper_than(value, depth):
        raise NotJson(TOO_DEEP)
    placeholders = NumberPlaceholders()
    try:
        text = _encoded(value, placeholders, indent)
    except TypeError as problem:
        raise NotJson(str(problem)) from None
    except NotJson:
        raise
    except ValueError as problem:
        if "digits" not in str(problem):
            raise NotJson("A number is not finite") from None
        text = _encoded(_long_as_decimal(value), placeholders, indent)
    if text.isascii():
        return placeholders.restore(text)
    return LONE_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", placeholders.restore(text))


class NumberPlaceholders:
    """Texts in the place of numbers, for encoders that would round the numbers.

    `add` gives a text for a number. After encoding, `restore` replaces the texts in the JSON by the numbers' digits.
    """

    def __init__(self) -> None:
        self._name = ""
        self._literals: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._literals)

    def add(self, number: Decimal) -> str:
        """The placeholder for `number`. Raises `NotJson` if the number is not finite."""
        if not number.is_finite():
            raise NotJson("A number is not finite")
        # Unguessable, so that no other text in the value can be a placeholder.
        self._name = self._name or secrets.token_hex(16)
        self._literals.append(str(number))
        return f"{self._name}:{len(self._literals) - 1}"

    def restore(self, text: str) -> str:
        """JSON text with every placeholder replaced by its number."""
        if not self._literals:
            return text
        return re.sub(rf'"{self._name}:(\d+)"', lambda found: self._literals[int(found[1])], text)


def exact_numbers(value: Any) -> Any:
    """A copy with numbers as `parse_json` returns them. The value has at most a few hundred levels."""
    match value:
        case float():
            return Decimal(repr(value))
        case Decimal() if value.is_finite() and value.as_tuple().exponent == 0:
            return value if _only_decimal(value) else int(value)
        case int() if not isinstance(value, bool) and value.bit_length() > 3 * DIGITS_LIMIT:
            exact = Decimal(value)
            return exact if _only_decimal(exact) else value
        case dict():
            return {name: exact_numbers(item) for name, item in value.items()}
        case list() | tuple():
            return [exact_numbers(item) for item in value]
        case _:
            return value


def is_number(value: object) -> TypeGuard[Number]:
    """Whether a value is a number of JSON: finite, and no boolean, although Python counts those as int."""
    match value:
        case bool():
            return False
        case Decimal():
            return value.is_finite()
        case float():
            return value - value == 0
        case _:
            return isinstance(value, int)


def same_json(one: object, two: object) -> bool:
    """Whether two values have the same JSON text: 1, 1.0 and true are three values."""
    match (one, two):
        case bool(first), bool(second):
            return first == second
        case ((int() | float() | Decimal() as first), (int() | float() | Decimal() as second)):
            if isinstance(first, bool) or isinstance(second, bool):
                return False
            first, second = exact_numbers(first), exact_numbers(second)
            return type(first) is type(second) and (
                first == second if isinstance(first, int) else str(first) == str(second)
            )
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


def deeper_than(value: object, levels: int) -> bool:
    """Whether a value has more than `levels` levels of lists and objects. It may have any number."""
    layer = [value]
    for _level in range(levels + 1):
        below: list[object] = []
        nested = False
        for item in layer:
            if isinstance(item, dict):
                below += item.values()
                nested = True
            elif isinstance(item, list | tuple):
                below += item
                nested = True
        if not nested:
            return False
        layer = below
    return True


class _Twice(Exception):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class _NoNumber(Exception):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def _scan(text: str, whole: Any) -> Any:
    try:
        return json.loads(
            text, parse_float=Decimal, parse_int=whole, parse_constant=_refuse_constant, object_pairs_hook=_object
        )
    except json.JSONDecodeError:
        raise
    except ValueError:
        # Too many digits for int. Calling back for every number is slower, so it is done only then and for -0.
        if whole is _whole:
            raise
        return _scan(text, _whole)


def _whole(digits: str) -> int | Decimal:
    return Decimal(digits) if len(digits) > DIGITS_LIMIT or digits == "-0" else int(digits)


def _only_decimal(number: Decimal) -> bool:
    """Whether a whole number is a `Decimal` in every value: int has no -0, and no text for many digits."""
    return len(number.as_tuple().digits) > DIGITS_LIMIT or (number.is_zero() and number.is_signed())


def _long_as_decimal(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _long_as_decimal(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_long_as_decimal(item) for item in value]
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _encoded(value: object, placeholders: NumberPlaceholders, indent: int | None) -> str:
    def other(item: object) -> str:
        if isinstance(item, Decimal):
            return placeholders.add(item)
        raise TypeError(f"{type(item).__name__} is not a JSON value")

    return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False, default=other)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _value in pairs:
            if name in seen:
                raise _Twice(name)
            seen.add(name)
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise _NoNumber(name)


def _fault(text: str, words: str, at: int) -> NotJson:
    line, column = place_of(text, at)
    return NotJson(words, line, column)
