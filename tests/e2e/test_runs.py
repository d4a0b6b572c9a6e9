"""A task is carried out in a real window by the survey agent of a real workspace: by keyboard alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import RunningWorkspace
from tests.e2e.pictures import pictures
from tests.e2e.test_main_path import sign_in_to_own_server
from tests.e2e.window import RunningWindow

TURN_SECONDS = 40.0
APPROVE = re.compile("Yes: Accept edits")

pytestmark = [pytest.mark.windowed, pytest.mark.x11]


def test_a_task_is_created_run_asked_about_and_followed_up(
    start_workspace: Callable[..., RunningWorkspace], tmp_path: Path
) -> None:
    workspace = start_workspace("--runs", "2", data=tmp_path / "window" / "data" / "workspace")
    album = pictures(tmp_path)
    with RunningWindow(tmp_path / "window") as window:
        sign_in_to_own_server(window, workspace.url)
        window.key("ctrl+n")
        window.find("Create task", "push button")
        window.key("shift+Tab")
        window.type("Survey the shop")
        window.key("Tab")
        window.type("Look at the repository and write a report.")
        window.key("Tab")
        window.type("hedgerow/shop")
        window.key("Tab", "ctrl+shift+Return")
        window.find(re.compile("Survey the shop"), "cell")
        window.find(APPROVE, "push button")
        window.picture(album / "run-asks.png")
        answer(window, "2", APPROVE)
        turn_ends(window)
        window.picture(album / "run.png")
        window.key("Tab")
        window.type("take your time, only read")
        window.key("Return")
        window.find("Stop", "push button")
        window.key("ctrl+period")
        turn_ends(window)
        window.find(re.compile("You stopped this turn"), seconds=3)
        assert window.quit() == 0


def answer(window: RunningWindow, key: str, choice: re.Pattern[str]) -> None:
    """Press a number until the question is gone: just after it came, it takes no key."""

    def gone() -> bool:
        window.key(key)
        return not window.shows(choice, "push button")

    window.until(gone)


def turn_ends(window: RunningWindow) -> None:
    window.until(lambda: not window.shows("Stop", "push button"), TURN_SECONDS)
