"""The JSON text of an argument that is edited as a form of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.mcp.forms.entries import entry_of, value_of
from app.core.mcp.forms.model import Presence
from app.core.mcp.json_text import NotJson, parse_json, write_json
from app.marks import isolated, revealed_name
from app.ui.widgets.bounded_text import beginning

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.core.mcp.forms.fields import Field
    from app.core.mcp.forms.model import FieldEntry, FormDraft, FormModel

# Members that a summary shows, and characters of each.
MEMBERS, LENGTH = 3, 40


def json_of(model: FormModel, draft: FormDraft) -> str:
    """The JSON of an object's draft. What has no value yet stands in it as it was typed, so the text is not JSON."""
    entries = ((item, draft.entry(item.name)) for item in model.fields)
    members = [(item.name, text_of(item, entry)) for item, entry in entries if entry.presence is not Presence.ABSENT]
    members += [(name, write_json(value)) for name, value in draft.extra.items()]
    return object_of(members)


def object_of(members: Iterable[tuple[str, str]]) -> str:
    """The JSON of an object from its names and the JSON of their values."""
    inside = ",\n".join(f"{write_json(name)}: {text}" for name, text in members)
    text = f"{{{inside}}}"
    try:
        return write_json(parse_json(text))
    except NotJson:
        return text


def text_of(item: Field, entry: FieldEntry) -> str:
    """The JSON of a value; where it has none yet, what was typed in marks that no JSON has."""
    if entry.presence is Presence.NULL:
        return "null"
    try:
        return write_json(value_of(item, entry))
    except ValueError:
        return f"‹{_typed(entry)}›"


def pairs_of(model: FormModel, text: str) -> list[tuple[str, FieldEntry]] | None:
    """The names and values for the JSON text of an object; None if it is none. `model` has one field, the value."""
    try:
        value = parse_json(text)
    except NotJson:
        return None
    item = model.fields[0]
    return [(name, entry_of(item, one)) for name, one in value.items()] if isinstance(value, dict) else None


def draft_of(model: FormModel, text: str) -> FormDraft | None:
    """The draft for the JSON text of an object; None if it is none."""
    try:
        value = parse_json(text)
    except NotJson:
        return None
    return model.draft_from(value) if isinstance(value, dict) else None


def drafts_of(model: FormModel, text: str) -> list[FormDraft] | None:
    """The drafts for the JSON text of a list of objects; None if it is none."""
    try:
        value = parse_json(text)
    except NotJson:
        return None
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return None
    return [model.draft_from(item) for item in value]


def problem_of(item: Field, entry: FieldEntry) -> str:
    """Why a member has no value; empty if it has one, or is left out and may be."""
    if entry.presence is Presence.VALUE:
        try:
            value_of(item, entry)
        except ValueError as problem:
            return str(problem)
    return "This field is required." if entry.presence is Presence.ABSENT and item.required else ""


def summary(model: FormModel, draft: FormDraft) -> str:
    """The first members with a value on one line: `name: Ana  ·  age: 30`."""
    parts = []
    for item in model.fields:
        entry = draft.entry(item.name)
        shown = ", ".join(entry.items) or entry.text
        if entry.presence is Presence.VALUE and shown.strip():
            parts.append(f"{_short(item.label)}: {_short(' '.join(shown.split()))}")
    return "  ·  ".join(parts[:MEMBERS])


def _short(text: str) -> str:
    return isolated(revealed_name(beginning(text, LENGTH)))


def _typed(entry: FieldEntry) -> str:
    return ", ".join(entry.items) if entry.items else entry.text
