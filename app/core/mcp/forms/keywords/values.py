"""Keywords for values of any kind, numbers and texts."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from app.core.mcp.forms.equality import equality_key
from app.core.mcp.forms.evaluation import UNREADABLE, Problem, Untried
from app.core.mcp.forms.patterns import SlowPattern, UntriedPattern, matches
from app.core.mcp.json_text import NotJson, deeper_than, is_number, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from app.core.mcp.forms.evaluation import Evaluation, Keyword, Spot

SHOWN_CHARACTERS = 80
# For exact multiples, numbers are written out. This is far beyond what any double has.
EXPONENT_LIMIT = 1_000
# How deep a value may be that is compared as a whole.
DEPTH_LIMIT = 100
# A pattern that took too long this often is not tried again in one check: each try holds the interpreter lock.
SLOW_LIMIT = 3
TYPES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "array": ("a list", lambda value: isinstance(value, list | tuple)),
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "integer": ("a whole number", lambda value: is_number(value) and _is_whole(value)),
    "null": ("null", lambda value: value is None),
    "number": ("a number", lambda value: is_number(value)),
    "object": ("an object", lambda value: isinstance(value, dict)),
    "string": ("text", lambda value: isinstance(value, str)),
}


def is_text(value: object) -> bool:
    """Whether a value is a text."""
    return isinstance(value, str)


def limit_of(wanted: Any) -> int | Decimal:
    """A limit as an exact number. Raises `Untried` if it is none."""
    if isinstance(wanted, float):
        return Decimal(repr(wanted))
    if isinstance(wanted, int | Decimal) and not isinstance(wanted, bool):
        return wanted
    raise Untried(UNREADABLE)


def shown(value: object) -> str:
    """A value of the schema in a message, cut to what fits a line."""
    if isinstance(value, str):
        text = value
    else:
        try:
            text = write_json(value, indent=None)
        except NotJson:
            text = "…"
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def compared(
    fits: Callable[[Any, Any], bool], applies: Callable[[Any], bool], size: Callable[[Any], Any], words: str
) -> Keyword:
    """A keyword that compares a size of the values to which it applies with its limit; `words` has `{}` for that."""

    def keyword(_run: Evaluation, wanted: Any, value: Any, spot: Spot) -> Sequence[Problem]:
        # In draft 4 an exclusive limit was only a flag beside the limit, which is read there.
        if not applies(value) or isinstance(wanted, bool):
            return ()
        limit = limit_of(wanted)
        if fits(size(value), limit):
            return ()
        return (Problem(spot.path, words.format(shown(limit)), "limit"),)

    return keyword


def pattern_matches(run: Evaluation, pattern: object, text: str) -> bool:
    """Whether a pattern of a schema matches. Raises `Untried`, also for one that took too long a few times."""
    if not isinstance(pattern, str):
        raise Untried(UNREADABLE)
    try:
        if run.slow[pattern] >= SLOW_LIMIT:
            raise SlowPattern
        return matches(pattern, text)
    except SlowPattern as problem:
        run.slow[pattern] += 1
        raise Untried(str(problem)) from None
    except UntriedPattern as problem:
        raise Untried(str(problem)) from None


def key_of(run: Evaluation, value: Any) -> Any:
    """The equality key of a value. Raises `Untried` for a value that is too deep or if the time is over."""
    if isinstance(value, dict | list | tuple) and deeper_than(value, DEPTH_LIMIT):
        raise Untried("a value is nested too deeply")
    return equality_key(value, run.spend)


def _type(_run: Evaluation, wanted: Any, value: Any, spot: Spot) -> Sequence[Problem]:
    names = wanted if isinstance(wanted, list) else [wanted]
    if any(name in TYPES and TYPES[name][1](value) for name in names):
        return ()
    if not names or not all(name in TYPES for name in names):
        raise Untried(UNREADABLE)
    return (Problem(spot.path, f"It must be {' or '.join(TYPES[name][0] for name in names)}.", "type"),)


def _enum(run: Evaluation, wanted: Any, value: Any, spot: Spot) -> Sequence[Problem]:
    if not isinstance(wanted, list):
        raise Untried(UNREADABLE)
    known = run.keys.get(id(wanted))
    if known is None:
        known = run.keys[id(wanted)] = frozenset(key_of(run, item) for item in wanted)
    if key_of(run, value) in known:
        return ()
    return (Problem(spot.path, "It must be one of the values offered.", "enum"),)


def _const(run: Evaluation, wanted: Any, value: Any, spot: Spot) -> Sequence[Problem]:
    if id(wanted) not in run.keys:
        run.keys[id(wanted)] = key_of(run, wanted)
    if run.keys[id(wanted)] == key_of(run, value):
        return ()
    return (Problem(spot.path, f"It must be {shown(wanted)}.", "const"),)


def _lowest(run: Evaluation, wanted: Any, value: Any, spot: Spot) -> Sequence[Problem]:
    return (MORE_THAN if spot.schema.get("exclusiveMinimum") is True else AT_LEAST)(run, wanted, value, spot)


def _highest(run: Evaluation, wanted: Any, value: Any, spot: Spot) -> Sequence[Problem]:
    return (LESS_THAN if spot.schema.get("exclusiveMaximum") is True else AT_MOST)(run, wanted, value, spot)


def _multiple_of(_run: Evaluation, wanted: Any, value: Any, spot: Spot) -> Sequence[Problem]:
    if not is_number(value):
        return ()
    divisor = limit_of(wanted)
    if divisor <= 0:
        raise Untried(UNREADABLE)
    if (_fraction(value) / _fraction(divisor)).denominator == 1:
        return ()
    return (Problem(spot.path, f"It must be a multiple of {shown(divisor)}.", "multipleOf"),)


def _pattern(run: Evaluation, wanted: Any, value: Any, spot: Spot) -> Sequence[Problem]:
    if not isinstance(value, str) or pattern_matches(run, wanted, value):
        return ()
    return (Problem(spot.path, f"It must match {shown(wanted)}.", "pattern"),)


def _is_whole(value: Any) -> bool:
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) or (value.is_finite() and value == value.to_integral_value())


def _fraction(value: Any) -> Fraction:
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not exact.is_finite() or abs(exact.adjusted()) > EXPONENT_LIMIT or len(exact.as_tuple().digits) > EXPONENT_LIMIT:
        raise Untried("the number is too long")
    return Fraction(exact)


def _size(value: Any) -> Any:
    return limit_of(value)


AT_LEAST = compared(lambda size, limit: size >= limit, is_number, _size, "It must be at least {}.")
AT_MOST = compared(lambda size, limit: size <= limit, is_number, _size, "It must be at most {}.")
MORE_THAN = compared(lambda size, limit: size > limit, is_number, _size, "It must be more than {}.")
LESS_THAN = compared(lambda size, limit: size < limit, is_number, _size, "It must be less than {}.")

KEYWORDS: Mapping[str, Keyword] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "minimum": _lowest,
    "maximum": _highest,
    "exclusiveMinimum": MORE_THAN,
    "exclusiveMaximum": LESS_THAN,
    "multipleOf": _multiple_of,
    "minLength": compared(lambda size, limit: size >= limit, is_text, len, "It must have at least {} characters."),
    "maxLength": compared(lambda size, limit: size <= limit, is_text, len, "It must have at most {} characters."),
    "pattern": _pattern,
}
