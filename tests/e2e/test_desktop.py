"""The test desktop itself: windows open, become active, take keys and can be pictured; nothing stays behind."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.e2e.desktop import Desktop, DesktopError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.x11

LINE_EDIT = """
import sys
from PySide6.QtWidgets import QApplication, QLineEdit
app = QApplication([])
edit = QLineEdit()
edit.setWindowTitle("A line to type in")
edit.returnPressed.connect(lambda: (print(edit.text(), flush=True), app.quit()))
edit.show()
app.exec()
"""


@pytest.fixture(scope="module")
def desktop() -> Iterator[Desktop]:
    with Desktop() as running:
        yield running


def test_a_window_becomes_active_and_takes_typed_text(desktop: Desktop) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LINE_EDIT], env=desktop.env, stdout=subprocess.PIPE, text=True
    ) as program:
        try:
            window = desktop.find_window("A line to type in")
            desktop.xdotool("windowactivate", "--sync", window)
            desktop.xdotool("type", "burrow")
            desktop.xdotool("key", "Return")
            assert program.communicate(timeout=20)[0] == "burrow\n"
        finally:
            program.kill()


def test_a_screenshot_has_the_size_of_the_screen(desktop: Desktop, tmp_path: Path) -> None:
    picture = desktop.screenshot(tmp_path / "screen.png")
    header = picture.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(header[16:20]), int.from_bytes(header[20:24])) == desktop.size


def test_two_desktops_do_not_share_a_display(desktop: Desktop) -> None:
    with Desktop((640, 480)) as other:
        assert other.display != desktop.display
        assert other.xdotool("getdisplaygeometry") == "640 480"


def test_nothing_is_left_running_after_the_desktop() -> None:
    with Desktop() as short:
        processes = list(short._processes)
        assert [process.poll() for process in processes] == [None, None]
    assert all(process.poll() is not None for process in processes)
    with pytest.raises(DesktopError):
        short.xdotool("getdisplaygeometry")


def test_a_missing_window_is_an_error_within_its_time(desktop: Desktop) -> None:
    with pytest.raises(DesktopError, match=r"did not end within 0\.5 s"):
        desktop.find_window("no such window anywhere", seconds=0.5)


def test_a_failed_start_says_what_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DesktopError, match="Xvfb is not installed"), Desktop():
        pass
    assert len(os.listdir("/proc/self/fd")) == before
