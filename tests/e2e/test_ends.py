"""How a real window ends, and what the next start says of it: a crash, a kill, Ctrl+Q."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from app.core.diagnostics.crashes import CrashReports
from app.core.diagnostics.run_marker import EndedRun
from app.core.mcp.servers.definitions import StdioServer
from app.core.runs.desk.memory import SETTING as RUNS_SETTING
from app.core.services import HOST_SETTING, WORKSPACE, Services
from tests.core.runs_local.tree import agent_in, at_work
from tests.e2e.window import ROOT, RunningWindow

pytestmark = pytest.mark.x11

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


def is_stored(window: RunningWindow, text: str) -> bool:
    """Whether the database or its log of writes has it."""
    return any(text.encode() in path.read_bytes() for path in window.data.glob("burrow.sqlite3*"))


def markers(window: RunningWindow) -> list[Path]:
    """Those of the processes that have not ended as they should."""
    return list((window.data / "crashes").glob("*.run"))


def reports(window: RunningWindow) -> list[Path]:
    return sorted((window.data / "crashes").glob("crash-*.txt"))


def test_a_crash_loses_no_text_and_is_told_of_once_without_secrets_and_a_kill_bothers_nobody(tmp_path: Path) -> None:
    with RunningWindow(tmp_path / "window", "--workspace") as window:
        begin_a_task(window)
        window.until(lambda: is_stored(window, TYPED))
        # What the log would have if a secret had got into it.
        with (window.data / "burrow.log").open("a") as log:
            log.write("INFO canary: access_token=pha_canary0123456789 in https://h.example/cb?code=canary987654\n")
        window.process.send_signal(signal.SIGSEGV)
        assert window.process.wait(10) == -signal.SIGSEGV
        [marker] = markers(window)
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
        window.process.kill()
        window.process.wait(10)
        killed = window.process.pid
        window.start()
        window.find(re.compile("A title"), "cell")
        log = window.data / "burrow.log"
        window.until(lambda: f"(process {killed}) ended without a trace" in log.read_text())
        assert not window.shows(ENDED)
        assert reports(window) == [report]
        assert window.quit() == 0
    assert {path.name for path in (window.data / "crashes").iterdir()} <= {report.name, "hangs.txt"}


async def prepare(data: Path, *servers: StdioServer, **settings: object) -> None:
    """Servers and settings of the window that starts next."""
    services = Services(data)
    for server in servers:
        await services.own_servers.add(server)
    for key, value in settings.items():
        await services.storage.settings.set(key.replace("_", "."), value)
    await services.close()


def test_ctrl_q_asks_while_a_call_is_in_flight_and_quits_at_once_without(tmp_path: Path) -> None:
    server = StdioServer("", "Silent", (sys.executable, str(ROOT / "tests" / "e2e" / "silent_server.py")))
    asyncio.run(prepare(tmp_path / "window" / "data", server))
    with RunningWindow(tmp_path / "window", "--workspace") as window:
        window.find(re.compile("HED-"), "cell")
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


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked for in /proc")
def test_a_kill_in_the_middle_of_a_local_run_leaves_no_process_and_the_next_start_offers_to_go_on(
    tmp_path: Path,
) -> None:
    agent, work = tmp_path / "agent", tmp_path / "shop"
    work.mkdir()
    choice = {"agent": msgspec.to_builtins(agent_in(agent)), "folder": str(work)}
    asyncio.run(prepare(tmp_path / "window" / "data", **{RUNS_SETTING: {"": choice}}))
    with RunningWindow(tmp_path / "window", "--workspace") as window:
        window.find(re.compile("HED-"), "cell")
        window.key("ctrl+n")
        window.find("Create task", "push button")
        window.type("say:begun wait")
        window.key("ctrl+Return")
        window.find(re.compile("say:begun"), "cell")
        window.find(re.compile("^Run on this machine"), "push button").press()
        window.find("Run here", "push button")
        window.key("ctrl+Return")
        window.find("Stop", "push button")
        window.until(lambda: at_work(agent) == {"agent.py", "grandchild"})
        [log] = (window.data / "runs").glob("*/log.jsonl")
        window.until(lambda: '"session/prompt"' in log.read_text())
        window.process.kill()
        window.process.wait(10)
        window.until(lambda: at_work(agent) == set())
        assert all(json.loads(line) for line in log.read_text().splitlines())
        window.start()
        # The list says so, and the next key leads there.
        window.find(re.compile("say:begun wait, Needs you"), "cell")
        window.picture(tmp_path / "list.png")
        window.key("ctrl+k")
        window.type("say:begun")
        window.find(re.compile("Go to task say:begun wait"))
        window.key("Return")
        window.find("This run was cut off")
        window.picture(tmp_path / "cut-off.png")
        window.find("Go on", "push button").press()
        window.until(lambda: log.read_text().count('"stopReason":"end_turn"') == 1)
        assert not window.shows("This run was cut off")
        assert window.quit() == 0
    assert at_work(agent) == set()


def settings_of(window: RunningWindow) -> dict[str, str]:
    with closing(sqlite3.connect(f"file:{window.data / 'burrow.sqlite3'}?mode=ro", uri=True)) as database:
        return dict(database.execute("SELECT key, value FROM settings WHERE key LIKE 'ui.%' OR key = 'host'"))


def test_safe_mode_starts_plainly_changes_no_setting_and_leads_back(tmp_path: Path) -> None:
    asyncio.run(prepare(tmp_path / "window" / "data", **{HOST_SETTING: WORKSPACE, "ui_scale": 1.25}))
    with RunningWindow(tmp_path / "window", "--safe-mode") as window:
        before = settings_of(window)
        assert before["ui.scale"] == "1.25"
        window.find(re.compile("^Safe mode: "))
        window.picture(tmp_path / "safe.png")
        # Nobody is connected before the user chooses.
        window.find("Try it here", "push button")
        window.key("ctrl+plus")
        window.find("Restart normally", "push button").press()
        assert window.process.wait(10) == 0
        assert settings_of(window) == before
        # It has started again by itself, as it was before.
        window.until(lambda: any(path.read_text() for path in markers(window)))
        [marker] = markers(window)
        try:
            window.find(re.compile("HED-"), "cell", seconds=40)
            assert not window.shows(re.compile("^Safe mode: "))
        finally:
            os.kill(json.loads(marker.read_text())["pid"], signal.SIGTERM)
            window.until(lambda: not marker.exists())


def crashed_at_start(data: Path, times: int) -> None:
    """Burrow has just crashed so often while it started."""
    reports = CrashReports(data, {})
    for number in range(times):
        at = time.time() - times + number
        reports.of_run(EndedRun(1, at - 1, "0.1.0", "Fatal Python error: Aborted", at))


def test_after_two_crashed_starts_safe_mode_is_offered_and_after_three_it_is_taken(tmp_path: Path) -> None:
    crashed_at_start(tmp_path / "window" / "data", 2)
    with RunningWindow(tmp_path / "window") as window:
        window.find("Burrow crashed twice while it started")
        window.desktop.screenshot(tmp_path / "start.png")
        window.find("Start in safe mode", "push button").press()
        assert window.process.wait(10) == 0
        window.find(re.compile("^Safe mode: "))
        [marker] = markers(window)
        os.kill(json.loads(marker.read_text())["pid"], signal.SIGTERM)
        window.until(lambda: not marker.exists())
        crashed_at_start(window.data, 3)
        window.start()
        window.find(re.compile("^Safe mode: "))
        assert window.quit() == 0
