"""Whether there is a display to open a window on."""

from __future__ import annotations

import os
import sys

NO_DISPLAY = (
    "burrow: no display. Start one (for example with Xvfb), or save a picture: "
    "burrow --workspace --offscreen --screenshot FILE"
)


def has_display() -> bool:
    """Whether Qt can open a window. Only X11 and Wayland are named by environment variables."""
    if not sys.platform.startswith("linux") or os.environ.get("QT_QPA_PLATFORM") in {"offscreen", "minimal"}:
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
