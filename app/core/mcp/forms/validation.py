"""Arguments checked against a tool's schema here, before they are sent: a help, never the last word.

Schemas come from strangers. The check runs in a worker thread, gives up after 50 ms or on anything unusual and then
leaves the verdict to the server; it fetches nothing and runs no pattern that could take exponential time.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from time import monotonic
from typing import TYPE_CHECKING, Any

from app.core.mcp.protocol.exact import as_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPTH_LIMIT = 32
SUBSCHEMAS_LIMIT = 2_000
VALUES_LIMIT = 20_000
SECONDS = 0.05
PROBLEMS_LIMIT = 50
PATTERN_LIMIT = 300
PATTERN_TEXT_LIMIT = 400
SHOWN = 80


@dataclass(frozen=True)
class FieldProblem:
    """What is wrong with one argument. `path` is its name, or names and places joined by `/`; empty for the whole."""

    path: str
    message: str


@dataclass(frozen=True)
class ValidationResult:
    """`complete` is False when the check gave up: the server then decides."""

    problems: tuple[FieldProblem, ...] = ()
    complete: bool = True


class _GaveUp(Exception):
    """The check is over its limits."""


async def validate(schema: dict[str, Any], arguments: dict[str, Any], *, seconds: float = SECONDS) -> ValidationResult:
    """Check `arguments` off the loop. Never raises."""
    return await asyncio.to_thread(check, schema, arguments, seconds=seconds)


def check(schema: dict[str, Any], arguments: dict[str, Any], *, seconds: float = SECONDS) -> ValidationResult:
    """The same on the calling thread."""
    problems: list[FieldProblem] = []
    try:
        if not _bounded(schema, SUBSCHEMAS_LIMIT, DEPTH_LIMIT) or not _bounded(
            arguments, VALUES_LIMIT, DEPTH_LIMIT * 2
        ):
            return ValidationResult(complete=False)
        clock = _Clock()
        validator = _validator(schema, clock)
        clock.end = monotonic() + seconds
        for error in validator.iter_errors(_plain(arguments)):
            if len(problems) >= PROBLEMS_LIMIT:
                return ValidationResult(tuple(dict.fromkeys(problems)), complete=False)
            problems.append(_problem(error))
    except Exception:  # noqa: BLE001 (a stranger's schema may break the validator in any way)
        return ValidationResult(tuple(dict.fromkeys(problems)), complete=False)
    return ValidationResult(tuple(dict.fromkeys(problems)))


class _Clock:
    """When to give up; asked at every keyword."""

    def __init__(self) -> None:
        self.end = 0.0

    def tick(self) -> None:
        if monotonic() > self.end:
            raise _GaveUp


def _validator(schema: dict[str, Any], clock: _Clock) -> Any:
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
    from jsonschema.validators import extend, validator_for  # type: ignore[import-untyped]
    from referencing import Registry

    dialect = validator_for(schema, default=Draft202012Validator)
    keywords = {name: _watched(function, clock) for name, function in dialect.VALIDATORS.items()}
    keywords["multipleOf"] = _multiple_of
    keywords["pattern"] = _pattern
    keywords["patternProperties"] = _guarded_pattern_properties(dialect.VALIDATORS["patternProperties"], clock)
    return extend(dialect, keywords)(schema, registry=Registry())


def _watched(function: Any, clock: _Clock) -> Any:
    def keyword(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        clock.tick()
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


def _guarded_pattern_properties(function: Any, clock: _Clock) -> Any:
    def keyword(validator: Any, patterns: Any, instance: Any, schema: Any) -> Iterator[Any]:
        clock.tick()
        if not all(harmless(pattern) for pattern in patterns):
            raise _GaveUp
        if isinstance(instance, dict) and any(len(name) > PATTERN_TEXT_LIMIT for name in instance):
            raise _GaveUp
        yield from function(validator, patterns, instance, schema) or ()

    return keyword


@lru_cache(maxsize=512)
def harmless(pattern: object) -> bool:
    """Whether a pattern certainly runs in about quadratic time: no open repetition in another, at most two of them."""
    if not isinstance(pattern, str) or len(pattern) > PATTERN_LIMIT:
        return False
    try:
        parsed = re._parser.parse(pattern)  # type: ignore[attr-defined] # the only parser of Python's own syntax
    except (re.error, RecursionError, OverflowError):
        return False
    opened = [0]
    return _calm(parsed, opened, inside=False) and opened[0] <= 2


def _calm(parsed: Any, opened: list[int], *, inside: bool) -> bool:
    for operation, argument in parsed:
        name = str(operation)
        if name.endswith("REPEAT"):
            least, most, body = argument
            open_ended = most - least > 1
            if open_ended and inside:
                return False
            bounded = most < 64
            opened[0] += 0 if not open_ended or bounded else 1
            if not _calm(body, opened, inside=inside or open_ended):
                return False
        elif name == "SUBPATTERN":
            if not _calm(argument[-1], opened, inside=inside):
                return False
        elif name == "BRANCH":
            if inside or not all(_calm(branch, opened, inside=inside) for branch in argument[1]):
                return False
        elif name not in {"LITERAL", "NOT_LITERAL", "ANY", "IN", "AT"}:
            return False
    return True


def _bounded(value: Any, count: int, depth: int) -> bool:
    """Whether a JSON-like value has at most `count` containers and members, at most `depth` deep."""
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
    """Decimals as the numbers the validator knows."""
    match value:
        case Decimal():
            whole = value.to_integral_value()
            if value == whole and abs(value.adjusted()) < 400:
                return int(value)
            plain = as_plain(value)
            return value if plain is None else plain
        case dict():
            return {name: _plain(item) for name, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value


def _problem(error: Any) -> FieldProblem:
    path = "/".join(str(part) for part in error.absolute_path)
    return FieldProblem(path, _words(error))


def _words(error: Any) -> str:
    value = error.validator_value
    match error.validator:
        case "required":
            missing = [name for name in value if name not in error.instance] if isinstance(value, list) else []
            return f"{', '.join(missing) or 'A value'} is missing."
        case "type":
            kinds = value if isinstance(value, list) else [value]
            return f"It must be {' or '.join(_article(kind) for kind in kinds)}."
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
            return "It has a name that the tool does not know."
        case "anyOf" | "oneOf":
            return "It fits none of the kinds that the tool takes, or more than one."
        case _:
            return f"{_short(error.message)}."


def _article(kind: object) -> str:
    words = {
        "array": "a list",
        "boolean": "true or false",
        "integer": "a whole number",
        "null": "null",
        "number": "a number",
        "object": "an object",
        "string": "text",
    }
    return words.get(str(kind), str(kind))


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
