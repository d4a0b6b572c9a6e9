"""The main path in a real window on a real server: sign in, create, call, heal unseen, sign in again."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.core.storage import Storage
from tests.conftest import RunningWorkspace
from tests.e2e.pictures import pictures
from tests.e2e.test_connect import Agent
from tests.e2e.window import RunningWindow

pytestmark = [pytest.mark.windowed, pytest.mark.x11]

BAR = re.compile("Sign in again to keep going")
CALL_SECONDS = 30.0


def fault(workspace: RunningWorkspace, name: str, **body: Any) -> Any:
    """Ask the fault switchboard."""
    request = urllib.request.Request(
        f"{workspace.url}/_faults/{name}",
        data=None if name == "state" else json.dumps(body).encode(),
        headers={"X-Workspace-Secret": workspace.secret, "Content-Type": "application/json"},
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        return json.load(answer)


def renewals(workspace: RunningWorkspace) -> tuple[int, int]:
    counters = fault(workspace, "state")["counters"]
    return counters["refreshes_accepted"], counters["refreshes_rejected"]


def of_the_same_person(start: Callable[..., RunningWorkspace], folder: Path) -> RunningWorkspace:
    """A workspace of the data folder that the window will use: its consent page opens with a proof from there."""
    return start(data=folder / "window" / "data" / "workspace")


def sign_in_to_own_server(window: RunningWindow, url: str) -> None:
    """From the first page to the list, by keyboard and through the consent page."""
    window.find("Try it here", "push button")
    window.key("Tab", "Right", "Right", "Tab")
    window.find("Address of your server", "text")
    window.type(url)
    window.key("Return")
    assert "You are signed in" in window.consent()
    window.find(re.compile("HED-"), "cell")


def test_a_person_works_through_a_dead_token_unseen_and_through_a_revoked_grant_with_one_sign_in(
    start_workspace: Callable[..., RunningWorkspace], tmp_path: Path
) -> None:
    workspace = of_the_same_person(start_workspace, tmp_path)
    album = pictures(tmp_path)
    with RunningWindow(tmp_path / "window") as window:
        sign_in_to_own_server(window, workspace.url)

        window.key("ctrl+n")
        window.find("Create task", "push button")
        window.key("shift+Tab")
        window.type("Fix the login page")
        window.key("Tab")
        window.type("Steps are in the ticket.")
        window.key("ctrl+Return")
        window.find(re.compile("Fix the login page, .*HED-13"), "cell")
        window.picture(album / "tasks-light.png")

        fault(workspace, "kill-access-token")
        window.key("ctrl+2")
        draw_a_chart(window)
        window.picture(album / "servers.png")
        assert renewals(workspace) == (1, 0)
        assert not window.shows(BAR)
        look_at_what_happened(window, album / "sign-in-details.png")
        let_an_agent_in(window, album)

        window.key("ctrl+1")
        window.key("ctrl+n")
        window.find("Create task", "push button")
        window.key("shift+Tab")
        window.type("Half a thought")
        window.key("Tab")
        window.type("that must not be lost")
        fault(workspace, "revoke-grant")
        window.key("ctrl+Return")
        window.find(BAR)
        window.find(re.compile("Half a thought, Waiting for sign-in"), "cell")
        window.picture(album / "sign-in-bar.png")

        window.find("Sign in", "push button").press()
        assert "You are signed in" in window.consent()
        window.find(re.compile("Half a thought, Not started, HED-14"), "cell")
        assert not window.shows(BAR)
        assert window.quit() == 0


def look_at_what_happened(window: RunningWindow, picture: Path) -> None:
    """The details, by keyboard: the renewal that nobody saw, why it was, and when the next one is due."""
    window.key("ctrl+k")
    window.type("sign-in details")
    window.find(re.compile("Sign-in details"))
    window.key("Return")
    details = window.desktop.find_window("Sign-in details")
    window.find("What: Renewed", "cell")
    window.find(re.compile("^Why: .* refused the old token"), "cell")
    window.find(re.compile("^Next due: in "), "cell")
    window.desktop.screenshot(picture, details)
    window.key("Escape")
    window.desktop.xdotool("windowactivate", "--sync", window.id)


def let_an_agent_in(window: RunningWindow, album: Path) -> None:
    """Connect an agent, have it ask before it creates a task, and refuse that: by keyboard alone."""
    window.key("ctrl+3")
    window.find(re.compile("^Local proxy, Serving"), "cell")
    window.key("ctrl+shift+l")
    window.find("Claude Code", "combo box")
    window.key("ctrl+Return")
    snippet = window.find("Snippet", "text")
    window.until(lambda: "bw_" in snippet.text())
    with httpx.Client(trust_env=False, timeout=CALL_SECONDS) as http, ThreadPoolExecutor(1) as pool:
        agent = Agent(http, snippet.text())
        agent.begin()
        agent.go_on()
        window.key("shift+Tab", "shift+Tab", "Right", "Right")
        window.find(re.compile("Create a task.?, As set"), "cell")
        window.key("slash")
        window.type("create a task")
        window.key("Down", "k")
        window.find(re.compile("Create a task.?, Ask"), "cell")
        window.key("slash", "ctrl+a", "BackSpace", "Down")
        window.find(re.compile("List tasks.?, As set"), "cell")
        window.find(re.compile("^Claude Code, Connected, now"), "cell")
        window.picture(album / "connect.png")
        window.key("ctrl+1")
        words = {
            "title": "Rotate the signing keys",
            "description": "They are a year old.",
            "repository": "hedgerow/api",
        }
        call = pool.submit(agent.call, "create_task", words)
        window.find(re.compile("^.?Claude Code.? wants to call"))
        window.picture(album / "approval.png")
        look_at_what_quitting_breaks_off(window, album / "leave.png")
        window.key("ctrl+shift+a", "space")
        assert "burrow/not_approved" in call.result(CALL_SECONDS)
        window.until(lambda: not window.shows(re.compile("wants to call")))


def look_at_what_quitting_breaks_off(window: RunningWindow, picture: Path) -> None:
    """Ask to quit while an agent waits, read what that would break off, and stay."""
    window.key("ctrl+q")
    question = window.desktop.find_window("Quit while this is under way")
    window.find("Tool calls")
    window.desktop.screenshot(picture, question)
    window.key("Escape")
    window.until(lambda: not window.shows("Tool calls"))
    window.desktop.xdotool("windowactivate", "--sync", window.id)


def draw_a_chart(window: RunningWindow) -> None:
    """List the first server's tools, find one in the palette, fill its form and run it: by keyboard alone."""
    window.find(re.compile("^List tasks, "), "cell")
    window.key("ctrl+k")
    window.type("chart events")
    window.find(re.compile("Chart events"))
    window.key("Return")
    window.find("Chart events", "heading")
    window.key("ctrl+Return")
    window.find(re.compile("1 argument to fix"))
    window.key("space")
    window.type("$pageview")
    window.key("ctrl+Return")
    window.find(re.compile("^Picture, 720 by 360"), seconds=CALL_SECONDS)


def test_a_draft_is_still_there_after_a_crash_and_a_restart_without_signing_in_again(
    start_workspace: Callable[..., RunningWorkspace], tmp_path: Path
) -> None:
    workspace = of_the_same_person(start_workspace, tmp_path)
    with RunningWindow(tmp_path / "window") as window:
        sign_in_to_own_server(window, workspace.url)
        window.key("ctrl+n")
        window.find("Create task", "push button")
        window.type("Half a task under way")
        drafts = window.data / "burrow.sqlite3"
        window.until(lambda: "Half a task under way" in stored_drafts(drafts))
        window.process.kill()
        window.process.wait(10)
        window.start()
        window.find(re.compile("HED-"), "cell")
        x, y = window.find(re.compile("^Half a task under way, "), "cell").middle
        window.desktop.xdotool("mousemove", str(x), str(y), "click", "1")
        window.until(lambda: window.find("Description", "text").text() == "Half a task under way")


def stored_drafts(database: Path) -> str:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        found = connection.execute("SELECT * FROM drafts").fetchall()
    connection.close()
    return repr(found)


def test_one_click_opens_the_embedded_workspace_and_quitting_leaves_no_process(tmp_path: Path) -> None:
    with RunningWindow(tmp_path / "window") as window:
        window.find("Try it here", "push button").press()
        window.find(re.compile("HED-"), "cell", seconds=30)
        ready = json.loads((window.data / "workspace" / "runtime.json").read_text())
        started = time.monotonic()
        assert window.quit() == 0
        took = time.monotonic() - started
        assert took < 5
        assert not alive(ready["pid"])


def test_the_embedded_workspace_does_not_outlive_a_killed_window(tmp_path: Path) -> None:
    with RunningWindow(tmp_path / "window", "--workspace") as window:
        window.find(re.compile("HED-"), "cell", seconds=30)
        ready = json.loads((window.data / "workspace" / "runtime.json").read_text())
        window.process.kill()
        window.process.wait(10)
        window.until(lambda: not alive(ready["pid"]))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A child of nobody that ended but was not waited for is not alive.
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_window_that_is_magnified_is_no_larger_than_the_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QT_SCALE_FACTOR", "1.5")
    with RunningWindow(tmp_path / "window") as window:
        window.find("Try it here", "push button")
        lines = window.desktop.xdotool("getwindowgeometry", "--shell", window.id).splitlines()
        is_at = {name: int(value) for name, value in (line.split("=") for line in lines[1:])}
        assert is_at["X"] + is_at["WIDTH"] <= 1280
        assert is_at["Y"] + is_at["HEIGHT"] <= 800


def test_without_a_display_one_line_says_how_to_go_on(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in {"DISPLAY", "WAYLAND_DISPLAY"}}
    environment.pop("QT_QPA_PLATFORM", None)
    command = [sys.executable, "-m", "app", "--data", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "--offscreen --screenshot FILE" in done.stderr


@pytest.mark.parametrize(("mode", "place"), [("light", "lab"), ("dark", "tasks")])
def test_a_picture_can_be_taken_without_a_display(tmp_path: Path, mode: str, place: str) -> None:
    data = tmp_path / "data"
    storage = Storage.open(data)

    async def remember() -> None:
        await storage.settings.set("ui.mode", mode)
        await storage.close()

    asyncio.run(remember())
    file = pictures(tmp_path) / f"{place}-{mode}.png"
    arguments = ["--workspace", "--offscreen", "--place", place, "--screenshot", str(file), "--data", str(data)]
    done = subprocess.run([sys.executable, "-m", "app", *arguments], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert file.read_bytes().startswith(b"\x89PNG")
