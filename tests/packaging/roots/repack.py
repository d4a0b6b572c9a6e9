"""A later version of a package, made from it: other contents at other places, as a new build has."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PADDING_BYTES = 70_001
SECONDS = 60.0


def later_deb(package: Path, folder: Path, version: str) -> Path:
    """The same program under a higher version; what is read from its executable is elsewhere in that file."""
    tree = folder / "tree"
    _run("dpkg-deb", "--raw-extract", package, tree)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {version}", control.read_text("utf-8")), "utf-8")
    move_archive(tree / "opt" / "burrow" / "burrow", folder)
    later = folder / f"burrow_{version}.deb"
    _run("dpkg-deb", "--root-owner-group", "-Zzstd", "-z1", "--build", tree, later)
    return later


def move_archive(executable: Path, folder: Path) -> None:
    """PyInstaller keeps the modules in a section of the executable: put it behind another one."""
    padding, archive = folder / "padding", folder / "archive"
    padding.write_bytes(bytes(PADDING_BYTES))
    _run("objcopy", "--dump-section", f"pydata={archive}", "--remove-section", "pydata", executable)
    _run("objcopy", "--add-section", f"padding={padding}", executable)
    _run("objcopy", "--add-section", f"pydata={archive}", executable)


def _run(*command: str | Path) -> None:
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL, timeout=SECONDS)
