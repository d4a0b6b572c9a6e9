"""Fake tools on the PATH, for recipes whose own tools exist on another system only."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

# Appends its name and arguments to a file, and does to the files what `then` says.
TOOL = """#!{python} -IS
import json, os, pathlib, sys
arguments = sys.argv[1:]
name = os.path.basename(sys.argv[0])
with open({record!r}, "a") as file:
    file.write(json.dumps([name, *arguments]) + "\\n")
{then}
"""


class FakeTools:
    """A folder in front of the PATH with programs that only record how they were called."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder / "tools"
        self._folder.mkdir()
        self._record = folder / "called.jsonl"
        monkeypatch.setenv("PATH", str(self._folder), prepend=os.pathsep)

    def add(self, name: str, then: str = "") -> None:
        path = self._folder / name
        path.write_text(TOOL.format(python=sys.executable, record=str(self._record), then=then), encoding="utf-8")
        path.chmod(0o755)

    def calls(self) -> list[list[str]]:
        if not self._record.exists():
            return []
        return [json.loads(line) for line in self._record.read_text(encoding="utf-8").splitlines()]
