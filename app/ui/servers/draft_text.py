"""Encodes the draft of a form as text, for the storage, and decodes it."""

from __future__ import annotations

import json
from typing import Any

from app.core.mcp.forms.model import FieldEntry, FormDraft, FormModel, Presence
from app.core.mcp.json_text import NotJson, parse_json, write_json

KIND = "tool"
# In characters. A longer draft lasts as long as the window.
LONGEST = 16_000_000
# With an underscore: nobody typed these texts as they are. Earlier versions stored them without one.
ENTRIES, EXTRA, WHOLE = "_entries", "_extra", "_whole"


def encode(draft: FormDraft, text: str | None) -> dict[str, str] | None:
    """The fields to store; None when they are too long."""
    entries = {
        name: [entry.presence.value, entry.text, list(entry.items), entry.as_json]
        for name, entry in draft.entries.items()
    }
    try:
        # Entries are text as it was typed. Extra arguments are values, whose numbers have to stay exact.
        kept = {ENTRIES: json.dumps(entries), EXTRA: write_json(dict(draft.extra)), WHOLE: draft.whole}
    except NotJson:
        return None
    if text is not None:
        kept["json"] = text
    return kept if sum(len(value) for value in kept.values()) <= LONGEST else None


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


def _entry(item: Any) -> FieldEntry:
    presence, text, items, as_json = item
    return FieldEntry(Presence(presence), str(text), tuple(str(one) for one in items), bool(as_json))
