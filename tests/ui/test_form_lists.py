"""Lists, fixed values and focus, by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from PySide6.QtCore import QMimeData, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QComboBox, QLabel, QPushButton, QWidget

from app.core.mcp.forms.model import Presence
from app.ui.servers.form_fields import FieldRow
from app.ui.servers.list_editor import ListEditor
from app.ui.widgets.text_field import TextField
from tests.ui.test_form_size import Page

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

LIST: dict[str, Any] = {
    "type": "object",
    "properties": {"l": {"type": "array", "items": {"type": "string"}}, "z": {"type": "string"}},
    "required": ["l", "z"],
}
ALT, PLAIN = Qt.KeyboardModifier.AltModifier, Qt.KeyboardModifier.NoModifier


@pytest.fixture
def page(qapp: QApplication) -> Iterator[Page]:
    made = Page()
    yield made
    made.root.close()


def list_of(page: Page, items: list[str]) -> ListEditor:
    page.show(LIST, {"l": items, "z": ""})
    editor = page.form.rows["l"].editor
    assert isinstance(editor, ListEditor)
    return editor


def press(key: Qt.Key, modifiers: Qt.KeyboardModifier = PLAIN) -> None:
    QTest.keyClick(QApplication.focusWidget(), key, modifiers)


def paste(field: QWidget, text: str) -> None:
    data = QMimeData()
    data.setText(text)
    assert isinstance(field, TextField)
    field.insertFromMimeData(data)


def sent(page: Page) -> Any:
    arguments = page.form.arguments()
    assert arguments is not None
    return arguments["l"]


def test_a_list_is_typed_by_keyboard_alone(page: Page) -> None:
    editor = list_of(page, [])
    editor._add.setFocus()
    press(Qt.Key.Key_Return)
    for word in ("one", "two", "three"):
        QTest.keyClicks(QApplication.focusWidget(), word)
        press(Qt.Key.Key_Return)
    assert sent(page) == ["one", "two", "three", ""]
    editor.focus_item(3)
    press(Qt.Key.Key_Backspace)
    assert sent(page) == ["one", "two", "three"]
    assert QApplication.focusWidget() is editor.editor(2)


def test_enter_adds_an_item_below_the_one_with_the_focus(page: Page) -> None:
    editor = list_of(page, ["a", "b"])
    editor.focus_item(0)
    press(Qt.Key.Key_Return)
    assert sent(page) == ["a", "", "b"]
    assert QApplication.focusWidget() is editor.editor(1)


def test_backspace_in_an_item_with_text_removes_a_character(page: Page) -> None:
    editor = list_of(page, ["a", "bc"])
    editor.focus_item(1)
    press(Qt.Key.Key_End)
    press(Qt.Key.Key_Backspace)
    assert sent(page) == ["a", "b"]


@pytest.mark.parametrize(("place", "key", "result"), [(0, Qt.Key.Key_Down, "bacd"), (3, Qt.Key.Key_Up, "abdc")])
def test_alt_and_an_arrow_move_an_item_with_its_focus(page: Page, place: int, key: Qt.Key, result: str) -> None:
    editor = list_of(page, list("abcd"))
    editor.focus_item(place)
    focused = QApplication.focusWidget()
    press(key, ALT)
    assert "".join(sent(page)) == result
    assert QApplication.focusWidget() is focused
    editor.focus_item(0)
    order = []
    for _item in range(4):
        field = QApplication.focusWidget()
        assert isinstance(field, TextField)
        order.append(field.text())
        press(Qt.Key.Key_Tab)
        press(Qt.Key.Key_Tab)
    assert "".join(order) == result


def test_items_move_across_the_parts_of_a_long_list(page: Page) -> None:
    items = [str(number) for number in range(40)]
    editor = list_of(page, items)
    page.settle()
    editor.focus_item(11)
    for _press in range(3):
        press(Qt.Key.Key_Down, ALT)
    assert sent(page) == [*items[:11], "12", "13", "14", "11", *items[15:]]
    assert QApplication.focusWidget() is editor.editor(14)


def test_a_removed_item_comes_back(page: Page) -> None:
    editor = list_of(page, ["a", "b", "c"])
    editor.focus_item(1)
    press(Qt.Key.Key_Tab)
    press(Qt.Key.Key_Space)
    assert sent(page) == ["a", "c"]
    assert QApplication.focusWidget() is editor.editor(1)
    assert editor._offer.text() == "Item 2 removed"
    editor._offer.button.setFocus()
    press(Qt.Key.Key_Space)
    assert sent(page) == ["a", "b", "c"]
    assert QApplication.focusWidget() is editor.editor(1)


def test_the_last_item_leaves_the_focus_on_the_button_that_adds_one(page: Page) -> None:
    editor = list_of(page, ["a"])
    editor.remove_item(0)
    assert QApplication.focusWidget() is editor._add


@pytest.mark.parametrize("text", ["a\r\nb", "a\nb", "a\rb", "a\n\nb", "a\u2028b"])
def test_several_lines_pasted_are_one_item(page: Page, text: str) -> None:
    editor = list_of(page, [""])
    paste(editor.editor(0), text)
    assert sent(page) == [text]


def test_pasted_lines_become_items_when_the_person_says_so(page: Page) -> None:
    editor = list_of(page, ["first", "", "last"])
    paste(editor.editor(1), "a\r\nb\n\nc\n")
    assert editor._offer.text() == "Item 2 has 4 lines"
    assert editor._offer.button.text() == "Make 4 items"
    editor._offer.button.click()
    assert sent(page) == ["first", "a", "b", "", "c", "last"]
    assert QApplication.focusWidget() is editor.editor(1)


def test_a_split_is_undone(page: Page) -> None:
    editor = list_of(page, [""])
    paste(editor.editor(0), "a\nb")
    editor.split_item(0)
    assert editor._offer.text() == "2 items added"
    editor._offer.button.click()
    assert sent(page) == ["a\nb"]


@pytest.mark.parametrize(
    "schema",
    [
        {"const": "delete", "title": "Confirm"},
        {"const": True},
        {"const": 5, "description": "Five"},
        {"const": "x" * 5_000},
    ],
)
def test_a_fixed_value_is_shown_as_what_it_is(page: Page, schema: dict[str, Any]) -> None:
    page.show({"type": "object", "properties": {"c": schema}, "required": ["c"]})
    shown = " ".join(label.text() for label in page.form.rows["c"].findChildren(QLabel))
    value = page.form.model["c"].choices[0].key
    assert value[:900] in shown
    assert "fixed by the tool" in shown or "Show all" in shown or len(value) > 1_000
    assert page.form.arguments() == {"c": schema["const"]}


def buttons(row: FieldRow) -> dict[str, QPushButton]:
    return {button.text(): button for button in row.findChildren(QPushButton) if not button.isHidden()}


def test_the_focus_goes_to_what_took_the_place_of_a_button(page: Page) -> None:
    schema = {"type": "object", "properties": {name: {"type": ["string", "null"]} for name in "abc"}}
    page.show(schema)
    row = page.form.rows["b"]
    for press_on, then in (("Set", ""), ("null", "Set"), ("Set", ""), ("Leave out", "Set")):
        button = buttons(row)[press_on]
        button.setFocus()
        button.click()
        focused = QApplication.focusWidget()
        page.settle()
        assert QApplication.focusWidget() is focused
        assert focused is (buttons(row)[then] if then else row.editor)


@pytest.mark.parametrize(
    ("schema", "typed", "expected"),
    [
        ({"type": "integer", "default": 30}, "7", 7),
        ({"type": "number", "default": 1.5}, "2", 2),
        ({"type": "string", "default": "main"}, "dev", "dev"),
        ({"type": "string", "default": "a\nb"}, "c", "c"),
        ({"type": "object", "default": {"a": 1}}, "2", 2),
    ],
)
@pytest.mark.parametrize("required", [True, False])
def test_typing_replaces_a_default(page: Page, schema: Any, typed: str, expected: Any, required: bool) -> None:
    page.show({"type": "object", "properties": {"d": schema}, "required": ["d"] if required else []})
    row = page.form.rows["d"]
    if not required:
        buttons(row)["Set"].click()
    else:
        page.form.focus_first()
    QTest.keyClicks(QApplication.focusWidget(), typed)
    assert page.form.arguments() == {"d": expected}


def test_the_card_follows_what_is_mended_and_does_not_judge_while_typing(page: Page) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "m": {"type": "integer"}, "t": {"type": "string"}},
        "required": ["n", "m"],
    }
    page.show(schema)
    assert page.form.arguments() is None
    assert page.form.card.text().startswith("2 arguments to fix\n")
    assert page.focused_field() == "n"
    QTest.keyClicks(QApplication.focusWidget(), "x")
    assert page.form.card.text().startswith("1 argument to fix\n")
    assert page.form.rows["n"].error.text() == ""
    # Left while it is still wrong: said again.
    page.form.rows["m"].take_focus()
    assert page.form.card.text().startswith("2 arguments to fix\n")
    QTest.keyClicks(QApplication.focusWidget(), "2")
    page.form.show_field("n")
    press(Qt.Key.Key_Home)
    press(Qt.Key.Key_Delete)
    QTest.keyClicks(QApplication.focusWidget(), "1")
    page.run.setFocus()
    assert page.form.card.isHidden()
    assert page.form.arguments() == {"n": 1, "m": 2}


def test_a_line_of_the_card_leads_to_its_field(page: Page) -> None:
    schema = {"type": "object", "properties": {n: {"type": "integer"} for n in ("n", "m")}, "required": ["n", "m"]}
    page.show(schema)
    page.form.arguments()
    link = next(button for button in page.form.card.findChildren(QPushButton) if button.text() == "m")
    link.click()
    assert page.focused_field() == "m"


def test_a_field_that_is_set_and_left_out_again_keeps_what_was_typed(page: Page) -> None:
    page.show({"type": "object", "properties": {"t": {"type": "string"}}})
    row = page.form.rows["t"]
    row.set_presence(Presence.VALUE)
    QTest.keyClicks(QApplication.focusWidget(), "kept")
    row.set_presence(Presence.ABSENT)
    assert page.form.arguments() == {}
    row.set_presence(Presence.VALUE)
    assert page.form.arguments() == {"t": "kept"}


def test_backspace_again_after_an_item_went_deletes_one_character(page: Page) -> None:
    editor = list_of(page, ["first", ""])
    editor.focus_item(1)
    press(Qt.Key.Key_Backspace)
    press(Qt.Key.Key_Backspace)
    assert sent(page) == ["firs"]


def test_a_form_that_changes_while_somebody_types_goes_on_where_they_were(page: Page) -> None:
    page.show(LIST)
    page.form.rows["z"].take_focus()
    QTest.keyClicks(QApplication.focusWidget(), "typed")
    changed = {**LIST, "properties": {"new": {"type": "string"}, **LIST["properties"]}}
    page.form.show_tool(page, changed, page.form.draft)
    assert page.focused_field() == "z"
    QTest.keyClicks(QApplication.focusWidget(), "!")
    assert page.form.draft.entry("z").text == "typed!"


HIDDEN = ("a\u200bb", "a\u202eb", "a\u00a0b", "a\u2066b")


@pytest.mark.parametrize("name", HIDDEN)
def test_what_cannot_be_seen_in_the_words_of_a_tool_is_marked(page: Page, name: str) -> None:
    schema = {
        "type": "object",
        "properties": {
            name: {"type": "string", "description": name},
            "title": {"type": "string", "title": name},
            "choice": {"enum": [name, "ab"]},
            "fixed": {"const": name},
        },
        "required": ["choice", "fixed"],
    }
    page.show(schema)
    said = [label.text() for label in page.form.findChildren(QLabel)]
    select = page.form.rows["choice"].editor
    assert isinstance(select, QComboBox)
    said += [select.itemText(place) for place in range(2)]
    mark = f"‹U+{ord(name[1]):04X}›"
    assert sum(mark in text for text in said) >= 3
    # No-break spaces are ordinary in sentences.
    assert not [text for text in said if name in text and name != "a\u00a0b"]
    select.setCurrentIndex(0)
    assert page.form.arguments() == {"choice": name, "fixed": name}
