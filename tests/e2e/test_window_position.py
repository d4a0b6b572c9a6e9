"""Where a person put the window is where the next start puts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.window import RunningWindow

pytestmark = pytest.mark.x11


def position(window: RunningWindow) -> str:
    """Position and size as the X server has them."""
    return window.desktop.xdotool("getwindowgeometry", window.id).partition("\n")[2]


def test_a_window_does_not_wander_with_each_start(tmp_path: Path) -> None:
    with RunningWindow(tmp_path) as window:
        window.find("Burrow", "heading")
        window.desktop.xdotool("windowmove", "--sync", window.id, "60", "12")
        window.quit()
        window.start()
        window.find("Burrow", "heading")
        first = position(window)
        window.quit()
        window.start()
        window.find("Burrow", "heading")
        assert position(window) == first


def test_a_window_that_hung_over_the_edge_is_on_the_screen_again(tmp_path: Path) -> None:
    with RunningWindow(tmp_path) as window:
        window.find("Burrow", "heading")
        window.desktop.xdotool("windowmove", "--sync", window.id, "200", "300")
        window.quit()
        window.start()
        window.find("Burrow", "heading")
        height = int(window.picture(tmp_path / "window.png").read_bytes()[20:24].hex(), 16)
        assert position(window).endswith(f"x{height}")
