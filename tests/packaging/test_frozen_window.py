"""The frozen window under a real X server, as assistive technology sees it: it opens on the embedded workspace."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING

import pytest

if sys.platform != "linux":
    pytest.skip("drives an X desktop", allow_module_level=True)

from tests.e2e.window import RunningWindow

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.packaged, pytest.mark.x11]


def test_the_frozen_window_opens_on_the_workspace_and_lists_tasks_and_tools(
    burrow: Path, run_burrow: Run, tmp_path: Path
) -> None:
    with RunningWindow(tmp_path / "window", "--workspace", command=[str(burrow)]) as window:

        def listed(*command: str) -> list[dict[str, str]]:
            """What the command line says of the workspace that this window runs."""
            finished = run_burrow(*command, "--host", "workspace", "--json", "--data", str(window.data))
            found: list[dict[str, str]] = json.loads(finished.stdout)
            return found

        task = window.find(re.compile(r"HED-\d+"), "cell")
        assert task.name.split(", ")[0] in {each["title"] for each in listed("tasks", "list")}

        window.key("ctrl+2")
        server = window.find(re.compile("^Workspace, "), "cell")
        window.desktop.xdotool("mousemove", *map(str, server.middle), "click", "1")
        tool = listed("mcp", "tools", "workspace")[0]
        window.find(re.compile("^" + re.escape(tool.get("title") or tool["name"])), "cell")
        assert window.quit() == 0
