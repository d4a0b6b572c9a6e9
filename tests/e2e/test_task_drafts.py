"""Drafts and edits of tasks by keyboard alone, in the real window."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import RunningWorkspace
from tests.e2e.test_main_path import of_the_same_person, sign_in_to_own_server
from tests.e2e.window import RunningWindow

pytestmark = pytest.mark.x11


def test_two_drafts_a_rename_and_an_edit_by_keyboard_alone(
    start_workspace: Callable[..., RunningWorkspace], tmp_path: Path
) -> None:
    workspace = of_the_same_person(start_workspace, tmp_path)
    with RunningWindow(tmp_path / "window") as window:
        sign_in_to_own_server(window, workspace.url)
        window.find(re.compile("HED-"), "cell")
        window.key("ctrl+n")
        window.find("Create task", "push button")
        window.type("First thought")
        window.key("ctrl+n")
        window.find(re.compile("^First thought, "), "cell")
        window.type("Second thought")
        window.find(re.compile("^Second thought, "), "cell")
        window.key("Escape")
        # In the list: the first draft is below the second.
        window.key("Home", "Down", "Down")
        window.key("Return")
        window.until(lambda: window.find("Description", "text").text() == "First thought")
        window.type(" goes on")
        window.key("ctrl+Return")
        window.find(re.compile("^First thought goes on, .*HED-13"), "cell")
        window.until(lambda: not window.shows(re.compile("^First thought, "), "cell"))
        window.key("F2")
        window.find("Title", "text")
        window.key("ctrl+a")
        window.type("Half a na")
        window.key("ctrl+f")
        window.key("Escape")
        assert window.find("Title", "text").text() == "Half a na"
        window.key("F6", "F6")
        window.key("ctrl+e")
        window.find("Repository", "text")
        window.key("ctrl+Return")
        window.find(re.compile("^Half a na, .*HED-13"), "cell")
        window.until(lambda: not window.shows("Title", "text"))
