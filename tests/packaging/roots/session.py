"""A person's session in a root: a session bus and a keyring of the root's own programs, and a window on a desktop.

The X server, the window manager and what looks at the window are this machine's: they only look from outside.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.e2e.accessible import Accessibility
from tests.e2e.desktop import Desktop
from tests.e2e.window import RunningWindow
from tests.packaging.roots.bare import PERSON
from tests.secret_service import SecretService

if TYPE_CHECKING:
    from tests.packaging.roots.root import Root

KEYRING_PACKAGES = ("dbus", "gnome-keyring")


def hand_over(folder: Path) -> None:
    """Give the root's person everything below and including this folder of its shared one."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, PERSON, PERSON, follow_symlinks=False)


class RootSecretService(SecretService):
    """The keyring and the bus that are installed in the root (`KEYRING_PACKAGES`), run by its person."""

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

    def _start(self, command: list[str], stdout: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        assert self._folder is not None
        hand_over(Path(self._folder.name))
        process = subprocess.Popen(
            self._root.command(*command, person=True),
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
        )
        self._processes.append(process)
        return process


class InstalledWindow(RunningWindow):
    """`with InstalledWindow(root, service, "--workspace") as window:` Burrow, installed in the root, in its window."""

    def __init__(
        self,
        root: Root,
        service: SecretService,
        *arguments: str,
        program: str = "/usr/bin/burrow",
        name: str = "window",
    ) -> None:
        folder = root.shared / name
        super().__init__(folder, *arguments, command=root.command(program, person=True))
        self._root = root
        self.service = service

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
