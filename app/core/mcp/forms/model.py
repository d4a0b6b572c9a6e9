"""FormModel: the form for a tool's arguments. It has fields, and converts drafts to JSON and back.

A draft has the text as it was typed. Nothing is parsed, rounded or dropped while the user types. An argument is absent,
null or a value. Arguments that no field can hold are kept and sent too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from app.core.mcp.forms.fields import MISSING, Choice, Field, FieldKind, field_of
from app.core.mcp.forms.schemas import NOTES, follow
from app.core.mcp.forms.validation import FieldProblem, ValidationResult, validate
from app.core.mcp.json_text import NotJson, exact_numbers, parse_json, same_json, write_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

WHOLE = re.compile(r"[+-]?[0-9]+")
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
COMBINERS = ("anyOf", "oneOf", "allOf", "if", "not")
# A branch with only these keywords says which arguments belong together. The arguments themselves are ordinary fields.
GROUPING = NOTES | {"required", "dependentRequired", "not"}


class Presence(Enum):
    """Whether an argument is left out, sent as null or sent with a value."""

    ABSENT = "absent"
    NULL = "null"
    VALUE = "value"


@dataclass(frozen=True)
class FieldEntry:
    """The content of one field.

    `text` is what was typed. For a CHOICE or CONST it is the choice's key, for a BOOLEAN `true` or `false`. `items` are
    the texts of a LIST. With `as_json` the field is edited as JSON in `text`, whatever its kind. While the argument is
    absent or null, `text` and `items` stay, so that the user can go back.
    """

    presence: Presence = Presence.ABSENT
    text: str = ""
    items: tuple[str, ...] = ()
    as_json: bool = False


@dataclass(frozen=True)
class FormDraft:
    """The content of a form.

    `extra` are arguments that the schema does not name. `whole` is the JSON of a form that is edited as one text.
    """

    entries: Mapping[str, FieldEntry] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    whole: str = "{}"

    def entry(self, name: str) -> FieldEntry:
        return self.entries.get(name, FieldEntry())

    def typed(self, name: str, text: str) -> FormDraft:
        """The draft with `text` in a field, and the argument as a value."""
        return self._with(name, text=text, presence=Presence.VALUE)

    def listed(self, name: str, items: Iterable[str]) -> FormDraft:
        """The draft with the texts of a LIST's items."""
        return self._with(name, items=tuple(items), presence=Presence.VALUE, as_json=False)

    def put(self, name: str, presence: Presence) -> FormDraft:
        """The draft with an argument absent, null or a value. What was typed stays."""
        return self._with(name, presence=presence)

    def in_json(self, name: str, text: str) -> FormDraft:
        """The draft with a field edited as JSON."""
        return self._with(name, text=text, presence=Presence.VALUE, as_json=True)

    def _with(self, name: str, **changes: Any) -> FormDraft:
        return replace(self, entries=MappingProxyType({**self.entries, name: replace(self.entry(name), **changes)}))


class FormModel:
    """The form for a JSON Schema. Never raises because of a schema.

    With `whole_json` the arguments are edited as one JSON text. `reason` then says why, and `fields` is empty.
    """

    def __init__(self, schema: Any) -> None:
        self.schema: dict[str, Any] = schema if isinstance(schema, dict) else {}
        # References in the properties are relative to the whole document, so that is kept beside the root.
        root = _root(self.schema)
        self.reason = _why_whole(schema, root)
        self.whole_json = bool(self.reason)
        self.fields: tuple[Field, ...] = () if self.whole_json or root is None else _fields(root, self.schema)
        self._by_name = {field.name: field for field in self.fields}

    def __getitem__(self, name: str) -> Field:
        """The field with this name. Raises `KeyError`."""
        return self._by_name[name]

    def seed(self) -> FormDraft:
        """The initial draft.

        Required arguments with a default or a single possible value have that value. Optional ones are absent, with
        their default as the text to start from.
        """
        entries: dict[str, FieldEntry] = {}
        for item in self.fields:
            value = item.default
            if value is MISSING and item.kind is FieldKind.CONST:
                value = item.choices[0].value
            if value is MISSING:
                continue
            entry = _entry(item, value)
            entries[item.name] = entry if item.required else replace(entry, presence=Presence.ABSENT)
        return FormDraft(MappingProxyType(entries))

    def draft_from(self, arguments: Mapping[str, Any]) -> FormDraft:
        """The draft whose `arguments` are exactly these. Fractions may be float or `Decimal`."""
        exact = exact_numbers(dict(arguments))
        if self.whole_json:
            return FormDraft(whole=write_json(exact))
        entries = {name: _entry(self._by_name[name], value) for name, value in exact.items() if name in self._by_name}
        extra = {name: value for name, value in exact.items() if name not in self._by_name}
        # Absent arguments still start from their default when the user sets them.
        return FormDraft(MappingProxyType({**self._absent(), **entries}), MappingProxyType(extra))

    def arguments(self, draft: FormDraft) -> dict[str, Any] | list[FieldProblem]:
        """The arguments to send, or the problems that prevent it, in the order of the fields.

        Fractions are `Decimal`, integers exact. Nothing that was typed is left out silently.
        """
        if self.whole_json:
            return _whole(draft.whole)
        problems: list[FieldProblem] = []
        values: dict[str, Any] = {}
        for item in self.fields:
            entry = draft.entry(item.name)
            if entry.presence is Presence.NULL:
                values[item.name] = None
            elif entry.presence is Presence.VALUE:
                try:
                    values[item.name] = _value(item, entry)
                except ValueError as problem:
                    problems.append(FieldProblem(item.name, str(problem)))
            # Only presence is checked here. What is valid beyond the type is left to `validate` and the server.
            elif item.required:
                problems.append(FieldProblem(item.name, "This field is required."))
        return problems or {**values, **draft.extra}

    async def validate(self, arguments: dict[str, Any]) -> ValidationResult:
        """Check arguments against the whole schema, in a worker thread and within 50 ms."""
        return await validate(self.schema, arguments)

    def as_json(self, draft: FormDraft) -> str | list[FieldProblem]:
        """The JSON text of a draft, or the problems that prevent it."""
        if self.whole_json:
            return draft.whole
        found = self.arguments(draft)
        return write_json(found) if isinstance(found, dict) else found

    def from_json(self, text: str) -> FormDraft:
        """The draft for a JSON text. Raises `NotJson`, also when it is no object."""
        value = parse_json(text)
        if not isinstance(value, dict):
            raise NotJson("Arguments are an object in braces")
        return self.draft_from(value)

    def _absent(self) -> dict[str, FieldEntry]:
        return {name: replace(entry, presence=Presence.ABSENT) for name, entry in self.seed().entries.items()}


def _root(schema: dict[str, Any]) -> dict[str, Any] | None:
    """The schema with a reference at its top level followed; None when that leads nowhere."""
    found: Any = schema
    for _hop in range(8):
        if not isinstance(found, dict):
            return None
        if "$ref" not in found:
            return found
        rest = {name: value for name, value in found.items() if name != "$ref"}
        target = follow(found["$ref"], schema)
        if not isinstance(target, dict):
            return None
        found = {**target, **rest}
    return None


def _why_whole(schema: Any, root: dict[str, Any] | None) -> str:
    if not isinstance(schema, dict) or root is None:
        return "The server's schema cannot be read."
    properties = root.get("properties", {})
    if root.get("type", "object") != "object" or not isinstance(properties, dict):
        return "The arguments are not a plain set of names and values."
    for word in COMBINERS:
        branches = root.get(word)
        listed = branches if isinstance(branches, list) else [branches]
        if word in root and not all(isinstance(branch, dict) and set(branch) <= GROUPING for branch in listed):
            return "The arguments may have different shapes."
    return ""


def _fields(root: dict[str, Any], document: dict[str, Any]) -> tuple[Field, ...]:
    needed = root.get("required")
    required = {name for name in needed if isinstance(name, str)} if isinstance(needed, list) else set()
    fields = [
        field_of(name, schema, document, required=name in required)
        for name, schema in root.get("properties", {}).items()
    ]
    # A required argument without a schema must be entered too.
    fields += [field_of(name, True, document, required=True) for name in sorted(required - {f.name for f in fields})]
    return tuple(fields)


def _entry(item: Field, value: Any) -> FieldEntry:
    """The content of a field with `value`; as JSON if the field's editor cannot represent the value exactly."""
    if value is None:
        return FieldEntry(Presence.NULL)
    if item.kind is FieldKind.LIST and item.item is not None and isinstance(value, list):
        texts = [_text(item.item, one, item.choices) for one in value]
        known = [text for text in texts if text is not None]
        if len(known) == len(texts):
            return FieldEntry(Presence.VALUE, items=tuple(known))
    text = _text(item.kind, value, item.choices)
    if text is not None:
        return FieldEntry(Presence.VALUE, text=text)
    return FieldEntry(Presence.VALUE, text=write_json(value), as_json=item.kind is not FieldKind.JSON)


def _text(kind: FieldKind, value: Any, choices: tuple[Choice, ...]) -> str | None:
    """The text that an editor of `kind` converts to exactly `value`; None when there is none."""
    match kind:
        case FieldKind.TEXT:
            return value if isinstance(value, str) else None
        case FieldKind.BOOLEAN:
            return str(value).lower() if isinstance(value, bool) else None
        case FieldKind.INTEGER | FieldKind.NUMBER if isinstance(value, int | Decimal) and not isinstance(value, bool):
            # Compared after a round trip: the text of a fraction in an integer field would be refused.
            text = _digits(value)
            try:
                return text if text is not None and same_json(_number(kind, text), value) else None
            except ValueError:
                return None
        case FieldKind.CHOICE | FieldKind.CONST:
            return next((choice.key for choice in choices if same_json(choice.value, value)), None)
        case _:
            return None


def _value(item: Field, entry: FieldEntry) -> Any:
    """The value of what was typed. Raises `ValueError` with a message for the user."""
    if entry.as_json or item.kind is FieldKind.JSON:
        try:
            return parse_json(entry.text)
        except NotJson as problem:
            raise ValueError(f"It is not JSON: {problem.message}.") from None
    if item.kind is FieldKind.LIST and item.item is not None:
        return [_numbered(item, number, text) for number, text in enumerate(entry.items, 1)]
    return _parsed(item.kind, entry.text, item.choices)


def _numbered(item: Field, number: int, text: str) -> Any:
    assert item.item is not None
    try:
        return _parsed(item.item, text, item.choices)
    except ValueError as problem:
        raise ValueError(f"Item {number}: {problem}") from None


def _parsed(kind: FieldKind, text: str, choices: tuple[Choice, ...]) -> Any:
    match kind:
        case FieldKind.TEXT:
            return text
        case FieldKind.BOOLEAN:
            if text not in {"true", "false"}:
                raise ValueError("Choose yes or no.")
            return text == "true"
        case FieldKind.CHOICE | FieldKind.CONST:
            for choice in choices:
                if choice.key == text:
                    return choice.value
            raise ValueError("Choose one of the values offered.")
        case _:
            return _number(kind, text)


def _number(kind: FieldKind, text: str) -> int | Decimal:
    typed = text.strip()
    # Whole numbers become int even in a NUMBER field, so that 1 is sent as 1 and not as 1.0.
    try:
        if WHOLE.fullmatch(typed):
            return int(typed)
        if NUMBER.fullmatch(typed):
            number = Decimal(typed)
            if kind is FieldKind.NUMBER or number == number.to_integral_value():
                return number
            raise ValueError("It must be a whole number.")
    except InvalidOperation:
        raise ValueError("The number is too large or too small.") from None
    except ValueError as problem:
        # The error above, or Python's own for an integer with more than 4,300 digits.
        raise ValueError(
            "It must be a whole number." if "whole" in str(problem) else "It has too many digits."
        ) from None
    if not typed:
        raise ValueError("Type a number, or leave the argument out.")
    raise ValueError(
        "It must be a whole number." if kind is FieldKind.INTEGER else "It must be a number, like 12 or 0.5."
    )


def _digits(value: int | Decimal) -> str | None:
    # Python refuses to convert integers with more than 4,300 digits.
    try:
        return str(value)
    except ValueError:
        return None


def _whole(text: str) -> dict[str, Any] | list[FieldProblem]:
    try:
        value = parse_json(text)
    except NotJson as problem:
        return [FieldProblem("", f"It is not JSON: {problem.message}.")]
    return value if isinstance(value, dict) else [FieldProblem("", "Arguments are an object in braces.")]
