"""How this Burrow was installed, and the command that starts it.

A package says what it is by `installation.json` beside the executable: `{"kind": "deb"}`. Standard library only.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from app.core.own_environment import appimage

NAMED_BY = "installation.json"


class InstallKind(Enum):
    """`SOURCE` is a checkout or a Python package, `FOLDER` the one-folder build as it is, `PORTABLE` the archive."""

    SOURCE = "source"
    FOLDER = "folder"
    DEB = "deb"
    RPM = "rpm"
    APPIMAGE = "appimage"
    PORTABLE = "portable"
    WINDOWS = "windows"
    MACOS = "macos"


@dataclass(frozen=True, slots=True)
class InstalledApp:
    """`command` starts Burrow again, as it is installed; `folder` has its files, None for a checkout.

    `managed` installations belong to a package manager, which alone replaces them.
    """

    kind: InstallKind
    command: tuple[str, ...]
    folder: Path | None = None

    @property
    def managed(self) -> bool:
        return self.kind in {InstallKind.DEB, InstallKind.RPM}


def installation() -> InstalledApp:
    """That of this process."""
    if not getattr(sys, "frozen", False):
        return InstalledApp(InstallKind.SOURCE, (sys.executable, "-m", "app"))
    executable = Path(sys.executable)
    # In a bundle for macOS only programs may be beside the executable.
    place = executable.parents[1] / "Resources" if sys.platform == "darwin" else executable.parent
    kind = _stated(place / NAMED_BY)
    if kind is InstallKind.APPIMAGE and appimage():
        return InstalledApp(kind, (appimage(),), executable.parent)
    return InstalledApp(kind, (str(executable),), executable.parent)


def _stated(file: Path) -> InstallKind:
    try:
        return InstallKind(json.loads(file.read_text("utf-8"))["kind"])
    except (OSError, ValueError, KeyError, TypeError):
        return InstallKind.FOLDER
