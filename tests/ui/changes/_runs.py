"""Runs whose changes are shown: a real repository with a change of each kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from app.core.runs.worktrees.run_changes import RunChanges
from tests.core.worktrees.conftest import run_git

CART = '''"""The cart of a shop."""


class Cart:
    def __init__(self) -> None:
        self.lines = []

    def total(self) -> int:
        first = self.lines[0]
        return first.price + sum(line.price for line in self.lines[1:])

    def add(self, line: Line) -> None:
        self.lines.append(line)
'''
MENDED = CART.replace(
    "        first = self.lines[0]\n        return first.price + sum(line.price for line in self.lines[1:])\n",
    "        return sum(line.price * line.count for line in self.lines)\n",
).replace("self.lines = []", "self.lines: list[Line] = []")


class RememberedShape:
    """Settings in memory."""

    def __init__(self, shape: str = "unified") -> None:
        self.shape = shape

    def choice(self, key: str, options: Sequence[str], default: str) -> str:
        return self.shape if self.shape in options else default

    def put(self, key: str, value: object) -> None:
        self.shape = str(value)


def changed_run(folder: Path, asides: Path) -> RunChanges:
    """A run in a new repository that changed, added, deleted, renamed and kept files."""
    source = folder / "src" / "checkout"
    source.mkdir(parents=True)
    run_git(folder, "init", "--quiet", "--initial-branch=burrow/mend-the-cart")
    run_git(folder, "config", "user.name", "Ada")
    run_git(folder, "config", "user.email", "ada@example.org")
    (source / "cart.py").write_text(CART)
    (source / "old_name.py").write_text("".join(f"value_{n} = {n}\n" for n in range(20)))
    (folder / "NOTES.md").write_text("# Notes\n\nThe cart crashes when it is empty.\n")
    (folder / "logo.png").write_bytes(b"\x89PNG\0\1")
    run_git(folder, "add", ".")
    run_git(folder, "commit", "--quiet", "-m", "First")
    base = run_git(folder, "rev-parse", "HEAD").strip()
    (folder / "pyproject.toml").write_text("[project]\nname = 'shop'\n")
    run_git(folder, "add", ".")
    run_git(folder, "commit", "--quiet", "-m", "By the agent")
    (source / "cart.py").write_text(MENDED)
    run_git(folder, "mv", "src/checkout/old_name.py", "src/checkout/values.py")
    (folder / "NOTES.md").unlink()
    (folder / "logo.png").write_bytes(b"\x89PNG\0\2")
    (folder / "test_cart.py").write_text(
        "from src.checkout.cart import Cart\n\n\ndef test_empty() -> None:\n    assert Cart().total() == 0"
    )
    return RunChanges(folder, base, asides)
