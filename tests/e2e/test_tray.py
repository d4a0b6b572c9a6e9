"""Burrow in the tray: the window goes, the proxy answers, agents' questions arrive as notifications, Quit ends it."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from app.core.mcp.proxy.parts import ToolRule
from app.core.mcp.proxy.service import PORT_SETTING
from app.core.services import HOST_SETTING, WORKSPACE, Services
from tests.core.proxy._service import free_port
from tests.e2e.test_connect import Agent
from tests.e2e.tray_host import TrayHost, tray_host
from tests.e2e.window import RunningWindow

pytestmark = pytest.mark.x11

DUNST = """[global]
    dmenu = {chooser}
    monitor = 0
"""


class TrayWindow(RunningWindow):
    """A window on a desktop with a tray and dunst. `chosen` is what is pressed in dunst's list of buttons."""

    def __init__(self, folder: Path, *arguments: str, tray: bool = True) -> None:
        super().__init__(folder, *arguments)
        self._tray = tray
        self.host: TrayHost | None = None
        self.hidden = "--hidden" in arguments

    def start(self) -> None:
        self.env = {**os.environ, **self.desktop.env, **self.service.variables}
        if self._tray and self.host is None:
            self.host = self._stack.enter_context(tray_host(self.env["DBUS_SESSION_BUS_ADDRESS"]))
        if self.hidden:
            self.start_hidden()
        else:
            super().start()

    def start_hidden(self) -> None:
        """Start it without waiting for a window."""
        command = [*self._command, "--data", str(self.data), *self._arguments]
        self.process = subprocess.Popen(
            command, env=self.eyes.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.log
        )

    @contextmanager
    def dunst(self) -> Iterator[None]:
        """The notification server, whose list of buttons `choose` answers."""
        chooser = self._folder / "chooser"
        self.chosen = self._folder / "chosen"
        chooser.write_text(f'#!/bin/sh\ngrep -F "$(cat {self.chosen})" | head -1\n')
        chooser.chmod(0o755)
        config = self._folder / "dunstrc"
        config.write_text(DUNST.format(chooser=chooser))
        with (self._folder / "dunst.log").open("wb") as log:
            server = subprocess.Popen(["dunst", "-config", str(config)], env=self.env, stdout=log, stderr=log)
            try:
                self.until(lambda: self.dunstctl("count", "displayed") == "0")
                yield
            finally:
                server.terminate()
                server.wait(5)

    def dunstctl(self, *arguments: str) -> str:
        done = subprocess.run(["dunstctl", *arguments], env=self.env, capture_output=True, text=True, timeout=20)
        return done.stdout.strip()

    def choose(self, words: str) -> None:
        """Press a button of the notification."""
        self.chosen.write_text(words)
        self.dunstctl("context")

    def visible(self) -> bool:
        """Whether the window is shown; an icon of X's own tray is a window of the same name."""
        found = self.windows()
        return self.id in found if hasattr(self, "id") else bool(found)

    def windows(self) -> set[str]:
        """The visible windows of Burrow."""
        command = ["xdotool", "search", "--onlyvisible", "--class", "burrow"]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=20)
        return set(done.stdout.split())


class XTrayWindow(TrayWindow):
    """A window on a desktop with trayer, a tray of the X protocol."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, tray=False)

    def start(self) -> None:
        self.tray = subprocess.Popen(["trayer", "--edge", "top", "--height", "24"], env=self.desktop.env)
        self._stack.callback(self.tray.wait, 5)
        self._stack.callback(self.tray.terminate)
        super().start()


async def prepare(folder: Path) -> tuple[str, str]:
    """A client that must ask before it lists tasks; its address and key."""
    services = Services(folder)
    await services.storage.settings.set(HOST_SETTING, WORKSPACE)
    port = free_port()
    await services.storage.settings.set(PORT_SETTING, port)
    clients = services.proxy.clients
    await clients.start()
    client, key = await clients.create("Agent")
    await clients.set_rule(client.id, "workspace", "list_tasks", ToolRule.ASK)
    await clients.close()
    await services.close()
    return f"http://127.0.0.1:{port}/mcp/workspace", key


def test_in_the_tray_the_proxy_answers_and_a_question_is_refused_or_reviewed_from_its_notification(
    tmp_path: Path,
) -> None:
    url, key = asyncio.run(prepare(tmp_path / "window" / "data"))
    with ExitStack() as stack:
        # First, to end last: a call is over once the window has gone.
        pool = stack.enter_context(ThreadPoolExecutor(1))
        http = stack.enter_context(httpx.Client(trust_env=False, timeout=30))
        window = stack.enter_context(TrayWindow(tmp_path / "window", "--workspace"))
        stack.enter_context(window.dunst())
        host = window.host
        assert host is not None
        window.until(lambda: "Proxy: on, 1 client" in host.entries())
        window.find(re.compile("HED-"), "cell")
        agent = Agent(http, f"{url} Bearer {key}")
        agent.begin()

        # The first close asks.
        window.key("alt+F4")
        window.find("Keep running")
        window.key("Return")
        window.until(lambda: not window.visible())
        agent.go_on()

        call = pool.submit(agent.call, "list_tasks", {"limit": 1})
        window.until(lambda: window.dunstctl("count", "displayed") == "1")
        window.until(lambda: "waits for your answer" in host.words())
        window.choose("Refuse")
        assert "burrow/not_approved" in call.result(10)
        window.until(lambda: window.dunstctl("count", "displayed") == "0")
        assert not window.visible()

        call = pool.submit(agent.call, "list_tasks", {"limit": 1})
        window.until(lambda: window.dunstctl("count", "displayed") == "1")
        window.dunstctl("action", "0")
        window.until(window.visible)
        assert not call.done()
        window.find(re.compile("^Allow once"))
        window.until(lambda: window.dunstctl("count", "displayed") == "0")
        # Right after a question has appeared nothing is allowed.
        window.until(lambda: (window.key("alt+o"), call.done())[1])
        assert "HED-" in call.result()

        # The second one does as the first was answered.
        window.key("alt+F4")
        window.until(lambda: not window.visible())
        assert "Show Burrow" in host.entries()
        host.press("Quit Burrow")
        assert window.process.wait(10) == 0


def test_a_window_whose_tray_goes_comes_back_and_closing_quits_then(tmp_path: Path) -> None:
    with XTrayWindow(tmp_path) as window:
        window.find("Burrow", "heading")
        window.until(lambda: len(window.windows()) == 2)
        window.key("alt+F4")
        window.find("Keep running")
        window.key("Return")
        window.until(lambda: not window.visible())
        assert len(window.windows()) == 1
        window.tray.terminate()
        window.tray.wait(5)
        window.until(window.visible)
        window.desktop.xdotool("windowactivate", "--sync", window.id)
        window.key("alt+F4")
        assert window.process.wait(10) == 0


def test_started_hidden_it_serves_from_the_tray_until_it_is_told_to_end(tmp_path: Path) -> None:
    url, key = asyncio.run(prepare(tmp_path / "data"))
    with TrayWindow(tmp_path, "--workspace", "--hidden") as window, httpx.Client(trust_env=False, timeout=30) as http:
        host = window.host
        assert host is not None
        window.until(lambda: "Proxy: on, 1 client" in host.entries())
        agent = Agent(http, f"{url} Bearer {key}")
        window.until(lambda: agent.send("ping").status_code != 404)
        agent.begin()
        agent.go_on()
        assert not window.visible()
        host.activate()
        window.until(window.visible)
        window.until(lambda: "Hide Burrow" in host.entries())
        host.press("Hide Burrow")
        window.until(lambda: not window.visible())
        window.process.terminate()
        assert window.process.wait(10) == 0
