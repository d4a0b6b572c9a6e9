"""How a real window ends, and what the next start says of it: a crash, a kill, Ctrl+Q."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from app.core.diagnostics.crashes import CrashReports
from app.core.diagnostics.run_marker import EndedRun
from tests.e2e.window import ROOT, RunningWindow

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
        assert [each.read_text() for each in reports(window)] == []
        assert window.quit() == 0
    assert os.listdir(window.data / "crashes") in ([], ["hangs.txt"])


def burrow(window: RunningWindow, *arguments: str) -> None:
    """A command on the window's data, which ends well."""
    command = [sys.executable, "-m", "app", *arguments, "--data", str(window.data)]
    subprocess.run(command, cwd=ROOT, env=window.eyes.env, check=True, capture_output=True, timeout=60)


def test_ctrl_q_asks_while_a_call_is_in_flight_and_quits_at_once_without(tmp_path: Path) -> None:
    with RunningWindow(tmp_path / "window", "--workspace") as window:
        window.find(re.compile("HED-"), "cell")
        server = f"{sys.executable} {ROOT / 'tests' / 'e2e' / 'silent_server.py'}"
        burrow(window, "mcp", "add", "--stdio", server, "--title", "Silent")
        window.key("ctrl+2")
        window.find(re.compile("^Silent"), "cell")
        for name in ("Silent", "Wait for ever"):
            window.key("ctrl+k")
            window.type(name)
            window.find(re.compile(name))
            window.key("Return")
            window.find(name, "heading")
            # The palette knows the tools of a server once they are listed.
            window.find(re.compile("^Wait for ever"))
        window.find("Run", "push button").press()
        window.find(re.compile("^Cancel"), "push button")
        window.key("ctrl+q")
        question = window.desktop.find_window("Quit while this is under way")
        window.find("Wait for ever on Silent")
        window.desktop.screenshot(tmp_path / "question.png")
        # Stay has the focus, so a key that was pressed by mistake ends nothing.
        window.desktop.xdotool("windowactivate", "--sync", question)
        window.key("Return")
        window.until(lambda: not window.shows("Wait for ever on Silent"))
        assert window.process.poll() is None
        window.desktop.xdotool("windowactivate", "--sync", window.id)
        window.key("ctrl+period")
        window.until(lambda: not window.shows(re.compile("^Cancel"), "push button"))
        window.key("ctrl+q")
        assert window.process.wait(10) == 0
    assert os.listdir(window.data / "crashes") == ["hangs.txt"]


def settings_of(window: RunningWindow) -> dict[str, str]:
    with closing(sqlite3.connect(f"file:{window.data / 'burrow.sqlite3'}?mode=ro", uri=True)) as database:
        return dict(database.execute("SELECT key, value FROM settings WHERE key LIKE 'ui.%' OR key = 'host'"))


def test_safe_mode_starts_plainly_changes_no_setting_and_leads_back(tmp_path: Path) -> None:
    with RunningWindow(tmp_path / "window", "--workspace") as window:
        window.find(re.compile("HED-"), "cell")
        window.key("ctrl+plus", "ctrl+plus")
        window.until(lambda: settings_of(window).get("ui.scale") == "1.25")
        assert window.quit() == 0
        before = settings_of(window)
        window._arguments = ("--safe-mode",)
        window.start()
        window.find(re.compile("^Safe mode: "))
        window.picture(tmp_path / "safe.png")
        # Nobody is connected before the user chooses.
        window.find("Try it here", "push button")
        window.key("ctrl+plus")
        window.find("Restart normally", "push button").press()
        assert window.process.wait(10) == 0
        assert settings_of(window) == before
        # It has started again by itself, as it was before.
        marker = (window.data / "crashes").glob
        window.until(lambda: list(marker("*.run")))
        [found] = marker("*.run")
        pid = json.loads(found.read_text())["pid"]
        try:
            window.find(re.compile("HED-"), "cell")
            assert not window.shows(re.compile("^Safe mode: "))
        finally:
            os.kill(pid, signal.SIGTERM)
            window.until(lambda: not list(marker("*.run")))


def crashed_at_start(window: RunningWindow, times: int) -> None:
    """Burrow has just crashed so often while it started."""
    reports = CrashReports(window.data, {})
    for number in range(times):
        at = time.time() - times + number
        reports.of_run(EndedRun(1, at - 1, "0.1.0", "Fatal Python error: Aborted", at))


def test_after_two_crashed_starts_safe_mode_is_offered_and_after_three_it_is_taken(tmp_path: Path) -> None:
    with RunningWindow(tmp_path / "window", "--workspace") as window:
        window.find(re.compile("HED-"), "cell")
        assert window.quit() == 0
        crashed_at_start(window, 2)
        window.start()
        window.find("Burrow crashed twice while it started")
        window.desktop.screenshot(tmp_path / "start.png")
        window.find("Start in safe mode", "push button").press()
        assert window.process.wait(10) == 0
        window.find(re.compile("^Safe mode: "))
        [marker] = (window.data / "crashes").glob("*.run")
        os.kill(json.loads(marker.read_text())["pid"], signal.SIGTERM)
        window.until(lambda: not marker.exists())
        crashed_at_start(window, 3)
        window.start()
        window.find(re.compile("^Safe mode: "))
        assert window.quit() == 0
