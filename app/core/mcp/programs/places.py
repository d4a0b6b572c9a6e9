"""Where a program's files are on this machine, and which programs are installed."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.mcp.programs.program import LINUX, MACOS, WINDOWS, Base, ConfigPlace, Program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# A window that the desktop started has a short PATH. Installers put commands here besides.
COMMAND_FOLDERS = (
    *(".local/bin", ".claude/local", ".npm-global/bin", ".bun/bin", ".volta/bin", ".cargo/bin", "bin"),
    *("AppData/Roaming/npm", ".nvm/versions/node/*/bin", ".local/share/fnm/aliases/default/bin"),
)
SYSTEM_COMMAND_FOLDERS = ("usr/local/bin", "opt/homebrew/bin", "snap/bin")


@dataclass(frozen=True)
class ProgramMachine:
    """The machine as programs see it: platform (of `sys.platform`), environment, home, and root of the files."""

    platform: str
    environment: Mapping[str, str] = field(repr=False)
    home: Path
    root: Path = Path("/")

    @staticmethod
    def here() -> ProgramMachine:
        """This machine. Raises `RuntimeError` when the user has no home folder."""
        platform = sys.platform if sys.platform in (MACOS, WINDOWS) else LINUX
        return ProgramMachine(platform, os.environ, Path.home())

    def folder(self, base: Base) -> Path:
        """The folder of a base."""
        match base:
            case Base.CONFIG:
                return self._named("XDG_CONFIG_HOME", self.home / ".config")
            case Base.APPLICATION_DATA:
                return self._named("APPDATA", self.home / "AppData" / "Roaming")
            case Base.LOCAL_DATA:
                return self._named("LOCALAPPDATA", self.home / "AppData" / "Local")
            case Base.SUPPORT:
                return self.home / "Library" / "Application Support"
            case Base.SYSTEM:
                return self.root
            case Base.HOME:
                return self.home

    def _named(self, variable: str, otherwise: Path) -> Path:
        # A relative folder is to be ignored (XDG Base Directory Specification, "Basics").
        named = Path(self.environment.get(variable, ""))
        return named if named.is_absolute() else otherwise

    def paths(self, place: ConfigPlace) -> tuple[Path, ...]:
        """The files that a place stands for here: none on other platforms, several where a pattern matches several."""
        if self.platform not in place.platforms:
            return ()
        chosen = self.environment.get(place.variable, "") if place.variable else ""
        if chosen:
            return (Path(chosen).expanduser() / place.name,)
        base = self.folder(place.base)
        folder, pattern, rest = _split(place.file)
        if not pattern:
            return (base / place.file,)
        try:
            return tuple(sorted(found / rest for found in (base / folder).glob(pattern) if found.is_dir()))
        except OSError:
            return ()

    def command(self, name: str) -> Path | None:
        """The program that `name` starts, in the PATH and where installers put commands; None when there is none."""
        folders = [self.environment.get("PATH", ""), *map(str, self._command_folders())]
        found = shutil.which(name, path=os.pathsep.join(folder for folder in folders if folder))
        return None if found is None else Path(found)

    def _command_folders(self) -> Iterator[Path]:
        for folder in COMMAND_FOLDERS:
            yield from sorted(self.home.glob(folder), reverse=True)
        for folder in SYSTEM_COMMAND_FOLDERS:
            yield self.root / folder


def _split(file: str) -> tuple[str, str, str]:
    """The part before a pattern, the pattern, and the part behind it; the last two are empty where there is none."""
    parts = file.split("/")
    at = next((index for index, part in enumerate(parts) if "*" in part), None)
    return (file, "", "") if at is None else ("/".join(parts[:at]), parts[at], "/".join(parts[at + 1 :]))


@dataclass(frozen=True)
class ConfigFile:
    """A configuration file that an installed program reads, or would read.

    `flavor` names the installation, empty for the usual one. `sandbox`: it cannot start programs outside.
    """

    path: Path
    exists: bool
    flavor: str = ""
    sandbox: bool = False


@dataclass(frozen=True)
class Found:
    """What there is of a program on this machine.

    `files` has the file that the installed version reads first. `command` is the program that lists its servers or
    adds one, None where it has none or is not installed.
    """

    program: Program
    installed: bool
    files: tuple[ConfigFile, ...]
    command: Path | None = None

    @property
    def file(self) -> ConfigFile | None:
        """The file to change, None for a program of which none is known."""
        return next(iter(self.files), None)


def found(program: Program, machine: ProgramMachine | None = None) -> Found:
    """Look for a program: blocking, a few calls of the file system. Never raises `OSError`."""
    machine = machine or ProgramMachine.here()
    known = [
        (ConfigFile(path, _is_file(path), place.flavor, place.sandbox), "*" in place.file)
        for place in program.places
        for path in machine.paths(place)
    ]
    # Where a folder is, an installation is or was; a file of an installation that never was is not offered, save the
    # first one for a program that has none yet. The folder of a package says that the package is what runs.
    real = [(file, packaged) for file, packaged in known if file.exists or packaged or _is_folder(file.path.parent)]
    real.sort(key=lambda each: not (each[0].exists or each[1]))
    files = tuple(file for file, _packaged in real or known[:1])
    commands = [machine.command(name) for name in program.installed.commands]
    installed = (
        any(command is not None for command in commands)
        or any(_is_folder(path) for place in program.installed.folders for path in machine.paths(place))
        or any(file.exists for file, _packaged in known)
    )
    own = (program.lists or program.add)[:1]
    return Found(program, installed, files, machine.command(own[0]) if own else None)


def _is_file(path: Path) -> bool:
    # A link that leads nowhere counts: the program would write its file there.
    return os.path.lexists(path) and not _is_folder(path)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False
