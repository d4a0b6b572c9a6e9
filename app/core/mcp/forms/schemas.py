"""Reading JSON Schemas as far as a form needs it (2020-12, draft 7 and similar dialects).

References are followed only inside the document, and only a limited number of times. Nothing is ever fetched.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

# How many references and unions are followed for one value: the schema may refer to itself.
HOPS_LIMIT = 16
# Keywords that do not change what is valid (annotations).
NOTES = frozenset({"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment"})
COMBINERS = ("anyOf", "oneOf", "allOf")


def resolved(schema: Any, root: Any) -> dict[str, Any] | None:
    """`schema` with its references followed, and unions with a single branch besides null replaced by that branch.

    A branch for null becomes the member `x-null`: True. None for `false`, and when a reference leads nowhere, out of
    the document or in a circle.
    """
    nullable = False
    for _hop in range(HOPS_LIMIT):
        if schema is True:
            schema = {}
        if not isinstance(schema, dict):
            return None
        if "$ref" in schema:
            target = follow(schema["$ref"], root)
            if not isinstance(target, dict):
                return None
            schema = {**target, **{name: value for name, value in schema.items() if name != "$ref"}}
            continue
        step = _collapsed(schema, root)
        if step is None:
            return {**schema, "x-null": True} if nullable else schema
        schema, null = step
        nullable = nullable or null
    return None


def follow(reference: object, root: Any) -> Any:
    """The target of a local reference (`#`, `#/a/b`, `#anchor`); None for any other and when there is no target."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    if reference == "#":
        return root
    if not reference.startswith("#/"):
        return _anchored(reference[1:], root)
    found = root
    for part in unquote(reference[2:]).split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


def types_of(schema: dict[str, Any]) -> tuple[str, ...]:
    """The types that `type` names, without null."""
    stated = schema.get("type")
    names = [stated] if isinstance(stated, str) else stated if isinstance(stated, list) else []
    return tuple(name for name in names if isinstance(name, str) and name != "null")


def nullable(schema: dict[str, Any]) -> bool:
    """Whether null is valid."""
    stated = schema.get("type")
    values = schema.get("enum")
    return (
        schema.get("x-null") is True
        or (isinstance(stated, list) and "null" in stated)
        or (isinstance(values, list) and any(value is None for value in values))
    )


def _anchored(name: str, root: Any) -> Any:
    if not isinstance(root, dict):
        return None
    for holder in ("$defs", "definitions"):
        definitions = root.get(holder)
        for schema in definitions.values() if isinstance(definitions, dict) else ():
            if isinstance(schema, dict) and schema.get("$anchor") == name:
                return schema
    return None


def _collapsed(schema: dict[str, Any], root: Any) -> tuple[dict[str, Any], bool] | None:
    """The schema with one `anyOf`, `oneOf` or `allOf` merged, and whether null was a branch; None if there is none.

    Only combinations with a single branch besides null can be merged.
    """
    for word in COMBINERS:
        branches = schema.get(word)
        if not isinstance(branches, list) or not branches:
            continue
        rest = {name: value for name, value in schema.items() if name != word}
        real = [branch for branch in branches if not _is_null(branch, root)]
        null = len(real) < len(branches)
        if len(real) != 1 or not isinstance(real[0], dict) or (null and word == "allOf"):
            continue
        # If both sides restrict the same keyword differently, both restrictions apply, and merging would drop one.
        if not _compatible(rest, real[0]):
            continue
        return {**real[0], **rest}, null
    return None


def _compatible(rest: dict[str, Any], branch: dict[str, Any]) -> bool:
    return all(name in NOTES or name not in branch or branch[name] == value for name, value in rest.items())


def _is_null(schema: Any, root: Any) -> bool:
    if isinstance(schema, dict) and set(schema) - NOTES == {"$ref"}:
        schema = follow(schema["$ref"], root)
    if not isinstance(schema, dict):
        return False
    return (
        schema.get("type") == "null" or ("const" in schema and schema["const"] is None) or schema.get("enum") == [None]
    )
