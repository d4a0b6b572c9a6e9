"""The new file takes the place of the former one, starts, and makes way again if it does not come up."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import BurrowError, Rejected, StorageTrouble, UpdateRefused
from app.core.installation import InstalledApp, InstallKind
from app.core.updates.handover import install_now, restart_into_update
from app.core.updates.install import why_fixed
from app.core.updates.record import Trial, UpdateOutcome, UpdateRecord, read_record, write_record
from app.core.updates.release import Machine, Release
from app.core.updates.trial import begin_trial, confirm_trial, roll_back
from app.core.updates.version import Version

# The programs say who they are in a file, for a started program has no other way to a test. `confirm` is what a window
# does when it is up.
FORMER = b"""#!/bin/sh
echo "former $*" >> "$SAID"
"""
GOOD = b"""#!/bin/sh
echo "new $*" >> "$SAID"
exec "$PYTHON" -c 'import sys; from pathlib import Path; from app.core.updates.trial import begin_trial, confirm_trial
begin_trial(Path(sys.argv[1]), "0.2.0"); confirm_trial(Path(sys.argv[1]), "0.2.0")' "$DATA"
"""
ENDS = b"""#!/bin/sh
echo "new $*" >> "$SAID"
exit 3
"""


class Place:
    """An installed single file, and a staged one."""

    def __init__(self, folder: Path, content: bytes) -> None:
        import hashlib

        self.folder, self.data = folder, folder / "data"
        self.image = folder / "Burrow.AppImage"
        self.image.write_bytes(FORMER)
        self.image.chmod(0o750)
        self.installed = InstalledApp(InstallKind.APPIMAGE, (str(self.image),), folder)
        sha256 = hashlib.sha256(content).hexdigest()
        machine = Machine("linux", "x86_64", "appimage")
        self.release = Release(Version(0, 2, 0), "a/b", len(content), sha256, machine, "New.")
        self.staged = self.data / "updates" / "staged" / sha256
        self.staged.parent.mkdir(parents=True)
        self.staged.write_bytes(content)

    @property
    def backup(self) -> Path:
        return self.folder / ".Burrow.AppImage.former"

    def said(self) -> list[str]:
        path = self.folder / "said"
        return path.read_text().splitlines() if path.exists() else []

    def restart(self, *arguments: str) -> None:
        started = restart_into_update(self.data, self.installed, self.release, "0.1.0", arguments, seconds=20)
        assert started is not None
        started.wait(10)


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setenv("SAID", str(tmp_path / "said"))
    monkeypatch.setenv("DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PYTHON", sys.executable)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))


@pytest.mark.usefixtures("surroundings")
def test_the_new_file_runs_with_the_same_arguments_and_is_confirmed(tmp_path: Path) -> None:
    place = Place(tmp_path, GOOD)

    place.restart("--data", "a folder", "--hidden", "burrow://task/1")

    assert place.said() == ["new --data a folder"]
    assert place.image.read_bytes() == GOOD
    assert place.image.stat().st_mode & 0o777 == 0o750
    assert place.backup.read_bytes() == FORMER
    record = read_record(place.data)
    assert record.trial is None
    assert record.outcome == UpdateOutcome("updated", "0.1.0", "0.2.0")
    assert not place.staged.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".Burrow.AppImage.former",
        "Burrow.AppImage",
        "data",
        "said",
    ]


@pytest.mark.usefixtures("surroundings")
def test_a_new_file_that_ends_at_its_start_makes_way_for_the_former(tmp_path: Path) -> None:
    place = Place(tmp_path, ENDS)

    place.restart("--host", "eu")

    assert place.said() == ["new --host eu", "former --host eu"]
    assert place.image.read_bytes() == FORMER
    record = read_record(place.data)
    assert record.failed == ("0.2.0",)
    assert record.outcome == UpdateOutcome("put back", "0.1.0", "0.2.0", "It ended at its start (3).")


@pytest.mark.usefixtures("surroundings")
def test_a_new_file_that_cannot_be_executed_makes_way_for_the_former(tmp_path: Path) -> None:
    place = Place(tmp_path, b"\x7fELF but not really")

    place.restart()

    assert place.said() == ["former "]
    assert place.image.read_bytes() == FORMER
    assert read_record(place.data).outcome is not None


def test_a_version_that_does_not_come_up_twice_makes_way_by_itself(tmp_path: Path) -> None:
    """The process that watched it is gone: power failed, or the session ended."""
    place = Place(tmp_path, GOOD)
    install_now(place.data, place.installed, place.release, "0.1.0")

    assert begin_trial(place.data, "0.2.0") is None
    assert begin_trial(place.data, "0.2.0") is None
    assert begin_trial(place.data, "0.2.0") == place.image

    assert place.image.read_bytes() == FORMER
    assert read_record(place.data).failed == ("0.2.0",)
    # The former one has nothing more to try, and says what happened.
    assert begin_trial(place.data, "0.1.0") is None
    outcome = confirm_trial(place.data, "0.1.0")
    assert outcome is not None
    assert outcome.happened == "put back"


def test_a_power_failure_before_the_exchange_leaves_the_former_which_says_so(tmp_path: Path) -> None:
    place = Place(tmp_path, GOOD)
    place.backup.write_bytes(FORMER)
    write_record(place.data, UpdateRecord(trial=Trial("0.1.0", "0.2.0", str(place.image), str(place.backup), "")))

    assert begin_trial(place.data, "0.1.0") is None

    assert confirm_trial(place.data, "0.1.0") == UpdateOutcome("failed", "0.1.0", "0.2.0", "It was not installed.")
    assert not place.backup.exists()
    assert read_record(place.data).trial is None


def test_a_version_that_somebody_else_put_there_ends_the_trial(tmp_path: Path) -> None:
    place = Place(tmp_path, GOOD)
    install_now(place.data, place.installed, place.release, "0.1.0")

    assert begin_trial(place.data, "0.5.0") is None

    assert confirm_trial(place.data, "0.5.0") is None
    assert read_record(place.data).trial is None


@pytest.mark.parametrize("content", [b"x" * len(GOOD), GOOD[:-1], GOOD + b"\n"])
def test_a_staged_file_that_changed_is_not_installed(tmp_path: Path, content: bytes) -> None:
    place = Place(tmp_path, GOOD)
    place.staged.write_bytes(content)

    with pytest.raises(UpdateRefused):
        install_now(place.data, place.installed, place.release, "0.1.0")

    assert place.image.read_bytes() == FORMER
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Burrow.AppImage", "data"]
    record = read_record(place.data)
    assert record.trial is None
    assert record.outcome is not None
    assert record.outcome.happened == "failed"


def test_a_link_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    place = Place(tmp_path, GOOD)
    (tmp_path / "bin").mkdir()
    link = tmp_path / "bin" / "burrow"
    link.symlink_to(place.image)
    installed = InstalledApp(InstallKind.APPIMAGE, (str(link),), tmp_path)

    install_now(place.data, installed, place.release, "0.1.0")

    assert link.is_symlink()
    assert place.image.read_bytes() == GOOD


def test_a_link_in_the_place_of_the_new_file_is_not_followed(tmp_path: Path) -> None:
    place = Place(tmp_path, GOOD)
    precious = tmp_path / "precious"
    precious.write_text("kept")
    (tmp_path / ".Burrow.AppImage.new").symlink_to(precious)

    install_now(place.data, place.installed, place.release, "0.1.0")

    assert precious.read_text() == "kept"
    assert place.image.read_bytes() == GOOD
    assert not place.image.is_symlink()


def test_the_disk_that_is_full_leaves_the_former(tmp_path: Path) -> None:
    import resource
    import signal

    place = Place(tmp_path, GOOD * 1_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(StorageTrouble):
            install_now(place.data, place.installed, place.release, "0.1.0")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)

    assert place.image.read_bytes() == FORMER
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Burrow.AppImage", "data"]


def test_nothing_is_replaced_when_the_way_back_cannot_be_stored(tmp_path: Path) -> None:
    place = Place(tmp_path, GOOD)
    # Nothing can take the place of a folder that has something in it.
    (place.data / "updates" / "record.json" / "x").mkdir(parents=True)

    with pytest.raises(StorageTrouble):
        install_now(place.data, place.installed, place.release, "0.1.0")

    assert place.image.read_bytes() == FORMER
    assert not (tmp_path / ".Burrow.AppImage.new").exists()


def test_a_file_of_somebody_else_is_left_and_its_folder_named(tmp_path: Path) -> None:
    image = Path("/bin/sh")
    if os.geteuid() == 0:
        image = tmp_path / "Burrow.AppImage"
        image.write_bytes(FORMER)
        os.chown(image, 65534, 65534)

    trouble = why_fixed(InstalledApp(InstallKind.APPIMAGE, (str(image),), tmp_path))

    assert trouble is not None
    assert str(image.resolve().parent) in trouble.advice


def test_a_person_may_go_back_to_the_former_version(tmp_path: Path) -> None:
    place = Place(tmp_path, GOOD)
    install_now(place.data, place.installed, place.release, "0.1.0")
    begin_trial(place.data, "0.2.0")
    confirm_trial(place.data, "0.2.0")

    outcome = roll_back(place.data)

    assert (outcome.former, outcome.version) == ("0.1.0", "0.2.0")
    assert place.image.read_bytes() == FORMER
    assert read_record(place.data).failed == ("0.2.0",)
    with pytest.raises(Rejected):
        roll_back(place.data)


def test_two_processes_do_not_install_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.core.file_lock import file_lock
    from app.core.updates import handover

    place = Place(tmp_path, GOOD)
    monkeypatch.setattr(handover, "LOCK_SECONDS", 0.05)
    with file_lock(place.data / "updates" / "lock"), pytest.raises(Rejected):
        install_now(place.data, place.installed, place.release, "0.1.0")

    assert place.image.read_bytes() == FORMER


def windows(place: Place) -> InstalledApp:
    return InstalledApp(InstallKind.WINDOWS, (str(place.folder / "burrow.exe"),), place.folder)


def test_on_windows_the_installer_waits_for_the_end_of_burrow(tmp_path: Path) -> None:
    place = Place(tmp_path, GOOD)
    commands: list[Sequence[str]] = []

    restart_into_update(
        place.data, windows(place), place.release, "0.1.0", ["--data", "it's a folder"], run=commands.append
    )

    script = base64.b64decode(commands[0][-1]).decode("utf-16-le")
    setup = place.data / "updates" / "burrow-0.2.0-setup.exe"
    # By its whole path: a program of that name among the downloads is none of it.
    powershell = r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe"
    assert commands[0][:-1] == (powershell, "-NoProfile", "-NonInteractive", "-EncodedCommand")
    assert f"Get-Process -Id {os.getpid()} " in script
    assert f"Start-Process -FilePath '{setup}' -ArgumentList '/S' -Wait -PassThru" in script
    assert script.endswith(
        f"Start-Process -FilePath '{tmp_path / 'burrow.exe'}' -ArgumentList '--data \"it''s a folder\"'"
    )
    assert setup.read_bytes() == GOOD
    assert read_record(place.data).trial is not None


@pytest.mark.parametrize(("code", "words"), [(3, "did not close"), (4, "administrator"), (2, "not installed")])
def test_on_windows_the_next_start_says_what_the_installer_said(tmp_path: Path, code: int, words: str) -> None:
    place = Place(tmp_path, GOOD)
    install_now(place.data, windows(place), place.release, "0.1.0", run=lambda command: None)
    (place.data / "updates" / "installer-code").write_text(f"{code}\r\n")

    assert begin_trial(place.data, "0.1.0") is None

    outcome = confirm_trial(place.data, "0.1.0")
    assert outcome is not None
    assert (outcome.happened, words in outcome.reason) == ("failed", True)


def test_on_windows_a_changed_installer_is_not_started(tmp_path: Path) -> None:
    place = Place(tmp_path, GOOD)
    place.staged.write_bytes(b"x" * len(GOOD))
    commands: list[Any] = []

    with pytest.raises(UpdateRefused):
        install_now(place.data, windows(place), place.release, "0.1.0", run=commands.append)

    assert commands == []
    assert not list(place.data.rglob("*.exe"))


class Mac:
    """`hdiutil`, `ditto` and `codesign` on folders."""

    def __init__(self, *, fails: str = "") -> None:
        self.fails, self.commands = fails, list[Sequence[str]]()

    def __call__(self, command: Sequence[str]) -> None:
        self.commands.append(command)
        if command[0] == self.fails:
            raise subprocess.CalledProcessError(1, list(command))
        if command[:2] == ("hdiutil", "attach"):
            binary = Path(command[-2]) / "Burrow.app" / "Contents" / "MacOS" / "burrow"
            binary.parent.mkdir(parents=True)
            binary.write_bytes(b"new")
        elif command[:2] == ("hdiutil", "detach"):
            import shutil

            shutil.rmtree(Path(command[-1]) / "Burrow.app")
        elif command[0] == "ditto":
            import shutil

            shutil.copytree(command[1], command[2])


def bundle(place: Place) -> InstalledApp:
    binary = place.folder / "Burrow.app" / "Contents" / "MacOS" / "burrow"
    binary.parent.mkdir(parents=True)
    binary.write_bytes(b"former")
    return InstalledApp(InstallKind.MACOS, (str(binary),), binary.parent)


def test_on_macos_the_bundle_is_exchanged_and_can_go_back(tmp_path: Path) -> None:
    place = Place(tmp_path, GOOD)
    installed, mac = bundle(place), Mac()
    binary = Path(installed.command[0])

    install_now(place.data, installed, place.release, "0.1.0", run=mac)

    assert binary.read_bytes() == b"new"
    assert [command[0] for command in mac.commands] == ["hdiutil", "ditto", "hdiutil", "codesign"]
    assert not list(tmp_path.rglob("*.dmg"))
    roll_back(place.data)
    assert binary.read_bytes() == b"former"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Burrow.AppImage", "Burrow.app", "data"]


@pytest.mark.parametrize("fails", ["hdiutil", "ditto", "codesign"])
def test_on_macos_a_command_that_fails_leaves_the_former(tmp_path: Path, fails: str) -> None:
    place = Place(tmp_path, GOOD)
    installed = bundle(place)

    with pytest.raises(BurrowError):
        install_now(place.data, installed, place.release, "0.1.0", run=Mac(fails=fails))

    assert Path(installed.command[0]).read_bytes() == b"former"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Burrow.AppImage", "Burrow.app", "data"]
    assert read_record(place.data).trial is None
