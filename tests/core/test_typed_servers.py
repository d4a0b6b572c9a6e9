"""A server that is a process, from what a person typed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from app.core.errors import Rejected
from app.core.mcp.servers.typed import typed_command, typed_environment, typed_process

SECRET = "sk-very-secret-value"


@pytest.mark.parametrize(
    ("command", "attr", "words"),
    [
        ("", "command", "There is no command"),
        (" \n ", "command", "There is no command"),
        ("'", "command", "not a command"),
        ("''", "command", "There is no command"),
        ("/no/such/server", "command", "There is no program /no/such/server"),
        ("no-such-program-anywhere", "command", "There is no program no-such-program-anywhere"),
    ],
)
def test_what_is_no_command_is_told_at_its_field(command: str, attr: str, words: str) -> None:
    with pytest.raises(Rejected, match=words) as raised:
        typed_process("Title", command)
    assert raised.value.facts.attr == attr


def test_a_folder_that_is_not_there_is_told_at_its_field(tmp_path: Path) -> None:
    with pytest.raises(Rejected) as raised:
        typed_process("Title", sys.executable, folder=str(tmp_path / "gone"))
    assert raised.value.facts.attr == "folder"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([f"{SECRET}"], "Line 1"),
        (["A=1", "", f"1A={SECRET}"], "Line 3"),
        ([f"={SECRET}"], "Line 1"),
        ([f"A={SECRET}\0"], "Line 1"),
        (["A=1", f"A={SECRET}"], "A is there twice"),
    ],
)
def test_an_error_in_the_environment_names_its_line_and_no_value(lines: list[str], words: str) -> None:
    with pytest.raises(Rejected, match=words) as raised:
        typed_environment(lines)
    assert raised.value.facts.attr == "environment"
    assert SECRET not in str(raised.value) + raised.value.advice


def test_values_are_taken_as_they_are() -> None:
    lines = ["A= with spaces ", 'B="quoted"', "C=a=b", "", "  D=4", "E="]
    expected = (("A", " with spaces "), ("B", '"quoted"'), ("C", "a=b"), ("D", "4"), ("E", ""))
    assert typed_environment(lines) == expected


def test_a_command_is_split_as_a_shell_does() -> None:
    assert typed_command("npx -y 'a server'\n  --flag") == ("npx", "-y", "a server", "--flag")


def test_a_program_is_found_in_the_folder_and_in_the_path_that_was_set(tmp_path: Path) -> None:
    program = tmp_path / "serve"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert typed_process("", "./serve", folder=str(tmp_path)).command == ("./serve",)
    assert typed_process("", "serve", environment=[f"PATH={tmp_path}"]).title == "serve"
    with pytest.raises(Rejected):
        typed_process("", "./serve")


def test_the_home_folder_is_written_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "work").mkdir()
    server = typed_process("Mine", sys.executable, folder="~/work", shared=True)
    assert server.folder == os.path.join(tmp_path, "work")
    assert server.shared
