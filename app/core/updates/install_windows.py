"""Installs an update on Windows: packaging/windows/installer.nsi, silently, once this process has ended.

Windows does not replace a program that runs, so a hidden PowerShell waits for its end, runs the installer, keeps its
exit code for the next start (`trial.py`), and starts Burrow again.
"""

from __future__ import annotations

import base64
import contextlib
import ntpath
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from app.core.updates.record import INSTALLER_CODE, Trial
from app.core.updates.verified_copy import copy_verified

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from app.core.updates.release import Release

    Run = Callable[[Sequence[str]], None]

# Of installer.nsi: no window, no question.
SILENT = "/S"
POWERSHELL = ("System32", "WindowsPowerShell", "v1.0", "powershell.exe")
# What the window still sends and stores takes less.
END_SECONDS = 120


def install_windows(
    target: Path,
    release: Release,
    staged: Path,
    former: str,
    keep: Callable[[Trial], None],
    run: Run | None,
    *,
    restart: Sequence[str] | None,
) -> Trial:
    """Start what installs after the end of this process. Raises `OSError`, `UpdateRefused`."""
    # Windows starts only what has this ending. In a folder of its own: the staged one is emptied.
    installer = staged.parent.with_name(f"burrow-{release.version}-setup.exe")
    copy_verified(staged, installer, 0o700, release)
    try:
        trial = Trial(former, str(release.version), str(target), "", release.sha256)
        keep(trial)
        code = staged.parent.with_name(INSTALLER_CODE)
        code.unlink(missing_ok=True)
        script = _script(installer, code, os.getpid(), restart)
        encoded = base64.b64encode(script.encode("utf-16-le")).decode("ascii")
        (run or _start)((_powershell(), "-NoProfile", "-NonInteractive", "-EncodedCommand", encoded))
    except BaseException:
        with contextlib.suppress(OSError):
            installer.unlink(missing_ok=True)
        raise
    return trial


def _powershell() -> str:
    """Its whole path: of a bare name, Windows looks in the working directory first, which may be full of downloads."""
    return ntpath.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), *POWERSHELL)


def _script(installer: Path, code: Path, process: int, restart: Sequence[str] | None) -> str:
    lines = [
        f"$ending = Get-Process -Id {process} -ErrorAction SilentlyContinue",
        f"if ($ending) {{ $ending | Wait-Process -Timeout {END_SECONDS} }}",
        f"$setup = Start-Process -FilePath {_quoted(str(installer))} -ArgumentList {_quoted(SILENT)} -Wait -PassThru",
        f"Set-Content -LiteralPath {_quoted(str(code))} -Value $setup.ExitCode -Encoding Ascii",
        f"Remove-Item -LiteralPath {_quoted(str(installer))}",
    ]
    if restart is not None:
        arguments = subprocess.list2cmdline(restart[1:])
        given = f" -ArgumentList {_quoted(arguments)}" if arguments else ""
        lines.append(f"Start-Process -FilePath {_quoted(restart[0])}{given}")
    return "\n".join(lines)


def _quoted(text: str) -> str:
    """A verbatim string of PowerShell. It takes typographic quotes for quotes too."""
    return "'" + "".join(each * 2 if each in "'\u2018\u2019\u201a\u201b" else each for each in text) + "'"


def _start(command: Sequence[str]) -> None:
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
    subprocess.Popen(command, stdin=subprocess.DEVNULL, creationflags=flags)
