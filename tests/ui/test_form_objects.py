"""Objects and lists of objects are edited as forms, and what is sent is what was there and what was typed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPushButton

from app.core.mcp.forms.fields import Field, FieldKind
from app.core.mcp.forms.model import FormModel, Presence
from app.core.mcp.forms.reasons import Reason
from app.core.mcp.json_text import write_json
from app.core.mcp.tool_list import read_tools
from app.ui.servers.form_fields import FieldRow
from app.ui.servers.object_editor import ObjectEditor, RecordsEditor
from app.ui.widgets.text_field import TextField
from tests.ui._servers_fakes import CORPORA
from tests.ui.test_form_size import Page

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "home": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
    "required": ["name"],
}
SCHEMA = {
    "type": "object",
    "properties": {"people": {"type": "array", "items": PERSON}, "boss": PERSON},
    "required": ["people"],
}
PEOPLE: list[dict[str, Any]] = [
    {"name": "Ana", "age": 30, "tags": ["a\r\nb"], "more": {"deep": [1, None]}},
    {"name": "Ben", "age": 123456789012345678901234567890},
    {"name": "\u00a0Cy\u2028", "home": {"city": "Bern", "zip": Decimal("3.10")}},
]


@pytest.fixture
def page(qapp: QApplication) -> Iterator[Page]:
    made = Page()
    yield made
    made.root.close()


def records(page: Page, people: list[dict[str, Any]]) -> RecordsEditor:
    page.show(SCHEMA, {"people": people})
    editor = page.form.rows["people"].editor
    assert isinstance(editor, RecordsEditor)
    return editor


def members(editor: RecordsEditor, place: int) -> dict[str, FieldRow]:
    opened = editor.card(place).open()
    rows = [row for row in opened.findChildren(FieldRow) if row.parentWidget().parentWidget().parentWidget() is opened]
    return {row.field.name: row for row in rows}


def write(row: FieldRow, text: str) -> None:
    assert isinstance(row.editor, TextField)
    row.editor.set_text(text)


def sent(page: Page) -> Any:
    arguments = page.form.arguments()
    return None if arguments is None else arguments["people"]


def press(key: Qt.Key, modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    QTest.keyClick(QApplication.focusWidget(), key, modifiers)


def test_a_change_of_one_item_keeps_everything_else_exactly(page: Page) -> None:
    editor = records(page, PEOPLE)
    write(members(editor, 1)["name"], "Bea")
    assert sent(page) == [PEOPLE[0], {**PEOPLE[1], "name": "Bea"}, PEOPLE[2]]
    write(members(editor, 2)["name"], "Cyd")
    assert sent(page)[2] == {**PEOPLE[2], "name": "Cyd"}
    assert str(sent(page)[2]["home"]["zip"]) == "3.10"


def test_a_card_sums_up_its_item(page: Page) -> None:
    editor = records(page, PEOPLE)
    assert editor.card(0)._summary.text() == "name: Ana  ·  age: 30  ·  tags: a b"
    write(members(editor, 0)["name"], "Eva")
    assert editor.card(0)._summary.text().startswith("name: Eva")
    assert "name: Eva" in editor.card(0).line.accessibleName()


def test_items_are_added_moved_duplicated_and_removed_by_keyboard(page: Page) -> None:
    editor = records(page, [])
    editor._add.setFocus()
    press(Qt.Key.Key_Return)
    assert page.focused_field() == "name"
    QTest.keyClicks(QApplication.focusWidget(), "Ana")
    editor._add.setFocus()
    press(Qt.Key.Key_Return)
    QTest.keyClicks(QApplication.focusWidget(), "Ben")
    assert sent(page) == [{"name": "Ana"}, {"name": "Ben"}]
    editor.card(1).line.setFocus()
    press(Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    assert sent(page) == [{"name": "Ben"}, {"name": "Ana"}]
    assert QApplication.focusWidget() is editor.card(0).line
    press(Qt.Key.Key_D, Qt.KeyboardModifier.ControlModifier)
    assert sent(page) == [{"name": "Ben"}, {"name": "Ben"}, {"name": "Ana"}]
    assert QApplication.focusWidget() is editor.card(1).line
    press(Qt.Key.Key_Delete)
    press(Qt.Key.Key_Delete)
    assert sent(page) == [{"name": "Ben"}]
    editor._offer.button.click()
    assert sent(page) == [{"name": "Ben"}, {"name": "Ana"}]


def test_delete_in_a_text_deletes_text_and_no_item(page: Page) -> None:
    editor = records(page, [{"name": "Ana"}])
    row = members(editor, 0)["name"]
    row.take_focus()
    press(Qt.Key.Key_Delete)
    assert sent(page) == [{"name": "na"}]


def test_a_value_that_is_no_number_is_said_at_its_member_and_not_sent(page: Page) -> None:
    editor = records(page, PEOPLE)
    write(members(editor, 1)["age"], "12x")
    page.run.setFocus()
    assert sent(page) is None
    assert members(editor, 1)["age"].error.text() == "It must be a whole number."
    assert "people: 1 value to fix" in page.form.card.text()
    assert page.focused_field() == "age"
    write(members(editor, 1)["age"], "12")
    assert sent(page)[1] == {"name": "Ben", "age": 12}


@pytest.mark.parametrize("typed", ['1, "name": "x"', "null", "[1]", '"', "}", "\u203a"])
def test_what_is_typed_for_a_number_never_becomes_other_arguments(page: Page, typed: str) -> None:
    editor = records(page, [{"name": "Ana", "age": 1}])
    write(members(editor, 0)["age"], typed)
    assert sent(page) is None


def test_a_list_that_holds_other_things_is_edited_as_json(page: Page) -> None:
    page.show(SCHEMA, {"people": [{"name": "Ana"}, 5]})
    row = page.form.rows["people"]
    assert isinstance(row.editor, TextField)
    assert "JSON" in row._why.text()
    assert sent(page) == [{"name": "Ana"}, 5]


def buttons(row: FieldRow) -> dict[str, QPushButton]:
    return {button.text(): button for button in row._buttons.findChildren(QPushButton) if not button.isHidden()}


def test_an_object_is_edited_as_json_and_as_a_form_again(page: Page) -> None:
    editor = records(page, PEOPLE)
    row = page.form.rows["people"]
    buttons(row)["JSON"].click()
    assert isinstance(row.editor, TextField)
    assert QApplication.focusWidget() is row.editor
    row.editor.set_text('[{"name": "Zoe"}]')
    buttons(row)["Form"].click()
    assert isinstance(row.editor, RecordsEditor)
    assert sent(page) == [{"name": "Zoe"}]
    buttons(row)["JSON"].click()
    assert isinstance(row.editor, TextField)
    row.editor.set_text("[")
    buttons(row)["Form"].click()
    assert isinstance(row.editor, TextField)
    assert row.editor.text() == "["
    assert row.error.text()
    assert editor is not row.editor


def test_an_optional_object_is_sent_once_it_is_set(page: Page) -> None:
    page.show(SCHEMA, {"people": []})
    row = page.form.rows["boss"]
    row.set_presence(Presence.VALUE)
    assert isinstance(row.editor, ObjectEditor)
    assert page.focused_field() == "name"
    QTest.keyClicks(QApplication.focusWidget(), "Ana")
    arguments = page.form.arguments()
    assert arguments == {"people": [], "boss": {"name": "Ana"}}
    row.set_presence(Presence.ABSENT)
    assert page.form.arguments() == {"people": []}


def test_a_schema_that_contains_itself_has_a_form(page: Page) -> None:
    node = {
        "type": "object",
        "properties": {"value": {"type": "string"}, "next": {"$ref": "#/$defs/node"}},
        "required": ["value", "next"],
    }
    schema = {
        "type": "object",
        "properties": {"n": {"$ref": "#/$defs/node"}},
        "required": ["n"],
        "$defs": {"node": node},
    }
    page.show(schema)
    assert isinstance(page.form.rows["n"].editor, ObjectEditor)


def test_many_items_make_only_the_cards_in_view(page: Page) -> None:
    editor = records(page, [{"name": str(number)} for number in range(2_000)])
    assert len(list(editor._column.made())) < 100
    write(members(editor, 0)["name"], "first")
    assert sent(page)[0] == {"name": "first"}
    assert len(sent(page)) == 2_000


@pytest.mark.parametrize("path", sorted(CORPORA.glob("*.json")), ids=lambda path: path.stem)
def test_every_real_tool_has_a_form_that_sends_what_it_was_given(page: Page, path: Path) -> None:
    for tool in read_tools(json.loads(path.read_text())["tools"]):
        given = filled(FormModel(tool.input_schema))
        page.form.show_tool(tool, tool.input_schema, FormModel(tool.input_schema).draft_from(given))
        assert page.form.owner is tool
        for name in page.form.rows:
            row = page.form.rows[name]
            # Each way of editing an argument leaves it as it is.
            if isinstance(row.editor, RecordsEditor) and row.editor.drafts:
                row.editor.card(0).open()
            for button in ("JSON", "Form"):
                if button in buttons(row):
                    buttons(row)[button].click()
        assert written(page.form.arguments()) == written(given)
        assert page.form.set_json(True)
        assert written(page.form.arguments()) == written(given)


def filled(model: FormModel) -> dict[str, Any]:
    """A value for every argument, with what is easily changed on the way."""
    return {field.name: value_for(model, field) for field in model.fields}


def value_for(model: FormModel, field: Field) -> Any:
    nested = model.nested(field.name)
    match field.kind:
        case FieldKind.CHOICE | FieldKind.CONST:
            return field.choices[-1].value
        case FieldKind.LIST:
            return [plain(field.item, field), plain(field.item, field)]
        case FieldKind.JSON if field.reason is Reason.ITEMS_NOT_PLAIN and nested is not None:
            return [filled(nested), filled(nested)]
        case FieldKind.JSON if nested is not None:
            return {**filled(nested), "not declared": "a\u00a0b"}
        case FieldKind.JSON:
            return {"any": [Decimal("1.50"), "\u2028", None]}
        case _:
            return plain(field.kind, field)


def plain(kind: FieldKind | None, field: Field) -> Any:
    if kind is FieldKind.CHOICE:
        return field.choices[-1].value
    values = {FieldKind.INTEGER: 10**30, FieldKind.NUMBER: Decimal("3.10"), FieldKind.BOOLEAN: False}
    return values.get(kind, " a\u00a0b\r\nc\u2028 ") if kind is not None else None


def written(arguments: Any) -> str:
    """The JSON text, with members in one order: it says 3.10 and 3.1 apart."""
    return write_json(in_order(arguments))


def in_order(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: in_order(value[name]) for name in sorted(value)}
    return [in_order(item) for item in value] if isinstance(value, list) else value
