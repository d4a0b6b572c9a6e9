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
        window.type("Survey the sample")
        window.key("Tab")
        window.type("Look at the repository and write a report.")
        window.key("ctrl+shift+Return")
        window.find(re.compile("Survey the sample"), "cell")
        import time

        for n in range(8):
            time.sleep(2)
            window.picture(album / f"run-{n}.png")
        assert window.quit() == 0
