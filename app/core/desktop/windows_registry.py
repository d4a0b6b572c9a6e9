"""The user's part of the Windows registry, and the command lines in it."""

from __future__ import annotations

import contextlib
import sys
from typing import Protocol


class Registry(Protocol):
    """The part of the user's registry. All methods raise OSError."""

    def read(self, key: str, name: str) -> str | bytes | None: ...

    def write(self, key: str, name: str, value: str) -> None: ...

    def delete(self, key: str, name: str) -> None: ...


class WindowsRegistry:
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


def split_line(line: str) -> tuple[str, ...]:
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
