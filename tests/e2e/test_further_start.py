"""A further start hands over to the window there is, which comes forward in spite of the window in use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.window import ROOT, RunningWindow

pytestmark = pytest.mark.x11

OTHER = """
import sys
from PySide6.QtWidgets import QApplication, QLineEdit
app = QApplication([])
field = QLineEdit()
field.setWindowTitle("Another program")
field.resize(1280, 800)
field.show()
app.exec()
"""


def further(window: RunningWindow, *arguments: str, **variables: str) -> tuple[int, float]:
    """Start Burrow again; its exit code, and how long it took in seconds."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "app", "--data", str(window.data), *arguments],
        env={**window.eyes.env, **variables},
        cwd=ROOT,
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert done.stderr == b""
    return done.returncode, time.monotonic() - began


def is_in_front(window: RunningWindow) -> bool:
    """Whether the window has the focus, or a dialog of it."""
    return window.desktop.xdotool("getactivewindow", "getwindowpid") == str(window.process.pid)


def test_a_link_opens_cold_and_warm_and_the_window_comes_in_front(tmp_path: Path) -> None:
    with RunningWindow(tmp_path, "--workspace", "burrow://server/Postbox?host=workspace") as window:
        # Cold: the first start was given a link. Nobody was connected then.
        window.find("Show the server Postbox?", "heading", seconds=40)
        x, y = window.find("Show it", "push button").middle

        def agreed() -> bool:
            # Nothing happens before it has been in view for a moment.
            window.desktop.xdotool("mousemove", str(x), str(y), "click", "1")
            return not window.shows("Show it", "push button")

        window.until(agreed)
        window.find("Postbox", "heading", seconds=40)
        other = subprocess.Popen([sys.executable, "-c", OTHER], env=window.eyes.env)
        try:
            another = window.desktop.find_window("Another program")

            def use_the_other() -> None:
                window.desktop.xdotool("windowactivate", "--sync", another)
                # The window manager lets nobody take the focus with an older time than that of the last key.
                window.desktop.xdotool("key", "--window", another, "a")
                window.key("b")
                assert not is_in_front(window)

            def comes_in_front(*arguments: str, **variables: str) -> None:
                use_the_other()
                code, _seconds = further(window, *arguments, **variables)
                assert code == 0
                window.until(lambda: is_in_front(window))

            comes_in_front()
            # Warm: the second start has the link.
            comes_in_front("burrow://new?text=Fix+the+build")
            window.find("Begin a draft", "push button")
            window.key("Escape")
            window.until(lambda: not window.shows("Begin a draft", "push button"))
            window.desktop.xdotool("windowminimize", "--sync", window.id)
            comes_in_front("burrow://server/Postbox")
            window.find("Show the server Postbox?", "heading")
            window.key("Escape")
            # What a launcher says of the moment of the click is what the window manager gets.
            comes_in_front("--place", "tasks", DESKTOP_STARTUP_ID="launcher-1_TIME4000000")
            asked = ["xprop", "-id", window.id, "_NET_WM_USER_TIME"]
            said = subprocess.run(asked, env=window.eyes.env, capture_output=True, text=True, check=True)
            assert said.stdout.strip().endswith("= 4000000")
            assert window.process.poll() is None
            assert window.quit() == 0
        finally:
            other.kill()
            other.wait()


def test_a_window_that_hangs_is_said_to_hang_where_nobody_reads_the_terminal(tmp_path: Path) -> None:
    with RunningWindow(tmp_path) as window:
        window.find("Burrow", "heading")
        os.kill(window.process.pid, signal.SIGSTOP)
        second = subprocess.Popen(
            [sys.executable, "-m", "app", "--data", str(window.data)],
            env=window.eyes.env,
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        # The accessibility bus would wait for the one that hangs.
        dialog = window.desktop.find_window("Burrow does not answer")
        window.desktop.xdotool("windowactivate", "--sync", dialog, "key", "Escape")
        _out, said = second.communicate(timeout=20)
        assert second.returncode == 75
        assert f"process {window.process.pid}" in said
        assert "--new-window" in said
        another = subprocess.Popen(
            [sys.executable, "-m", "app", "--new-window", "--data", str(window.data)],
            env=window.eyes.env,
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
        )
        try:
            window.until(lambda: str(another.pid) in pids(window))
        finally:
            another.kill()
            another.wait()
            os.kill(window.process.pid, signal.SIGCONT)


def pids(window: RunningWindow) -> list[str]:
    """The processes that have a window of Burrow."""
    found = window.desktop.xdotool("search", "--onlyvisible", "--name", "Burrow").splitlines()
    return [window.desktop.xdotool("getwindowpid", each) for each in found]


def test_starts_without_a_display_hand_over_too(tmp_path: Path) -> None:
    with RunningWindow(tmp_path) as window:
        window.find("Burrow", "heading")
        assert further(window, DISPLAY="", WAYLAND_DISPLAY="")[0] == 0
