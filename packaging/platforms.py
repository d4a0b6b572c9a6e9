"""What the executable is made with on one platform only; packaging/burrow.spec runs this file.

`EXE_OPTIONS` are more keyword arguments of PyInstaller's `EXE`, such as an icon and a version resource. `bundle` may
make more of the collected folder, such as an application bundle for macOS. Both are read when the spec runs, on the
platform that is built for. No import of this project: PyInstaller runs the spec without its root on `sys.path`.
"""

from __future__ import annotations

from typing import Any

EXE_OPTIONS: dict[str, Any] = {}


def bundle(collected: Any) -> None:
    """Make more of the collected folder (PyInstaller's `COLLECT`). On Linux the folder is all there is."""
