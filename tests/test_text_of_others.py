"""Text of others loads nothing, whichever view shows it.

A tooltip is HTML as soon as it looks like some, so text that is not written in the code goes through `plain_tip`. And
where a browser of rich text answers `loadResource` with nothing, Qt reads the file itself.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

UI = Path(__file__).parents[1] / "app" / "ui"
# What gives text of the code itself, or of the clock.
WORDS = {"plain_tip", "with_keys", "tr", "_tr", "translate", "marked", "absolute"}


def is_safe(node: ast.expr | None) -> bool:
    match node:
        case None | ast.Constant():
            return True
        case ast.IfExp(body=body, orelse=other):
            return is_safe(body) and is_safe(other)
        case ast.BoolOp(values=values):
            return all(is_safe(value) for value in values)
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name in WORDS
        case _:
            return False


def unsafe_tips(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setToolTip":
            tip = node.args[-1]
        elif isinstance(node, ast.If) and "ToolTipRole" in ast.unparse(node.test):
            (given,) = (part for part in node.body if isinstance(part, ast.Return))
            assert given.value is not None
            tip = given.value
        else:
            continue
        if not is_safe(tip):
            found.append(f"{path.relative_to(UI)}:{tip.lineno}: {ast.unparse(tip)}")
    return found


def test_no_tooltip_shows_text_of_others_as_html() -> None:
    assert [tip for path in sorted(UI.rglob("*.py")) for tip in unsafe_tips(path)] == []


def browsers(path: Path) -> Iterator[ast.ClassDef]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        bases = {ast.unparse(base) for base in node.bases} if isinstance(node, ast.ClassDef) else set()
        if isinstance(node, ast.ClassDef) and bases & {"QTextBrowser", "QTextEdit"}:
            yield node


def loads_nothing(browser: ast.ClassDef) -> bool:
    found = [part for part in browser.body if isinstance(part, ast.FunctionDef) and part.name == "loadResource"]
    return len(found) == 1 and ast.unparse(found[0].body[-1]) == "return nothing_loaded()"


def test_every_view_of_rich_text_loads_nothing() -> None:
    classes = [(path, browser) for path in sorted(UI.rglob("*.py")) for browser in browsers(path)]
    assert classes
    assert [f"{path.relative_to(UI)}: {browser.name}" for path, browser in classes if not loads_nothing(browser)] == []


def test_nothing_but_these_decodes_pictures() -> None:
    """Qt chooses among all its formats, SVG too, wherever a picture is read without naming the format."""
    readers = ("QImageReader(", "loadFromData(", ".fromData(", "QMovie(", "QSvgRenderer(")
    found = {path.name for path in UI.rglob("*.py") if any(name in path.read_text("utf-8") for name in readers)}
    assert found <= {"pictures.py"}
