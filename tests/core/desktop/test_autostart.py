"""Start at login is what the system says, on each of the three systems, and another program's entry is left alone."""

from __future__ import annotations

import asyncio
import plistlib
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.desktop.autostart import (
    APPROVED_KEY,
    RUN_KEY,
    VALUE,
    AutostartKind,
    AutostartRefused,
    LaunchAgent,
    RunKey,
    XdgAutostart,
    mend,
)
from app.core.desktop.desktop_entry import read_command, read_entry, write_command, write_entry
from app.core.desktop.windows_registry import split_line
from tests.until import until

COMMAND = ["/opt/burrow/burrow", "--hidden"]


class Places:
    def __init__(self, folder: Path) -> None:
        self.own = folder / "config" / "autostart" / "burrow.desktop"
        self.shared = folder / "xdg" / "autostart" / "burrow.desktop"
        self.entry = XdgAutostart(
            {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config"), "XDG_CONFIG_DIRS": str(folder / "xdg")}
        )


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


def write(file: Path, **fields: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(write_entry({"Type": "Application", "Name": "B", **fields}))


def test_it_is_off_until_it_is_switched_on_and_off_again(places: Places) -> None:
    assert places.entry.state().kind is AutostartKind.OFF
    places.entry.enable(COMMAND)
    state = places.entry.state()
    assert (state.kind, state.command, state.hidden) == (AutostartKind.ON, tuple(COMMAND), True)
    places.entry.disable()
    assert places.entry.state().kind is AutostartKind.OFF
    assert not places.own.exists()


def test_the_entry_of_the_system_gives_way_to_the_users(places: Places) -> None:
    write(places.shared, Exec="burrow --hidden")
    assert places.entry.state().kind is AutostartKind.ON
    places.entry.disable()
    assert read_entry(places.own.read_text())["Hidden"] == "true"
    assert places.entry.state().kind is AutostartKind.OFF
    places.entry.enable(COMMAND)
    assert places.entry.state().kind is AutostartKind.ON


@pytest.mark.parametrize("off", [{"Hidden": "true"}, {"X-GNOME-Autostart-enabled": "false"}])
def test_what_the_desktop_switched_off_is_off(places: Places, off: dict[str, str]) -> None:
    write(places.own, Exec="burrow", **off)
    assert places.entry.state().kind is AutostartKind.OFF


def test_another_programs_entry_is_not_overwritten(places: Places) -> None:
    write(places.own, Exec="/usr/bin/rabbits --dig")
    before = places.own.read_text()
    assert places.entry.state().kind is AutostartKind.FOREIGN
    for change in (lambda: places.entry.enable(COMMAND), places.entry.disable):
        with pytest.raises(AutostartRefused, match="Another program"):
            change()
    assert places.own.read_text() == before


def test_an_entry_that_is_kept_elsewhere_stays_a_link_and_no_other_is_followed(places: Places, tmp_path: Path) -> None:
    places.entry.enable(COMMAND[:1])
    entry = places.own
    elsewhere, other = tmp_path / "dotfiles", tmp_path / "other"
    entry.rename(elsewhere)
    entry.symlink_to(elsewhere)
    other.write_text("kept")
    (tmp_path / "dotfiles.burrow-new").symlink_to(other)
    places.entry.enable(COMMAND)
    assert entry.is_symlink()
    assert "--hidden" in elsewhere.read_text()
    assert other.read_text() == "kept"


def test_a_folder_that_cannot_be_written_is_named(places: Places) -> None:
    places.own.parent.parent.mkdir(parents=True)
    places.own.parent.write_text("a file")
    assert places.entry.state().kind is AutostartKind.UNKNOWN
    with pytest.raises(AutostartRefused, match="autostart"):
        places.entry.enable(COMMAND)


def test_a_program_that_moved_is_started_where_it_is_now(places: Places, tmp_path: Path) -> None:
    old, new = tmp_path / "Downloads" / "Burrow 1.AppImage", tmp_path / "bin" / "Burrow.AppImage"
    for each in (old, new):
        each.parent.mkdir()
        each.touch()
    places.entry.enable([str(old), "--hidden"])
    assert not mend(places.entry, [str(new)])
    old.unlink()
    assert mend(places.entry, [str(new)])
    assert places.entry.state().command == (str(new), "--hidden")
    places.entry.disable()
    assert not mend(places.entry, [str(new)])


@settings(max_examples=60)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\n\r")), max_size=4))
def test_every_argument_comes_back_as_it_was(arguments: list[str]) -> None:
    command = ("/opt/B urrow/burrow", *arguments)
    text = write_entry({"Exec": write_command(command)})
    assert read_command(read_entry(text)["Exec"]) == command


async def test_glib_starts_what_the_entry_means(tmp_path: Path) -> None:
    program, out = tmp_path / "a $folder" / 'say "it"', tmp_path / "out"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{out}.new"\nmv "{out}.new" "{out}"\n')
    program.chmod(0o755)
    arguments = ["--hidden", "50 %", "a'b", "back\\slash", "`x`"]
    entry = tmp_path / "x.desktop"
    entry.write_text(
        write_entry({"Type": "Application", "Name": "X", "Exec": write_command([str(program), *arguments])})
    )
    await asyncio.to_thread(subprocess.run, ["gio", "launch", str(entry)], check=True, timeout=20)
    await until(out.exists)
    assert out.read_text().splitlines() == arguments


class FakeRegistry:
    def __init__(self) -> None:
        self.values: dict[tuple[str, str], str | bytes] = {}

    def read(self, key: str, name: str) -> str | bytes | None:
        return self.values.get((key, name))

    def write(self, key: str, name: str, value: str) -> None:
        self.values[key, name] = value

    def delete(self, key: str, name: str) -> None:
        self.values.pop((key, name), None)


def test_windows_starts_it_from_the_run_key_unless_the_task_manager_says_no() -> None:
    registry = FakeRegistry()
    entry = RunKey(registry)
    assert entry.state().kind is AutostartKind.OFF
    entry.enable([r"C:\Program Files\Burrow\burrow.exe", "--hidden"])
    assert registry.values[RUN_KEY, VALUE] == r'"C:\Program Files\Burrow\burrow.exe" --hidden'
    assert entry.state().command == (r"C:\Program Files\Burrow\burrow.exe", "--hidden")
    registry.values[APPROVED_KEY, VALUE] = bytes([3, 0, 0, 0])
    assert entry.state().kind is AutostartKind.OFF
    entry.enable([r"C:\Burrow\burrow.exe"])
    assert entry.state().kind is AutostartKind.ON
    assert not entry.state().hidden
    entry.disable()
    assert registry.values == {}
    registry.values[RUN_KEY, VALUE] = r"C:\rabbits.exe"
    with pytest.raises(AutostartRefused):
        entry.enable(COMMAND)
    assert registry.values[RUN_KEY, VALUE] == r"C:\rabbits.exe"


@settings(max_examples=60)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\n\r\t")), min_size=1, max_size=4))
def test_a_windows_command_line_comes_back_as_it_was(arguments: list[str]) -> None:
    assert split_line(subprocess.list2cmdline(arguments)) == tuple(arguments)


def test_macos_starts_it_from_a_launch_agent(tmp_path: Path) -> None:
    entry = LaunchAgent(tmp_path / "LaunchAgents")
    assert entry.state().kind is AutostartKind.OFF
    entry.enable(["/Applications/Burrow.app/Contents/MacOS/Burrow", "--hidden"])
    file = tmp_path / "LaunchAgents" / "app.burrow.Burrow.plist"
    assert plistlib.loads(file.read_bytes())["Label"] == "app.burrow.Burrow"
    assert entry.state().hidden
    file.write_bytes(b"no plist")
    assert entry.state().kind is AutostartKind.UNKNOWN
    entry.disable()
    assert entry.state().kind is AutostartKind.OFF
