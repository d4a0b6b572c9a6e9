"""The installed window on a bare system: nothing but what the package depends on, an ordinary user, the main job."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.packaging.roots.session import InstalledWindow

if TYPE_CHECKING:
    from tests.packaging.roots.root import Root
    from tests.packaging.roots.session import RootSecretService

pytestmark = [pytest.mark.serial, pytest.mark.x11]


def test_a_person_creates_a_task_and_browses_tools_in_the_installed_window(
    session_root: Root, secret_service: RootSecretService
) -> None:
    with InstalledWindow(session_root, secret_service, "--workspace") as window:

        def listed(*command: str) -> list[dict[str, str]]:
            """What the command line says of the workspace that this window runs."""
            asked = ("burrow", *command, "--host", "workspace", "--json", "--data", str(window.data))
            found: list[dict[str, str]] = json.loads(
                session_root.run(*asked, person=True, variables=secret_service.variables).stdout
            )
            return found

        window.find(re.compile(r"HED-\d+"), "cell")
        window.key("ctrl+n")
        window.find("Create task", "push button")
        window.key("shift+Tab")
        window.type("Made on a bare system")
        window.key("Tab")
        window.type("By an ordinary person.")
        window.key("ctrl+Return")
        window.find(re.compile(r"Made on a bare system, .*HED-\d+"), "cell")
        window.picture(session_root.shared / "w.png")
        assert "Made on a bare system" in {each["title"] for each in listed("tasks", "list")}

        window.key("ctrl+2")
        server = window.find(re.compile("^Workspace, "), "cell")
        window.desktop.xdotool("mousemove", *map(str, server.middle), "click", "1")
        tool = listed("mcp", "tools", "workspace")[0]
        window.find(re.compile("^" + re.escape(tool.get("title") or tool["name"])), "cell")
        assert window.quit() == 0
