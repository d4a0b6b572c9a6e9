"""Values of every argument of published tools go through form and JSON text, and come out the same."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.core.mcp.forms.fields import FieldKind
from app.core.mcp.forms.model import FormDraft, FormModel, Presence
from app.core.mcp.json_text import parse_json, same_json, write_json

CORPORA = sorted((Path(__file__).parent.parent / "corpora").glob("*.json"))
TOOLS = [
    pytest.param(tool["inputSchema"], id=f"{path.stem}/{tool['name']}")
    for path in CORPORA
    for tool in json.loads(path.read_text("utf-8"))["tools"]
]
TEXTS = [
    "",
    " ",
    "a\nb",
    "a\r\nb",
    "\u00a0",
    "\u2028",
    "\u2029",
    "\ufdd0",
    "\ufeff",
    "\u202e",
    "\ud800",
    "😀",
    '"',
    "\\",
]
TEXTS += ["null", "1", "true", "[]", "{", "x" * 100_000]
NUMBERS: list[Any] = [0, -1, 1.5, 2**70, 10**5_000, Decimal("1.0"), Decimal("-0"), Decimal("-0.0"), Decimal("1E+400")]
NUMBERS += [Decimal("3.14159265358979323846"), Decimal("1E-999")]
OTHERS: list[Any] = [None, True, False, [], {}, [None], [[1]], ["a", 1], {"": {"a": [0.5, None]}}, [{"a": "\u2028"}]]
VALUES = [*TEXTS, *NUMBERS, *OTHERS, TEXTS[:14], NUMBERS]


def own(item: Any) -> list[Any]:
    """Values that the field offers itself."""
    values = [choice.value for choice in item.choices]
    return [*values, values] if item.kind is FieldKind.LIST else values


@pytest.mark.parametrize("schema", TOOLS)
def test_a_value_of_any_kind_is_the_same_after_form_and_text(schema: dict[str, Any]) -> None:
    # One argument at a time, so none of the others may be required.
    model = FormModel({**schema, "required": []})
    for item in model.fields:
        for value in [*VALUES, *own(item)]:
            draft = model.draft_from({item.name: value})
            assert same_json(model.arguments(draft), {item.name: value})
            text = model.as_json(draft)
            assert isinstance(text, str)
            assert same_json(parse_json(text), {item.name: value})
            assert model.from_json(text).entry(item.name) == draft.entry(item.name)
            entry = draft.entry(item.name)
            # What the editor shows, typed by a person.
            if item.kind is FieldKind.LIST and not entry.as_json:
                typed = FormDraft().listed(item.name, entry.items)
            elif entry.as_json or item.kind is FieldKind.JSON:
                typed = FormDraft().in_json(item.name, entry.text)
            else:
                typed = FormDraft().typed(item.name, entry.text)
            if entry.presence is Presence.VALUE:
                assert same_json(model.arguments(typed), {item.name: value})


@pytest.mark.parametrize("schema", TOOLS)
def test_what_a_form_starts_with_is_the_same_after_a_text(schema: dict[str, Any]) -> None:
    model = FormModel(schema)
    draft = model.seed()
    for item in model.fields:
        draft = draft if draft.entry(item.name).presence is not Presence.ABSENT else draft.put(item.name, Presence.NULL)
    found = model.arguments(draft)
    assert isinstance(found, dict)
    assert same_json(model.arguments(model.from_json(write_json(found))), found)


def test_the_corpora_hold_enough_to_say_so() -> None:
    count = sum(len(FormModel(tool.values[0]).fields) for tool in TOOLS) * len(VALUES)
    assert count > 10_000
