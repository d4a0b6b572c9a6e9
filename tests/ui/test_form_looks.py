"""At 160 % text, and in a narrow page, no word of a form is cut, and everything that can be clicked is large enough."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractButton, QApplication, QComboBox, QLabel, QWidget

from app.core.mcp.forms.model import Presence
from app.ui.servers.list_editor import ListEditor
from app.ui.servers.map_editor import MapEditor
from app.ui.servers.object_editor import RecordsEditor
from app.ui.widgets.text import ElidedLabel
from app.ui.widgets.text_field import TextField
from tests.ui._screens import look, nameless
from tests.ui._servers_fakes import CORPORA
from tests.ui.test_form_size import Page

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

EVERY = {
    "type": "object",
    "properties": {
        "fixed": {"const": "delete", "title": "Confirm"},
        "a_rather_long_name_of_an_argument_that_wraps": {"type": ["string", "null"], "description": "word " * 300},
        "days": {"type": "integer", "default": 30},
        "flag": {"type": "boolean"},
        "few": {"enum": ["one", "two"]},
        "many": {"enum": [f"choice {number}" for number in range(50)]},
        "list": {"type": "array", "items": {"type": "string"}},
        "records": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
        "map": {"type": "object", "additionalProperties": {"type": "integer"}},
        "object": {"type": "object", "properties": {"inner": {"type": "string"}}},
        "free": {"type": "object"},
    },
    "required": ["fixed", "days"],
}


@pytest.fixture(params=[(1.0, 400), (1.6, 640), (1.6, 400)])
def page(qapp: QApplication, request: pytest.FixtureRequest) -> Iterator[Page]:
    scale, width = request.param
    with look("dark", scale):
        made = Page()
        made.area.setGeometry(0, 0, width, 700)
        yield made
        made.root.close()
        made.root.deleteLater()


def fill(page: Page) -> None:
    """Set every argument and open every kind of editor."""
    for name in page.form.rows:
        row = page.form.rows[name]
        row.set_presence(Presence.VALUE)
        editor = row.editor
        if isinstance(editor, ListEditor):
            editor.add_item()
        elif isinstance(editor, RecordsEditor | MapEditor):
            editor.add()
    page.settle()


def faults(page: Page) -> list[str]:
    """What is cut, too small to click, or beyond the edge of the column."""
    page.settle()
    page.settle()
    found = []
    right = page.form.width()
    for widget in page.form.findChildren(QWidget):
        if not widget.isVisibleTo(page.form) or widget.window() is not page.root:
            continue
        words = f"{type(widget).__name__} {widget.accessibleName() or getattr(widget, 'text', str)()}"[:80]
        if widget.mapTo(page.form, widget.rect().topRight()).x() > right:
            found.append(f"beyond the edge: {words}")
        fixed = isinstance(widget, QLabel) and not isinstance(widget, ElidedLabel) and not widget.wordWrap()
        if (fixed or isinstance(widget, QAbstractButton)) and widget.width() < widget.sizeHint().width():
            found.append(f"cut: {words} {widget.width()} of {widget.sizeHint().width()}")
        if isinstance(widget, QLabel) and widget.wordWrap() and widget.height() < widget.heightForWidth(widget.width()):
            found.append(f"cut below: {words}")
        if isinstance(widget, QAbstractButton | QComboBox | TextField) and min(widget.width(), widget.height()) < 24:
            found.append(f"too small: {words} {widget.width()} by {widget.height()}")
    return found


def test_every_kind_of_field_fits(page: Page) -> None:
    page.show(EVERY)
    fill(page)
    page.form.arguments()
    page.settle()
    assert "\n".join(faults(page)) == ""
    assert nameless(page.form) == []


@pytest.mark.parametrize("name", ["chrome-devtools", "notion", "memory", "filesystem"])
def test_the_forms_of_real_tools_fit(page: Page, name: str) -> None:
    tools: list[dict[str, Any]] = json.loads((CORPORA / f"{name}.json").read_text())["tools"]
    for tool in sorted(tools, key=lambda each: -len(json.dumps(each)))[:4]:
        page.show(tool["inputSchema"])
        fill(page)
        assert faults(page) == [], tool["name"]


def test_a_tool_form_can_be_read_in_order(page: Page) -> None:
    page.show(EVERY)
    rows = page.form.rows
    tops = [rows[name].mapTo(page.form, rows[name].rect().topLeft()).y() for name in rows]
    page.settle()
    assert tops == sorted(tops)
    assert page.area.horizontalScrollBarPolicy() == Qt.ScrollBarPolicy.ScrollBarAlwaysOff
