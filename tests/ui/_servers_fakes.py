"""The services of the servers place, faked at the core's boundary; a call waits for the test's word."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from app.core.auth.grant.grant import Grant
from app.core.auth.oauth.step_up import StepUp
from app.core.auth.tokens import TokenSet
from app.core.errors import BurrowError
from app.core.events import Event
from app.core.mcp.protocol.calls import ToolCall
from app.core.mcp.results.blocks import Block, TextBlock
from app.core.mcp.servers.definitions import HostEndpoint, InstalledServer
from app.core.mcp.servers.server import Server, ServerState
from app.core.mcp.tool_list import read_tools
from app.core.mcp.tools import Annotations, ToolInfo
from app.core.posthog.types import Installation, Project, ServerTemplate, User
from tests.ui._tasks_fakes import ANA, FakeNavigator, FakeServices, FakeSession, settle, until

__all__ = ["FakeNavigator", "FakeServices", "settle", "until"]

CORPORA = Path(__file__).parents[1] / "corpora"
TEXT_SCHEMA = {
    "type": "object",
    "properties": {
        "query": {"type": "string", "description": "What to look for"},
        "limit": {"type": "integer", "minimum": 1, "maximum": 50},
        "deep": {"type": "boolean"},
    },
    "required": ["query"],
}


def tool(name: str, row: int = 0, *, schema: dict[str, Any] | None = None, **fields: Any) -> ToolInfo:
    chosen = schema if schema is not None else TEXT_SCHEMA
    made = ToolInfo(name=name, input_schema=chosen, description=f"Does {name}.", row=row, raw={"name": name})
    return replace(made, **fields)


READS = Annotations(read_only=True)
WRITES = Annotations(read_only=False, destructive=True)


def installation(number: int = 1, **fields: Any) -> Installation:
    made = Installation(f"i{number}", name=f"Vendor {number}", url=f"https://v{number}.example/mcp")
    return msgspec.structs.replace(made, **fields)


def installed(made: Installation, state: ServerState = ServerState.READY) -> Server:
    return Server(InstalledServer(made), state)


def own(count: int | None = None) -> Server:
    return Server(HostEndpoint("posthog", "PostHog", "https://host.example/mcp", ""), tool_count=count)


def corpus(name: str) -> list[ToolInfo]:
    return read_tools(json.loads((CORPORA / name).read_text())["tools"])


def text_answer(text: str = "ok", **fields: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], **fields}


class FakeCall:
    """A call the server has received; the test answers it."""

    def __init__(self, server: str, tool: str, arguments: dict[str, Any]) -> None:
        self.server, self.tool, self.arguments = server, tool, arguments
        self.answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.report: Any = None
        self.cancelled = False

    def give(self, raw: dict[str, Any] | None = None) -> None:
        self.answer.set_result(text_answer() if raw is None else raw)

    def refuse(self, error: BurrowError) -> None:
        self.answer.set_exception(error)


class FakeServers:
    def __init__(self, servers: list[Server], tools: dict[str, list[ToolInfo]]) -> None:
        self.changed: Event[tuple[Server, ...]] = Event()
        self.tools_changed: Event[str] = Event()
        self.servers = list(servers)
        self.kept = tools
        self.calls: list[FakeCall] = []
        self.asked: list[tuple[Any, ...]] = []
        self.fail: dict[str, BurrowError] = {}
        self.policy_fails: set[str] = set()
        self.resources: dict[str, tuple[Block, ...]] = {}
        self.at_once = self.most_at_once = 0
        self.silence = 60.0

    async def list(self, *, refresh: bool = False) -> tuple[Server, ...]:
        self.asked.append(("list", refresh))
        self._maybe_fail("list")
        self.changed.emit(tuple(self.servers))
        return tuple(self.servers)

    async def tools(self, server_id: str, *, refresh: bool = False) -> tuple[ToolInfo, ...]:
        self.asked.append(("tools", server_id, refresh))
        self._maybe_fail(f"tools {server_id}")
        return tuple(self.kept.get(server_id, ()))

    def start_call(self, server_id: str, tool: ToolInfo, arguments: dict[str, Any]) -> ToolCall:
        call = FakeCall(server_id, tool.name, arguments)
        self.calls.append(call)

        async def run(report: Any) -> dict[str, Any]:
            call.report = report
            try:
                return await call.answer
            except asyncio.CancelledError:
                call.cancelled = True
                raise

        return ToolCall(run, silence=self.silence)

    async def set_policy(self, server_id: str, name: str, state: str) -> ToolInfo | None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        self.asked.append(("policy", name, state))
        if name in self.policy_fails:
            raise BurrowError("The team does not allow this.")
        self.kept[server_id] = [replace(t, policy=state) if t.name == name else t for t in self.kept[server_id]]
        self.tools_changed.emit(server_id)
        return None

    async def read_resource(self, server_id: str, uri: str) -> tuple[Block, ...]:
        self.asked.append(("read", uri))
        self._maybe_fail("read")
        return self.resources.get(uri, (TextBlock(f"content of {uri}"),))

    def _maybe_fail(self, name: str) -> None:
        error = self.fail.pop(name, None)
        if error is not None:
            raise error


class FakeStore:
    def __init__(self, servers: FakeServers) -> None:
        self._servers = servers
        self.offers: list[ServerTemplate] = []
        self.asked: list[tuple[Any, ...]] = []
        self.answer: Installation | str = "https://vendor.example/authorize"
        self.fail: BurrowError | None = None
        self.listed: list[Installation] = []

    async def templates(self) -> tuple[ServerTemplate, ...]:
        return tuple(self.offers)

    async def installations(self) -> tuple[Installation, ...]:
        self.asked.append(("installations",))
        return tuple(self.listed)

    async def install(self, template: ServerTemplate, api_key: str | None = None) -> Installation | str:
        return self._take("install", template.id, api_key)

    async def install_custom(self, name: str, url: str, **fields: Any) -> Installation | str:
        return self._take("custom", name, url, fields)

    async def authorize(self, installation_id: str) -> str:
        return str(self._take("authorize", installation_id))

    async def update(self, installation_id: str, *, is_enabled: bool | None = None) -> None:
        self._take("update", installation_id, is_enabled)
        for place, server in enumerate(self._servers.servers):
            if server.installation is not None and server.installation.id == installation_id:
                kept = msgspec.structs.replace(server.installation, is_enabled=bool(is_enabled))
                state = ServerState.READY if is_enabled else ServerState.DISABLED
                self._servers.servers[place] = replace(server, definition=InstalledServer(kept), state=state)

    async def remove(self, installation_id: str) -> None:
        self._take("remove", installation_id)
        self._servers.servers = [s for s in self._servers.servers if s.id != installation_id]

    async def refresh_tools(self, installation_id: str) -> tuple[()]:
        self._take("refresh", installation_id)
        return ()

    def _take(self, *what: Any) -> Installation | str:
        self.asked.append(what)
        if self.fail is not None:
            error, self.fail = self.fail, None
            raise error
        return self.answer


class FakeBackend:
    def __init__(self, servers: list[Server] | None = None, tools: dict[str, list[ToolInfo]] | None = None) -> None:
        self.session = FakeSession()
        self.servers = FakeServers(servers if servers is not None else [own()], tools or {})
        self.store = FakeStore(self.servers)
        self.scope = ANA
        self.project: Project | None = Project(1, "web")
        self.account = User(uuid="ana", first_name="ana")
        self.changed: Event[Any] = Event()
        self.grant = Grant(TokenSet("pha_1", scope="openid user:read project:read task:read"), "client")
        self.step_up = StepUp(lambda: self.grant, lambda: self.scope, self.ready)

    def grants(self, scope: str) -> None:
        """From now on the current sign-in has these permissions."""
        self.grant = replace(self.grant, tokens=replace(self.grant.tokens, scope=scope))

    async def ready(self) -> None:
        return None


def actions(widget: Any) -> dict[str, Callable[[], None]]:
    """The visible buttons inside a widget by their words."""
    from PySide6.QtWidgets import QPushButton

    return {b.text(): b.click for b in widget.findChildren(QPushButton) if b.isVisibleTo(widget)}
