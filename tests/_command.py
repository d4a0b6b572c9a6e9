"""The console script in processes of its own, without a keyring.

`burrow` and `started` fork them (`tests/forks.py`); `command` is what starts an interpreter for one.
"""

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

from tests.forks import Forked

SECONDS = 40
NO_KEYRING = {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent", "PYTHON_KEYRING_BACKEND": ""}

STREAMS = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}

Outcome = subprocess.CompletedProcess[str]
Process = subprocess.Popen[str] | Forked


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "app", *arguments]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, **NO_KEYRING, **more}


def started(*arguments: str, kind: str = "command", **streams: int | None) -> Process:
    """A command or a window that runs, forked from one that imported what those of its `kind` import."""
    if sys.platform == "win32":
        return subprocess.Popen(command(*arguments), encoding="utf-8", env=environment(), **streams)
    return Forked(kind, "app", arguments, env=environment(), **streams)


def burrow(*arguments: str, stdin: str = "", **variables: str) -> Outcome:
    """A command that ran to its end; in an interpreter of its own if the interpreter may read the variables."""
    if sys.platform == "win32" or variables.keys() - {"BURROW_DATA"}:
        outcome = subprocess.run(
            command(*arguments),
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            env=environment(**variables),
            timeout=SECONDS,
            check=False,
        )
    else:
        with Forked("command", "app", arguments, env=environment(**variables), **STREAMS) as process:
            out, err = process.communicate(stdin, SECONDS)
        outcome = subprocess.CompletedProcess(command(*arguments), process.wait(), out, err)
    assert "Traceback" not in outcome.stderr, outcome.stderr
    return outcome


@dataclass(frozen=True)
class DataFolder:
    """Commands on one data folder."""

    data: Path

    def run(self, *arguments: str, stdin: str = "", **variables: str) -> Outcome:
        return burrow(*arguments, "--data", str(self.data), stdin=stdin, **variables)

    @contextmanager
    def start(self, *arguments: str, kind: str = "command") -> Iterator[tuple[Process, IO[str], IO[str]]]:
        """A command or a window while it runs, its output and its words."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with started(*arguments, "--data", str(self.data), kind=kind, **pipes) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            yield process, process.stdout, process.stderr

    def read(self, *arguments: str, stdin: str = "") -> Any:
        """The data of a command that must succeed."""
        outcome = self.run(*arguments, "--json", stdin=stdin)
        assert outcome.returncode == 0, outcome.stderr
        return json.loads(outcome.stdout)
