"""Which program opens a file for editing.

`VISUAL` names an editor that has a window or a full screen (POSIX.1-2017, "Environment Variables"); without it the
desktop decides.
"""

from __future__ import annotations

import os
import shlex
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VARIABLE = "VISUAL"
# A desktop runs these, or what they name, instead of showing them.
WINDOWS = (
    *(".bat", ".cmd", ".com", ".cpl", ".exe", ".hta", ".jar", ".js", ".jse", ".lnk", ".msc", ".msi", ".pif", ".ps1"),
    *(".py", ".pyw", ".reg", ".scf", ".scr", ".url", ".vb", ".vbe", ".vbs", ".wsf", ".wsh"),
)
OTHERS = (".app", ".appimage", ".command", ".desktop", ".jar", ".terminal", ".webloc")
RUN_BY_DESKTOPS = frozenset(WINDOWS if os.name == "nt" else OTHERS)


def editor_command(path: Path, environment: Mapping[str, str] | None = None) -> list[str] | None:
    """Program and arguments to edit `path` with; None where the desktop decides.

    No shell reads it. An editor that cannot be found counts as none.
    """
    words = (os.environ if environment is None else environment).get(VARIABLE, "")
    try:
        command = shlex.split(words, posix=os.name == "posix")
    except ValueError:
        return None
    if not command or shutil.which(command[0]) is None:
        return None
    # An absolute path is no option, whatever the name begins with.
    return [*command, os.path.abspath(path)]


def is_run_by_desktops(path: Path) -> bool:
    """Whether opening `path` may run it: an agent may have written what a person only wants to look at."""
    # Some desktops look at what a link leads to.
    suffixes = {path.suffix.lower(), path.resolve().suffix.lower()}
    return bool(suffixes & RUN_BY_DESKTOPS) or (path.is_file() and os.access(path, os.X_OK) and os.name == "posix")
