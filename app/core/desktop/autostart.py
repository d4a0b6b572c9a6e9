"""Start at login: read from the system each time, because people change it there too.

Linux: https://specifications.freedesktop.org/autostart-spec/0.5/. Windows: the `Run` key of the user, and what the task
manager says of it. macOS: a launch agent (launchd.plist(5)).
"""

from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from app.core.desktop.desktop_entry import read_command, read_entry, write_command, write_entry
from app.core.desktop.windows_registry import WindowsRegistry, split_line
from app.core.desktop.xdg import config_folder, replace_file, shared_folders
from app.core.errors import BurrowError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.core.desktop.windows_registry import Registry

HIDDEN = "--hidden"
ENTRY = "burrow.desktop"
MARK = "X-Burrow-Autostart"
AGENT = "app.burrow.Burrow"
RUN_KEY = r"Software\Microsoft\Windows\CurrentVersion\Run"
APPROVED_KEY = r"Software\Microsoft\Windows\CurrentVersion\Explorer\StartupApproved\Run"
VALUE = "Burrow"


class AutostartKind(Enum):
    """`FOREIGN`: another program has an entry of the same name. `UNKNOWN`: it could not be read."""

    OFF = "off"
    ON = "on"
    FOREIGN = "foreign"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class AutostartState:
    """`command` is what the system starts at login, empty where nothing. `where` names the entry to a person."""

    kind: AutostartKind
    command: tuple[str, ...] = ()
    where: str = ""

    @property
    def hidden(self) -> bool:
        """Whether it starts without a window."""
        return HIDDEN in self.command


class AutostartRefused(BurrowError):
    """Start at login could not be changed."""

    title = "Start at login was not changed"
    action = "Change it in the settings of the system."


class Autostart(Protocol):
    """All methods may touch the disk: call them in a thread. `enable` and `disable` raise `AutostartRefused`."""

    def state(self) -> AutostartState: ...

    def enable(self, command: Sequence[str]) -> None:
        """Start `command` at login, from now on."""
        ...

    def disable(self) -> None: ...


def autostart(environment: Mapping[str, str] | None = None) -> Autostart:
    """That of this system."""
    if sys.platform == "win32":
        return RunKey(WindowsRegistry())
    if sys.platform == "darwin":
        return LaunchAgent(Path.home() / "Library" / "LaunchAgents")
    return XdgAutostart(os.environ if environment is None else environment)


def mend(entry: Autostart, command: Sequence[str]) -> bool:
    """Have the entry start `command`, the program that runs now, if the one that it starts is gone.

    An AppImage moves where the user puts it. Another installation that is still there is left alone. Returns whether
    the entry was changed; raises `AutostartRefused`.
    """
    state = entry.state()
    if state.kind is not AutostartKind.ON or not state.command or _exists(state.command[0]):
        return False
    entry.enable([*command, *([HIDDEN] if state.hidden else [])])
    return True


class XdgAutostart:
    """`~/.config/autostart/burrow.desktop`, before which one of the system gives way.

    `folder` is where `command` is to be started, needed only for a checkout.
    """

    def __init__(self, environment: Mapping[str, str], folder: str = "") -> None:
        self._own = config_folder(environment) / "autostart" / ENTRY
        shared = shared_folders(environment, "XDG_CONFIG_DIRS", "/etc/xdg")
        self._shared = [each / "autostart" / ENTRY for each in shared]
        self._folder = folder or _checkout()

    def state(self) -> AutostartState:
        for place in (self._own, *self._shared):
            try:
                fields = read_entry(place.read_text("utf-8", "replace"))
            except FileNotFoundError:
                continue
            except OSError:
                return AutostartState(AutostartKind.UNKNOWN, (), str(place))
            return _xdg_state(fields, str(place))
        return AutostartState(AutostartKind.OFF, (), str(self._own))

    def enable(self, command: Sequence[str]) -> None:
        self._check()
        try:
            started = write_command(command)
        except ValueError as failure:
            raise AutostartRefused(str(failure)) from failure
        fields = {
            "Type": "Application",
            "Name": "Burrow",
            "Comment": "Agent tasks and MCP servers",
            "Exec": started,
            "TryExec": command[0],
            "Icon": "burrow",
            "Terminal": "false",
            "StartupNotify": "false",
            "X-GNOME-Autostart-enabled": "true",
            MARK: "true",
        }
        if self._folder:
            fields["Path"] = self._folder
        self._write(fields)

    def disable(self) -> None:
        self._check()
        if any(each.exists() for each in self._shared):
            # Only an entry of the user's own switches that of the system off.
            self._write({"Type": "Application", "Name": "Burrow", "Hidden": "true", MARK: "true"})
            return
        try:
            self._own.unlink(missing_ok=True)
        except OSError as failure:
            raise _refused(self._own, failure) from failure

    def _check(self) -> None:
        state = self.state()
        if state.kind is AutostartKind.FOREIGN and state.where == str(self._own):
            raise AutostartRefused(f"Another program has {self._own}.")

    def _write(self, fields: Mapping[str, str]) -> None:
        try:
            replace_file(self._own, write_entry(fields).encode())
        except (OSError, UnicodeEncodeError) as failure:
            raise _refused(self._own, failure) from failure


class LaunchAgent:
    """`~/Library/LaunchAgents/app.burrow.Burrow.plist`. It counts from the next login on."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / f"{AGENT}.plist"

    def state(self) -> AutostartState:
        where = str(self._file)
        try:
            agent = plistlib.loads(self._file.read_bytes())
        except FileNotFoundError:
            return AutostartState(AutostartKind.OFF, (), where)
        except (OSError, ValueError, plistlib.InvalidFileException):
            return AutostartState(AutostartKind.UNKNOWN, (), where)
        command = agent.get("ProgramArguments", ()) if isinstance(agent, dict) else ()
        arguments = tuple(map(str, command)) if isinstance(command, list) else ()
        if not arguments or agent.get("Disabled") is True or agent.get("RunAtLoad") is not True:
            return AutostartState(AutostartKind.OFF, (), where)
        return AutostartState(AutostartKind.ON, arguments, where)

    def enable(self, command: Sequence[str]) -> None:
        agent = {"Label": AGENT, "ProgramArguments": list(command), "RunAtLoad": True, "ProcessType": "Interactive"}
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_bytes(plistlib.dumps(agent))
        except OSError as failure:
            raise _refused(self._file, failure) from failure

    def disable(self) -> None:
        try:
            self._file.unlink(missing_ok=True)
        except OSError as failure:
            raise _refused(self._file, failure) from failure


class RunKey:
    """The value `Burrow` of the user's `Run` key. The task manager disables it elsewhere, and only it enables again."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._where = rf"HKEY_CURRENT_USER\{RUN_KEY}\{VALUE}"

    def state(self) -> AutostartState:
        try:
            line = self._registry.read(RUN_KEY, VALUE)
            approved = self._registry.read(APPROVED_KEY, VALUE)
        except OSError:
            return AutostartState(AutostartKind.UNKNOWN, (), self._where)
        # The lowest bit of the first byte says that the user switched it off.
        disabled = isinstance(approved, bytes) and bool(approved) and bool(approved[0] & 1)
        if not isinstance(line, str) or not line or disabled:
            return AutostartState(AutostartKind.OFF, (), self._where)
        command = split_line(line)
        ours = bool(command) and "burrow" in line.lower()
        return AutostartState(AutostartKind.ON if ours else AutostartKind.FOREIGN, command, self._where)

    def enable(self, command: Sequence[str]) -> None:
        if self.state().kind is AutostartKind.FOREIGN:
            raise AutostartRefused(f"Another program has {self._where}.")
        try:
            self._registry.write(RUN_KEY, VALUE, subprocess.list2cmdline(command))
            self._registry.delete(APPROVED_KEY, VALUE)
        except OSError as failure:
            raise AutostartRefused(f"{self._where} could not be written: {failure}.") from failure

    def disable(self) -> None:
        if self.state().kind is AutostartKind.FOREIGN:
            raise AutostartRefused(f"Another program has {self._where}.")
        try:
            self._registry.delete(RUN_KEY, VALUE)
        except OSError as failure:
            raise AutostartRefused(f"{self._where} could not be removed: {failure}.") from failure


def _xdg_state(fields: Mapping[str, str], where: str) -> AutostartState:
    command = read_command(fields.get("Exec", ""))
    ours = fields.get(MARK) == "true" or _named_burrow(command)
    if not ours and command:
        return AutostartState(AutostartKind.FOREIGN, command, where)
    off = fields.get("Hidden") == "true" or fields.get("X-GNOME-Autostart-enabled") == "false" or not command
    return AutostartState(AutostartKind.OFF if off else AutostartKind.ON, () if off else command, where)


def _named_burrow(command: Sequence[str]) -> bool:
    """Whether a desktop's own tool may have made the entry, of the one that starts Burrow by hand."""
    return bool(command) and os.path.basename(command[0]).lower().startswith("burrow")


def _exists(program: str) -> bool:
    return os.path.exists(program) if os.path.isabs(program) else shutil.which(program) is not None


def _checkout() -> str:
    """The folder that `python -m app` needs to be started in; empty for a program of its own."""
    return "" if getattr(sys, "frozen", False) else str(Path(__file__).resolve().parents[3])


def _refused(file: Path, failure: Exception) -> AutostartRefused:
    reason = failure.strerror if isinstance(failure, OSError) and failure.strerror else str(failure)
    return AutostartRefused(f"{file} could not be written: {reason}.")
