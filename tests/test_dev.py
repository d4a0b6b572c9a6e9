"""dev.py's own decisions: when the environment is ready, what the system lacks, what is said; and the lock files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import dev
from dev import Need

BOOKWORM = {"ID": "debian", "VERSION_ID": "12"}
TRIXIE = {"ID": "debian", "VERSION_ID": "13"}
SID = {"ID": "debian"}
JAMMY = {"ID": "ubuntu", "ID_LIKE": "debian", "VERSION_ID": "22.04"}
NOBLE = {"ID": "ubuntu", "ID_LIKE": "debian", "VERSION_ID": "24.04"}
MINT = {"ID": "linuxmint", "ID_LIKE": "ubuntu debian", "VERSION_ID": "22"}
FEDORA = {"ID": "fedora", "VERSION_ID": "42"}

ABSENT = Need("libnothing-of-the-kind.so.9", "libnothing9")


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished environment in a folder of its own."""
    venv = tmp_path / ".venv"
    python = dev.venv_program("python", venv)
    python.parent.mkdir(parents=True)
    python.touch()
    lock = tmp_path / "requirements-dev.lock"
    lock.write_text("one==1\n", encoding="utf-8")
    monkeypatch.setattr(dev, "VENV", venv)
    monkeypatch.setattr(dev, "STAMP", venv / "burrow-stamp")
    monkeypatch.setattr(dev, "DEV_LOCK", lock)
    monkeypatch.setattr(dev, "venv_program", lambda name: python)
    dev.STAMP.write_text(dev.wanted_stamp(), encoding="ascii")
    return venv


def test_a_finished_environment_is_used_as_it_is(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("something was installed again"))
    dev.set_up()


def test_an_interrupted_setup_is_not_ready(environment: Path) -> None:
    dev.STAMP.unlink()
    assert not dev.environment_is_ready()


def test_an_unreadable_stamp_is_not_ready(environment: Path) -> None:
    dev.STAMP.write_bytes(b"\xff\x00")
    assert not dev.environment_is_ready()


def test_another_lock_makes_the_environment_stale(environment: Path) -> None:
    dev.DEV_LOCK.write_text("one==2\n", encoding="utf-8")
    assert not dev.environment_is_ready()


def test_another_python_makes_the_environment_stale(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "base_prefix", "/opt/another-python")
    assert not dev.environment_is_ready()


def test_an_environment_whose_python_is_gone_is_not_ready(environment: Path) -> None:
    dev.venv_program("python").unlink()
    assert not dev.environment_is_ready()


def test_a_failed_install_says_so_and_leaves_no_stamp(
    environment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(folder: Path, *arguments: str) -> None:
        raise subprocess.CalledProcessError(1, ["pip", "install"])

    dev.DEV_LOCK.write_text("one==2\n", encoding="utf-8")
    monkeypatch.setattr(dev, "make_venv", lambda folder: None)
    monkeypatch.setattr(dev, "pip", fail)
    with pytest.raises(SystemExit) as ended:
        dev.set_up()
    assert ended.value.code == 1
    assert "Setting up .venv failed, see above: pip install" in capsys.readouterr().err
    assert not dev.STAMP.exists()


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 14)])
def test_supported_pythons_are_accepted(version: tuple[int, int]) -> None:
    assert dev.python_trouble(version) is None


@pytest.mark.parametrize("version", [(3, 10), (2, 7), (3, 15)])
def test_another_python_is_named_and_refused(version: tuple[int, int]) -> None:
    words = dev.python_trouble(version)
    assert words is not None
    assert f"this is {version[0]}.{version[1]}" in words
    assert "CPython 3.11 to 3.14" in words


def test_a_library_is_found_by_loading_it() -> None:
    assert Need("libc.so.6", "libc6").present() == (sys.platform == "linux")
    assert not ABSENT.present()


def test_a_program_is_found_under_any_of_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "second"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Need("first|second", "either").present()
    assert not Need("first", "first").present()


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        (BOOKWORM, "libglib2.0-0"),
        (JAMMY, "libglib2.0-0"),
        (TRIXIE, "libglib2.0-0t64"),
        (NOBLE, "libglib2.0-0t64"),
        (SID, "libglib2.0-0t64"),
    ],
)
def test_glib_is_named_as_the_release_names_it(release: dict[str, str], expected: str) -> None:
    assert dev.debian_name("libglib2.0-0", release) == expected
    assert dev.debian_name("libgl1", release) == "libgl1"


@pytest.mark.parametrize("release", [BOOKWORM, JAMMY, MINT])
def test_debian_and_its_children_get_the_exact_command(release: dict[str, str]) -> None:
    words = dev.missing_words([ABSENT, Need("Xvfb", "xvfb")], release)
    assert words.endswith("sudo apt-get install -y --no-install-recommends libnothing9 xvfb")


def test_other_systems_get_the_names_of_what_is_missing() -> None:
    words = dev.missing_words([ABSENT], FEDORA)
    assert "Missing on this system: libnothing-of-the-kind.so.9." in words
    assert "apt-get" not in words


def test_without_rights_to_install_the_command_is_printed_and_the_exit_code_is_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(dev, "this_system", lambda: BOOKWORM)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("apt-get was called"))
    with pytest.raises(SystemExit) as ended:
        dev.provide([ABSENT])
    assert ended.value.code == 1
    assert "sudo apt-get update && sudo apt-get install" in capsys.readouterr().err


def test_os_release_values_are_unquoted() -> None:
    assert dev.os_release('# a comment\nID=debian\nPRETTY_NAME="Debian GNU/Linux 12"\n') == {
        "ID": "debian",
        "PRETTY_NAME": "Debian GNU/Linux 12",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a display")
def test_without_a_display_one_line_says_how_to_go_on() -> None:
    words = dev.without_display([], {})
    assert words is not None
    assert "\n" not in words
    assert "Xvfb" in words
    assert "burrow --offscreen --screenshot FILE" in words


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        ([], {"DISPLAY": ":0"}),
        ([], {"WAYLAND_DISPLAY": "wayland-0"}),
        (["--offscreen", "--screenshot", "a.png"], {}),
        ([], {"QT_QPA_PLATFORM": "offscreen"}),
    ],
)
def test_with_a_display_or_without_need_of_one_the_window_opens(
    arguments: list[str], environment: dict[str, str]
) -> None:
    assert dev.without_display(arguments, environment) is None


def test_a_run_without_a_window_asks_for_fewer_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    assert dev.needs_of("run", ["--offscreen"]) == dev.OFFSCREEN
    assert dev.needs_of("run", []) == dev.OFFSCREEN + dev.X11
    monkeypatch.delenv("DISPLAY")
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert dev.needs_of("run", []) == dev.OFFSCREEN + dev.WAYLAND


def test_reading_the_code_needs_nothing_of_the_system() -> None:
    assert dev.needs_of("check", []) == ()
    assert dev.needs_of("soak", []) == ()
    assert set(dev.OFFSCREEN) < set(dev.needs_of("soak", ["runs"]))


def test_an_unknown_benchmark_is_named_and_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        dev.bench(["nothing_like_this"])
    assert ended.value.code == 1
    assert "There is no benchmark 'nothing_like_this'" in capsys.readouterr().err


LOCKS = pytest.mark.parametrize("lock", [dev.LOCK, dev.DEV_LOCK], ids=lambda path: path.name)


def locked(path: Path) -> dict[str, str]:
    """Each requirement's first words, and everything up to the next one."""
    entries = re.split(r"^(?=[a-z0-9])", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {entry.split(" \\", 1)[0]: entry for entry in entries if entry.strip() and not entry.startswith("#")}


@LOCKS
def test_every_locked_requirement_is_pinned_and_hashed(lock: Path) -> None:
    requirements = locked(lock)
    assert len(requirements) > 40
    for requirement, entry in requirements.items():
        assert re.match(r"[a-z0-9.-]+==\S+( ; .+)?$", requirement), requirement
        assert "--hash=sha256:" in entry, requirement


@LOCKS
def test_no_lock_names_an_index_or_a_place(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    for word in ("://", "--index", "--extra-index", "--find-links", "--trusted-host", "@ "):
        assert word not in text


def test_what_is_shipped_is_what_is_tested() -> None:
    assert locked(dev.LOCK).keys() <= locked(dev.DEV_LOCK).keys()


def test_the_locks_fit_the_project_file() -> None:
    with (dev.ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]

    def unmet(requirements: list[str], lock: Path) -> list[str]:
        versions = {name.split("==")[0]: name.split("==")[1].split(" ")[0] for name in locked(lock)}
        asked = [Requirement(text) for text in requirements]
        return [str(one) for one in asked if not one.specifier.contains(versions.get(canonicalize_name(one.name), "0"))]

    assert unmet(project["dependencies"], dev.LOCK) == []
    assert unmet(project["optional-dependencies"]["dev"], dev.DEV_LOCK) == []


def test_a_soak_is_that_of_runs_where_it_is_named() -> None:
    script, *arguments = dev.soak_command(["runs", "2", "7"])
    assert (Path(script).name, arguments) == ("run_soak.py", ["2", "7"])
    assert Path(script).is_file()
    script, *arguments = dev.soak_command(["2", "7"])
    assert (Path(script).name, arguments) == ("soak.py", ["2", "7"])
