"""The console script in processes of its own, without a keyring."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

SECONDS = 40
NO_KEYRING = {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent", "PYTHON_KEYRING_BACKEND": ""}

Outcome = subprocess.CompletedProcess[str]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "app", *arguments]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, **NO_KEYRING, **more}


def burrow(*arguments: str, stdin: str = "", **variables: str) -> Outcome:
    outcome = subprocess.run(
        command(*arguments),
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        env=environment(**variables),
        timeout=SECONDS,
        check=False,
    )
    assert "Traceback" not in outcome.stderr, outcome.stderr
    return outcome


@dataclass(frozen=True)
class DataFolder:
    """Commands on one data folder."""

    data: Path

    def run(self, *arguments: str, stdin: str = "", **variables: str) -> Outcome:
        return burrow(*arguments, "--data", str(self.data), stdin=stdin, **variables)

    @contextmanager
    def start(self, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], IO[str], IO[str]]]:
        """A command while it runs, its output and its words."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        whole = command(*arguments, "--data", str(self.data))
        with subprocess.Popen(whole, text=True, env=environment(), **pipes) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            yield process, process.stdout, process.stderr

    def read(self, *arguments: str, stdin: str = "") -> Any:
        """The data of a command that must succeed."""
        outcome = self.run(*arguments, "--json", stdin=stdin)
        assert outcome.returncode == 0, outcome.stderr
        return json.loads(outcome.stdout)
