"""A window on two screens: where it was with them, in view without one of them, and back once it is there again."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.desktop import Desktop
from tests.e2e.window import ROOT, RunningWindow

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


STARTED = """
import sys
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication, QWidget
from app.ui.shell.layout import PLACES_SETTING, WindowLayout
from app.ui.shell.window_places import place_of

class Settings:
    def get(self, key, default=None):
        return [place] if key == PLACES_SETTING else default

app = QApplication([])
window = QWidget()
place = [*place_of(window)[:2], 60, 80, 800, 500, sys.argv[1]]
layout = WindowLayout(window, Settings(), place=lambda: "", drawer=lambda: None)
layout.restore()
window.show()
QTimer.singleShot(500, lambda: (print(layout._here()[2:], flush=True), app.quit()))
app.exec()
"""


@pytest.mark.parametrize("state", ["normal", "maximized", "full-screen"])
def test_a_window_keeps_its_state_and_what_it_goes_back_to(state: str) -> None:
    with Desktop() as desktop:
        done = subprocess.run(
            [sys.executable, "-c", STARTED, state],
            env=desktop.env,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout.strip() == repr((60, 80, 800, 500, state))


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
