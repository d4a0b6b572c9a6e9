"""The files for the desktop and the shell that every Linux package has below `share`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from linux import icons

if TYPE_CHECKING:
    from linux.about import Release

HERE = Path(__file__).resolve().parent


def write(share: Path, release: Release) -> None:
    """Everything that is the same in all packages, laid out as below /usr/share."""
    applications = share / "applications"
    applications.mkdir(parents=True)
    shutil.copy(HERE / "burrow.desktop", applications)
    icons.write(share / "icons" / "hicolor")
