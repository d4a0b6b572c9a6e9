"""What is chosen is what is sent."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from app.core.mcp.forms.model import FormModel
from app.ui.servers.form import ArgumentForm
from app.ui.widgets.choices import Select
from app.ui.widgets.search_select import ChoicePopup, SearchSelect

ONE_TITLE = [{"const": f"v{number}", "title": "Same"} for number in range(9)]
MIXED = [1, "1", 2, "2", True, "true", 0.5, "0.5", ""]
SCHEMAS: list[Any] = [
    {"oneOf": ONE_TITLE},
    {"oneOf": ONE_TITLE[:4]},
    {"enum": MIXED},
    {"enum": MIXED[:4]},
    {"enum": ["a", "a ", " a", "A", "b\n", "b", "c\td", "c d", "e"]},
    {"enum": [f"v{n}" for n in range(12)], "enumNames": ["x"] * 12},
]


def form_of(schema: Any) -> ArgumentForm:
    form = ArgumentForm()
    form.show_tool(form, {"type": "object", "properties": {"c": schema}, "required": ["c"]})
    return form


def select_of(form: ArgumentForm) -> Select:
    select = form.rows["c"].editor
    assert isinstance(select, Select)
    return select


@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_choice_at_a_place_is_sent_whatever_it_is_called(qapp: QApplication, schema: Any) -> None:
    form = form_of(schema)
    choices = FormModel(form.schema)["c"].choices
    assert len(choices) > 3
    for place in (*range(len(choices)), 0):
        select_of(form).setCurrentIndex(place)
        sent = form.arguments()
        assert sent is not None
        assert (type(sent["c"]), sent["c"]) == (type(choices[place].value), choices[place].value)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_no_two_choices_look_the_same(qapp: QApplication, schema: Any) -> None:
    select = select_of(form_of(schema))
    texts = [" ".join(select.itemText(place).split()) for place in range(select.count())]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_form_that_is_shown_again_has_the_choice_that_was_made(qapp: QApplication, schema: Any) -> None:
    form = form_of(schema)
    for place in range(select_of(form).count()):
        select_of(form).setCurrentIndex(place)
        form.show_tool(form, form.schema, form.draft)
        assert select_of(form).currentIndex() == place


def shown(widget: QWidget) -> None:
    widget.show()
    widget.activateWindow()
    QTest.qWaitForWindowActive(widget)


def popup_of(select: SearchSelect) -> ChoicePopup:
    return select.findChildren(ChoicePopup)[-1]


def test_typing_chooses_nothing_before_enter(qapp: QApplication) -> None:
    form = form_of(SCHEMAS[0])
    select = select_of(form)
    assert isinstance(select, SearchSelect)
    shown(form)
    select.setCurrentIndex(2)
    select.setFocus()
    QTest.keyClick(select, Qt.Key.Key_V)
    popup = popup_of(select)
    QTest.keyClicks(popup.filter, "6")
    assert popup.texts() == ['Same ("v6")']
    assert select.currentIndex() == 2
    QTest.keyClick(popup.filter, Qt.Key.Key_Return)
    assert select.currentIndex() == 6
    assert form.arguments() == {"c": "v6"}
    form.close()


def test_leaving_the_filter_keeps_the_choice(qapp: QApplication) -> None:
    form = form_of(SCHEMAS[0])
    select = select_of(form)
    assert isinstance(select, SearchSelect)
    shown(form)
    select.setCurrentIndex(2)
    select.showPopup()
    popup = popup_of(select)
    QTest.keyClicks(popup.filter, "nothing of this kind")
    assert popup.texts() == []
    QTest.keyClick(popup.filter, Qt.Key.Key_Return)
    QTest.keyClick(popup.filter, Qt.Key.Key_Escape)
    QTest.keyClick(popup.filter, Qt.Key.Key_Escape)
    assert select.currentIndex() == 2
    form.close()


def test_typing_on_a_short_list_only_marks(qapp: QApplication) -> None:
    form = form_of({"enum": ["apple", "banana", "cherry"]})
    select = select_of(form)
    shown(form)
    select.setCurrentIndex(0)
    QTest.keyClick(select, Qt.Key.Key_C)
    assert select.currentIndex() == 0
    select.hidePopup()
    form.close()


@pytest.mark.parametrize("schema", [SCHEMAS[0], SCHEMAS[1], {"type": "integer", "default": 3}, {"type": "string"}])
def test_the_wheel_changes_no_value(qapp: QApplication, schema: Any) -> None:
    form = form_of(schema)
    shown(form)
    editor = form.rows["c"].editor
    before = form.draft
    at = QPointF(editor.rect().center())
    for step in (-120, 120):
        wheel = QWheelEvent(
            at,
            QPointF(editor.mapToGlobal(editor.rect().center())),
            QPoint(0, step),
            QPoint(0, step),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(editor, wheel)
    assert form.draft == before
    form.close()
