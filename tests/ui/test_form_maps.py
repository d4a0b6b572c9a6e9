"""Objects whose names are free are edited as names and values, at any place, and never as a dead end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.core.mcp.forms.model import Presence
from app.ui.servers.map_editor import MapEditor
from app.ui.widgets.text_field import TextField
from tests.ui.test_form_size import Page

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

INTEGERS = {"type": "object", "additionalProperties": {"type": "integer"}}
MAPS: dict[str, Any] = {
    "additional": INTEGERS,
    "pattern": {"type": "object", "patternProperties": {"^x-": {"type": "integer"}}},
    "reference": {"type": "object", "additionalProperties": {"$ref": "#/$defs/n"}, "$defs": {"n": {"type": "integer"}}},
}
VALUES: dict[str, tuple[Any, dict[str, Any]]] = {
    "text": ({"type": "string"}, {"a": "x", "b\u00a0": "y\r\nz", "": "empty"}),
    "number": ({"type": "number"}, {"a": 1, "b": 10**30}),
    "yes or no": ({"type": "boolean"}, {"a": True, "b": False}),
    "choice": ({"enum": [1, "1", 2]}, {"a": 1, "b": "1"}),
    "or null": ({"type": ["string", "null"]}, {"a": None, "b": "x"}),
    "list": ({"type": "array", "items": {"type": "string"}}, {"a": [], "b": ["x", "y\nz"]}),
    "object": ({"type": "object", "properties": {"n": {"type": "string"}}}, {"a": {"n": "x"}, "b": {"more": 1}}),
    "other": ({"type": "integer"}, {"a": "not a number", "b": 2}),
}


@pytest.fixture
def page(qapp: QApplication) -> Iterator[Page]:
    made = Page()
    yield made
    made.root.close()


def editor_of(page: Page) -> MapEditor:
    """The editor of the argument `m`, or of all arguments."""
    editor = page.form.rows["m"].editor if "m" in page.form.rows else page.form._body
    assert isinstance(editor, MapEditor)
    return editor


def argument(schema: Any, *, required: bool = True) -> dict[str, Any]:
    return {"type": "object", "properties": {"m": schema}, "required": ["m"] if required else []}


def type_into(field: object, text: str) -> None:
    assert isinstance(field, TextField)
    field.set_text(text)


@pytest.mark.parametrize("schema", MAPS.values(), ids=MAPS.keys())
def test_the_arguments_themselves_may_have_free_names(page: Page, schema: Any) -> None:
    page.show(schema)
    assert "takes no arguments" not in page.form._note.text()
    editor = editor_of(page)
    editor.add()
    type_into(editor.row(0).key, "x-one")
    type_into(editor.row(0).value, "1")
    assert page.form.arguments() == {"x-one": 1}
    page.form.set_json(True)
    page.form.json.edit.set_text('{"x-two": 2}')
    assert page.form.set_json(False)
    assert page.form.arguments() == {"x-two": 2}


def test_what_was_typed_comes_back_when_the_tool_is_shown_again(page: Page) -> None:
    page.show(INTEGERS)
    editor_of(page).add()
    type_into(editor_of(page).row(0).key, "a")
    type_into(editor_of(page).row(0).value, "7")
    page.form.show_tool("again", INTEGERS, page.form.draft)
    assert page.form.arguments() == {"a": 7}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_every_value_is_sent_as_it_was_given(page: Page, value: tuple[Any, dict[str, Any]]) -> None:
    schema, given = value
    page.show(argument({"type": "object", "additionalProperties": schema}), {"m": given})
    editor = editor_of(page)
    assert page.form.arguments() == {"m": given}
    type_into(editor.row(0).key, "renamed")
    renamed = {("renamed" if name == "a" else name): one for name, one in given.items()}
    assert page.form.arguments() == {"m": renamed}


def test_entries_are_added_and_removed_by_keyboard(page: Page) -> None:
    page.show(argument(INTEGERS, required=False))
    page.form.rows["m"].set_presence(Presence.VALUE)
    editor = editor_of(page)
    editor._add.setFocus()
    QTest.keyClick(editor._add, Qt.Key.Key_Return)
    assert QApplication.focusWidget() is editor.row(0).key
    QTest.keyClicks(QApplication.focusWidget(), "limit")
    QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
    QTest.keyClicks(QApplication.focusWidget(), "5")
    assert page.form.arguments() == {"m": {"limit": 5}}
    QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
    QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Space)
    assert page.form.arguments() == {"m": {}}
    assert QApplication.focusWidget() is editor._add
    editor._offer.button.click()
    assert page.form.arguments() == {"m": {"limit": 5}}


@pytest.mark.parametrize("schema", [argument(INTEGERS), INTEGERS], ids=["argument", "all"])
def test_a_name_that_is_there_twice_is_said_and_not_sent(page: Page, schema: Any) -> None:
    given = {"a": 1, "b": 2}
    page.show(schema, {"m": given} if "properties" in schema else given)
    editor = editor_of(page)
    type_into(editor.row(1).key, "a")
    assert editor.row(0).problem() == editor.row(1).problem() == "The name “a” is there twice."
    assert page.form.arguments() is None
    assert not page.form.card.isHidden()
    type_into(editor.row(1).key, "c")
    assert editor.row(0).problem() == editor.row(1).problem() == ""
    sent = page.form.arguments()
    assert sent == ({"m": {"a": 1, "c": 2}} if "properties" in schema else {"a": 1, "c": 2})


def test_a_new_entry_without_a_name_is_said_and_not_sent(page: Page) -> None:
    page.show(argument(INTEGERS), {"m": {"a": 1}})
    editor = editor_of(page)
    editor.add()
    type_into(editor.row(1).value, "2")
    assert page.form.arguments() is None
    assert editor.row(1).problem() == "Type a name."
    assert QApplication.focusWidget() is editor.row(1).key


@pytest.mark.parametrize("typed", ["x", '1, "b": 2', ""])
def test_a_value_that_is_none_is_said_and_not_sent(page: Page, typed: str) -> None:
    page.show(argument(INTEGERS), {"m": {"a": 1}})
    type_into(editor_of(page).row(0).value, typed)
    assert page.form.arguments() is None
    assert editor_of(page).row(0).problem()


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {},
        {"type": "object"},
        {"type": "object", "additionalProperties": True},
        {"type": "object", "additionalProperties": {}},
        {"type": "object", "patternProperties": {"a": {"type": "string"}, "b": {"type": "integer"}}},
        {"type": "object", "properties": None},
    ],
)
def test_arguments_of_any_name_can_be_entered(page: Page, schema: Any) -> None:
    page.show(schema)
    if "takes no arguments" in page.form._note.text():
        assert not page.form.model.open or schema in ({"type": "object"}, {"type": "object", "properties": None})
        return
    page.form.set_json(True)
    page.form.json.edit.set_text('{"a": 1}')
    assert page.form.arguments() == {"a": 1}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {}},
        {"type": "object", "properties": [], "additionalProperties": False},
        {"type": "object", "additionalProperties": False},
    ],
)
def test_a_tool_without_arguments_says_so(page: Page, schema: Any) -> None:
    page.show(schema)
    assert page.form._note.text() == "This tool takes no arguments."
    assert page.form.arguments() == {}


def test_a_free_object_is_json_with_the_reason(page: Page) -> None:
    page.show(argument({"type": "object"}))
    row = page.form.rows["m"]
    assert isinstance(row.editor, TextField)
    assert row._why.text().startswith("Edited as JSON. ")
