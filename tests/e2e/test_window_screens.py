"""A window on two screens: where it was with them, in view without one of them, and back once it is there again."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.window import RunningWindow

pytestmark = pytest.mark.x11

LEFT, RIGHT = "1000/260x800/210+0+0", "1000/260x800/210+1000+0"


class TwoScreens(RunningWindow):
    """One X screen, which RandR says is two monitors."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, size=(2000, 800))

    def start(self) -> None:
        if not hasattr(self, "process"):
            self.xrandr("--setmonitor", "left", LEFT, "screen")
            self.plug_in()
        super().start()

    def xrandr(self, *arguments: str) -> None:
        subprocess.run(["xrandr", *arguments], env=self.desktop.env, check=True, capture_output=True, timeout=20)

    def plug_in(self) -> None:
        self.xrandr("--setmonitor", "right", RIGHT, "none")

    def unplug(self) -> None:
        self.xrandr("--delmonitor", "right")

    def place(self) -> tuple[int, int]:
        """Of the window, without its frame."""
        found = re.search(r"Position: (-?\d+),(-?\d+)", self.desktop.xdotool("getwindowgeometry", self.id))
        assert found is not None
        return int(found[1]), int(found[2])


def test_a_window_is_where_it_was_with_the_screens_that_there_are(tmp_path: Path) -> None:
    with TwoScreens(tmp_path) as window:
        window.find("Burrow", "heading")
        window.desktop.xdotool("windowsize", "--sync", window.id, "800", "500")
        window.desktop.xdotool("windowmove", "--sync", window.id, "1120", "90")
        there = window.place()
        window.quit()
        window.start()
        assert window.place() == there

        window.unplug()
        window.until(lambda: window.place()[0] < 200)
        window.desktop.xdotool("windowmove", "--sync", window.id, "60", "140")
        alone = window.place()
        window.quit()
        window.start()
        assert window.place() == alone

        window.plug_in()
        window.until(lambda: window.place() == there)
        window.unplug()
        window.until(lambda: window.place() == alone)
