"""Encodes the draft of a form as text, for the storage, and decodes it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from app.core.mcp.forms.model import FieldEntry, FormDraft, FormModel, Presence
from app.core.mcp.json_text import NotJson, parse_json, write_json
from app.core.mcp.secret_arguments import is_secret, text_without_secrets, without_secrets

KIND = "tool"
# In characters. A longer draft lasts as long as the window.
LONGEST = 16_000_000
# With an underscore: nobody typed these texts as they are. Earlier versions stored them without one.
ENTRIES, EXTRA, WHOLE = "_entries", "_extra", "_whole"


def encode(draft: FormDraft, text: str | None, schema: Any) -> dict[str, str] | None:
    """The fields to store, without arguments that are secret by the tool's schema or by name; None when too long."""
    entries = {
        name: [one.presence.value, one.text, list(one.items), one.as_json]
        for name, entry in draft.entries.items()
        if (one := _without_secrets(name, entry, schema)) is not None
    }
    extra, _omitted = without_secrets(draft.extra, schema, by_look=False)
    whole = text_without_secrets(draft.whole, schema)
    try:
        # Entries are text as it was typed. Extra arguments are values, whose numbers have to stay exact.
        kept = {ENTRIES: json.dumps(entries), EXTRA: write_json(extra), WHOLE: "{}" if whole is None else whole}
    except NotJson:
        return None
    json_text = None if text is None else text_without_secrets(text, schema)
    if json_text is not None:
        kept["json"] = json_text
    return kept if sum(len(value) for value in kept.values()) <= LONGEST else None


def leaves_out(draft: FormDraft, text: str | None, schema: Any) -> bool:
    """Whether `encode` leaves out something that was typed, because it is secret."""
    entered = ((name, entry) for name, entry in draft.entries.items() if entry.text.strip() or any(entry.items))
    return (
        any(_without_secrets(name, entry, schema) != entry for name, entry in entered)
        or bool(without_secrets(draft.extra, schema, by_look=False)[1])
        or any(each is not None and text_without_secrets(each, schema) != each for each in (draft.whole, text))
    )


def decode(kept: dict[str, str], model: FormModel) -> tuple[FormDraft, str | None] | None:
    """The draft and the text of the JSON editor; fields that the tool no longer has are left out."""
    known = {field.name for field in model.fields}
    read = kept.get(ENTRIES, kept.get("entries", "{}"))
    try:
        entries = {name: _entry(item) for name, item in json.loads(read).items() if name in known}
        extra = parse_json(kept.get(EXTRA, kept.get("extra", "{}")))
    except (ValueError, TypeError, AttributeError, IndexError, KeyError):
        return None
    if not isinstance(extra, dict):
        return None
    whole = kept.get(WHOLE, kept.get("whole", "{}"))
    return FormDraft({**model.seed().entries, **entries}, extra, whole), kept.get("json")


def _without_secrets(name: str, entry: FieldEntry, schema: Any) -> FieldEntry | None:
    """What is stored of a field; None for nothing."""
    if is_secret(name, entry.text, schema):
        return None
    items, _omitted = without_secrets({name: list(entry.items)}, schema, by_look=False)
    text: str | None = entry.text
    if entry.as_json or entry.text.lstrip()[:1] in {"{", "["}:
        text = text_without_secrets(entry.text, schema, name)
    return None if text is None else replace(entry, text=text, items=tuple(items.get(name, ())))


def _entry(item: Any) -> FieldEntry:
    presence, text, items, as_json = item
    return FieldEntry(Presence(presence), str(text), tuple(str(one) for one in items), bool(as_json))
