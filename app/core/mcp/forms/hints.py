"""What is valid for a field, in short phrases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.core.mcp.forms.kinds import FieldKind
from app.core.mcp.forms.schemas import resolved
from app.core.mcp.json_text import NotJson, Number, is_number, write_json

if TYPE_CHECKING:
    from app.core.mcp.forms.document import SchemaDocument

FORMATS = {
    "date": "a date, like 2026-07-28",
    "date-time": "a date and time, like 2026-07-28T14:00:00Z",
    "duration": "a duration, like P3DT12H",
    "email": "an e-mail address",
    "hostname": "a host name",
    "ipv4": "an IPv4 address",
    "ipv6": "an IPv6 address",
    "json": "JSON as text",
    "regex": "a regular expression",
    "time": "a time, like 14:00:00Z",
    "uri": "a web address",
    "url": "a web address",
    "uuid": "a UUID",
}
RANGES = (
    ("minimum", "at least {}"),
    ("exclusiveMinimum", "more than {}"),
    ("maximum", "at most {}"),
    ("exclusiveMaximum", "less than {}"),
    ("multipleOf", "a multiple of {}"),
    ("minLength", "at least {} character{s}"),
    ("maxLength", "at most {} character{s}"),
    ("minItems", "at least {} item{s}"),
    ("maxItems", "at most {} item{s}"),
)
# In characters. A longer pattern, format or number is cut.
SHOWN_LIMIT = 200


def hints_of(schema: dict[str, Any], kind: FieldKind, document: SchemaDocument) -> tuple[str, ...]:
    """The phrases for a resolved schema, such as `at least 3 characters` or `each at most 5`."""
    hints = _ranges(schema)
    parts = [schema]
    if kind is FieldKind.LIST:
        items = resolved(schema.get("items"), document) or {}
        hints += [f"each {words}" for words in _ranges(items)]
        parts.append(items)
        if schema.get("uniqueItems") is True:
            hints.append("no item twice")
    if kind in {FieldKind.TEXT, FieldKind.LIST}:
        for part in parts:
            if isinstance(part.get("format"), str):
                hints.append(_cut(FORMATS.get(part["format"], part["format"])))
            if isinstance(part.get("pattern"), str):
                hints.append(_cut(f"matches {part['pattern']}"))
    return tuple(hints)


def _ranges(schema: dict[str, Any]) -> list[str]:
    found = ((template, schema.get(name)) for name, template in RANGES if name in schema)
    return [
        template.format(_digits(limit), s="" if limit == 1 else "s") for template, limit in found if is_number(limit)
    ]


def _digits(limit: Number) -> str:
    # Python's own conversion refuses long whole numbers, and writes some floats that JSON cannot.
    try:
        return _cut(write_json(limit, indent=None))
    except NotJson:
        return str(limit)


def _cut(words: str) -> str:
    return words if len(words) <= SHOWN_LIMIT else f"{words[:SHOWN_LIMIT]}…"
