"""Field: how one argument of a tool is edited, derived from its JSON Schema."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from app.core.mcp.forms.choices import NO_CHOICES, VALUE_DEPTH, Choice, Choices, choices_of
from app.core.mcp.forms.hints import hints_of
from app.core.mcp.forms.kinds import KIND_OF_TYPE, NAMES, FieldKind
from app.core.mcp.forms.reasons import Reason
from app.core.mcp.forms.schemas import (
    COMBINERS,
    branches_of,
    followed,
    is_null,
    nullable,
    resolved,
    states_const,
    types_of,
)
from app.core.mcp.json_text import NotJson, deeper_than, exact_numbers, is_number, same_json, write_json

if TYPE_CHECKING:
    from app.core.mcp.forms.document import SchemaDocument

__all__ = ["MISSING", "Choice", "Field", "FieldKind", "field_of"]

# A longer enumeration is edited as JSON.
CHOICES_LIMIT = 5_000
# How many unions inside each other are searched for values.
UNIONS_LIMIT = 4
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


class Missing(Enum):
    """The value for a schema without a default. None cannot be that value, because it is the default null."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


@dataclass(frozen=True)
class Field:
    """The editor of one argument.

    - `item` is the kind of a LIST's items.
    - `choices` are those of a CHOICE, of a CONST (one) or of a LIST's items.
    - `hints` are short phrases that say what is valid.
    - `default` is only the initial value of a draft. One that cannot be edited, because it is
      nested too deeply or not finite, is MISSING.
    - `reason` says why a JSON field has no better editor.
    """

    name: str
    kind: FieldKind
    schema: dict[str, Any] = field(repr=False)
    title: str = ""
    description: str = ""
    required: bool = False
    nullable: bool = False
    item: FieldKind | None = None
    choices: Choices = NO_CHOICES
    hints: tuple[str, ...] = ()
    multiline: bool = False
    default: Any = MISSING
    reason: Reason | None = None

    @property
    def label(self) -> str:
        return self.title or self.name

    @property
    def summary(self) -> str:
        """The kind in words, such as `list of text or null`."""
        words = NAMES[self.kind] if self.item is None else f"list of {NAMES[self.item]}"
        return f"{words} or null" if self.nullable else words

    @property
    def why(self) -> str:
        """The reason as a sentence; empty for a field with an editor of its own."""
        return "" if self.reason is None else self.reason.value

    def choose(self, place: int) -> str:
        """The text for a draft of the choice at a place from 0. Raises `IndexError`."""
        return self.choices[place].key

    def chosen(self, text: str) -> int | None:
        """The place of the choice that a draft's text names; None if it names none."""
        return self.choices.places.get(text)

    def index_of(self, value: Any) -> int | None:
        """The place of the choice with exactly this value: 1, 1.0, true and "1" are four. None if there is none."""
        if isinstance(value, dict | list):
            # Members may come in another order.
            return next((place for place, choice in enumerate(self.choices) if same_json(choice.value, value)), None)
        try:
            return self.choices.places.get(write_json(exact_numbers(value), indent=None))
        except NotJson:
            return None


# The keywords that list values, or titles of values.
LISTING = ("enum", "enumNames", "oneOf", "anyOf")


class _Shape(NamedTuple):
    kind: FieldKind
    item: FieldKind | None = None
    choices: Choices = NO_CHOICES
    reason: Reason | None = None


NOT_LISTED = _Shape(FieldKind.JSON)


def field_of(name: str, schema: Any, document: SchemaDocument, *, required: bool) -> Field:
    """The field for a property. Never raises: a schema that is not supported is edited as JSON."""
    if schema is False:
        return Field(name, FieldKind.JSON, {}, required=required, reason=Reason.NO_VALUE)
    found = resolved(schema, document)
    if found is None:
        reason = Reason.REFERENCE if isinstance(schema, dict) else Reason.UNREADABLE
        return Field(name, FieldKind.JSON, schema if isinstance(schema, dict) else {}, required=required, reason=reason)
    shape = _shape(found, document)
    return Field(
        name=name,
        kind=shape.kind,
        schema=found,
        title=_text(found.get("title")),
        description=_text(found.get("description")),
        required=required,
        # Null as the only value is a fixed value, and no state beside it.
        nullable=nullable(found, document) and not (shape.kind is FieldKind.CONST and shape.choices[0].value is None),
        item=shape.item,
        choices=shape.choices,
        hints=hints_of(found, shape.kind, document),
        multiline=shape.kind is FieldKind.TEXT and _long(name, found),
        default=_default(found),
        reason=shape.reason,
    )


def _shape(schema: dict[str, Any], document: SchemaDocument) -> _Shape:
    # Values that are listed one by one come first: they say more than the type beside them.
    scalar = _scalar(schema, document)
    if scalar is not None:
        return scalar
    types = types_of(schema)
    if types == ("array",) or (not types and "items" in schema):
        return _list(schema, document)
    if types == ("object",) or (not types and "properties" in schema):
        return _Shape(FieldKind.JSON, reason=Reason.OBJECT)
    if len(types) > 1 or any(word in schema for word in COMBINERS):
        return _Shape(FieldKind.JSON, reason=Reason.SEVERAL_KINDS)
    return _Shape(FieldKind.JSON, reason=Reason.UNSTATED)


def _scalar(schema: dict[str, Any], document: SchemaDocument) -> _Shape | None:
    """The shape of a single value; None for lists, objects and unions."""
    listed = _enumerated(schema, document)
    if listed is not None:
        return listed
    if is_null(schema, document):
        return _enumeration({"const": None}, [(None, "")])
    types = types_of(schema) or _types_of_branches(schema, document)
    if len(types) == 1:
        kind = KIND_OF_TYPE.get(types[0])
        return None if kind is None else _Shape(kind)
    return _Shape(FieldKind.NUMBER) if set(types) == {"integer", "number"} else None


def _enumerated(schema: dict[str, Any], document: SchemaDocument) -> _Shape | None:
    """The shape for values that are listed one by one; None if they are not."""
    if not (schema.keys() & LISTING or "const" in schema):
        return None
    values = [schema.get(word) for word in LISTING]
    # Several arguments may share a long enumeration by reference. It is read once.
    shared = not states_const(schema) and any(isinstance(value, list) for value in values)
    found = document.known(values) if shared else None
    if found is None:
        listed = _listed(schema, document)
        found = None if listed is None else _enumeration(schema, listed)
        if shared:
            document.keep(values, found or NOT_LISTED)
    return None if found is NOT_LISTED else found


def _enumeration(schema: dict[str, Any], values: list[tuple[Any, object]]) -> _Shape:
    # Null is no choice beside others: whether an argument is null is a state of its own (`Presence`).
    real = [(value, title) for value, title in values if value is not None] or values
    if len(real) > CHOICES_LIMIT:
        return _Shape(FieldKind.JSON, reason=Reason.TOO_MANY_CHOICES)
    choices = choices_of(real)
    if not choices:
        return _Shape(FieldKind.JSON, reason=Reason.NOT_WRITABLE if real else Reason.NO_VALUE)
    fixed = states_const(schema) or real[0][0] is None
    return _Shape(FieldKind.CONST if fixed else FieldKind.CHOICE, choices=choices)


def _listed(schema: dict[str, Any], document: SchemaDocument, depth: int = 0) -> list[tuple[Any, object]] | None:
    """The values that a schema lists one by one, each with its title; None if it does not list them."""
    if states_const(schema):
        return [(schema["const"], schema.get("title"))]
    values = schema.get("enum")
    if isinstance(values, list):
        names = schema.get("enumNames")
        titles = names if isinstance(names, list) and len(names) == len(values) else [None] * len(values)
        return list(zip(values, titles, strict=True))
    # The usual way to give the values of an enumeration titles (draft 7 and later have no keyword for it).
    for word in ("oneOf", "anyOf"):
        branches = branches_of(schema, word)
        if not branches or depth == UNIONS_LIMIT:
            continue
        found: list[tuple[Any, object]] = []
        for branch in branches:
            part = followed(branch, document) if isinstance(branch, dict) else None
            listed = (
                None
                if part is None
                else [(None, "")]
                if is_null(part, document)
                else _listed(part, document, depth + 1)
            )
            if listed is None:
                break
            found += listed
        else:
            return found
    return None


def _types_of_branches(schema: dict[str, Any], document: SchemaDocument) -> tuple[str, ...]:
    """The types of a union's branches if each has some; otherwise empty."""
    for word in ("oneOf", "anyOf"):
        found: dict[str, None] = {}
        for branch in branches_of(schema, word):
            part = followed(branch, document) if isinstance(branch, dict) else None
            if part is None or not (is_null(part, document) or types_of(part)):
                break
            found.update(dict.fromkeys(types_of(part)))
        else:
            if found:
                return tuple(found)
    return ()


def _list(schema: dict[str, Any], document: SchemaDocument) -> _Shape:
    if "prefixItems" in schema or isinstance(schema.get("items"), list):
        return _Shape(FieldKind.JSON, reason=Reason.POSITIONS)
    items = resolved(schema["items"], document) if "items" in schema else {}
    if items is None:
        return _Shape(FieldKind.JSON, reason=Reason.NO_VALUE if schema["items"] is False else Reason.REFERENCE)
    # A list with null in it would need a state for each item.
    shape = None if nullable(items, document) else _scalar(items, document)
    if shape is None:
        unstated = not types_of(items) and not items.keys() & {*COMBINERS, "properties", "items", "enum"}
        return _Shape(FieldKind.JSON, reason=Reason.ITEMS_UNSTATED if unstated else Reason.ITEMS_NOT_PLAIN)
    if shape.kind is FieldKind.JSON:
        return shape
    return _Shape(FieldKind.LIST, item=shape.kind, choices=shape.choices)


def _default(schema: dict[str, Any]) -> Any:
    default = schema.get("default", MISSING)
    # These can be written as they are, and most defaults are one of them.
    if default is MISSING or isinstance(default, str | bool):
        return default
    if deeper_than(default, VALUE_DEPTH):
        return MISSING
    default = exact_numbers(default)
    try:
        write_json(default, indent=None)
    except NotJson:
        return MISSING
    return default


def _long(name: str, schema: dict[str, Any]) -> bool:
    longest = schema.get("maxLength")
    default = schema.get("default")
    return (
        name.lower() in LONG_NAMES
        or (is_number(longest) and longest > LONG_TEXT)
        or (isinstance(default, str) and "\n" in default)
        or "contentMediaType" in schema
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
