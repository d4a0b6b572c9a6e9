"""The system opens links with the program that registered itself, wherever it is and whatever its path is called."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from app.core.desktop.link_handler import (
    COMMAND_KEY,
    SCHEME_TYPE,
    HandlerKind,
    HandlerRefused,
    HandlerState,
    RegistryHandler,
    XdgHandler,
    link_handler,
)
from app.core.desktop.windows_registry import split_line
from app.core.installation import InstalledApp, InstallKind
from app.main.options import parser

LINK = "burrow://new?text=a%20b&repository=acme/web"
STRANGE = [
    "plain",
    "two words",
    'it\'s "quoted"',
    "cash $HOME `id`",
    "100% %u",
    "back\\slash",
    "a=b",
    "Größe; rm -rf &",
]


class User:
    """A user's folders, and an AppImage that writes down what it was started with."""

    def __init__(self, folder: Path, name: str = "plain") -> None:
        self.folder = folder
        self.environment = {
            "HOME": str(folder),
            "XDG_DATA_HOME": str(folder / "data"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_DATA_DIRS": str(folder / "system"),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
        }
        self.said = folder / "said"
        self.program = self.put(name)

    def put(self, name: str) -> Path:
        program = self.folder / "apps" / name / "Burrow.AppImage"
        program.parent.mkdir(parents=True)
        program.write_text(
            f'#!/bin/sh\nprintf "%s|%s" "$0" "$*" > "{self.said}.new"; mv "{self.said}.new" "{self.said}"\n'
        )
        program.chmod(0o755)
        return program

    def handler(self, program: Path | None = None) -> XdgHandler:
        return XdgHandler([str(program or self.program)], self.environment, str(self.folder / "mounted"))

    @property
    def entry(self) -> Path:
        return self.folder / "data" / "applications" / "burrow.desktop"

    @property
    def choices(self) -> Path:
        return self.folder / "config" / "mimeapps.list"

    def package(self) -> None:
        """A package is installed."""
        entry = self.folder / "system" / "applications" / "burrow.desktop"
        entry.parent.mkdir(parents=True)
        entry.write_text(f"[Desktop Entry]\nType=Application\nName=Burrow\nExec=true %u\nMimeType={SCHEME_TYPE};\n")

    def opens(self, *command: str, desktop: str = "GNOME") -> str:
        """What the program was started with by `command LINK`."""
        self.said.unlink(missing_ok=True)
        subprocess.run(
            [*command, LINK],
            # xdg-open starts no program with windows where it sees no display.
            env={**self.environment, "XDG_CURRENT_DESKTOP": desktop, "DISPLAY": ":0"},
            check=True,
            capture_output=True,
            timeout=20,
        )
        deadline = time.monotonic() + 10
        while not self.said.exists():
            assert time.monotonic() < deadline, self.entry.read_text()
            time.sleep(0.01)
        return self.said.read_text()


@pytest.mark.parametrize("name", STRANGE)
def test_a_link_starts_the_program_at_its_path_with_the_link_as_it_is(tmp_path: Path, name: str) -> None:
    user = User(tmp_path, name)
    user.handler().register(chosen=False)
    assert user.handler().state() == HandlerState(HandlerKind.THIS)
    assert user.opens("gio", "open") == f"{user.program}|{LINK}"
    subprocess.run(["desktop-file-validate", str(user.entry)], check=True)


def test_xdg_open_finds_it_on_a_desktop_and_without_one(tmp_path: Path) -> None:
    user = User(tmp_path)
    user.handler().register(chosen=False)
    assert user.opens("xdg-open") == f"{user.program}|{LINK}"
    assert user.opens("xdg-open", desktop="X-Generic") == f"{user.program}|{LINK}"


def test_after_a_move_the_next_start_is_found_again(tmp_path: Path) -> None:
    user = User(tmp_path)
    user.handler().register(chosen=False)
    moved = user.put("elsewhere")
    user.program.unlink()
    handler = user.handler(moved)
    assert handler.state() == HandlerState(HandlerKind.OTHER, str(user.program))
    handler.register(chosen=False)
    assert user.opens("gio", "open") == f"{moved}|{LINK}"


def test_another_program_that_the_user_chose_stays_until_they_choose_again(tmp_path: Path) -> None:
    user = User(tmp_path)
    user.choices.parent.mkdir()
    text = f"[Added Associations]\nx=y\n[Default Applications]\ntext/html=web.desktop\n{SCHEME_TYPE}=own.desktop;\n"
    user.choices.write_text(text)
    user.handler().register(chosen=False)
    assert user.choices.read_text() == text
    assert user.handler().state() == HandlerState(HandlerKind.OTHER, "own.desktop")
    user.handler().register(chosen=True)
    assert user.handler().state().kind is HandlerKind.THIS
    assert "text/html=web.desktop" in user.choices.read_text()
    user.handler().unregister()
    assert SCHEME_TYPE not in user.choices.read_text()
    assert not user.entry.exists()
    assert user.handler().state().kind is HandlerKind.NONE


def test_a_package_is_not_hidden_by_an_entry_of_the_same_name(tmp_path: Path) -> None:
    user = User(tmp_path)
    user.handler().register(chosen=False)
    user.package()
    user.handler().register(chosen=False)
    assert not user.entry.exists()
    with pytest.raises(HandlerRefused, match="package"):
        user.handler().register(chosen=True)


def test_an_entry_that_the_user_wrote_is_not_touched(tmp_path: Path) -> None:
    user = User(tmp_path)
    user.entry.parent.mkdir(parents=True)
    user.entry.write_text("[Desktop Entry]\nType=Application\nName=Burrow\nExec=my-burrow %u\n")
    before = user.entry.read_text()
    with pytest.raises(HandlerRefused, match=r"burrow\.desktop"):
        user.handler().register(chosen=True)
    user.handler().unregister()
    assert user.entry.read_text() == before
    assert user.handler().state() == HandlerState(HandlerKind.OTHER, str(user.entry))


def test_a_start_that_changes_nothing_writes_nothing(tmp_path: Path) -> None:
    user = User(tmp_path)
    user.handler().register(chosen=False)
    before = [file.stat().st_mtime_ns for file in (user.entry, user.choices)]
    user.handler().register(chosen=False)
    assert [file.stat().st_mtime_ns for file in (user.entry, user.choices)] == before


def test_choices_that_are_kept_elsewhere_stay_a_link(tmp_path: Path) -> None:
    user = User(tmp_path)
    elsewhere = tmp_path / "dotfiles"
    elsewhere.write_bytes(b"[Default Applications]\na=\xff.desktop\n")
    user.choices.parent.mkdir()
    user.choices.symlink_to(elsewhere)
    user.handler().register(chosen=False)
    assert user.choices.is_symlink()
    assert b"a=\xff.desktop\n" in elsewhere.read_bytes()
    assert SCHEME_TYPE.encode() in elsewhere.read_bytes()


def test_the_icon_of_an_appimage_is_copied_where_launchers_look_and_goes_with_the_entry(tmp_path: Path) -> None:
    user = User(tmp_path)
    (tmp_path / "mounted").mkdir()
    (tmp_path / "mounted" / "burrow.png").write_bytes(b"picture")
    icon = tmp_path / "data" / "icons" / "hicolor" / "256x256" / "apps" / "burrow.png"
    user.handler().register(chosen=False)
    assert icon.read_bytes() == b"picture"
    user.handler().unregister()
    assert not icon.exists()


def test_a_link_that_lies_at_the_temporary_name_is_not_followed(tmp_path: Path) -> None:
    user, other = User(tmp_path), tmp_path / "other"
    other.write_text("kept")
    user.choices.parent.mkdir(parents=True)
    user.choices.with_name("mimeapps.list.burrow-new").symlink_to(other)
    user.handler().register(chosen=True)
    assert other.read_text() == "kept"
    assert "burrow.desktop" in user.choices.read_text()


def test_choices_that_cannot_be_read_are_not_written_over(tmp_path: Path) -> None:
    user = User(tmp_path)
    user.choices.parent.mkdir()
    user.choices.symlink_to(user.choices.name)
    assert user.handler().state() == HandlerState(HandlerKind.OTHER, str(user.choices))
    with pytest.raises(HandlerRefused, match="could not be read"):
        user.handler().register(chosen=True)
    with pytest.raises(HandlerRefused, match="could not be read"):
        user.handler().unregister()
    assert user.choices.is_symlink()


def test_lines_of_others_in_the_choices_keep_every_character(tmp_path: Path) -> None:
    user = User(tmp_path)
    user.choices.parent.mkdir()
    others = "[Default Applications]\na/b=one\u2028two\x85\x0b.desktop\r\n\n# end"
    user.choices.write_bytes(others.encode())
    user.handler().register(chosen=True)
    assert user.handler().state().kind is HandlerKind.THIS
    for line in others.split("\n"):
        assert f"{line}\n" in user.choices.read_bytes().decode()


@pytest.mark.parametrize("path", ["/a\nb/Burrow", "/a\udcff/Burrow"])
def test_a_path_that_no_entry_can_name_is_said(tmp_path: Path, path: str) -> None:
    handler = XdgHandler([path], User(tmp_path).environment)
    with pytest.raises(HandlerRefused):
        handler.register(chosen=True)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    user = User(tmp_path)
    (tmp_path / "data").write_text("")
    with pytest.raises(HandlerRefused, match=r"burrow\.desktop"):
        user.handler().register(chosen=True)


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (InstallKind.SOURCE, HandlerKind.FIXED),
        (InstallKind.DEB, HandlerKind.PACKAGE),
        (InstallKind.RPM, HandlerKind.PACKAGE),
        (InstallKind.MACOS, HandlerKind.PACKAGE),
        (InstallKind.APPIMAGE, HandlerKind.NONE),
        (InstallKind.PORTABLE, HandlerKind.NONE),
    ],
)
def test_what_brings_its_own_entry_is_left_alone(tmp_path: Path, kind: InstallKind, state: HandlerKind) -> None:
    handler = link_handler(InstalledApp(kind, ("/x",)), User(tmp_path).environment)
    assert handler.state().kind is state
    if state is not HandlerKind.NONE:
        handler.register(chosen=True)
        handler.unregister()
        assert not (tmp_path / "data").exists()


class Registry:
    def __init__(self) -> None:
        self.values: dict[tuple[str, str], str] = {}

    def read(self, key: str, name: str) -> str | None:
        return self.values.get((key, name))

    def write(self, key: str, name: str, value: str) -> None:
        self.values[key, name] = value

    def delete(self, key: str, name: str) -> None:
        self.values.pop((key, name), None)


def test_windows_is_told_the_command_for_the_class() -> None:
    registry = Registry()
    handler = RegistryHandler(registry, [r"C:\Program Files\Burrow\burrow.exe"])
    assert handler.state().kind is HandlerKind.NONE
    handler.register(chosen=False)
    assert handler.state().kind is HandlerKind.THIS
    assert registry.values[COMMAND_KEY, ""] == r'"C:\Program Files\Burrow\burrow.exe" -- "%1"'
    # What the shell makes of a link with a quote in it: the rest is no option, whatever it is called.
    line = registry.values[COMMAND_KEY, ""].replace("%1", r'burrow://task/7" --data "\\evil\share')
    _, *arguments = split_line(line)
    assert arguments == ["--", "burrow://task/7", "--data", r"\\evil\share"]
    with pytest.raises(SystemExit):
        parser().parse_args(arguments)
    assert parser().parse_args(arguments[:2]).link == "burrow://task/7"
    other = RegistryHandler(registry, [r"D:\burrow.exe"])
    other.register(chosen=False)
    assert handler.state().kind is HandlerKind.THIS
    other.register(chosen=True)
    assert handler.state().kind is HandlerKind.OTHER
    handler.unregister()
    assert other.state().kind is HandlerKind.THIS
    other.unregister()
    assert other.state().kind is HandlerKind.NONE
