"""What is typed, pasted or restored comes out of each kind of field as it went in."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from time import process_time
from typing import Any

import pytest
from PySide6.QtCore import QMimeData
from PySide6.QtGui import QTextCursor
from PySide6.QtWidgets import QApplication

from app.core.errors import Rejected
from app.core.mcp.forms.model import Presence
from app.core.mcp.forms.validation import FieldProblem
from app.ui.servers.form_fields import FieldRow
from app.ui.servers.list_editor import ListEditor
from app.ui.servers.map_editor import MapEditor
from app.ui.servers.object_editor import ObjectEditor
from app.ui.widgets.plain_text import PlainTextEdit
from app.ui.widgets.text_field import TextField
from tests.core._mcp_server import ENVELOPE, Reply, Scripted
from tests.core.test_mcp_connection import connected, silent
from tests.ui.test_form_size import Page

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

SCHEMA = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "body": {"type": "string"},
        "list": {"type": "array", "items": {"type": "string"}},
        "object": {"type": "object", "properties": {"inner": {"type": "string"}}},
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
TEXTS = [
    "\ufeffa\ufeff",
    "\ufffe\uffff\ufdd0\ufdd1",
    "a\ud800b\udc00",
    "\udc00",
    "\u00a0a\u2028b\u2029c\x85",
    "a\rb\r\nc\nd\n",
    "a\r\nb\r\n",
    "\x00\x01\x0b\x0c\x1b\t",
    "e\u0301\u00e9\U0001ffff\u202ea\u200b",
]


@pytest.fixture
def page(qapp: QApplication) -> Iterator[Page]:
    made = Page()
    yield made
    made.root.close()


def fields(page: Page) -> dict[str, TextField]:
    """A field of each kind in the form."""
    for name in page.form.rows:
        page.form.rows[name].set_presence(Presence.VALUE)
    page.settle()
    items, inner, free = (page.form.rows[name].editor for name in ("list", "object", "map"))
    assert isinstance(items, ListEditor)
    assert isinstance(inner, ObjectEditor)
    assert isinstance(free, MapEditor)
    items.add_item()
    free.add()
    row = inner._row(0)
    assert isinstance(row, FieldRow)
    row.set_presence(Presence.VALUE)
    page.settle()
    key, value = free.findChildren(TextField)
    found = {"text": page.form.rows["text"].editor, "body": page.form.rows["body"].editor, "inner": row.editor}
    found |= {"item": items.editor(0), "key": key, "value": value}
    assert all(isinstance(field, TextField) for field in found.values())
    return found  # type: ignore[return-value] # as asserted


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_each_kind_of_field_sends_what_was_put_in(page: Page, text: str) -> None:
    page.show(SCHEMA)
    for field in fields(page).values():
        field.insert_text(text)
    expected = {"text": text, "body": text, "list": [text], "object": {"inner": text}, "map": {text: text}}
    assert page.form.arguments() == expected
    assert page.form.set_json(True)
    assert page.form.arguments() == expected


def test_a_problem_leads_to_the_argument_of_exactly_that_name(page: Page) -> None:
    names = ["a", "\ufeffa", "a\ufeff"]
    page.show({"type": "object", "properties": {name: {"type": "string"} for name in names}, "required": names})
    page.form.show_problems([FieldProblem(name, "It is wrong.") for name in names])
    for name in names:
        page.form.card.wanted.emit(name)
        assert page.focused_field() == name


@pytest.mark.parametrize("seed", range(20))
def test_changes_undone_and_done_again_give_the_same_texts(qapp: QApplication, seed: int) -> None:
    dice = random.Random(seed)
    edit = PlainTextEdit()
    pieces = ["a", "\r\n", "\n", "b\r\nc", "\r", "\ufeff", "d\ne\r\n", "x" * 3_000, "\r\n\r\n"]
    edit.set_text("".join(dice.choices(pieces, k=3)) if seed % 2 else "")
    texts = [edit.text()]
    for piece in dice.choices(pieces, k=12):
        edit.moveCursor(QTextCursor.MoveOperation.End)
        edit.insert_text(piece)
        texts.append(texts[-1] + piece)
        assert edit.text() == texts[-1]
    while edit.document().isUndoAvailable():
        edit.undo()
        assert edit.text() in texts
    assert edit.text() == texts[0]
    while edit.document().isRedoAvailable():
        edit.redo()
        assert edit.text() in texts
    assert edit.text() == texts[-1]


def test_a_text_with_windows_line_ends_costs_little_more_than_one_with_others(qapp: QApplication) -> None:
    def cost(text: str) -> float:
        field = TextField("Text")
        data: Any = QMimeData()
        data.setText(text)
        started = process_time()
        field.insertFromMimeData(data)
        field.insert_text("x")
        assert field.text() == text + "x"
        return process_time() - started

    assert cost("ab\r\n" * 30_000) < 4 * cost("ab\n" * 30_000) + 0.1


async def test_what_is_put_in_arrives_at_the_server_exactly(page: Page) -> None:
    async with Scripted() as server, connected(server.url) as connection:
        for text in [*TEXTS, "x" * 1_000_000]:
            half = re.search("[\ud800-\udfff]", text)
            page.show(SCHEMA)
            for field in fields(page).values():
                field.insert_text(text)
            arguments = page.form.arguments()
            assert arguments is not None
            if half:
                # UTF-8 has none. It is said, and not left out of what is sent.
                with pytest.raises(Rejected, match="half a character"):
                    await connection.call("any", arguments, repeatable=False, on_progress=silent)
                continue
            server.next["tools/call"].append(Reply(result={**ENVELOPE, "content": []}))
            await connection.call("any", arguments, repeatable=False, on_progress=silent)
            assert json.loads(server.seen[-1].raw)["params"]["arguments"] == {
                "text": text,
                "body": text,
                "list": [text],
                "object": {"inner": text},
                "map": {text: text},
            }
