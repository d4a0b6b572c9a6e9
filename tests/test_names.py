"""No two public classes of the application share a name: whoever reads one knows which is meant."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Names that a class of the workspace still shares with one of the core or the window.
ALLOWED = frozenset(
    {
        "Account",
        "Choice",
        "Clock",
        "Connection",
        "Database",
        "Grant",
        "Installation",
        "Page",
        "Picture",
        "Rule",
        "Server",
        "Settings",
        "Window",
    }
)


def test_no_two_public_classes_share_a_name() -> None:
    files: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "app").rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                files[node.name].append(path.relative_to(ROOT).as_posix())
    shared = {name: where for name, where in files.items() if len(where) > 1}
    assert {name: where for name, where in shared.items() if name not in ALLOWED} == {}
