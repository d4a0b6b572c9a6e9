"""FormModel: the form for a tool's arguments. It has fields, and converts drafts to JSON and back.

A draft has the text as it was typed. Nothing is parsed, rounded or dropped while the user types. An argument is absent,
null or a value. Arguments that no field can hold are kept and sent too.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from app.core.mcp.forms.document import SchemaDocument
from app.core.mcp.forms.entries import FieldEntry, Presence, entry_of, value_of
from app.core.mcp.forms.fields import MISSING, Field, FieldKind, field_of
from app.core.mcp.forms.reasons import Reason
from app.core.mcp.forms.roots import arguments_of
from app.core.mcp.forms.schemas import free_values, resolved, types_of
from app.core.mcp.forms.starting import MEMBERS_LIMIT, members
from app.core.mcp.forms.validation import FieldProblem, ValidationResult, validate
from app.core.mcp.json_text import NotJson, exact_numbers, parse_json, write_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["FieldEntry", "FormDraft", "FormModel", "Presence"]


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

    With `whole_json` the arguments are edited as one JSON text. `reason` then says why, and `fields` is empty. `open`
    says whether arguments that no field names are accepted too. `document` is what references point into, by default
    the schema itself.
    """

    def __init__(self, schema: Any, document: SchemaDocument | None = None) -> None:
        self.schema: dict[str, Any] = schema if isinstance(schema, dict) else {}
        self._document = SchemaDocument(self.schema) if document is None else document
        found = arguments_of(schema, self._document)
        self.reason = "" if found.reason is None else found.reason.value
        self.whole_json = found.reason is not None
        self.open = found.open
        required = frozenset(found.required)
        # A required argument without a schema must be entered too.
        schemas = {**found.properties, **{name: True for name in found.required if name not in found.properties}}
        self.fields: tuple[Field, ...] = tuple(
            field_of(name, schema, self._document, required=name in required) for name, schema in schemas.items()
        )
        self._by_name = {field.name: field for field in self.fields}

    def __getitem__(self, name: str) -> Field:
        """The field with this name. Raises `KeyError`."""
        return self._by_name[name]

    def nested(self, name: str) -> FormModel | None:
        """The form for an argument that is an object, or for each item of one that is a list of objects.

        None for any other argument, and where a form would not be better than JSON. Raises `KeyError`.
        """
        item = self._by_name[name]
        schema: Any = item.schema
        if item.reason is Reason.ITEMS_NOT_PLAIN:
            schema = resolved(schema.get("items"), self._document)
            if schema is None or types_of(schema) not in (("object",), ()):
                return None
        elif item.reason is not Reason.OBJECT:
            return None
        model = FormModel(schema, self._document)
        return model if model.fields else None

    def values_of(self, name: str) -> FormModel | None:
        """The form of one field, for each value of an argument whose names are free; None for any other argument.

        None also where the values may be anything, or are JSON themselves. Raises `KeyError`.
        """
        item = self._by_name[name]
        return self._values(item.schema) if item.reason is Reason.OBJECT else None

    def all_values(self) -> FormModel | None:
        """As `values_of`, for the arguments themselves if their names are free."""
        return self._values(self.schema) if self.reason == Reason.NAMES_FREE.value else None

    def _values(self, schema: dict[str, Any]) -> FormModel | None:
        free = free_values(schema)
        if free is None:
            return None
        model = FormModel({"type": "object", "properties": {"value": free}, "required": ["value"]}, self._document)
        field = model.fields[0]
        return model if field.kind is not FieldKind.JSON or model.nested(field.name) is not None else None

    def seed(self) -> FormDraft:
        """The initial draft.

        Required arguments with a default or a single possible value have that value, required objects start with their
        members. Optional arguments are absent, with their default as the text to start from.
        """
        entries: dict[str, FieldEntry] = {}
        left = [MEMBERS_LIMIT]
        for item in self.fields:
            value = self._start(item, left)
            if value is not MISSING:
                entry = entry_of(item, value)
                entries[item.name] = entry if item.required else replace(entry, presence=Presence.ABSENT)
        return FormDraft(MappingProxyType(entries))

    def draft_from(self, arguments: Mapping[str, Any]) -> FormDraft:
        """The draft whose `arguments` are exactly these. Fractions may be float or `Decimal`."""
        exact = exact_numbers(dict(arguments))
        if self.whole_json:
            return FormDraft(whole=write_json(exact))
        entries = {name: entry_of(self._by_name[name], value) for name, value in exact.items() if name in self._by_name}
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
                    values[item.name] = value_of(item, entry)
                except ValueError as problem:
                    problems.append(FieldProblem(item.name, str(problem), item.name))
            # Only presence is checked here. What is valid beyond the type is left to `validate` and the server.
            elif item.required:
                problems.append(FieldProblem(item.name, "This field is required.", item.name))
        return problems or {**values, **draft.extra}

    async def validate(self, arguments: dict[str, Any]) -> ValidationResult:
        """Check arguments against the whole schema, in a worker thread and within half a second."""
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

    def _start(self, item: Field, left: list[int]) -> Any:
        if item.kind is FieldKind.CONST:
            return item.choices[0].value
        if item.default is not MISSING:
            return item.default
        if item.required and item.kind is FieldKind.CHOICE and len(item.choices) == 1 and not item.nullable:
            return item.choices[0].value
        if item.required and item.reason is Reason.OBJECT:
            found = members(item.schema, self._document, left)
            return MISSING if found is None else exact_numbers(found)
        return MISSING

    def _absent(self) -> dict[str, FieldEntry]:
        return {name: replace(entry, presence=Presence.ABSENT) for name, entry in self.seed().entries.items()}


def _whole(text: str) -> dict[str, Any] | list[FieldProblem]:
    try:
        value = parse_json(text)
    except NotJson as problem:
        return [FieldProblem("", f"It is not JSON: {problem.message}.")]
    return value if isinstance(value, dict) else [FieldProblem("", "Arguments are an object in braces.")]
