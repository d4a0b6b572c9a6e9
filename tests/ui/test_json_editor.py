"""The editor of JSON says where its text is wrong, counted from its first character."""

from __future__ import annotations

import pytest
from PySide6.QtWidgets import QApplication

from app.core.mcp.json_text import parse_json
from app.ui.widgets.fields import JsonEdit


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"a": 1, "a": 2}', "Line 1, column 10: The name “a” appears twice"),
        ("\n\n  [1,]", "Line 3, column 6: A comma stands before the closing bracket"),
        ("{}\u00a0", "Line 1, column 3: The character U+00A0 may only stand inside a text"),
        ("\u00a0", "Line 1, column 1: The character U+00A0 may only stand inside a text"),
        ("", "Valid JSON"),
        (" \n", "Valid JSON"),
        ('"\u00a0\u2028\u2029\ufdd0\ufeff"', "Valid JSON"),
    ],
)
def test_an_error_is_said_once_with_its_place(qapp: QApplication, text: str, line: str) -> None:
    editor = JsonEdit("Arguments", read=parse_json)
    editor.edit.set_text(text)
    assert editor.check() is (line == "Valid JSON")
    assert editor.line() == line
