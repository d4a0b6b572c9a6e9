"""Commands of the console script in the process of the test: a process of its own takes a second to start."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.cli.main import main


@dataclass
class CommandLine:
    """Commands on one data folder; `out` and `words` are the output and the words of the last one."""

    data: Path
    capture: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    out: str = ""
    words: str = ""

    def __post_init__(self) -> None:
        self.monkeypatch.delenv("BURROW_DATA", raising=False)
        # A process has one log and one file for crashes, and this process has many commands.
        self.monkeypatch.setattr("app.cli.main.start_logging", lambda folder: None)

    def run(self, *arguments: str, stdin: str = "") -> int:
        """The exit code of a command."""
        self.monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        code = main([*arguments, "--data", str(self.data)])
        self.out, self.words = self.capture.readouterr()
        return code

    def read(self, *arguments: str, stdin: str = "") -> Any:
        """The data of a command that must succeed."""
        assert self.run(*arguments, "--json", stdin=stdin) == 0, self.words
        return json.loads(self.out)
