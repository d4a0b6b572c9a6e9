"""Imports every module of the application as if this were Windows, and prints the failures as JSON.

The standard library and the packages of others are what they are here; ours are imported again after everything that
Windows' Python does not have was taken away from them.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import pathlib
import pkgutil
import signal
import socket
import sys
import traceback

# https://docs.python.org/3/library: "Availability: Unix".
MODULES = ("fcntl", "grp", "pwd", "pty", "resource", "syslog", "termios", "tty")
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


def become_windows() -> None:
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    for module, missing in ((os, OF_OS), (signal, OF_SIGNAL), (socket, OF_SOCKET), (asyncio, OF_ASYNCIO)):
        for name in missing:
            if hasattr(module, name):
                delattr(module, name)
    pathlib.WindowsPath = pathlib.PosixPath  # type: ignore[misc, assignment]
    os.name = "nt"
    sys.platform = "win32"


def main() -> None:
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    every = names()
    for name in every:
        importlib.import_module(name)
    for name in [name for name in sys.modules if name == "app" or name.startswith("app.")]:
        del sys.modules[name]
    become_windows()
    failures = {}
    for name in every:
        try:
            importlib.import_module(name)
        except Exception:
            failures[name] = traceback.format_exc().splitlines()[-3:]
    sys.stdout.write(json.dumps({"imported": len(every), "failures": failures}))
    sys.stdout.flush()
    # Not the rest of the interpreter's end, which is that of Linux.
    os._exit(0)


if __name__ == "__main__":
    main()
