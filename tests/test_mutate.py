"""The guarding lines that `dev.py mutate` takes out are there, each once, and its copy of the checkout can be run."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutate import GUARDS, ROOT, Guard, changed


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_a_guard_stands_once_in_its_file_and_what_is_left_can_be_parsed(guard: Guard) -> None:
    without = changed(guard, (ROOT / guard.file).read_text("utf-8"))
    ast.parse(without)
    assert all((ROOT / name).exists() for name in guard.tests)


def test_no_two_guards_have_one_name() -> None:
    assert len({guard.name for guard in GUARDS}) == len(GUARDS)


def test_a_guard_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a lock"):
        changed(Guard("a lock", "file.py", "old", "new", ()), "nothing of the kind")
