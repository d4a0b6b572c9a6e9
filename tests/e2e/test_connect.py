"""Connecting an agent by keyboard alone, in the real window: a client, its key, a call that asks, and its end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.core.mcp.proxy.service import PORT_SETTING
from app.core.services import HOST_SETTING, WORKSPACE, Services
from tests.core.proxy._service import free_port
from tests.e2e.window import RunningWindow

pytestmark = pytest.mark.x11

ASKS = re.compile("wants to call")


class Agent:
    """An MCP client that has nothing but what the snippet says."""

    def __init__(self, http: httpx.Client, snippet: str) -> None:
        found = re.search(r"(http://127\.0\.0\.1:\d+/mcp/[\w-]+)", snippet)
        key = re.search(r"Bearer (bw_[\w-]{43})", snippet)
        assert found is not None
        assert key is not None
        self._http, self._url = http, found.group(1)
        self._headers = {
            "authorization": f"Bearer {key.group(1)}",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2025-06-18",
        }
        self._number = 0

    def send(self, method: str, params: dict[str, Any] | None = None) -> httpx.Response:
        self._number += 1
        body = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params or {}}
        answer = self._http.post(self._url, json=body, headers=self._headers)
        if "mcp-session-id" in answer.headers:
            self._headers["mcp-session-id"] = answer.headers["mcp-session-id"]
        return answer

    def begin(self) -> None:
        opening = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "agent", "version": "3"}}
        assert self.send("initialize", opening).status_code == 200

    def go_on(self) -> None:
        done = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        assert self._http.post(self._url, json=done, headers=self._headers).status_code == 202
        assert "list_tasks" in self.send("tools/list").text

    def call(self, tool: str, arguments: dict[str, Any]) -> str:
        return self.send("tools/call", {"name": tool, "arguments": arguments}).text


async def prepare(folder: Path) -> None:
    """Burrow was here before: it opens the embedded workspace, and its port is one that is free."""
    services = Services(folder)
    await services.storage.settings.set(HOST_SETTING, WORKSPACE)
    await services.storage.settings.set(PORT_SETTING, free_port())
    await services.close()


@contextmanager
def opened(folder: Path) -> Iterator[RunningWindow]:
    asyncio.run(prepare(folder / "data"))
    with RunningWindow(folder, "--workspace") as window:
        window.find(re.compile("HED-"), "cell")
        yield window


def test_an_agent_is_connected_asked_about_and_revoked_by_keyboard_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with (
        opened(tmp_path / "window") as window,
        httpx.Client(trust_env=False, timeout=30) as http,
        ThreadPoolExecutor(1) as pool,
    ):
        window.key("ctrl+3")
        window.find(re.compile("^Local proxy, Serving"), "cell")
        window.key("ctrl+shift+l")
        window.find("Claude Code", "combo box")
        window.key("ctrl+Return")
        snippet = window.find("Snippet", "text")
        window.until(lambda: "bw_" in snippet.text())
        agent = Agent(http, snippet.text())
        window.find(re.compile("^Claude Code, Not used yet"), "cell")
        agent.begin()
        # It has said its name, and nothing else yet.
        window.find(re.compile("^Claude Code, Connected, now, 0 calls, .*agent 3"), "cell")
        agent.go_on()

        # From the button that copies to the tabs, and to the rule of a tool.
        window.key("shift+Tab", "shift+Tab", "Right", "Right")
        window.find(re.compile("List tasks.?, As set"), "cell")
        window.key("slash", "Down", "k")
        window.find(re.compile("List tasks.?, Ask"), "cell")

        call = pool.submit(agent.call, "list_tasks", {"limit": 1})
        window.find(ASKS)
        window.key("Return")
        assert window.shows(ASKS)
        window.key("ctrl+shift+a", "space")
        assert "burrow/not_approved" in call.result(10)
        window.until(lambda: not window.shows(ASKS))

        call = pool.submit(agent.call, "list_tasks", {"limit": 1})
        window.find(ASKS)
        # Right after a question has appeared nothing is allowed.
        window.until(lambda: (window.key("alt+o"), call.done())[1])
        assert "HED-" in call.result()

        call = pool.submit(agent.call, "list_tasks", {"limit": 1})
        window.find(ASKS)
        window.until(lambda: (window.key("alt+a"), call.done())[1])
        assert "HED-" in call.result()
        # For this client, and shown as its own rule.
        window.find(re.compile("List tasks.?, Allow"), "cell")
        assert "HED-" in agent.call("list_tasks", {"limit": 1})

        window.key("ctrl+k")
        window.type("revoke client")
        window.key("Return")
        window.find(re.compile("^Revoke .*Claude Code"), None)
        window.key("Tab", "space")
        window.find(re.compile("^Claude Code, Revoked"), "cell")
        assert agent.send("tools/list").status_code == 401
