"""Completion in real shells: commands, options, and their values."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from app.__main__ import SUBCOMMANDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Complete = Callable[[Path, Path, list[str]], set[str]]


def shell(*command: str, folder: Path) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, cwd=folder)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.splitlines()


def in_bash(share: Path, folder: Path, words: list[str]) -> set[str]:
    script = share / "bash-completion" / "completions" / "burrow"
    typed = " ".join(shlex.quote(word) for word in words)
    # `compopt` works only while readline completes.
    code = f"""compopt() {{ :; }}; source {shlex.quote(str(script))}
        [[ $(complete -p burrow) == "complete -F _burrow burrow" ]] || exit 3
        COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; _burrow; printf '%s\\n' "${{COMPREPLY[@]}}" """
    return {line for line in shell("bash", "--norc", "-c", code, folder=folder) if line}


def in_fish(share: Path, folder: Path, words: list[str]) -> set[str]:
    script = share / "fish" / "vendor_completions.d" / "burrow.fish"
    code = f"source {shlex.quote(str(script))}; complete -C {shlex.quote(' '.join(words))}"
    return {line.partition("\t")[0] for line in shell("fish", "--no-config", "-c", code, folder=folder)}


def in_zsh(share: Path, folder: Path, words: list[str]) -> set[str]:
    script = share / "zsh" / "vendor-completions" / "_burrow"
    typed = " ".join(shlex.quote(word) for word in words)
    # What the script calls to offer something, told to print it: zsh itself offers only to a terminal.
    code = f"""_describe() {{ local list=${{@[-1]}}; print -rl -- "${{(@P)list%%:*}}"; }}
        compadd() {{ shift; print -rl -- "$@"; }}
        _files() {{ print -rl -- *(${{1:+/}}N); }}
        _message() {{ :; }}
        words=({typed}); CURRENT={len(words)}; source {shlex.quote(str(script))}; true"""
    offered = shell("zsh", "--no-rcs", "-c", code, folder=folder)
    return {line for line in offered if line.startswith(words[-1])} - {""}


@pytest.fixture(params=[in_bash, in_fish, in_zsh], ids=["bash", "fish", "zsh"])
def complete(request: pytest.FixtureRequest) -> Complete:
    chosen: Complete = request.param
    return chosen


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sun.txt").touch()
    return tmp_path


def test_every_command_is_offered(complete: Complete, linux_share: Path, folder: Path) -> None:
    assert complete(linux_share, folder, ["burrow", ""]) >= SUBCOMMANDS


def test_what_is_typed_narrows_the_offer(complete: Complete, linux_share: Path, folder: Path) -> None:
    assert complete(linux_share, folder, ["burrow", "log"]) == {"login", "logout"}


def test_below_a_command_its_own_actions_are_offered(complete: Complete, linux_share: Path, folder: Path) -> None:
    offered = complete(linux_share, folder, ["burrow", "tasks", ""])
    assert offered >= {"list", "show", "create", "archive"}
    assert not offered & SUBCOMMANDS


def test_an_actions_options_are_offered(complete: Complete, linux_share: Path, folder: Path) -> None:
    assert complete(linux_share, folder, ["burrow", "tasks", "list", "--re"]) == {"--repository"}
    assert complete(linux_share, folder, ["burrow", "tasks", "show", "--re"]) == set()


def test_the_value_of_an_option_is_no_command(complete: Complete, linux_share: Path, folder: Path) -> None:
    assert complete(linux_share, folder, ["burrow", "--data", "tasks", "mcp", "serv"]) == {"servers"}


def test_an_option_with_few_values_offers_them(complete: Complete, linux_share: Path, folder: Path) -> None:
    assert complete(linux_share, folder, ["burrow", "mcp", "call", "--transport", ""]) == {"http", "sse"}


def test_an_option_for_a_folder_offers_folders_only(complete: Complete, linux_share: Path, folder: Path) -> None:
    assert {path.rstrip("/") for path in complete(linux_share, folder, ["burrow", "login", "--data", "su"])} == {"sub"}
