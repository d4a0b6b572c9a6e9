"""Which program the system opens `burrow://` links with, and how an installation without a package becomes that one.

Packages bring `burrow.desktop` themselves. An AppImage, or a folder that the user has unpacked, writes one for the
user, with its path as it is now, and is named in `mimeapps.list` unless the user has chosen another program.
https://specifications.freedesktop.org/desktop-entry-spec/1.5/, https://specifications.freedesktop.org/mime-apps-spec/
Windows: the class `burrow` of the user (`URL Protocol`). macOS reads it from the application's bundle.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from app.core.desktop.desktop_entry import read_entry, write_command, write_entry
from app.core.desktop.windows_registry import WindowsRegistry
from app.core.desktop.xdg import config_folder, data_home, replace_file, shared_folders
from app.core.errors import BurrowError
from app.core.installation import InstallKind
from app.core.own_environment import appimage_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.core.desktop.windows_registry import Registry
    from app.core.installation import InstalledApp

ENTRY = "burrow.desktop"
MARK = "X-Burrow-Links"
SCHEME_TYPE = "x-scheme-handler/burrow"
DEFAULTS = "[Default Applications]"
# A shell that becomes the program which it is given, with the rest of the arguments.
PASSED_ON = 'exec "$0" "$@"'
# Whether an installation without a package keeps its entry up to date.
KEEP_SETTING = "links.keep"
# These do so unless the user does not want it, other folders only if they do.
KEPT = frozenset({InstallKind.APPIMAGE, InstallKind.PORTABLE})
WITHOUT_PACKAGE = frozenset({InstallKind.APPIMAGE, InstallKind.PORTABLE, InstallKind.FOLDER})
CLASS_KEY = r"Software\Classes\burrow"
COMMAND_KEY = rf"{CLASS_KEY}\shell\open\command"


class HandlerKind(Enum):
    """Who opens links.

    `THIS`: the program that runs. `PACKAGE`: the one that the system's package manager installed, or the bundle.
    `OTHER`: another program. `NONE`: nobody. `FIXED`: this installation cannot register itself, such as a checkout.
    """

    THIS = "this"
    PACKAGE = "package"
    OTHER = "other"
    NONE = "none"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True)
class HandlerState:
    """`who` names the entry or the command of another program."""

    kind: HandlerKind
    who: str = ""


class HandlerRefused(BurrowError):
    """The program for links could not be changed."""

    title = "The program for burrow:// links was not changed"
    action = "Change it in the settings of the system."


class LinkHandler(Protocol):
    """All methods may touch the disk: call them in a thread. The last two raise `HandlerRefused`."""

    def state(self) -> HandlerState: ...

    def register(self, *, chosen: bool) -> None:
        """Open links with this program. If it is not `chosen` by the user now, their earlier choice is respected."""
        ...

    def unregister(self) -> None:
        """Take back what `register` wrote."""
        ...


def link_handler(installed: InstalledApp, environment: Mapping[str, str] | None = None) -> LinkHandler:
    """That of this system and installation."""
    if sys.platform == "win32" and installed.kind in {*WITHOUT_PACKAGE, InstallKind.WINDOWS}:
        return RegistryHandler(WindowsRegistry(), installed.command)
    if installed.kind in WITHOUT_PACKAGE and sys.platform.startswith("linux"):
        return XdgHandler(installed.command, os.environ if environment is None else environment, appimage_folder())
    fixed = HandlerKind.FIXED if installed.kind is InstallKind.SOURCE else HandlerKind.PACKAGE
    return FixedHandler(HandlerState(fixed))


def keep(installed: InstalledApp, wanted: object) -> bool:
    """At a start: have the system open links with this installation, where it has no package to say so.

    `wanted` is the setting `KEEP_SETTING`, None while the user has not chosen. Returns whether it was tried. Raises
    `HandlerRefused`.
    """
    if not (installed.kind in KEPT if wanted is None else wanted is True):
        return False
    link_handler(installed).register(chosen=False)
    return True


class FixedHandler:
    """Where nothing can be changed."""

    def __init__(self, state: HandlerState) -> None:
        self._state = state

    def state(self) -> HandlerState:
        return self._state

    def register(self, *, chosen: bool) -> None:
        """Nothing."""

    def unregister(self) -> None:
        """Nothing."""


class XdgHandler:
    """`burrow.desktop` in the user's data folder, and its line in `mimeapps.list`.

    An entry of that name which a package brought has the same id, so this one would hide it: then none is written, and
    one of an earlier start is removed. One that Burrow did not write is not touched.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], image: str = "") -> None:
        """`image` is where the AppImage of this process is mounted."""
        self._command = tuple(command)
        self._data = data_home(environment)
        self._own = self._data / "applications" / ENTRY
        shared = shared_folders(environment, "XDG_DATA_DIRS", "/usr/local/share:/usr/share")
        self._shared = [each / "applications" / ENTRY for each in shared]
        self._choices = config_folder(environment) / "mimeapps.list"
        self._image = image

    def state(self) -> HandlerState:
        try:
            chosen = self._chosen()
        except HandlerRefused:
            return HandlerState(HandlerKind.OTHER, str(self._choices))
        if chosen and chosen != ENTRY:
            return HandlerState(HandlerKind.OTHER, chosen)
        fields = self._fields()
        if fields is None:
            packaged = any(each.is_file() for each in self._shared)
            return HandlerState(HandlerKind.PACKAGE if packaged else HandlerKind.NONE)
        if fields.get(MARK) != "true":
            return HandlerState(HandlerKind.OTHER, str(self._own))
        if fields.get("Exec") == self._exec():
            return HandlerState(HandlerKind.THIS if chosen else HandlerKind.NONE)
        return HandlerState(HandlerKind.OTHER, fields.get("TryExec", ""))

    def register(self, *, chosen: bool) -> None:
        fields = self._fields()
        if fields is not None and fields.get(MARK) != "true":
            raise HandlerRefused(f"{self._own} was not written by Burrow.")
        if any(each.is_file() for each in self._shared):
            if fields is not None:
                self._remove()
            if chosen:
                raise HandlerRefused("The Burrow that is installed as a package opens them.")
            return
        entry = {
            "Type": "Application",
            "Name": "Burrow",
            "GenericName": "Agent Tasks and MCP Servers",
            "Comment": "Work with PostHog's agent tasks and with MCP servers",
            "Exec": self._exec(),
            "TryExec": self._command[0],
            "Icon": "burrow",
            "Terminal": "false",
            "StartupNotify": "true",
            "StartupWMClass": "Burrow",
            "Categories": "Development;",
            "MimeType": f"{SCHEME_TYPE};",
            MARK: "true",
        }
        self._write(self._own, write_entry(entry))
        self._copy_icon()
        if chosen or not self._chosen():
            self._choose(ENTRY)

    def unregister(self) -> None:
        fields = self._fields()
        if fields is not None and fields.get(MARK) == "true":
            self._remove()
        if self._chosen() == ENTRY:
            self._choose("")

    def _exec(self) -> str:
        """The value of `Exec`. Raises `HandlerRefused` for a path that no entry can name."""
        if not all(each.isprintable() for each in self._command):
            raise HandlerRefused(f"No desktop entry can name {self._command[0]!a}.")
        program, *arguments = self._command
        if "%" in program or "=" in program:
            # GLib looks for the program before it reads the doubled percent sign; some launchers read `a=b` as a
            # variable. The shell gets the path as an argument.
            started = ["sh", "-c", PASSED_ON, program, *arguments]
        else:
            started = [program, *arguments]
        return f"{write_command(started)} %u"

    def _fields(self) -> dict[str, str] | None:
        """The user's entry; None where there is none. One that cannot be read is not Burrow's."""
        try:
            return read_entry(self._own.read_text("utf-8", "replace"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            return {}

    def _chosen(self) -> str:
        """The program that the user has chosen for links; the first that is named counts."""
        lines, at = self._line()
        return lines[at].partition("=")[2].partition(";")[0].strip() if at is not None else ""

    def _line(self) -> tuple[list[str], int | None]:
        """The lines of `mimeapps.list`, and which of them is about links. Raises `HandlerRefused`."""
        try:
            # Not `splitlines`: other characters that end a line elsewhere are a part of a name.
            text = self._choices.read_bytes().decode("utf-8", "surrogateescape").removesuffix("\n")
            lines = text.split("\n") if text else []
        except (FileNotFoundError, NotADirectoryError):
            return [], None
        except OSError as failure:
            # Never taken for an empty one, which would be written over it.
            raise HandlerRefused(f"{self._choices} could not be read: {failure.strerror or failure}.") from failure
        inside = False
        for at, line in enumerate(lines):
            if line.startswith("["):
                inside = line.strip() == DEFAULTS
            elif inside and line.partition("=")[0].strip() == SCHEME_TYPE:
                return lines, at
        return lines, None

    def _choose(self, entry: str) -> None:
        lines, at = self._line()
        if at is not None:
            del lines[at]
        if entry:
            heading = next((row for row, line in enumerate(lines) if line.strip() == DEFAULTS), None)
            if heading is None:
                lines += [DEFAULTS]
                heading = len(lines) - 1
            lines.insert(heading + 1, f"{SCHEME_TYPE}={entry}")
        self._write(self._choices, "".join(f"{line}\n" for line in lines))

    def _copy_icon(self) -> None:
        """The icon of an AppImage is inside it: launchers look for it in the user's folder."""
        source = Path(self._image) / "burrow.png"
        if not self._image or not source.is_file():
            return
        target = self._data / "icons" / "hicolor" / "256x256" / "apps" / "burrow.png"
        with contextlib.suppress(OSError):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)

    def _remove(self) -> None:
        try:
            self._own.unlink(missing_ok=True)
            (self._data / "icons" / "hicolor" / "256x256" / "apps" / "burrow.png").unlink(missing_ok=True)
        except OSError as failure:
            raise _refused(self._own, failure) from failure

    def _write(self, file: Path, text: str) -> None:
        data = text.encode("utf-8", "surrogateescape")
        try:
            if not (file.is_file() and file.read_bytes() == data):
                replace_file(file, data)
        except OSError as failure:
            raise _refused(file, failure) from failure


class RegistryHandler:
    """`HKEY_CURRENT_USER\\Software\\Classes\\burrow`."""

    def __init__(self, registry: Registry, command: Sequence[str]) -> None:
        self._registry = registry
        # A quote in a link, which the shell puts in as it is, would end the argument: behind `--` nothing is an option.
        self._line = f'{subprocess.list2cmdline(command)} -- "%1"'

    def state(self) -> HandlerState:
        try:
            line = self._registry.read(COMMAND_KEY, "")
        except OSError:
            return HandlerState(HandlerKind.FIXED)
        if line == self._line:
            return HandlerState(HandlerKind.THIS)
        return (
            HandlerState(HandlerKind.OTHER, line) if isinstance(line, str) and line else HandlerState(HandlerKind.NONE)
        )

    def register(self, *, chosen: bool) -> None:
        if not chosen and self.state().kind is HandlerKind.OTHER:
            return
        try:
            self._registry.write(CLASS_KEY, "", "URL:Burrow")
            self._registry.write(CLASS_KEY, "URL Protocol", "")
            self._registry.write(COMMAND_KEY, "", self._line)
        except OSError as failure:
            raise HandlerRefused(f"The registry could not be written: {failure}.") from failure

    def unregister(self) -> None:
        if self.state().kind is not HandlerKind.THIS:
            return
        try:
            # Without these two values the class means nothing.
            self._registry.delete(COMMAND_KEY, "")
            self._registry.delete(CLASS_KEY, "URL Protocol")
        except OSError as failure:
            raise HandlerRefused(f"The registry could not be written: {failure}.") from failure


def _refused(file: Path, failure: OSError) -> HandlerRefused:
    return HandlerRefused(f"{file} could not be written: {failure.strerror or failure}.")
