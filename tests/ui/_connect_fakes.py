"""The door of the Connect place, faked: a proxy, servers, clients and programs that a test changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast

from PySide6.QtWidgets import QApplication

from app.core.errors import BurrowError
from app.core.events import Event
from app.core.mcp.proxy.approvals import ApprovalQuestion
from app.core.mcp.proxy.parts import Decision, ProxyClient, ToolRule
from app.core.mcp.servers.definitions import HostEndpoint
from app.core.mcp.servers.server import Server, ServerState
from app.core.mcp.tools import ToolInfo
from app.ui.bridge import Bridge
from app.ui.connect.client_page import ClientPage
from app.ui.connect.facts import (
    ClientFacts,
    FilePreview,
    ProgramFacts,
    ProxiedServer,
    ProxyFacts,
    ProxyPhase,
    ServerUse,
    SnippetFacts,
    StepFacts,
    StepOutcome,
)
from app.ui.connect.place import ConnectPlace
from app.ui.context import Context
from tests.ui._servers_fakes import FakeServices
from tests.ui._tasks_fakes import FakeNavigator, settle

ADDRESS = "http://127.0.0.1:41717"
NOW = datetime.now(UTC)
CURSOR = ProgramFacts("cursor", "Cursor", found=True, version="1.7")
PROGRAMS = (
    ProgramFacts("claude-code", "Claude Code"),
    CURSOR,
    ProgramFacts("vscode", "VS Code"),
    ProgramFacts("generic", "Other"),
)
DIFF = '--- a/mcp.json\n+++ b/mcp.json\n@@ -1,3 +1,8 @@\n {\n   "mcpServers": {\n+    "posthog": {}\n   }\n'


def proxied(server_id: str, title: str, state: ServerState = ServerState.READY) -> ProxiedServer:
    definition = HostEndpoint(server_id, title, f"https://host.example/{server_id}", "")
    return ProxiedServer(Server(definition, state), f"{ADDRESS}/mcp/{server_id}")


def used(server: str = "posthog", calls: int = 14, agent: str = "cursor 1.7.2") -> ServerUse:
    return ServerUse(server, calls, datetime.now(UTC), agent)


class FakeDoor:
    """`asked` has every change in order; `fail` the error of a method by its name; `hold` keeps `create` waiting."""

    def __init__(self) -> None:
        self.changed: Event[None] = Event()
        self.tools_changed: Event[str] = Event()
        self.state = ProxyFacts(ProxyPhase.SERVING, 41717, ADDRESS)
        self.offered = [
            proxied("posthog", "PostHog"),
            proxied("notion", "Notion", ServerState.SIGN_IN),
            proxied("sqlite", "sqlite", ServerState.DISABLED),
        ]
        self.known: dict[str, ClientFacts] = {}
        self.rules: dict[tuple[str, str, str], ToolRule] = {}
        self.kinds = PROGRAMS
        self.listed: dict[str, tuple[ToolInfo, ...]] = {}
        self.account = "ana"
        self.asked: list[tuple[Any, ...]] = []
        self.fail: dict[str, BurrowError] = {}
        self.hold: asyncio.Event | None = None
        self.shown = FilePreview("/home/ana/.cursor/mcp.json", DIFF)
        self.steps: Sequence[StepFacts] = (
            StepFacts("Reach the proxy", StepOutcome.DONE, "127.0.0.1:41717 answers"),
            StepFacts("PostHog: initialize", StepOutcome.DONE, "PostHog 1.4"),
            StepFacts("PostHog: list the tools", StepOutcome.RUNNING),
            StepFacts("PostHog: list the tools", StepOutcome.DONE, "23 tools"),
        )

    def put(self, client_id: str, name: str, **changes: Any) -> ClientFacts:
        """There is this client."""
        self.known[client_id] = ClientFacts(client_id, name, created_at=NOW, **changes)
        self.changed.emit(None)
        return self.known[client_id]

    def become(self, phase: ProxyPhase, **changes: Any) -> None:
        """The proxy is in this state."""
        self.state = replace(self.state, phase=phase, **changes)
        self.changed.emit(None)

    def proxy(self) -> ProxyFacts:
        return self.state

    def servers(self) -> tuple[ProxiedServer, ...]:
        return tuple(self.offered)

    def clients(self) -> tuple[ClientFacts, ...]:
        return tuple(self.known.values())

    async def load(self) -> None:
        self._note("load")

    async def watch(self) -> None:
        await asyncio.Event().wait()

    async def programs(self) -> tuple[ProgramFacts, ...]:
        return self.kinds

    async def set_on(self, on: bool) -> None:
        self._note("set_on", on)
        self.become(ProxyPhase.SERVING if on else ProxyPhase.OFF, address=ADDRESS if on else "")

    async def set_port(self, port: int) -> None:
        self._note("set_port", port)
        self.become(self.state.phase, port=port, address=f"http://127.0.0.1:{port}")

    async def retry(self) -> None:
        self._note("retry")

    async def create(self, name: str, program: str, servers: frozenset[str] | None) -> tuple[str, str]:
        self._note("create", name, program, servers)
        if self.hold is not None:
            await self.hold.wait()
        client_id = f"c{len(self.known) + 1}"
        self.put(client_id, name, program=program, servers=servers)
        return client_id, f"bw_{client_id}_1"

    async def renew_key(self, client_id: str) -> str:
        self._note("renew_key", client_id)
        return f"bw_{client_id}_2"

    async def rename(self, client_id: str, name: str) -> None:
        self._note("rename", client_id, name)
        self._change(client_id, name=name)

    async def revoke(self, client_id: str) -> None:
        self._note("revoke", client_id)
        self._change(client_id, revoked_at=NOW)

    async def choose_servers(self, client_id: str, servers: frozenset[str] | None) -> None:
        self._note("choose_servers", client_id, servers)
        self._change(client_id, servers=servers)

    async def tools(self, server_id: str, *, refresh: bool = False) -> tuple[ToolInfo, ...]:
        self._note("tools", server_id)
        return self.listed.get(server_id, ())

    def rule_of(self, client_id: str, server_id: str, tool: str) -> ToolRule | None:
        return self.rules.get((client_id, server_id, tool))

    async def set_rules(self, client_id: str, server_id: str, rules: Sequence[tuple[str, ToolRule | None]]) -> None:
        self._note("set_rules", client_id, server_id, tuple(rules))
        for tool, rule in rules:
            if rule is None:
                self.rules.pop((client_id, server_id, tool), None)
            else:
                self.rules[client_id, server_id, tool] = rule
        self.changed.emit(None)

    async def snippets(self, client_id: str, key: str | None) -> tuple[SnippetFacts, ...]:
        key = key or "YOUR-KEY"
        text = f'{{\n  "mcpServers": {{\n    "posthog": {{\n      "url": "{ADDRESS}/mcp/posthog",\n      '
        text += f'"headers": {{"Authorization": "Bearer {key}"}}\n    }}\n  }}\n}}\n'
        return (
            SnippetFacts(
                "http",
                "Address and key",
                text,
                "This goes into ~/.cursor/mcp.json.",
                reload="Switch the server on in Cursor's settings, under MCP, if it is not on already.",
                files=("/home/ana/.cursor/mcp.json",),
            ),
            SnippetFacts(
                "stdio",
                "Command",
                '{\n  "mcpServers": {"posthog": {"command": "/usr/bin/burrow", "args": ["connect", "stdio"]}}\n}\n',
                "This goes into ~/.cursor/mcp.json.",
                files=("/home/ana/.cursor/mcp.json",),
                keyed=False,
            ),
        )

    async def preview(self, client_id: str, snippet: str, key: str | None, file: str) -> FilePreview:
        self._note("preview", client_id, snippet, key, file)
        return self.shown

    async def write(self, shown: FilePreview) -> str:
        self._note("write", shown)
        return "" if shown.new else f"{shown.path}.burrow-backup-20261129"

    async def test(self, client_id: str, key: str | None) -> AsyncIterator[StepFacts]:
        self._note("test", client_id, key)
        for step in self.steps:
            await asyncio.sleep(0)
            yield step

    def _change(self, client_id: str, **changes: Any) -> None:
        self.known[client_id] = replace(self.known[client_id], **changes)
        self.changed.emit(None)

    def _note(self, method: str, *arguments: Any) -> None:
        self.asked.append((method, *arguments))
        if method in self.fail:
            raise self.fail[method]


def question(**changes: Any) -> ApprovalQuestion:
    """A call that waits for the user's word."""
    made = ApprovalQuestion(
        ProxyClient("c1", "Cursor", "cursor"),
        "postbox",
        "Postbox",
        "send_message",
        "Send a message",
        {"to": ["ben@example.org"], "subject": "Numbers of May", "body": "Hello Ben,\n\nhere they are."},
        session="s1",
        since=time.time(),
        deadline=time.time() + 300,
    )
    return replace(made, **changes)


class FakeApprovals:
    """The questions that a test asks, and what the window answers: `answers` in order, `fail` refuses the next."""

    def __init__(self) -> None:
        self.changed: Event[None] = Event()
        self.open: tuple[ApprovalQuestion, ...] = ()
        self.attended = False
        self.answers: list[tuple[ApprovalQuestion, Decision]] = []
        self.fail: BurrowError | None = None

    def ask(self, asked: ApprovalQuestion) -> ApprovalQuestion:
        self.open = (*self.open, asked)
        self.changed.emit(None)
        return asked

    def withdraw(self, asked: ApprovalQuestion) -> None:
        self.open = tuple(each for each in self.open if each is not asked)
        self.changed.emit(None)

    async def answer(self, asked: ApprovalQuestion, decision: Decision) -> None:
        if self.fail is not None:
            failure, self.fail = self.fail, None
            raise failure
        self.answers.append((asked, decision))
        self.withdraw(asked)


@dataclass
class Shown:
    """The place in a window of its own, on a door that a test changes."""

    place: ConnectPlace
    door: FakeDoor
    navigator: FakeNavigator

    @property
    def rows(self) -> list[str]:
        """What is read of each row of the list, without isolates."""
        lines = self.place.pane.list.rows.lines()
        return [plain(line.spoken()) for line in lines]

    async def open(self, client_id: str) -> ClientPage:
        self.place.open_item(client_id)
        await settle()
        return self.place.pages.client

    async def changed(self) -> None:
        """What the door announced has arrived."""
        self.place.controller.read()
        await settle()


def plain(text: str) -> str:
    return text.replace("\u2068", "").replace("\u2069", "")


@asynccontextmanager
async def connect_place(
    qapp: QApplication,
    door: FakeDoor | None = None,
    size: tuple[int, int] = (1000, 700),
    services: FakeServices | None = None,
) -> AsyncIterator[Shown]:
    bridge, door, navigator = Bridge(), door or FakeDoor(), FakeNavigator()
    crashes: list[BaseException] = []
    bridge.crashed.connect(crashes.append)
    place = ConnectPlace(Context(cast(Any, services or FakeServices()), bridge, navigator), door=door)
    place.resize(*size)
    place.show()
    place.activateWindow()
    place.activate()
    await settle()
    try:
        yield Shown(place, door, navigator)
    finally:
        await bridge.close()
        place.close()
        place.deleteLater()
        await settle()
    assert crashes == []
