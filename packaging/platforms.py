"""What the executables are made with on one platform only; packaging/burrow.spec runs this file.

`EXECUTABLES` are the executables of the folder, each as more keyword arguments of PyInstaller's `EXE`. `bundle` may
make more of the collected folder. Both are read when the spec runs, on the platform that is built for.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

# Files that PyInstaller reads by their path; it runs the spec once and ends.
SCRATCH = Path(tempfile.mkdtemp(prefix="burrow-spec-")) if sys.platform in {"win32", "darwin"} else Path()


def executables(platform: str, scratch: Path) -> list[dict[str, Any]]:
    """Those of a platform (`sys.platform`); writes the files they name into `scratch`."""
    if platform == "win32":
        return _windows(scratch)
    # A program with a window and one with a console are the same here, except that for PyInstaller a bundle of one with
    # a console has no window.
    return [{"name": "burrow", "console": platform != "darwin"}]


def _windows(scratch: Path) -> list[dict[str, Any]]:
    """One without a console, for shortcuts and links, and one with it, for shells, which wait for it and its output.

    One for both would open a console first and hide it, and Windows Terminal only minimises what is hidden so.
    """
    import version
    from windows import resources

    icon = scratch / "burrow.ico"
    icon.write_bytes(resources.icon())
    found = []
    for name, console, description in (("burrow", False, "Burrow"), ("burrowc", True, "Burrow on the command line")):
        info = scratch / f"{name}.txt"
        final = f"{name}.exe" if not console else "burrow.com"
        info.write_text(resources.version_info(final, description, version.version()), encoding="utf-8")
        found.append(
            {
                "name": name,
                "console": console,
                "icon": str(icon),
                "version": str(info),
                "manifest": resources.MANIFEST,
            }
        )
    return found


def bundle_options(scratch: Path, system: str) -> dict[str, Any]:
    """The keyword arguments of PyInstaller's `BUNDLE`; `system` is the oldest macOS."""
    import version
    from macos import resources

    icon = scratch / "burrow.icns"
    icon.write_bytes(resources.icon())
    return {
        "name": "Burrow.app",
        "icon": str(icon),
        "bundle_identifier": version.BUNDLE_ID,
        "version": version.version(),
        "info_plist": resources.info_plist(version.version(), system),
    }


EXECUTABLES = executables(sys.platform, SCRATCH)


def bundle(collected: Any) -> None:
    """Make more of the collected folder (PyInstaller's `COLLECT`). On Linux and Windows the folder is all there is."""
    if sys.platform == "darwin":
        from macos import resources
        from PyInstaller.building.osx import BUNDLE

        BUNDLE(collected, **bundle_options(SCRATCH, resources.qt_minimum_system()))
