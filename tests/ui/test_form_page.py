"""The form on the page of a tool: what is checked, what is left to the server, where Tab goes, what is stored."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PySide6.QtCore import Qt
from PySide6.QtGui import QTextCursor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.core.mcp.forms.model import FormDraft, FormModel
from app.core.mcp.forms.validation import FieldProblem, ValidationResult
from app.ui.servers import draft_text
from app.ui.servers.form import ArgumentForm
from tests.ui._servers_fakes import FakeBackend, own, settle, tool, until
from tests.ui.test_form_text import TEXTS
from tests.ui.test_servers_place import desk

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"text": {"type": "string"}, "list": {"type": "array", "items": {"type": "string"}}},
    "required": ["text"],
}


@settings(max_examples=100, deadline=None)
@given(text=TEXTS, items=st.lists(TEXTS, max_size=3), whole=TEXTS, extra=TEXTS)
def test_what_was_typed_is_stored_and_restored_character_by_character(
    text: str, items: list[str], whole: str, extra: str
) -> None:
    draft = FormDraft().typed("text", text).listed("list", items)
    draft = FormDraft(draft.entries, {"more": extra}, whole)
    kept = draft_text.encode(draft, whole, {})
    assert kept is not None
    found = draft_text.decode(kept, FormModel(SCHEMA))
    assert found is not None
    assert found[0].entry("text").text == text
    assert found[0].entry("list").items == tuple(items)
    assert (found[0].extra, found[0].whole, found[1]) == ({"more": extra}, whole, whole)


@pytest.mark.parametrize("text", ["a\u00a0b", "a\u2028b\u2029c", "\ufdd0\ufdd1", "a\r\nb", "\ufeffx\ud800", "\u202ex"])
def test_text_is_the_same_through_form_and_json_and_back(qapp: QApplication, text: str) -> None:
    form = ArgumentForm()
    form.show_tool("tool", SCHEMA, FormModel(SCHEMA).draft_from({"text": text, "list": [text, ""]}))
    arguments = {"text": text, "list": [text, ""]}
    for as_json in (True, False, True, False):
        assert form.set_json(as_json)
        assert form.arguments() == arguments
    form.set_json(True)
    form.json.edit.moveCursor(QTextCursor.MoveOperation.End)
    form.json.edit.insertPlainText(" ")
    assert form.arguments() == arguments


def test_a_million_characters_are_stored() -> None:
    draft = FormDraft().typed("text", "x" * 2_000_000)
    assert draft_text.encode(draft, None, {}) is not None


async def test_what_the_server_has_to_check_is_said_and_the_tool_is_called(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def validate(_model: FormModel, _arguments: object) -> ValidationResult:
        return ValidationResult((), (FieldProblem("text", "The pattern is checked by the server.", "text"),))

    monkeypatch.setattr(FormModel, "validate", validate)
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([own()], {"posthog": [tool("find", schema=SCHEMA)]}))
        await on.open("posthog/find")
        page = on.place.page.tool
        page.form.rows["text"].editor.setPlainText("x")  # type: ignore[attr-defined]
        page.run()
        await until(lambda: bool(backend.servers.calls))
        assert page.form._left_to_server.text() == "text: The pattern is checked by the server."
        assert backend.servers.calls[0].arguments == {"text": "x"}


async def test_tab_comes_to_every_argument_before_run(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        names = [f"f{number}" for number in range(20)]
        schema = {"type": "object", "properties": {name: {"type": "string"} for name in names}, "required": names}
        tools = [tool("first"), tool("find", 1, schema=schema)]
        await on.show(FakeBackend([own()], {"posthog": tools}))
        await on.open("posthog/first")
        await on.open("posthog/find")
        page = on.place.page.tool
        page.form.focus_first()
        reached: list[str] = []
        for _press in range(60):
            focused = QApplication.focusWidget()
            if focused is page.run_button:
                break
            reached += [name for name in names if page.form.rows[name].editor is focused]
            QTest.keyClick(focused, Qt.Key.Key_Tab)
            await settle()
        assert reached == names
        assert QApplication.focusWidget() is page.run_button
