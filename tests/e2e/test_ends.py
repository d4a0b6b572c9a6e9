"""How a real window ends, and what the next start says of it: a crash, a kill, Ctrl+Q."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from tests.e2e.window import RunningWindow

pytestmark = [pytest.mark.serial, pytest.mark.x11]

# Longer than a window may take to store what is typed (`app/ui/save_soon.py`), and less than anybody would notice.
STORED_SECONDS = 0.7
ENDED = re.compile("Burrow ended unexpectedly")
TYPED = "Half a thought that must not be lost"


def begin_a_task(window: RunningWindow) -> None:
    window.find(re.compile("HED-"), "cell")
    window.key("ctrl+n")
    window.find("Create task", "push button")
    window.key("shift+Tab")
    window.type("A title")
    window.key("Tab")
    window.type(TYPED)


def reports(window: RunningWindow) -> list[Path]:
    return sorted((window.data / "crashes").glob("crash-*.txt"))


def test_a_crash_loses_no_text_and_leaves_a_report_without_secrets_that_is_told_of_once(tmp_path: Path) -> None:
    with RunningWindow(tmp_path / "window", "--workspace") as window:
        begin_a_task(window)
        time.sleep(STORED_SECONDS)
        # What the log would have if a secret had got into it.
        with (window.data / "burrow.log").open("a") as log:
            log.write("INFO canary: access_token=pha_canary0123456789 in https://h.example/cb?code=canary987654\n")
        window.process.send_signal(signal.SIGSEGV)
        assert window.process.wait(10) == -signal.SIGSEGV
        [marker] = (window.data / "crashes").glob("*.run")
        window.start()
        window.find(ENDED)
        assert not marker.exists()
        [report] = reports(window)
        text = report.read_text()
        assert "Segmentation fault" in text
        assert "Installed as: source" in text
        assert re.search(r'File ".*loop.py", line \d+ in ', text)
        assert "canary0123456789" not in text
        assert "canary987654" not in text
        assert TYPED not in text
        assert report.stat().st_mode & 0o077 == 0
        window.find(re.compile("A title"), "cell")
        window.picture(tmp_path / "told.png")
        window.find("Open report", "push button").press()
        window.find("Copy report", "push button")
        window.picture(tmp_path / "report.png")
        window.key("Escape")
        assert window.quit() == 0
        window.start()
        window.find(re.compile("A title"), "cell")
        assert not window.shows(ENDED)
        assert window.quit() == 0


def test_a_killed_window_is_told_apart_from_a_crash_and_nobody_is_bothered(tmp_path: Path) -> None:
    with RunningWindow(tmp_path / "window", "--workspace") as window:
        window.find(re.compile("HED-"), "cell")
        window.process.kill()
        window.process.wait(10)
        killed = window.process.pid
        window.start()
        window.find(re.compile("HED-"), "cell")
        log = window.data / "burrow.log"
        window.until(lambda: f"(process {killed}) ended without a trace" in log.read_text())
        assert not window.shows(ENDED)
        assert reports(window) == []
        assert window.quit() == 0
    assert os.listdir(window.data / "crashes") in ([], ["hangs.txt"])
