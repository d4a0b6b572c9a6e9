"""Text that is edited stays the text it was, character by character."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QEvent, QMimeData, Qt
from PySide6.QtGui import QKeyEvent, QTextCursor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.ui.widgets.fields import CodeEdit, JsonEdit
from app.ui.widgets.plain_text import PlainTextEdit
from app.ui.widgets.text_field import TextField

ROOT = Path(__file__).parents[2]
# Every code point, the ones that Qt changes more often.
ODD = "\n\r\u2028\u2029\ufdd0\ufdd1\u00a0\0\ufeff\ufffe\uffff\ufffd\ufffc\ud83d\ude00\U0001f600\t\x0b\x0c\x85"
CODE_POINTS = st.one_of(st.sampled_from(ODD), st.characters(exclude_categories=()))
TEXTS = st.text(CODE_POINTS, max_size=40)


def key(widget: PlainTextEdit, code: Qt.Key, modifiers: Qt.KeyboardModifier, text: str = "") -> None:
    QApplication.sendEvent(widget, QKeyEvent(QEvent.Type.KeyPress, code, modifiers, text))


def show(widget: PlainTextEdit) -> None:
    widget.show()
    widget.activateWindow()
    QTest.qWaitForWindowActive(widget)


PLAIN = Qt.KeyboardModifier.NoModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier


@settings(max_examples=300, deadline=None)
@given(text=TEXTS)
def test_every_code_point_comes_back(qapp: QApplication, text: str) -> None:
    json_edit = JsonEdit("JSON")
    for edit in (PlainTextEdit(), CodeEdit("Code"), TextField("Text"), json_edit.edit):
        edit.set_text(text)
        assert edit.text() == text
        assert edit.toPlainText() == text


@settings(max_examples=300, deadline=None)
@given(before=TEXTS, put=TEXTS.filter(bool), after=TEXTS)
def test_an_edit_changes_only_its_own_place(qapp: QApplication, before: str, put: str, after: str) -> None:
    assume(not (before.endswith("\r") and after.startswith("\n")))
    edit = PlainTextEdit()
    edit.set_text(before)
    place = edit.document().characterCount() - 1
    edit.set_text(before + after)
    cursor = edit.textCursor()
    cursor.setPosition(place)
    edit.setTextCursor(cursor)
    edit.insert_text(put)
    assert edit.text() == before + put + after
    edit.undo()
    assert edit.text() == before + after
    edit.redo()
    assert edit.text() == before + put + after


@settings(max_examples=200, deadline=None)
@given(text=TEXTS)
def test_what_is_cut_and_undone_is_what_was_there(qapp: QApplication, text: str) -> None:
    edit = PlainTextEdit()
    edit.set_text(text)
    edit.selectAll()
    assert edit.selected_text() == text
    edit.textCursor().removeSelectedText()
    assert edit.text() == ""
    edit.undo()
    assert edit.text() == text


@pytest.mark.parametrize("text", ["a\r\nb", "a\u00a0b\u2028c", "one\ntwo", "x" * 5_000, "\u2029\ufdd0"])
def test_a_paste_is_kept_as_it_is(qapp: QApplication, text: str) -> None:
    field = TextField("Text")
    data = QMimeData()
    data.setText(text)
    field.insertFromMimeData(data)
    assert field.text() == text
    field.undo()
    assert field.text() == ""


def test_a_copy_is_what_was_selected(qapp: QApplication) -> None:
    field = TextField("Text", "a\u00a0b\r\nc\u2029d")
    field.selectAll()
    field.copy()
    assert qapp.clipboard().text() == "a\u00a0b\r\nc\u2029d"


def test_a_process_ends_well_with_a_copy_in_its_clipboard() -> None:
    program = (
        "from PySide6.QtWidgets import QApplication\n"
        "app = QApplication([])\n"
        "from app.ui.widgets.text_field import TextField\n"
        "field = TextField('Text', 'copied')\n"
        "field.selectAll()\n"
        "field.copy()\n"
        "print(QApplication.clipboard().text())\n"
    )
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (0, "copied\n")


def test_a_new_line_is_the_one_that_the_text_uses(qapp: QApplication) -> None:
    for text, end in (("a\r\nb\n", "\r\n"), ("a\nb", "\n"), ("a\u2029b", "\n"), ("a", "\n")):
        edit = PlainTextEdit()
        edit.set_text(text)
        edit.moveCursor(QTextCursor.MoveOperation.End)
        key(edit, Qt.Key.Key_Return, PLAIN)
        assert edit.text() == text + end


def test_shift_enter_starts_a_line_in_a_field_of_one_line_and_enter_does_not(qapp: QApplication) -> None:
    field = TextField("Text", "ab")
    field.moveCursor(QTextCursor.MoveOperation.End)
    key(field, Qt.Key.Key_Return, PLAIN)
    assert field.text() == "ab"
    key(field, Qt.Key.Key_Return, SHIFT)
    assert field.text() == "ab\n"


def test_a_long_line_is_one_line_and_each_key_changes_one_character(qapp: QApplication) -> None:
    text = "".join(chr(97 + place % 26) for place in range(4_500))
    edit = PlainTextEdit()
    edit.set_text(text)
    assert edit.document().blockCount() == 3
    cursor = edit.textCursor()
    cursor.setPosition(2_001)
    edit.setTextCursor(cursor)
    key(edit, Qt.Key.Key_Backspace, PLAIN)
    assert edit.text() == text[:1_999] + text[2_000:]
    edit.set_text(text)
    cursor = edit.textCursor()
    cursor.setPosition(2_000)
    edit.setTextCursor(cursor)
    key(edit, Qt.Key.Key_Delete, PLAIN)
    assert edit.text() == text[:2_000] + text[2_001:]


def test_a_million_characters_are_kept_and_counted(qapp: QApplication) -> None:
    field = TextField("Text")
    data = QMimeData()
    data.setText("x" * 1_000_000)
    field.insertFromMimeData(data)
    assert len(field.text()) == 1_000_000
    assert field.count_words().replace(",", "") == "1000000 characters"
    # No line that Qt lays out as a whole is longer than this.
    assert field.document().firstBlock().length() <= 2_001


def test_a_short_text_is_not_counted(qapp: QApplication) -> None:
    assert TextField("Text", "short").count_words() == ""


def test_a_proposed_text_is_replaced_by_typing(qapp: QApplication) -> None:
    field = TextField("Days", "30", lines=4)
    field.propose("30")
    show(field)
    field.setFocus(Qt.FocusReason.OtherFocusReason)
    field.clearFocus()
    field.setFocus(Qt.FocusReason.OtherFocusReason)
    field.insertPlainText("7")
    assert field.text() == "7"
    field.close()


def test_an_own_text_of_several_lines_is_not_selected_on_focus(qapp: QApplication) -> None:
    field = TextField("Notes", "mine", lines=4)
    field.propose("the default")
    show(field)
    field.setFocus(Qt.FocusReason.OtherFocusReason)
    field.clearFocus()
    field.setFocus(Qt.FocusReason.OtherFocusReason)
    assert not field.textCursor().hasSelection()
    field.close()
