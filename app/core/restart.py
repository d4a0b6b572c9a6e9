"""Starting Burrow again: programs that outlive this process. Standard library only."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from app.core.installation import installation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# PyInstaller (6.10): the new process unpacks and finds its files itself, and takes nothing over from this one.
RESET_VARIABLE = "PYINSTALLER_RESET_ENVIRONMENT"


def start_again(arguments: Iterable[str]) -> None:
    """Start Burrow as it is installed. Called when nothing is open any more. Raises `OSError`."""
    start_detached([*installation().command, *arguments])


def start_detached(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a Burrow that goes on when this process and its terminal have ended. Raises `OSError`."""
    environment = {**os.environ, RESET_VARIABLE: "1"}
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, creationflags=flags)
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
