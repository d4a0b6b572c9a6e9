"""Start at login: read from the system each time, because people change it there too.

Linux: https://specifications.freedesktop.org/autostart-spec/0.5/. Windows: the `Run` key of the user, and what the task
manager says of it. macOS: a launch agent (launchd.plist(5)).
"""

from __future__ import annotations

import contextlib
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
from app.core.errors import BurrowError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
        return RunKey(_WindowsRegistry())
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
        home = Path(environment.get("HOME") or Path.home())
        # Relative paths are to be ignored, says the base directory specification.
        own = environment.get("XDG_CONFIG_HOME", "")
        self._own = (Path(own) if os.path.isabs(own) else home / ".config") / "autostart" / ENTRY
        shared = (environment.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")
        self._shared = [Path(each) / "autostart" / ENTRY for each in shared if os.path.isabs(each)]
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
        # A link, as people who keep such files elsewhere have, stays one.
        target = Path(os.path.realpath(self._own))
        beside = target.with_name(f"{target.name}.burrow-new")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # What a login reads is whole at any moment. Nothing that lies there is followed.
            beside.unlink(missing_ok=True)
            with beside.open("x", encoding="utf-8") as file:
                file.write(write_entry(fields))
            beside.replace(target)
        except (OSError, UnicodeEncodeError) as failure:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
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


class Registry(Protocol):
    """The part of the user's registry. All methods raise OSError."""

    def read(self, key: str, name: str) -> str | bytes | None: ...

    def write(self, key: str, name: str, value: str) -> None: ...

    def delete(self, key: str, name: str) -> None: ...


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
        command = _split_windows(line)
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


class _WindowsRegistry:
    """HKEY_CURRENT_USER. A value that is not there is None, and deleting it does nothing."""

    if sys.platform == "win32":

        def read(self, key: str, name: str) -> str | bytes | None:
            import winreg

            try:
                with winreg.OpenKey(winreg.HKEY_CURRENT_USER, key) as opened:
                    value = winreg.QueryValueEx(opened, name)[0]
            except FileNotFoundError:
                return None
            return value if isinstance(value, str | bytes) else None

        def write(self, key: str, name: str, value: str) -> None:
            import winreg

            with winreg.CreateKey(winreg.HKEY_CURRENT_USER, key) as opened:
                winreg.SetValueEx(opened, name, 0, winreg.REG_SZ, value)

        def delete(self, key: str, name: str) -> None:
            import winreg

            with (
                contextlib.suppress(FileNotFoundError),
                winreg.OpenKey(winreg.HKEY_CURRENT_USER, key, 0, winreg.KEY_SET_VALUE) as opened,
            ):
                winreg.DeleteValue(opened, name)


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


def _split_windows(line: str) -> tuple[str, ...]:
    """The arguments of a command line as `subprocess.list2cmdline` writes it: the rules of the C runtime."""
    arguments: list[str] = []
    current: list[str] = []
    quoted = begun = False
    slashes = 0
    for each in line:
        if each == "\\":
            slashes += 1
            continue
        if each == '"':
            current.append("\\" * (slashes // 2))
            if slashes % 2:
                current.append('"')
            else:
                quoted = not quoted
            begun = True
        elif each in " \t" and not quoted:
            current.append("\\" * slashes)
            if begun or slashes:
                arguments.append("".join(current))
            current, begun = [], False
        else:
            current.append("\\" * slashes + each)
            begun = True
        slashes = 0
    current.append("\\" * slashes)
    if begun or slashes:
        arguments.append("".join(current))
    return tuple(arguments)
