"""What a required argument starts from when its schema has no default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.core.mcp.forms.choices import VALUE_DEPTH
from app.core.mcp.forms.schemas import nullable, properties_of, required_of, resolved, types_of
from app.core.mcp.json_text import NotJson, write_json

if TYPE_CHECKING:
    from app.core.mcp.forms.document import SchemaDocument

# A schema that requires itself has no end.
DEPTH_LIMIT = 3
# For all the arguments of a form: many may refer to one large object.
MEMBERS_LIMIT = 20_000


def members(schema: dict[str, Any], document: SchemaDocument, left: list[int]) -> dict[str, Any] | None:
    """An object to start from, with its required members; with all of them if it requires none.

    None for what is no object or has no members. A member has its default or only value, else an empty text, list or
    object, else null, which stands for a value that is still to be entered. `left` counts down how many are made.
    """
    found = _object(schema, document, left, DEPTH_LIMIT)
    return found or None


def _object(schema: dict[str, Any], document: SchemaDocument, left: list[int], depth: int) -> dict[str, Any]:
    properties = properties_of(schema) or {}
    names = [name for name in required_of(schema) if name in properties] or list(properties)
    found: dict[str, Any] = {}
    for name in names:
        left[0] -= 1
        if left[0] < 0:
            break
        found[name] = _value(properties[name], document, left, depth - 1)
    return found


def _value(schema: Any, document: SchemaDocument, left: list[int], depth: int) -> Any:
    found = resolved(schema, document)
    if found is None:
        return None
    for word in ("default", "const"):
        if word in found:
            return _writable(found[word])
    values = found.get("enum")
    if isinstance(values, list) and len(values) == 1:
        return _writable(values[0])
    types = types_of(found) or (("object",) if "properties" in found else ())
    if nullable(found, document) or len(types) != 1 or isinstance(values, list):
        return None
    if types[0] == "object":
        return _object(found, document, left, depth) if depth > 0 else {}
    return {"string": "", "array": []}.get(types[0])


def _writable(value: Any) -> Any:
    try:
        write_json(value, depth=VALUE_DEPTH - DEPTH_LIMIT)
    except NotJson:
        return None
    return value
