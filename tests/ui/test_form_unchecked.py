"""What only the server can check is said at the form, until the arguments change."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtWidgets import QApplication

from app.core.mcp.forms.validation import check
from app.ui.widgets.text import Text
from tests.ui.test_form_size import Page, texts

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)


@pytest.fixture
def page(qapp: QApplication) -> Iterator[Page]:
    made = Page()
    yield made
    made.root.close()


def said(page: Page) -> list[str]:
    """The lines of the form that say what the server checks."""
    shown = [text.text() for text in page.form.findChildren(Text) if text.isVisible()]
    return [line for text in shown for line in text.splitlines() if "checked by the server" in line or "more" in line]


def test_a_pattern_that_was_not_tried_is_said_until_the_arguments_change(page: Page) -> None:
    schema = texts(6)
    for name in ("f0", "f1", "f2", "f3", "f4"):
        schema["properties"][name]["pattern"] = "("
    values = dict.fromkeys(schema["properties"], "x")
    page.show(schema, values)
    assert said(page) == []
    page.form.show_unchecked(check(schema, values).unchecked)
    assert said(page) == [
        *(f"f{number}: The pattern is checked by the server: it is no regular expression." for number in range(3)),
        "and 2 more",
    ]
    row = page.form.rows["f5"]
    row.changed.emit(row.entry)
    assert said(page) == []


def test_what_was_not_checked_goes_with_the_tool(page: Page) -> None:
    page.show({"type": "object", "properties": {"a": {"type": "string"}}})
    page.form.show_unchecked(check({"properties": {"a": {"$ref": "x"}}}, {"a": 1}).unchecked)
    assert len(said(page)) == 1
    page.show(texts(1))
    assert said(page) == []
