"""`burrow mcp add` and `remove`."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest

from tests._in_process import CommandLine

PIPES = Path(__file__).parent / "core" / "_stdio_server.py"
SECRET = "sk-very-secret-value"


@pytest.fixture
def nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """On a folder in which nobody ever signed in."""
    return CommandLine(tmp_path / "data", capsys, monkeypatch)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--stdio", "sh", "--env", "A=1", "--env", f"A={SECRET}"), "A is there twice"),
        (("--stdio", "sh", "--env", "NOT_SET_HERE"), "NOT_SET_HERE has no value here"),
        (("--sse", "ftp://server.example/sse"), "must be https"),
        (("--url", "https://server.example/mcp", "--shared"), "--shared is for a process"),
    ],
)
def test_what_describes_no_server_is_not_kept(nobody: CommandLine, given: tuple[str, ...], words: str) -> None:
    assert nobody.run("mcp", "add", *given) == 2
    assert words in nobody.words
    assert SECRET not in nobody.words


def test_a_process_is_added_called_listed_without_its_secrets_and_removed(
    nobody: CommandLine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "app")
    (tmp_path / "record").touch()
    command = shlex.join([sys.executable, str(PIPES), str(tmp_path / "record")])
    options = ("--title", "Pipes", "--folder", str(tmp_path), "--env", f"KEY={SECRET}", "--shared")
    added = nobody.read("mcp", "add", "--stdio", command, *options)
    assert added["title"] == "Pipes"
    arguments = ("Pipes", "run", "--args", '{"do": "tell the environment"}')
    answer = nobody.read("mcp", "call", *arguments)
    assert json.loads(answer["content"][0]["text"])["KEY"] == SECRET
    assert nobody.run("mcp", "servers", "--json") == 0
    assert "Pipes" in nobody.out
    assert SECRET not in nobody.out
    assert nobody.run("mcp", "add", "--stdio", command, *options) == 2
    assert "You already added it" in nobody.words
    assert nobody.run("mcp", "remove", "pipes") == 0
    assert nobody.run("mcp", "remove", "Pipes") == 5
    assert "no server Pipes of your own" in nobody.words
    assert SECRET not in caplog.text


def test_both_kinds_of_addresses_are_added(nobody: CommandLine) -> None:
    ids = [
        nobody.read("mcp", "add", kind, "https://server.example/mcp", "--title", kind[2:])["id"]
        for kind in ("--url", "--sse")
    ]
    assert len(set(ids)) == 2
