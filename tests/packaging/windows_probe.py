"""Imports every module of the application as if this were Windows, and prints the failures as JSON.

The standard library and the packages of others are what they are here; ours see none of what Windows' Python does not
have.
"""

from __future__ import annotations

import asyncio
import builtins
import importlib
import json
import os
import pathlib
import pkgutil
import signal
import socket
import sys
import traceback
from types import ModuleType
from typing import Any

# https://docs.python.org/3/library: "Availability: Unix".
MODULES = ("fcntl", "grp", "pwd", "pty", "resource", "syslog", "termios", "tty")
WINDOWS_MODULES = ("msvcrt", "winreg", "_winapi")
OF_OS = (
    *("chown", "fchmod", "fchown", "fork", "getegid", "geteuid", "getgid", "getpgid", "getuid", "killpg"),
    *(
        "mkfifo",
        "openpty",
        "setsid",
        "setpgid",
        "sync",
        "uname",
        "O_DIRECTORY",
        "O_NOFOLLOW",
        "O_CLOEXEC",
        "O_NONBLOCK",
    ),
)
OF_SIGNAL = ("SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGPIPE", "pthread_kill", "pthread_sigmask")
OF_SOCKET = ("AF_UNIX", "send_fds", "recv_fds", "SCM_RIGHTS", "SO_REUSEPORT", "SO_PEERCRED")
OF_ASYNCIO = ("open_unix_connection", "start_unix_server")


def names() -> list[str]:
    import app

    return ["app", *(each.name for each in pkgutil.walk_packages(app.__path__, "app.") if "__main__" not in each.name)]


class Pretence:
    """Windows for our modules; whatever they import of others is imported as here."""

    def __init__(self) -> None:
        self._import = builtins.__import__
        self._windows = False
        self._taken = [
            (module, name, getattr(module, name))
            for module, missing in ((os, OF_OS), (signal, OF_SIGNAL), (socket, OF_SOCKET), (asyncio, OF_ASYNCIO))
            for name in missing
            if hasattr(module, name)
        ]
        pathlib.WindowsPath = pathlib.PosixPath  # type: ignore[misc, assignment]
        for name in WINDOWS_MODULES:
            sys.modules[name] = ModuleType(name)
        builtins.__import__ = self._importing

    def begin(self) -> None:
        self._windows = True
        os.name, sys.platform = "nt", "win32"
        for module, name, _ in self._taken:
            delattr(module, name)

    def end(self) -> None:
        self._windows = False
        os.name, sys.platform = "posix", "linux"
        for module, name, value in self._taken:
            setattr(module, name, value)

    def _importing(self, name: str, *rest: Any) -> Any:
        top = name.partition(".")[0]
        if not self._windows or top == "app":
            return self._import(name, *rest)
        if top in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r} on Windows")
        self.end()
        try:
            return self._import(name, *rest)
        finally:
            self.begin()


def main() -> None:
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    every = names()
    for name in [name for name in sys.modules if name == "app" or name.startswith("app.")]:
        del sys.modules[name]
    pretence = Pretence()
    pretence.begin()
    failures = {}
    for name in every:
        try:
            importlib.import_module(name)
        except Exception:
            failures[name] = traceback.format_exc().splitlines()[-3:]
    pretence.end()
    sys.stdout.write(json.dumps({"imported": len(every), "failures": failures}))
    sys.stdout.flush()
    # Not the rest of the interpreter's end, which is that of Linux.
    os._exit(0)


if __name__ == "__main__":
    main()
