"""A form of any size: what is out of view is not made, and the keyboard still reaches it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPushButton, QWidget

from app.core.mcp.forms.model import Presence
from app.core.mcp.forms.validation import FieldProblem
from app.ui.servers.form import ArgumentForm
from app.ui.servers.form_fields import FieldRow
from app.ui.servers.list_editor import SHOWN, ListEditor
from app.ui.widgets.bounded_text import SHOWN as SHOWN_TEXT
from app.ui.widgets.bounded_text import BoundedText
from app.ui.widgets.column import ScrollColumn

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)


def texts(count: int) -> dict[str, Any]:
    names = [f"f{number}" for number in range(count)]
    return {"type": "object", "properties": {name: {"type": "string"} for name in names}, "required": names}


class Page:
    """A form that scrolls, with a button below it, as on the page of a tool."""

    def __init__(self) -> None:
        self.root = QWidget()
        self.area = ScrollColumn("Tool", self.root)
        self.area.setGeometry(0, 0, 700, 500)
        self.area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.form = ArgumentForm()
        self.area.box.addWidget(self.form)
        self.area.box.addStretch()
        self.run = QPushButton("Run", self.root)
        self.run.setGeometry(0, 500, 100, 30)
        self.root.resize(700, 540)
        self.root.show()
        self.root.activateWindow()
        QTest.qWaitForWindowActive(self.root)

    def show(self, schema: Any, arguments: dict[str, Any] | None = None) -> None:
        self.form.show_tool(self, schema)
        if arguments is not None:
            self.form.show_tool(self, schema, self.form.model.draft_from(arguments))
        self.settle()

    def settle(self) -> None:
        for _turn in range(8):
            QApplication.processEvents()

    @property
    def made(self) -> list[str]:
        return [row.field.name for row in self.form.findChildren(FieldRow)]

    def focused_field(self) -> str:
        step: QWidget | None = QApplication.focusWidget()
        while step is not None and not isinstance(step, FieldRow):
            step = step.parentWidget()
        return step.field.name if step is not None else ""


@pytest.fixture
def page(qapp: QApplication) -> Iterator[Page]:
    made = Page()
    yield made
    made.root.close()


def test_only_what_is_near_the_view_is_made(page: Page) -> None:
    page.show(texts(10_000))
    assert len(page.form.rows) == 10_000
    assert len(page.made) < 60


def test_what_comes_into_view_is_made(page: Page) -> None:
    page.show(texts(1_000))
    bar = page.area.verticalScrollBar()
    bar.setValue(bar.maximum())
    page.settle()
    assert "f999" in page.made
    assert "f500" not in page.made


def test_tab_goes_through_every_argument_in_order_and_then_to_what_follows(page: Page) -> None:
    page.show(texts(40))
    page.form.focus_first()
    seen = [page.focused_field()]
    for _press in range(60):
        QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
        if QApplication.focusWidget() is page.run:
            break
        seen.append(page.focused_field())
        page.settle()
    assert seen == [f"f{number}" for number in range(40)]
    assert QApplication.focusWidget() is page.run


def test_shift_tab_goes_back_through_every_argument(page: Page) -> None:
    page.show(texts(40))
    page.run.setFocus()
    seen = []
    for _press in range(40):
        QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Backtab)
        seen.append(page.focused_field())
        page.settle()
    assert seen == [f"f{number}" for number in reversed(range(40))]


def test_the_focused_field_is_in_view(page: Page) -> None:
    page.show(texts(60))
    page.form.focus_first()
    for _press in range(59):
        QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
        page.settle()
        assert not QApplication.focusWidget().visibleRegion().isEmpty()


def test_tab_comes_to_the_arguments_before_run_after_every_change_of_a_field(page: Page) -> None:
    schema = {"type": "object", "properties": {name: {"type": ["string", "null"]} for name in "abc"}}
    page.show(schema)
    for presence in (Presence.VALUE, Presence.NULL, Presence.VALUE, Presence.ABSENT, Presence.VALUE):
        page.form.rows["b"].set_presence(presence)
    page.settle()
    page.form.rows["a"].take_focus()
    seen = []
    while QApplication.focusWidget() is not page.run:
        seen.append(page.focused_field())
        QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
    assert "".join(dict.fromkeys(seen)) == "abc"
    assert seen == sorted(seen)


def test_a_problem_leads_to_a_field_that_was_not_made(page: Page) -> None:
    page.show(texts(1_000))
    assert "f800" not in page.made
    page.form.show_problems([FieldProblem("f800", "It is wrong.")])
    page.settle()
    assert page.focused_field() == "f800"
    assert page.form.rows["f800"].error.text() == "It is wrong."
    assert not QApplication.focusWidget().visibleRegion().isEmpty()


def test_the_problem_of_a_field_is_shown_when_the_field_is_made(page: Page) -> None:
    page.show(texts(1_000))
    page.form.show_problems([FieldProblem("f1", "First."), FieldProblem("f800", "It is wrong.")])
    assert "f800" not in page.made
    assert page.form.rows["f800"].error.text() == "It is wrong."


def test_assistive_technology_is_told_which_arguments_are_not_made(page: Page) -> None:
    page.show(texts(100))
    assert page.form._body is not None
    names = [child.accessibleName() for child in page.form._body.findChildren(QWidget)]
    assert "Arguments 91 to 96" in names
    assert "Arguments 1 to 6" not in names


def test_a_list_shows_its_first_items_and_the_others_on_request(page: Page) -> None:
    schema = {"type": "object", "properties": {"l": {"type": "array", "items": {"type": "string"}}}, "required": ["l"]}
    items = [f"item {number}" for number in range(2_000)]
    page.show(schema, {"l": items})
    editor = page.form.rows["l"].editor
    assert isinstance(editor, ListEditor)
    assert editor._column is not None
    assert len(editor._column) == SHOWN
    assert editor._all.text().replace(",", "") == "Show all 2000 items"
    editor._all.click()
    page.settle()
    assert len(editor._column) == 2_000
    assert len(list(editor._column.made())) < 200
    assert page.form.arguments() == {"l": items}


def test_an_item_more_in_a_long_list_makes_only_what_is_near_it(page: Page) -> None:
    schema = {"type": "object", "properties": {"l": {"type": "array", "items": {"type": "string"}}}, "required": ["l"]}
    page.show(schema, {"l": ["x"] * 2_000})
    editor = page.form.rows["l"].editor
    assert isinstance(editor, ListEditor)
    editor.show_all()
    page.settle()
    assert editor._column is not None
    before = len(list(editor._column.made()))
    editor.insert_item(1, "new")
    page.settle()
    assert len(list(editor._column.made())) <= before + 30
    arguments = page.form.arguments()
    assert arguments is not None
    assert arguments["l"][:3] == ["x", "new", "x"]
    assert len(arguments["l"]) == 2_001


def test_a_long_description_shows_its_beginning_and_the_rest_on_request(page: Page) -> None:
    long = "word " * 200_000
    page.show({"type": "object", "properties": {"a": {"type": "string", "description": long, "title": long}}})
    row = page.form.rows["a"]
    text = row.findChild(BoundedText)
    assert text is not None
    assert len(text.text()) <= SHOWN_TEXT + 1
    assert text.more is not None
    assert text.more.text().replace(",", "") == "Show all 1000000 characters"
    text.more.click()
    assert text.text() == long
    assert len(row.label) <= 201


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "string"}},
        {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "string"}}}},
        {"type": "object", "additionalProperties": {"type": "string"}},
    ],
)
def test_tab_comes_to_the_first_and_to_later_items_before_the_button_that_adds_one(page: Page, schema: Any) -> None:
    page.show({"type": "object", "properties": {"l": schema, "z": {"type": "string"}}, "required": ["l", "z"]})
    add = page.form.rows["l"].editor._add  # type: ignore[attr-defined]
    for _item in range(3):
        add.click()
        page.settle()
    page.form.modes.findChildren(QWidget)[0].setFocus()
    seen: list[QWidget] = []
    while QApplication.focusWidget() is not page.run and len(seen) < 60:
        QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
        seen.append(QApplication.focusWidget())
    inside = [place for place, widget in enumerate(seen) if page.form.rows["l"].editor.isAncestorOf(widget)]
    assert len(inside) >= 7
    assert seen[inside[-1]] is add
    assert inside == list(range(inside[0], inside[-1] + 1))
    assert seen[-2] is page.form.rows["z"].editor
