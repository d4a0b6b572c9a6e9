"""The pictures of the user guide, beside those of the main path: an installed Burrow from its first page to a crash."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core.links import NewTaskLink, write_link
from tests.core.updates.test_end_to_end import Installed
from tests.e2e.pictures import pictures
from tests.e2e.test_further_start import further
from tests.e2e.test_tray import XTrayWindow
from tests.e2e.window import RunningWindow

pytestmark = [pytest.mark.windowed, pytest.mark.x11]

# What a package of Burrow has, about, in bytes.
PACKAGE = 58_000_000
SIZE = ("1040", "700")
TEXT = """Say when it was renewed, and when the next renewal is due.

- `renewed 5 min ago`
- `due in 20 min`

Both have to be right after the computer slept."""
FROM_A_LINK = """The build of the shop fails since Friday.

Find the change that broke it, and say in the task what it was.

Do not update any package. Another job checks the lock file."""


class InstalledWindow(XTrayWindow):
    """An AppImage of Burrow in a window, on a desktop with a tray. A further start is one of the same file."""

    def __init__(self, folder: Path, image: Path) -> None:
        super().__init__(folder)
        self._command = [str(image)]

    def start(self) -> None:
        """Start it, again in the same tray."""
        if hasattr(self, "tray"):
            RunningWindow.start(self)
        else:
            super().start()

    def dialog(self, title: str, picture: Path) -> None:
        """A picture of the dialog with this title."""
        self.desktop.screenshot(picture, self.desktop.find_window(title))

    def dismiss(self, part: str, role: str | None = None) -> None:
        """Close the dialog that has this part, and go back to the window."""
        self.key("Escape")
        self.until(lambda: not self.shows(part, role))
        self.desktop.xdotool("windowactivate", "--sync", self.id)

    def tray_menu(self, picture: Path) -> None:
        """A picture of the menu of the icon in the tray."""
        (icon,) = self.windows() - {self.id}
        before = self.windows()
        self.desktop.xdotool("mousemove", "--window", icon, "8", "8", "click", "3")
        self.until(lambda: self.windows() - before)
        (menu,) = self.windows() - before
        self.desktop.screenshot(picture, menu)
        self.key("Escape")
        self.until(lambda: self.windows() == before)


@pytest.fixture
def window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InstalledWindow]:
    """An AppImage with an update, not started."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    (tmp_path / "installed").mkdir()
    installed = Installed(tmp_path / "installed")
    # Dates as people write them. The tools of the desktop would need the locale installed.
    installed.image.write_text(installed.image.read_text("utf-8").replace("exec", "LANG=en_GB.UTF-8 exec", 1), "utf-8")
    # The workspace is a process of its own.
    program = installed.mounted / "burrow"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m app "$@"\n')
    program.chmod(0o755)
    try:
        installed.publish("0.2.0", bytes(PACKAGE))
        with InstalledWindow(tmp_path / "window", installed.image) as made:
            yield made
    finally:
        installed.rig.server.close()


def test_the_guide_shows_what_an_installed_burrow_shows(window: InstalledWindow, tmp_path: Path) -> None:
    album = pictures(tmp_path)
    window.find("Try it here", "push button")
    window.desktop.xdotool("windowsize", "--sync", window.id, *SIZE)
    window.picture(album / "first-start.png")
    window.find("Try it here", "push button").press()
    window.find(re.compile("HED-"), "cell", seconds=40)

    window.key("ctrl+n")
    window.find("Create task", "push button")
    window.key("shift+Tab")
    window.type("Show the age of a sign-in in the list")
    window.key("Tab")
    window.find("Description", "text").write(TEXT)
    window.find(re.compile("^Show the age of a sign-in.*renewed"), "cell")
    window.find("Draft saved")
    window.picture(album / "new-task.png")

    assert further(window, write_link(NewTaskLink(FROM_A_LINK, "hedgerow/shop")))[0] == 0
    window.find("Begin a draft", "push button")
    window.dialog("Begin a draft", album / "link.png")
    window.dismiss("Begin a draft", "push button")

    window.key("ctrl+2")
    window.find("Add server", "push button").press()
    window.find(re.compile("^Workspace, Ready"), "cell")
    window.find("How it is reached: Command", "radio button").press()
    window.find("Name", "text").write("Time")
    window.find("Command", "text").write("uvx mcp-server-time --local-timezone Europe/Berlin")
    window.picture(album / "add-server.png")

    window.key("ctrl+comma")
    window.find("Start Burrow when I log in", "check box")
    window.dialog("Settings", album / "settings.png")
    window.dismiss("Start Burrow when I log in", "check box")

    window.key("ctrl+slash")
    window.find("Keyboard shortcuts", "table")
    window.dialog("Keyboard shortcuts", album / "keys.png")
    window.dismiss("Keyboard shortcuts", "table")

    window.tray_menu(album / "tray-menu.png")
    window.key("alt+F4")
    window.find("Keep running", "push button")
    window.dialog("Keep Burrow running", album / "keep-running.png")
    window.dismiss("Keep running", "push button")

    window.key("ctrl+k")
    window.type("check for updates")
    window.find(re.compile("Check for updates"))
    window.key("Return")
    window.find(re.compile("^Burrow 0.2.0 is available.* Last look"))
    window.dialog("Settings", album / "settings-updates.png")
    window.dismiss("Look once a day", "check box")
    window.key("ctrl+1")
    window.find(re.compile("HED-"), "cell")
    window.picture(album / "update.png")
    window.find("Skip this version", "push button").press()
    window.until(lambda: not window.shows(re.compile("^Burrow 0.2.0 is available")))

    window.process.send_signal(signal.SIGABRT)
    window.process.wait(10)
    window.start()
    window.find(re.compile("^Burrow ended unexpectedly"))
    window.key("ctrl+1")
    window.find(re.compile("HED-"), "cell", seconds=40)
    window.picture(album / "crash.png")
    window.process.terminate()
    assert window.process.wait(20) == 0
