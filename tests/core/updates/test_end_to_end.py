"""A whole Burrow that is one file gets an update from a signed repository, by the window and by the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app import __version__
from app.core.updates.record import change_record, read_record
from tests._in_process import CommandLine
from tests.core.updates._repository import Rig

ROOT = Path(__file__).parents[3]
DRIVER = Path(__file__).with_name("_installed_burrow.py")


class Installed:
    """A single file that is Burrow 0.1.0, and a repository for it."""

    def __init__(self, folder: Path) -> None:
        self.rig = Rig.make(folder)
        self.mounted = folder / "mounted"
        self.mounted.mkdir()
        (self.mounted / "installation.json").write_text('{"kind": "appimage"}')
        (self.mounted / "updates.json").write_text(json.dumps({"url": self.rig.server.url}))
        (self.mounted / "updates-root.json").write_bytes(self.rig.root)
        self.image = folder / "Burrow.AppImage"
        self.image.write_bytes(self.program("0.1.0"))
        self.image.chmod(0o755)
        self.said = folder / "said"

    def program(self, version: str, python: str = sys.executable) -> bytes:
        # It registers itself for links, and that must not be where the person who runs the tests has such entries.
        homes = " ".join(f'XDG_{kind}_HOME="{self.mounted / kind}"' for kind in ("DATA", "CONFIG"))
        named = f'APPIMAGE="$0" APPDIR="{self.mounted}" {homes}'
        return f'#!/bin/sh\n{named} exec "{python}" "{DRIVER}" {version} "{self.mounted}" "$@"\n'.encode()

    def publish(self, version: str, content: bytes) -> None:
        machine = {"x86_64": "x86_64", "aarch64": "aarch64"}[os.uname().machine]
        self.rig.add(version, content, architecture=machine)

    def run(self, *arguments: str, acts: bool = False) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "QT_QPA_PLATFORM": "offscreen"}
        if acts:
            environment["BURROW_TEST_ACTS"] = str(self.said)
        command = [str(self.image), *arguments, "--data", str(self.rig.data)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    def heard(self) -> list[str]:
        return self.said.read_text("utf-8").splitlines() if self.said.exists() else []


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Installed]:
    made = Installed(tmp_path)
    yield made
    made.rig.server.close()


def until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_window_updates_itself_restarts_and_says_so(installed: Installed) -> None:
    installed.publish("0.2.0", installed.program("0.2.0"))

    first = installed.run(acts=True)

    # The first process ends when the new one has come up; that one quits by itself once it has said so.
    assert first.returncode == 0, first.stderr
    until(lambda: len(installed.heard()) == 3)
    assert installed.heard() == [
        "0.1.0: Burrow 0.2.0 is available (1 MB).",
        "0.1.0: Burrow 0.2.0 is ready. It is installed when Burrow restarts.",
        "0.2.0: Burrow was updated from 0.1.0 to 0.2.0.",
    ]
    assert installed.image.read_bytes() == installed.program("0.2.0")
    assert read_record(installed.rig.data).trial is None


def test_a_new_version_that_does_not_start_is_put_back_and_the_former_says_so(installed: Installed) -> None:
    installed.publish("0.2.0", b"#!/bin/sh\nexit 9\n")

    first = installed.run(acts=True)

    assert first.returncode == 0, first.stderr
    until(lambda: len(installed.heard()) == 3)
    assert installed.heard()[2] == "0.1.0: Burrow 0.1.0 was put back in the place of 0.2.0. It ended at its start (9)."
    assert installed.image.read_bytes() == installed.program("0.1.0")
    assert read_record(installed.rig.data).failed == ("0.2.0",)


def test_the_command_line_installs_and_goes_back(installed: Installed) -> None:
    installed.publish("0.2.0", installed.program("0.2.0"))

    installing = installed.run("update", "--install", "--json")
    assert (installing.returncode, json.loads(installing.stdout)["state"]) == (0, "installed")
    assert installed.image.read_bytes() == installed.program("0.2.0")
    back = installed.run("update", "--roll-back")
    assert (back.returncode, "0.1.0 is in the place of 0.2.0 again" in back.stdout) == (0, True)
    assert installed.image.read_bytes() == installed.program("0.1.0")


@pytest.fixture
def line(installed: Installed, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line of that file in this process, whose version is the checkout's."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", str(installed.mounted / "burrow"))
    monkeypatch.setattr("app.core.own_environment._image", str(installed.image))
    return CommandLine(installed.rig.data, capsys, monkeypatch)


def test_the_command_line_says_by_its_exit_code_that_a_newer_version_is_there(
    installed: Installed, line: CommandLine
) -> None:
    assert line.read("update") == {"state": "current", "version": __version__}
    installed.publish("99.0.0", b"#!/bin/sh\n")

    assert (line.run("update", "--json"), json.loads(line.out)["available"]) == (10, "99.0.0")
    # One that was left for a reason is not offered again.
    change_record(installed.rig.data, failed=("99.0.0",))
    assert line.read("update") == {"state": "current", "version": __version__}


def test_the_command_line_says_what_was_refused_by_its_exit_code(installed: Installed, line: CommandLine) -> None:
    installed.publish("99.0.0", b"#!/bin/sh\n")
    server = installed.rig.server
    server.faults["/targets/"] = lambda handler, body: handler.reply(200, bytes(len(body))) or True

    assert line.run("update", "--install") == 9
    assert "is not the file that was signed" in line.words
    assert installed.image.read_bytes() == installed.program("0.1.0")
