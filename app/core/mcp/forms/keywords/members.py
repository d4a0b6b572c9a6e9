"""Keywords for the members of objects and the items of lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.core.mcp.forms.evaluation import UNREADABLE, Problem, Untried
from app.core.mcp.forms.keywords.values import compared, key_of, limit_of, pattern_matches, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from app.core.mcp.forms.evaluation import Evaluation, Keyword, Spot

NAMES_SHOWN = 3
UNKNOWN_NAME = "The tool does not know the name {}."


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _named(wanted: Any) -> dict[str, Any]:
    """Schemas by name. PHP servers write an empty object as `[]`."""
    if isinstance(wanted, dict):
        return wanted
    if wanted == []:
        return {}
    raise Untried(UNREADABLE)


def _properties(run: Evaluation, wanted: Any, value: Any, spot: Spot) -> Sequence[Problem]:
    schemas = _named(wanted)
    if not isinstance(value, dict):
        return ()
    found: dict[str, list[Problem]] = {name: [] for name in value if name in schemas}
    spot.seen.names.update(found)
    # Plain values first: a list that takes all the time does not keep them from being checked.
    ordered = sorted(found, key=lambda name: isinstance(value[name], dict | list | tuple))
    for name in run.in_time(ordered, spot, "properties"):
        found[name] = run.check(schemas[name], value[name], (*spot.path, name)).problems
    return [problem for problems in found.values() for problem in problems]


def _pattern_properties(run: Evaluation, wanted: Any, value: Any, spot: Spot) -> Sequence[Problem]:
    schemas = _named(wanted)
    problems: list[Problem] = []
    for name, item in run.in_time(value.items() if isinstance(value, dict) else (), spot, "patternProperties"):
        for pattern, schema in schemas.items():
            run.spend(1)
            try:
                if not pattern_matches(run, pattern, name):
                    continue
            except Untried as problem:
                run.skip((*spot.path, name), "patternProperties", str(problem))
                spot.seen.unsure = True
                continue
            spot.seen.names.add(name)
            problems += run.check(schema, item, (*spot.path, name)).problems
    return problems


def _additional_properties(run: Evaluation, wanted: Any, value: Any, spot: Spot) -> Sequence[Problem]:
    if not isinstance(value, dict):
        return ()
    known, patterns = _named(spot.schema.get("properties") or {}), _named(spot.schema.get("patternProperties") or {})
    others = [name for name in value if name not in known and not _named_by(run, patterns, name)]
    spot.seen.names.update(others)
    return _others(run, wanted, value, others, spot)


def _named_by(run: Evaluation, patterns: Iterable[str], name: str) -> bool:
    run.spend(1)
    return any(pattern_matches(run, pattern, name) for pattern in patterns)


def _unevaluated_properties(run: Evaluation, wanted: Any, value: Any, spot: Spot) -> Sequence[Problem]:
    if not isinstance(value, dict):
        return ()
    others = [name for name in value if name not in spot.seen.names]
    if others and spot.seen.unsure:
        raise Untried("another part of the schema was not tried")
    spot.seen.names.update(others)
    return _others(run, wanted, value, others, spot)


def _others(run: Evaluation, wanted: Any, value: dict[str, Any], others: list[str], spot: Spot) -> Sequence[Problem]:
    if wanted is False:
        names = ", ".join(shown(name) for name in others[:NAMES_SHOWN]) + ("…" if len(others) > NAMES_SHOWN else "")
        return (Problem(spot.path, UNKNOWN_NAME.format(names), "additionalProperties"),) if others else ()
    names_in_time = run.in_time(others, spot, "additionalProperties")
    return [
        problem for name in names_in_time for problem in run.check(wanted, value[name], (*spot.path, name)).problems
    ]


def _property_names(run: Evaluation, wanted: Any, value: Any, spot: Spot) -> Sequence[Problem]:
    names = run.in_time(value if isinstance(value, dict) else (), spot, "propertyNames")
    found = (problem for name in names for problem in run.check(wanted, name, (*spot.path, name)).problems)
    return [problem._replace(words=f"The name is not accepted: {problem.words}") for problem in found]


def _required(_run: Evaluation, wanted: Any, value: Any, spot: Spot) -> Sequence[Problem]:
    # Draft 3 wrote a flag at each property, and some servers still do.
    if isinstance(wanted, bool) or not isinstance(value, dict):
        return ()
    return _missing(wanted, value, spot)


def _missing(wanted: Any, value: dict[str, Any], spot: Spot) -> list[Problem]:
    if not isinstance(wanted, list):
        raise Untried(UNREADABLE)
    names = [name for name in wanted if isinstance(name, str) and name not in value]
    return [Problem((*spot.path, name), "This field is required.", "required") for name in names]


def _dependent(run: Evaluation, wanted: Any, value: Any, spot: Spot) -> Sequence[Problem]:
    problems: list[Problem] = []
    for name, needed in _named(wanted).items() if isinstance(value, dict) else ():
        if name not in value:
            continue
        if isinstance(needed, list):
            problems += _missing(needed, value, spot)
        else:
            outcome = run.check(needed, value, spot.path)
            spot.seen.add(outcome.seen)
            problems += outcome.problems
    return problems


def _prefix_items(run: Evaluation, wanted: Any, value: Any, spot: Spot) -> Sequence[Problem]:
    if not isinstance(wanted, list):
        raise Untried(UNREADABLE)
    if not _is_list(value):
        return ()
    return _each(run, list(enumerate(wanted[: len(value)])), value, spot)


def _items(run: Evaluation, wanted: Any, value: Any, spot: Spot) -> Sequence[Problem]:
    if isinstance(wanted, list):
        return _prefix_items(run, wanted, value, spot)
    return _rest_items(run, wanted, value, spot, spot.schema.get("prefixItems"))


def _additional_items(run: Evaluation, wanted: Any, value: Any, spot: Spot) -> Sequence[Problem]:
    # It only counts beside a list of items.
    items = spot.schema.get("items")
    return _rest_items(run, wanted, value, spot, items) if isinstance(items, list) else ()


def _rest_items(run: Evaluation, wanted: Any, value: Any, spot: Spot, before: Any) -> Sequence[Problem]:
    if not _is_list(value):
        return ()
    first = len(before) if isinstance(before, list) else 0
    return _each(run, ((number, wanted) for number in range(first, len(value))), value, spot)


def _unevaluated_items(run: Evaluation, wanted: Any, value: Any, spot: Spot) -> Sequence[Problem]:
    if not _is_list(value):
        return ()
    others = [number for number in range(len(value)) if number not in spot.seen.places]
    if others and spot.seen.unsure:
        raise Untried("another part of the schema was not tried")
    return _each(run, [(number, wanted) for number in others], value, spot)


def _each(run: Evaluation, schemas: Iterable[tuple[int, Any]], value: Any, spot: Spot) -> list[Problem]:
    problems: list[Problem] = []
    for number, schema in run.in_time(schemas, spot, "items"):
        spot.seen.places.add(number)
        problems += run.check(schema, value[number], (*spot.path, number)).problems
    return problems


def _contains(run: Evaluation, wanted: Any, value: Any, spot: Spot) -> Sequence[Problem]:
    if not _is_list(value):
        return ()
    least = limit_of(spot.schema.get("minContains", 1))
    most = spot.schema.get("maxContains")
    sure, perhaps = 0, 0
    for number, item in enumerate(value):
        run.spend(1)
        ((outcome, _skipped),) = run.try_each([wanted], item, (*spot.path, number))
        if outcome.valid:
            sure += 1
            spot.seen.places.add(number)
        elif not outcome.invalid:
            perhaps += 1
    if sure + perhaps < least:
        return (Problem(spot.path, f"It must contain at least {shown(least)} items of a certain kind.", "contains"),)
    if most is not None and sure > limit_of(most):
        return (Problem(spot.path, f"It must contain at most {shown(most)} items of a certain kind.", "contains"),)
    if perhaps and (sure < least or most is not None):
        raise Untried("an item was not tried")
    spot.seen.unsure = spot.seen.unsure or perhaps > 0
    return ()


def _unique_items(run: Evaluation, wanted: Any, value: Any, spot: Spot) -> Sequence[Problem]:
    if wanted is not True or not _is_list(value):
        return ()
    found = set()
    for number, item in enumerate(value):
        run.spend(1)
        found.add(key_of(run, item))
        if len(found) == number:
            return (Problem(spot.path, f"No item may appear twice, as item {number + 1} does.", "uniqueItems"),)
    return ()


KEYWORDS: Mapping[str, Keyword] = {
    "properties": _properties,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "unevaluatedProperties": _unevaluated_properties,
    "propertyNames": _property_names,
    "required": _required,
    "dependentRequired": _dependent,
    "dependentSchemas": _dependent,
    "dependencies": _dependent,
    "minProperties": compared(lambda size, limit: size >= limit, _is_object, len, "It must have at least {} members."),
    "maxProperties": compared(lambda size, limit: size <= limit, _is_object, len, "It must have at most {} members."),
    "prefixItems": _prefix_items,
    "items": _items,
    "additionalItems": _additional_items,
    "unevaluatedItems": _unevaluated_items,
    "contains": _contains,
    "uniqueItems": _unique_items,
    "minItems": compared(lambda size, limit: size >= limit, _is_list, len, "It must have at least {} items."),
    "maxItems": compared(lambda size, limit: size <= limit, _is_list, len, "It must have at most {} items."),
}
