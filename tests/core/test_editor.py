"""The person's editor, as an argument list, and what a desktop would run instead of showing it."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.core.desktop.editor import editor_command, is_run_by_desktops


@pytest.mark.parametrize(
    ("visual", "command"),
    [
        ("", None),
        ("no-such-editor --wait", None),
        ("env 'unclosed", None),
        ("env --split 'two words' $(touch x)", ["env", "--split", "two words", "$(touch", "x)"]),
    ],
)
def test_visual_is_an_argument_list_that_no_shell_reads(tmp_path: Path, visual: str, command: list[str] | None) -> None:
    file = tmp_path / "-rf; echo.py"
    wanted = None if command is None else [*command, str(file)]
    assert editor_command(file, {"VISUAL": visual}) == wanted


def test_what_a_desktop_would_run_is_known(tmp_path: Path) -> None:
    for name in ("a.desktop", "A.AppImage"):
        assert is_run_by_desktops(tmp_path / name)
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    assert not is_run_by_desktops(program)
    program.chmod(0o755)
    assert is_run_by_desktops(program)
    assert not is_run_by_desktops(tmp_path / "a.py")
