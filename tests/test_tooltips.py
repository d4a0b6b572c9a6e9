"""A tooltip is HTML as soon as it looks like some. So text that is not written in the code goes through `plain_tip`."""

from __future__ import annotations

import ast
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
