"""Field: how one argument of a tool is edited, derived from its JSON Schema."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, TypeGuard

from app.core.mcp.forms.schemas import nullable, resolved, types_of
from app.core.mcp.json_text import NotJson, exact_numbers, write_json

# A longer enumeration is edited as JSON.
CHOICES_LIMIT = 2_000
# From this `maxLength` on a text gets an editor with several lines, and so do texts with these names.
LONG_TEXT = 200
LONG_NAMES = frozenset(
    {
        "body",
        "code",
        "content",
        "css",
        "html",
        "markdown",
        "message",
        "notes",
        "prompt",
        "query",
        "script",
        "sql",
        "text",
    }
)
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


class Missing(Enum):
    """The value for a schema without a default. None cannot be that value, because it is the default null."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


class FieldKind(Enum):
    """The kinds of editors."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    CONST = "const"
    LIST = "list"
    JSON = "json"


NAMES = {
    FieldKind.TEXT: "text",
    FieldKind.INTEGER: "whole number",
    FieldKind.NUMBER: "number",
    FieldKind.BOOLEAN: "yes or no",
    FieldKind.CHOICE: "choice",
    FieldKind.CONST: "fixed value",
    FieldKind.LIST: "list",
    FieldKind.JSON: "JSON",
}
KIND_OF_TYPE = {
    "string": FieldKind.TEXT,
    "integer": FieldKind.INTEGER,
    "number": FieldKind.NUMBER,
    "boolean": FieldKind.BOOLEAN,
}


@dataclass(frozen=True)
class Choice:
    """One value of an enumeration. `key` is its JSON text, which identifies it in a draft."""

    key: str
    label: str
    value: Any


@dataclass(frozen=True)
class Field:
    """The editor of one argument.

    - `item` is the kind of a LIST's items.
    - `choices` are those of a CHOICE, of a CONST (one) or of a LIST's items.
    - `hints` are short phrases that say what is valid.
    - `default` is only the initial value of a draft.
    - `why` says why a JSON field has no better editor.
    """

    name: str
    kind: FieldKind
    schema: dict[str, Any] = field(repr=False)
    title: str = ""
    description: str = ""
    required: bool = False
    nullable: bool = False
    item: FieldKind | None = None
    choices: tuple[Choice, ...] = ()
    hints: tuple[str, ...] = ()
    multiline: bool = False
    default: Any = MISSING
    why: str = ""

    @property
    def label(self) -> str:
        return self.title or self.name

    @property
    def summary(self) -> str:
        """The kind in words, such as `list of text or null`."""
        words = NAMES[self.kind] if self.item is None else f"list of {NAMES[self.item]}"
        return f"{words} or null" if self.nullable else words


@dataclass(frozen=True)
class _Shape:
    kind: FieldKind
    item: FieldKind | None = None
    choices: tuple[Choice, ...] = ()
    why: str = ""


def field_of(name: str, schema: Any, root: Any, *, required: bool) -> Field:
    """The field for a property. Never raises: a schema that is not supported is edited as JSON."""
    found = resolved(schema, root)
    if found is None:
        why = "Its schema refers to something that does not exist, or to itself."
        return Field(name, FieldKind.JSON, schema if isinstance(schema, dict) else {}, required=required, why=why)
    shape = _shape(found, root)
    return Field(
        name=name,
        kind=shape.kind,
        schema=found,
        title=_text(found.get("title")),
        description=_text(found.get("description")),
        required=required,
        nullable=nullable(found),
        item=shape.item,
        choices=shape.choices,
        hints=_hints(found, shape, root),
        multiline=shape.kind is FieldKind.TEXT and _long(name, found),
        default=exact_numbers(found["default"]) if "default" in found else MISSING,
        why=shape.why,
    )


def _shape(schema: dict[str, Any], root: Any) -> _Shape:
    # Values that are listed one by one come first: they say more than the type beside them.
    scalar = _scalar(schema)
    if scalar is not None:
        return scalar
    types = types_of(schema)
    if types == ("array",):
        return _list(schema, root)
    if types == ("object",) or (not types and "properties" in schema):
        return _Shape(FieldKind.JSON, why="It is made of several values.")
    if len(types) > 1 or any(word in schema for word in ("anyOf", "oneOf")):
        return _Shape(FieldKind.JSON, why="It may be of different kinds.")
    return _Shape(FieldKind.JSON, why="The server does not say what kind of value it is.")


def _scalar(schema: dict[str, Any]) -> _Shape | None:
    """The shape of a single value; None for lists, objects and unions."""
    # Null is never a choice: whether an argument is null is a state of its own (`Presence`).
    if "const" in schema:
        choices = _choices([(schema["const"], schema.get("title"))])
        return _Shape(FieldKind.CONST, choices=choices) if choices and schema["const"] is not None else None
    values = schema.get("enum")
    if isinstance(values, list):
        names = schema.get("enumNames")
        labels = names if isinstance(names, list) and len(names) == len(values) else [None] * len(values)
        choices = _choices([(value, label) for value, label in zip(values, labels, strict=True) if value is not None])
        return _Shape(FieldKind.CHOICE, choices=choices) if choices else None
    types = types_of(schema)
    # The usual way to give the values of an enumeration titles (draft 7 and later have no keyword for it).
    for word in ("oneOf", "anyOf"):
        branches = schema.get(word)
        if isinstance(branches, list) and branches and all(isinstance(b, dict) and "const" in b for b in branches):
            choices = _choices([(branch["const"], branch.get("title")) for branch in branches])
            return _Shape(FieldKind.CHOICE, choices=choices) if choices else None
    kind = KIND_OF_TYPE.get(types[0]) if len(types) == 1 else None
    return None if kind is None else _Shape(kind)


def _list(schema: dict[str, Any], root: Any) -> _Shape:
    if "prefixItems" in schema or isinstance(schema.get("items"), list):
        return _Shape(FieldKind.JSON, why="Its items differ by position.")
    # A list with null in it would need a state for each item.
    items = resolved(schema["items"], root) if "items" in schema else None
    shape = None if items is None or nullable(items) else _scalar(items)
    if shape is None:
        return _Shape(FieldKind.JSON, why="Its items are not plain values.")
    return _Shape(FieldKind.LIST, item=shape.kind, choices=shape.choices)


def _choices(values: list[tuple[Any, Any]]) -> tuple[Choice, ...]:
    """The choices without duplicates; empty when there are too many or one is a list or an object."""
    if len(values) > CHOICES_LIMIT:
        return ()
    found: dict[str, Choice] = {}
    for value, label in values:
        if isinstance(value, dict | list):
            return ()
        try:
            exact = exact_numbers(value)
            key = write_json(exact)
        except NotJson:
            return ()
        shown = label if isinstance(label, str) and label else value if isinstance(value, str) else key
        found.setdefault(key, Choice(key, shown or "(empty)", exact))
    return tuple(found.values())


def _hints(schema: dict[str, Any], shape: _Shape, root: Any) -> tuple[str, ...]:
    hints = _ranges(schema)
    parts = [schema]
    if shape.kind is FieldKind.LIST:
        items = resolved(schema.get("items"), root) or {}
        hints += [f"each {words}" for words in _ranges(items)]
        parts.append(items)
        if schema.get("uniqueItems") is True:
            hints.append("no item twice")
    if shape.kind in {FieldKind.TEXT, FieldKind.LIST}:
        for part in parts:
            if isinstance(part.get("format"), str):
                hints.append(FORMATS.get(part["format"], part["format"]))
            if isinstance(part.get("pattern"), str):
                hints.append(f"matches {part['pattern']}")
    return tuple(hints)


def _long(name: str, schema: dict[str, Any]) -> bool:
    longest = schema.get("maxLength")
    default = schema.get("default")
    return (
        name.lower() in LONG_NAMES
        or (_is_number(longest) and longest > LONG_TEXT)
        or (isinstance(default, str) and "\n" in default)
        or "contentMediaType" in schema
    )


def _ranges(schema: dict[str, Any]) -> list[str]:
    """The limits of a schema in words."""
    found = ((template, schema.get(name)) for name, template in RANGES)
    return [template.format(limit, s="" if limit == 1 else "s") for template, limit in found if _is_number(limit)]


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
