"""Reading JSON Schemas as far as a form needs it (2020-12, draft 7 and similar dialects).

References are followed only inside the document, and only a limited number of times. Nothing is ever fetched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.core.mcp.json_text import is_number

if TYPE_CHECKING:
    from app.core.mcp.forms.document import SchemaDocument

# How many references and unions are followed for one value: the schema may refer to itself.
HOPS_LIMIT = 16
# How many branches of an `allOf` are merged: those that refer to each other would multiply.
BRANCHES_LIMIT = 64
# Keywords that do not change what is valid (annotations).
NOTES = frozenset({"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment"})
COMBINERS = ("anyOf", "oneOf", "allOf")
# Of two limits, the stricter one holds.
LOWER_LIMITS = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"})
UPPER_LIMITS = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"})
NUMERIC = (["integer", "number"], ["number", "integer"])
# Keywords that choose no editor: of two, the first is shown as a hint, and both are checked.
HINTS = frozenset({"format", "pattern", "multipleOf", "additionalProperties", "contentMediaType", "contentEncoding"})


def resolved(schema: Any, document: SchemaDocument) -> dict[str, Any] | None:
    """`schema` with its references followed, and combinations replaced by what they come to where that is one schema.

    That is a union with a single branch besides null, and an `allOf` whose branches do not contradict each other. A
    branch for null becomes the member `x-null`: True. None for `false`, and when a reference leads nowhere, out of the
    document or in a circle.
    """
    nullable = False
    for _hop in range(HOPS_LIMIT):
        # Many servers write null for what they do not state.
        if schema is True or schema is None:
            schema = {}
        if not isinstance(schema, dict):
            return None
        schema = followed(schema, document)
        if schema is None:
            return None
        step = _collapsed(schema, document)
        if step is None:
            return {**schema, "x-null": True} if nullable else schema
        schema, null = step
        nullable = nullable or null
    return None


def followed(schema: dict[str, Any], document: SchemaDocument) -> dict[str, Any] | None:
    """`schema` with its own references followed, and what stands beside them; None if one leads nowhere."""
    for _hop in range(HOPS_LIMIT):
        if schema.get("$ref") is None:
            return schema
        target = document.follow(schema["$ref"])
        if target is True:
            target = {}
        if not isinstance(target, dict):
            return None
        rest = {name: value for name, value in schema.items() if name != "$ref"}
        schema = merged(rest, target) or {**target, **rest}
    return None


def types_of(schema: dict[str, Any]) -> tuple[str, ...]:
    """The types that `type` names, without null."""
    stated = _stated(schema)
    return tuple(name for name in stated if name != "null") if "null" in stated else stated


def nullable(schema: dict[str, Any], document: SchemaDocument) -> bool:
    """Whether null is valid, also as a branch of a union."""
    return _allows_null(schema) or any(
        is_null(branch, document) or (isinstance(branch, dict) and _allows_null(followed(branch, document) or {}))
        for word in ("anyOf", "oneOf")
        for branch in branches_of(schema, word)
    )


def states_const(schema: dict[str, Any]) -> bool:
    """Whether there is a `const`. Null beside a type without null is one that a server wrote for "not stated"."""
    return "const" in schema and (schema["const"] is not None or not types_of(schema) or "null" in _stated(schema))


def properties_of(schema: dict[str, Any]) -> dict[str, Any] | None:
    """The properties of an object; None if they cannot be read.

    PHP servers send `[]` for an empty object, others null.
    """
    found = schema.get("properties")
    if isinstance(found, dict):
        return found
    return {} if found is None or found == [] else None


def required_of(schema: dict[str, Any]) -> list[str]:
    """The names of required properties, without what is no name."""
    found = schema.get("required")
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def free_values(schema: dict[str, Any]) -> Any:
    """The schema of the values of an object whose names are free; None where there is none, or where there are more."""
    if properties_of(schema) != {}:
        return None
    more, patterns = schema.get("additionalProperties"), schema.get("patternProperties")
    ways = list(patterns.values()) if isinstance(patterns, dict) else []
    if isinstance(more, dict):
        ways.append(more)
    return ways[0] if len(ways) == 1 and isinstance(ways[0], dict) else None


def branches_of(schema: dict[str, Any], word: str) -> list[Any]:
    """The branches of `allOf`, `anyOf` or `oneOf`; empty for anything that is no list."""
    found = schema.get(word)
    return found if isinstance(found, list) else []


def is_null(schema: Any, document: SchemaDocument) -> bool:
    """Whether null is the only valid value."""
    if isinstance(schema, dict) and set(schema) - NOTES == {"$ref"}:
        schema = document.follow(schema["$ref"])
    if not isinstance(schema, dict):
        return False
    return (
        schema.get("type") in ("null", ["null"])
        or (states_const(schema) and schema["const"] is None)
        or schema.get("enum") == [None]
    )


def same_schema(one: object, two: object) -> bool:
    """Whether two schemas are equal; False for those that are nested too deeply to be compared."""
    try:
        return one == two
    except RecursionError:
        return False


def _allows_null(schema: dict[str, Any]) -> bool:
    if states_const(schema):
        return schema.get("x-null") is True or schema["const"] is None
    values = schema.get("enum")
    return (
        schema.get("x-null") is True
        or "null" in _stated(schema)
        or (isinstance(values, list) and any(value is None for value in values))
    )


def _stated(schema: dict[str, Any]) -> tuple[str, ...]:
    stated = schema.get("type")
    if isinstance(stated, str):
        return (stated,)
    return tuple(dict.fromkeys(name for name in stated if isinstance(name, str))) if isinstance(stated, list) else ()


def _collapsed(schema: dict[str, Any], document: SchemaDocument) -> tuple[dict[str, Any], bool] | None:
    """The schema with one `anyOf`, `oneOf` or `allOf` merged, and whether null was a branch; None if there is none."""
    for word in COMBINERS:
        branches = branches_of(schema, word)
        if not branches:
            continue
        rest = {name: value for name, value in schema.items() if name != word}
        if word == "allOf":
            merged = _merged_all(rest, branches, document)
            if merged is not None:
                return merged, False
            continue
        real = [branch for branch in branches if not is_null(branch, document)]
        # If both sides restrict the same keyword differently, both restrictions apply, and merging would drop one.
        if len(real) == 1 and isinstance(real[0], dict) and _compatible(rest, real[0]):
            return {**real[0], **rest}, len(real) < len(branches)
    return None


def _merged_all(rest: dict[str, Any], branches: list[Any], document: SchemaDocument) -> dict[str, Any] | None:
    whole: dict[str, Any] | None = rest
    for branch in branches:
        part = {} if branch is True else followed(branch, document) if isinstance(branch, dict) else None
        whole = None if part is None or whole is None else merged(whole, part)
    return whole


def merged(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any] | None:
    """One schema for values that match both; None if there is no simple one. Annotations are those of `one`."""
    both = {**two, **one}
    for name in one.keys() & two.keys() - NOTES:
        first, second = one[name], two[name]
        if same_schema(first, second) or name in HINTS:
            continue
        if name in LOWER_LIMITS | UPPER_LIMITS and is_number(first) and is_number(second):
            both[name] = (max if name in LOWER_LIMITS else min)(first, second)
        elif name == "type" and [first, second] in NUMERIC:
            both[name] = "integer"
        elif name == "allOf" and len(branches_of(one, name) + branches_of(two, name)) <= BRANCHES_LIMIT:
            both[name] = branches_of(one, name) + branches_of(two, name)
        elif name == "required":
            both[name] = list(dict.fromkeys([*required_of(one), *required_of(two)]))
        elif name == "properties" and isinstance(first, dict) and isinstance(second, dict):
            common = {key: {"allOf": [first[key], second[key]]} for key in first.keys() & second.keys()}
            both[name] = {**first, **second, **common}
        else:
            return None
    return both


def _compatible(rest: dict[str, Any], branch: dict[str, Any]) -> bool:
    return all(name in NOTES or name not in branch or same_schema(branch[name], value) for name, value in rest.items())
