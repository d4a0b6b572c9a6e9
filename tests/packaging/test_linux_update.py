"""Updates of the real AppImage from a signed repository: to a newer version and back, and to a broken one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app.core.installation import InstalledApp, InstallKind
from app.core.updates.handover import restart_into_update
from app.core.updates.record import read_record
from app.core.updates.release import recorded_release
from tests.packaging.appimage_releases import BROKEN, FIRST, SECOND, Releases, make_releases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Beside the other tests of packages, which need the same builds.
pytestmark = pytest.mark.packaged

SECONDS = 120.0


@pytest.fixture(scope="module")
def releases(frozen_folder: Path, linux_share: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Releases]:
    made = make_releases(tmp_path_factory.mktemp("releases"), frozen_folder, linux_share)
    yield made
    made.rig.server.close()


class Installed:
    """The first version in a folder of a person's own."""

    def __init__(self, folder: Path, releases: Releases, environment: dict[str, str]) -> None:
        self.image = folder / "My Programs" / "Burrow.AppImage"
        self.image.parent.mkdir()
        shutil.copy(releases.first, self.image)
        self.data = folder / "data"
        self.environment = environment | {"QT_QPA_PLATFORM": "offscreen", "TMPDIR": str(folder)}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.image), *words]
        return subprocess.run(
            command, env=self.environment, cwd="/", capture_output=True, text=True, timeout=SECONDS, check=False
        )

    def update(self, *words: str) -> dict[str, Any]:
        done = self.run("update", *words, "--json", "--data", str(self.data))
        assert done.stdout, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def version(self) -> str:
        return self.run("--version").stdout.removeprefix("Burrow ").strip()

    def said(self) -> tuple[str, str, str] | None:
        """What the window has told of an update: what happened, and both versions."""
        outcome = read_record(self.data).outcome
        return (outcome.happened, outcome.former, outcome.version) if outcome is not None and outcome.said else None


@pytest.fixture
def installed(tmp_path: Path, releases: Releases, plain_environment: dict[str, str]) -> Installed:
    return Installed(tmp_path, releases, plain_environment)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def end(window: subprocess.Popen[bytes]) -> None:
    window.send_signal(signal.SIGTERM)
    assert window.wait(SECONDS) == 0


def test_it_updates_itself_from_a_signed_repository_says_so_and_goes_back(
    installed: Installed, releases: Releases
) -> None:
    assert installed.update("--check") == {"state": "current", "version": FIRST}
    releases.publish(SECOND, releases.second.read_bytes())

    assert installed.update("--install") == {"state": "installed", "version": FIRST, "available": SECOND}

    assert installed.version() == SECOND
    command = [str(installed.image), "--data", str(installed.data)]
    with subprocess.Popen(command, env=installed.environment, cwd="/") as window:
        until(installed.said)
        end(window)
    assert installed.said() == ("updated", FIRST, SECOND)
    assert installed.update("--roll-back") == {"state": "put back", "version": FIRST, "left": SECOND}
    assert installed.version() == FIRST
    assert os.listdir(installed.image.parent) == [installed.image.name]


def test_a_new_version_that_does_not_start_is_put_back_and_the_former_one_says_so(
    installed: Installed, releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Signed, and cut short before that: the program at its beginning refuses to run.
    releases.publish(BROKEN, releases.second.read_bytes()[:-1])
    assert installed.update("--download")["state"] == "ready"
    release = recorded_release(read_record(installed.data).staged)
    assert release is not None
    program = InstalledApp(InstallKind.APPIMAGE, (str(installed.image),), installed.image.parent)
    for name in os.environ.keys() - installed.environment.keys():
        monkeypatch.delenv(name)
    for name, value in installed.environment.items():
        monkeypatch.setenv(name, value)

    # As the window does it once it has closed everything.
    former = restart_into_update(installed.data, program, release, FIRST, ["--data", str(installed.data)])

    assert former is not None
    with former:
        until(installed.said)
        end(former)
    assert installed.said() == ("put back", FIRST, BROKEN)
    assert installed.version() == FIRST
    assert read_record(installed.data).failed == (BROKEN,)
    assert installed.update("--check")["state"] == "current"
