"""A person's session in a root: a session bus, a keyring of the root's own programs, and a window on a desktop.

The X server, the window manager and what looks at the window are this machine's: they only look from outside.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.e2e.accessible import Accessibility
from tests.e2e.desktop import Desktop
from tests.e2e.window import RunningWindow
from tests.packaging.roots.bare import PERSON
from tests.secret_service import SERVICE, SecretService

if TYPE_CHECKING:
    from tests.e2e.accessible import Node
    from tests.packaging.roots.root import Root

PROGRAM = "/usr/bin/burrow"
# Nothing of a system that has just been installed is in the machine's memory yet.
FIRST_SECONDS = 60.0


def hand_over(folder: Path) -> None:
    """Give the root's person everything below and including this folder of its shared one."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, PERSON, PERSON, follow_symlinks=False)


class SessionBus(SecretService):
    """A session bus that the root's person can reach, by this machine's daemon; nothing answers on it."""

    def __init__(self, root: Root) -> None:
        super().__init__()
        self._root = root

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="session-", dir=self._root.shared)
        try:
            self._start_bus(Path(self._folder.name))
            self._start_keyring()
        except BaseException:
            self._stop()
            raise
        return self

    @property
    def env(self) -> dict[str, str]:
        return self._root.variables(person=True, **self.variables)

    def command(self, command: list[str]) -> tuple[list[str], int | None]:
        """What starts this program of the session, and the user that it is started as."""
        return command, PERSON

    def _start_keyring(self) -> None:
        """There is none."""

    def _start(self, command: list[str], stdout: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        assert self._folder is not None
        hand_over(Path(self._folder.name))
        whole, user = self.command(command)
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(whole, env=self.env, stdin=subprocess.PIPE, stdout=stdout, stderr=quiet, user=user)
        self._processes.append(process)
        return process


class RootSecretService(SessionBus):
    """The D-Bus daemon and the keyring that are installed in the root, run by its person."""

    def command(self, command: list[str]) -> tuple[list[str], int | None]:
        return self._root.command(*command, person=True), None

    def items(self) -> list[str]:
        """The paths of everything that is kept in unlocked collections."""
        found, _locked = self._call(SERVICE, "SearchItems", "a{ss}", {})
        return list(found)

    def _start_keyring(self) -> None:
        SecretService._start_keyring(self)


class InstalledWindow(RunningWindow):
    """`with InstalledWindow(root, bus, "--workspace") as window:` Burrow, installed in the root, in its window."""

    def __init__(self, root: Root, bus: SessionBus, *arguments: str, program: str = PROGRAM) -> None:
        super().__init__(root.shared / "window", *arguments, command=root.command(program, person=True))
        self._root = root
        self._program = program
        self.service = bus

    def __enter__(self) -> Self:
        self._folder.mkdir()
        self.desktop = self._stack.enter_context(Desktop())
        variables = {**self.desktop.variables, **self.service.variables, "BROWSER": f"{self._browser()} %s"}
        hand_over(self._folder)
        environment = self._root.variables(person=True, **variables)
        self.eyes = self._stack.enter_context(Accessibility(environment, user=PERSON))
        self.log = self._stack.enter_context((self._folder / "stderr").open("wb"))
        self._stack.callback(self._end)
        self.start()
        return self

    def find(self, name: str | re.Pattern[str], role: str | None = None, seconds: float = FIRST_SECONDS) -> Node:
        return super().find(name, role, seconds)

    def quit(self) -> int:
        self.process.terminate()
        return self.process.wait(FIRST_SECONDS)

    def listed(self, *command: str, program: str = "") -> list[dict[str, Any]]:
        """What the command line, `program` or else the window's, says of the workspace that this window runs."""
        asked = (program or self._program, *command, "--host", "workspace", "--json", "--data", str(self.data))
        said = self._root.run(*asked, person=True, variables=self.service.variables).stdout
        found: list[dict[str, Any]] = json.loads(said)
        return found

    def create_task(self, title: str) -> None:
        """By keyboard, in the list of tasks, until the server has given it a number."""
        self.key("ctrl+n")
        self.find("Create task", "push button")
        self.key("shift+Tab")
        self.type(title)
        self.key("Tab")
        self.type("By an ordinary person.")
        self.key("ctrl+Return")
        self.find(re.compile(rf"{re.escape(title)}, .*HED-\d+"), "cell")
        assert title in {task["title"] for task in self.listed("tasks", "list")}

    def browse_tool(self, program: str = "") -> None:
        """By the mouse, in the list of servers, until a tool of the workspace's server shows."""
        self.key("ctrl+2")
        server = self.find(re.compile("^Workspace, "), "cell")
        self.desktop.xdotool("mousemove", *map(str, server.middle), "click", "1")
        tool = self.listed("mcp", "tools", "workspace", program=program)[0]
        self.find(re.compile("^" + re.escape(tool.get("title") or tool["name"])), "cell")
