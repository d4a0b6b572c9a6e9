"""`burrow mcp add` and `remove`."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest

from tests._command import DataFolder

PIPES = Path(__file__).parent / "core" / "_stdio_server.py"
SECRET = "sk-very-secret-value"


@pytest.fixture
def nobody(tmp_path: Path) -> DataFolder:
    """A folder in which nobody ever signed in."""
    return DataFolder(tmp_path / "data")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--stdio", "sh", "--env", "A=1", "--env", f"A={SECRET}"), "A is there twice"),
        (("--stdio", "sh", "--env", "NOT_SET_HERE"), "NOT_SET_HERE has no value here"),
        (("--sse", "ftp://server.example/sse"), "must be https"),
        (("--url", "https://server.example/mcp", "--shared"), "--shared is for a process"),
    ],
)
def test_what_describes_no_server_is_not_kept(nobody: DataFolder, given: tuple[str, ...], words: str) -> None:
    outcome = nobody.run("mcp", "add", *given)
    assert outcome.returncode == 2
    assert words in outcome.stderr
    assert SECRET not in outcome.stderr


def test_a_process_is_added_called_listed_without_its_secrets_and_removed(nobody: DataFolder, tmp_path: Path) -> None:
    (tmp_path / "record").touch()
    command = shlex.join([sys.executable, str(PIPES), str(tmp_path / "record")])
    options = ("--title", "Pipes", "--folder", str(tmp_path), "--env", f"KEY={SECRET}", "--shared")
    added = nobody.read("mcp", "add", "--stdio", command, *options)
    assert added["title"] == "Pipes"
    arguments = ("Pipes", "run", "--args", '{"do": "tell the environment"}')
    answer = nobody.read("mcp", "call", *arguments)
    assert json.loads(answer["content"][0]["text"])["KEY"] == SECRET
    outcome = nobody.run("mcp", "servers", "--json")
    assert "Pipes" in outcome.stdout
    assert SECRET not in outcome.stdout
    again = nobody.run("mcp", "add", "--stdio", command, *options)
    assert again.returncode == 2
    assert "You already added it" in again.stderr
    assert nobody.run("mcp", "remove", "pipes").returncode == 0
    gone = nobody.run("mcp", "remove", "Pipes")
    assert "no server Pipes of your own" in gone.stderr
    assert not any(SECRET in path.read_text("latin-1") for path in nobody.data.rglob("*.log"))


def test_both_kinds_of_addresses_are_added(nobody: DataFolder) -> None:
    ids = [
        nobody.read("mcp", "add", kind, "https://server.example/mcp", "--title", kind[2:])["id"]
        for kind in ("--url", "--sse")
    ]
    assert len(set(ids)) == 2
