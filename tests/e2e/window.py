"""The real application in a real window, driven as a person would: keys, presses, a browser for the consent page."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.e2e.accessible import Accessibility
from tests.e2e.desktop import Desktop
from tests.secret_service import SecretService
from tests.workspace.browser import Browser

if TYPE_CHECKING:
    import re

    from tests.e2e.accessible import Node

ROOT = Path(__file__).resolve().parents[2]
QUIT_SECONDS = 5.0
ADDRESS_SECONDS = 20.0
LOOK_AGAIN_SECONDS = 0.05


class RunningWindow:
    """`with RunningWindow(folder, "--host", url) as window:` Burrow on a desktop and a keyring of its own.

    `$BROWSER` is a program that only writes down the address it was given, so that a test can open it in Chromium.
    """

    def __init__(
        self, folder: Path, *arguments: str, command: list[str] | None = None, size: tuple[int, int] = (1280, 800)
    ) -> None:
        self._size = size
        self._folder = folder
        self._command = command or [sys.executable, "-m", "app"]
        self._arguments = arguments
        self._stack = ExitStack()
        self._opened = folder / "opened-address"
        self.data = folder / "data"

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self.desktop = self._stack.enter_context(Desktop(self._size))
        self.service = self._stack.enter_context(SecretService())
        environment = {**os.environ, **self.desktop.env, **self.service.variables, "BROWSER": f"{self._browser()} %s"}
        environment.pop("BURROW_DATA", None)
        self.eyes = self._stack.enter_context(Accessibility(environment))
        self.log = self._stack.enter_context((self._folder / "stderr").open("wb"))
        self._stack.callback(self._end)
        self.start()
        return self

    def start(self) -> None:
        """Start the application, again after it has ended, and give its window the focus."""
        self.process = subprocess.Popen(
            [*self._command, "--data", str(self.data), *self._arguments],
            env=self.eyes.env,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.log,
        )
        self.id = self.desktop.find_window("Burrow")
        self.desktop.xdotool("windowactivate", "--sync", self.id)

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def find(self, name: str | re.Pattern[str], role: str | None = None, seconds: float = 20.0) -> Node:
        """What shows under this accessible name."""
        return self.eyes.find(name, role, seconds=seconds)

    def shows(self, name: str | re.Pattern[str], role: str | None = None) -> bool:
        """Whether something of that name shows now."""
        return any(
            self.eyes._is(node, name, role)
            for application in self.eyes.applications()
            for _, node in application.descendants()
        )

    def until(self, condition: object, seconds: float = 20.0) -> None:
        """Wait until `condition()` holds."""
        assert callable(condition)
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"it did not come to pass; there is:\n{self.eyes.outline()}"
            time.sleep(LOOK_AGAIN_SECONDS)

    def key(self, *keys: str) -> None:
        """Press keys one after another in xdotool's names."""
        self.desktop.xdotool("key", "--clearmodifiers", *keys)

    def type(self, text: str) -> None:
        """Type text into whatever has the focus."""
        self.desktop.xdotool("type", "--delay", "4", text)

    def opened_address(self) -> str:
        """The address that was handed to the browser; waits for it and forgets it."""
        self.until(lambda: self._opened.exists() and self._opened.read_text().endswith("\n"), ADDRESS_SECONDS)
        address = self._opened.read_text().strip()
        self._opened.unlink()
        return address

    def consent(self, picture: Path | None = None) -> str:
        """Approve in Chromium what the application asked for; returns what the last page says."""
        address = self.opened_address()
        with Browser(self._folder / f"profile-{time.monotonic_ns()}") as browser:
            browser.open(address)
            browser.wait_for("document.querySelector('button[value=approve]') !== null")
            if picture is not None:
                browser.screenshot(picture)
            browser.click("button[value=approve]")
            browser.wait_for("location.pathname.startsWith('/callback')")
            return str(browser.wait_for("document.body.innerText"))

    def picture(self, path: Path) -> Path:
        """A picture of the window without its frame."""
        return self.desktop.screenshot(path, self.id)

    def quit(self) -> int:
        """Ask it to end as a session manager would; the exit code."""
        self.process.terminate()
        return self.process.wait(QUIT_SECONDS)

    def _browser(self) -> Path:
        script = self._folder / "browser"
        script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$1" > "{self._opened}"\n')
        script.chmod(0o755)
        return script

    def _end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(QUIT_SECONDS)
