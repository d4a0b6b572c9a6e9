"""What Burrow is made of: versions, where its data is, and the notices of what it is built from."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from app import __version__

NOTICES, LICENCE, PACKAGES = "NOTICES.md", "LICENSE", Path("licences", "THIRD_PARTY.md")
LONGEST_LICENCE = 80


class Versions(NamedTuple):
    """The versions of what runs. `qt` is given by the window, empty without one."""

    burrow: str
    python: str
    system: str
    qt: str = ""

    @staticmethod
    def of_process(qt: str = "") -> Versions:
        """Those of this process."""
        return Versions(__version__, platform.python_version(), platform.platform(), qt)


def notices() -> str:
    """The licence of Burrow, the notices, and the packages with their licences. Reads files; for a worker thread.

    The application has them beside its executable. A checkout has the notices in `packaging`, and its packages are
    those that are installed.
    """
    parts = [text for name in (LICENCE, NOTICES) if (text := _read(name))]
    listed = _read(str(PACKAGES))
    parts.append(listed or "\n".join(["# Packages", "", *_installed()]))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _read(name: str) -> str:
    for folder in _folders():
        try:
            return (folder / name).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
    return ""


def _folders() -> tuple[Path, ...]:
    if getattr(sys, "frozen", False):
        return (Path(sys.executable).parent,)
    root = Path(__file__).parents[3]
    return root, root / "packaging"


def _installed() -> list[str]:
    """The installed packages with their licences, as far as their metadata state one in a few words."""
    found = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            stated = distribution.metadata.get_all("License-Expression") or distribution.metadata.get_all("License")
            words = " ".join(str((stated or [""])[0]).split())
            found[name.lower()] = f"- {name} {distribution.version}" + (
                f": {words}" if 0 < len(words) <= LONGEST_LICENCE else ""
            )
    return [line for _, line in sorted(found.items())]
