"""Checking arguments against a tool's schema before they are sent. It helps the user; the server decides.

Schemas come from servers that nobody controls. So the check runs in a worker thread, fetches nothing, runs no pattern
that could take exponential time, and gives up after 50 ms or on anything unusual.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from time import monotonic
from typing import TYPE_CHECKING, Any

from app.core.mcp.protocol.exact_arguments import plain_number

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPTH_LIMIT = 32
SUBSCHEMAS_LIMIT = 2_000
VALUES_LIMIT = 20_000
SECONDS = 0.05
PROBLEMS_LIMIT = 50
# Characters of a pattern and of the text it is tried on. At quadratic time this takes well below a millisecond.
PATTERN_LIMIT = 300
PATTERN_TEXT_LIMIT = 400
SHOWN_CHARACTERS = 80


@dataclass(frozen=True)
class FieldProblem:
    """What is wrong with one argument.

    `path` is its name, or names and indexes joined by `/`; empty for the arguments as a whole.
    """

    path: str
    message: str


@dataclass(frozen=True)
class ValidationResult:
    """`complete` is False when the check gave up. Then there may be more problems than these."""

    problems: tuple[FieldProblem, ...] = ()
    complete: bool = True


class _GaveUp(Exception):
    """The check exceeded one of its limits."""


async def validate(schema: dict[str, Any], arguments: dict[str, Any], *, seconds: float = SECONDS) -> ValidationResult:
    """Check `arguments` in a worker thread. Never raises."""
    return await asyncio.to_thread(check, schema, arguments, seconds=seconds)


def check(schema: dict[str, Any], arguments: Any, *, seconds: float = SECONDS) -> ValidationResult:
    """Check `arguments` on the calling thread. Never raises."""
    problems: list[FieldProblem] = []
    try:
        # Before the validator sees them: it recurses, and a deep value would exhaust the stack.
        if not _bounded(schema, SUBSCHEMAS_LIMIT, DEPTH_LIMIT) or not _bounded(
            arguments, VALUES_LIMIT, DEPTH_LIMIT * 2
        ):
            return ValidationResult(complete=False)
        deadline = _Deadline()
        validator = _validator(schema, deadline)
        # Building the validator does not count: the first time it imports the library.
        deadline.end = monotonic() + seconds
        for error in validator.iter_errors(_plain(arguments)):
            if len(problems) >= PROBLEMS_LIMIT:
                return ValidationResult(tuple(dict.fromkeys(problems)), complete=False)
            problems.append(_problem(error))
    except Exception:  # noqa: BLE001 (an invalid schema may break the validator in any way)
        return ValidationResult(tuple(dict.fromkeys(problems)), complete=False)
    return ValidationResult(tuple(dict.fromkeys(problems)))


class _Deadline:
    """The time at which to give up."""

    def __init__(self) -> None:
        self.end = 0.0

    def check(self) -> None:
        # Called at every keyword. A thread cannot be interrupted from outside, so the check has to end itself.
        if monotonic() > self.end:
            raise _GaveUp


def _validator(schema: dict[str, Any], deadline: _Deadline) -> Any:
    """A validator for the schema's dialect, with limits around each keyword."""
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
    from jsonschema.validators import extend, validator_for  # type: ignore[import-untyped]
    from referencing import Registry

    dialect = validator_for(schema, default=Draft202012Validator)
    keywords = {name: _limited(function, deadline) for name, function in dialect.VALIDATORS.items()}
    # The library's own uses floats, for which 0.3 is no multiple of 0.1.
    keywords["multipleOf"] = _multiple_of
    keywords["pattern"] = _pattern
    keywords["patternProperties"] = _pattern_properties(dialect.VALIDATORS["patternProperties"], deadline)
    # An empty registry: references to other documents fail instead of being fetched.
    return extend(dialect, keywords)(schema, registry=Registry())


def _limited(function: Any, deadline: _Deadline) -> Any:
    def keyword(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        deadline.check()
        yield from function(validator, value, instance, schema) or ()

    return keyword


def _multiple_of(_validator: Any, divisor: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if isinstance(instance, bool) or not isinstance(instance, int | float | Decimal) or not divisor:
        return
    if Decimal(str(instance)) % Decimal(str(divisor)) != 0:
        yield ValidationError(f"{instance} is not a multiple of {divisor}")


def _pattern(_validator: Any, pattern: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if not isinstance(instance, str):
        return
    if not harmless(pattern) or len(instance) > PATTERN_TEXT_LIMIT:
        raise _GaveUp
    if re.search(pattern, instance) is None:
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(function: Any, deadline: _Deadline) -> Any:
    def keyword(validator: Any, patterns: Any, instance: Any, schema: Any) -> Iterator[Any]:
        deadline.check()
        if not all(harmless(pattern) for pattern in patterns):
            raise _GaveUp
        if isinstance(instance, dict) and any(len(name) > PATTERN_TEXT_LIMIT for name in instance):
            raise _GaveUp
        yield from function(validator, patterns, instance, schema) or ()

    return keyword


@lru_cache(maxsize=512)
def harmless(pattern: object) -> bool:
    """Whether a pattern certainly takes at most about quadratic time.

    That is so if it has no unbounded repetition inside another one, at most two of them, and nothing unusual.
    """
    if not isinstance(pattern, str) or len(pattern) > PATTERN_LIMIT:
        return False
    try:
        parsed = re._parser.parse(pattern)  # type: ignore[attr-defined] # the only parser of Python's own syntax
    except (re.error, RecursionError, OverflowError):
        return False
    unbounded = [0]
    return _is_harmless(parsed, unbounded, inside=False) and unbounded[0] <= 2


def _is_harmless(parsed: Any, unbounded: list[int], *, inside: bool) -> bool:
    """Whether a parsed pattern nests no repetitions; counts the unbounded ones. `inside`: it is repeated itself."""
    for operation, argument in parsed:
        name = str(operation)
        if name.endswith("REPEAT"):
            least, most, body = argument
            # Repetitions that can match in only one or two ways cannot multiply the ways to fail.
            variable = most - least > 1
            if variable and inside:
                return False
            bounded = most < 64
            unbounded[0] += 0 if not variable or bounded else 1
            if not _is_harmless(body, unbounded, inside=inside or variable):
                return False
        elif name == "SUBPATTERN":
            if not _is_harmless(argument[-1], unbounded, inside=inside):
                return False
        elif name == "BRANCH":
            # Alternatives inside a repetition may overlap, which is as bad as a nested repetition.
            if inside or not all(_is_harmless(branch, unbounded, inside=inside) for branch in argument[1]):
                return False
        # Back-references, look-arounds and whatever later versions of Python add are not judged.
        elif name not in {"LITERAL", "NOT_LITERAL", "ANY", "IN", "AT"}:
            return False
    return True


def _bounded(value: Any, count: int, depth: int) -> bool:
    """Whether a JSON value has at most `count` members in all, and at most `depth` levels."""
    # Level by level and not recursively, so that no value can exhaust the stack.
    layer = [value]
    for _level in range(depth):
        below: list[Any] = []
        for item in layer:
            below += item.values() if isinstance(item, dict) else item if isinstance(item, list | tuple) else ()
        count -= len(below)
        if count < 0:
            return False
        if not below:
            return True
        layer = below
    return False


def _plain(value: Any) -> Any:
    """A copy with `Decimal`s as the numbers that the validator supports."""
    match value:
        case Decimal():
            whole = value.to_integral_value()
            # A larger exponent would make an integer of thousands of digits.
            if value == whole and abs(value.adjusted()) < 400:
                return int(value)
            plain = plain_number(value)
            return value if plain is None else plain
        case dict():
            return {name: _plain(item) for name, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value


def _problem(error: Any) -> FieldProblem:
    path = "/".join(str(part) for part in error.absolute_path)
    return FieldProblem(path, _message(error))


def _message(error: Any) -> str:
    value = error.validator_value
    match error.validator:
        case "required":
            missing = [name for name in value if name not in error.instance] if isinstance(value, list) else []
            return f"{', '.join(missing) or 'A value'} is missing."
        case "type":
            kinds = value if isinstance(value, list) else [value]
            return f"It must be {' or '.join(_type_name(kind) for kind in kinds)}."
        case "enum":
            return "It must be one of the values offered."
        case "const":
            return f"It must be {_short(value)}."
        case "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum":
            bound = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most"}
            return f"It must be {bound.get(error.validator, 'less than')} {value}."
        case "minLength" | "maxLength":
            return f"It must have at {'least' if error.validator == 'minLength' else 'most'} {value} characters."
        case "minItems" | "maxItems":
            return f"It must have at {'least' if error.validator == 'minItems' else 'most'} {value} items."
        case "pattern":
            return f"It must match {_short(value)}."
        case "multipleOf":
            return f"It must be a multiple of {value}."
        case "uniqueItems":
            return "No item may appear twice."
        case "additionalProperties" | "unevaluatedProperties":
            return "It contains a name that the tool does not know."
        case "anyOf" | "oneOf":
            return "It matches none of the kinds that the tool accepts, or more than one."
        case _:
            return f"{_short(error.message)}."


def _type_name(kind: object) -> str:
    names = {
        "array": "a list",
        "boolean": "true or false",
        "integer": "a whole number",
        "null": "null",
        "number": "a number",
        "object": "an object",
        "string": "text",
    }
    return names.get(str(kind), str(kind))


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
