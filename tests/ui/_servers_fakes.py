"""The services of the servers place, faked at the core's boundary; a call waits for the test's word."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import msgspec

from app.core.auth.grant.grant import Grant
from app.core.auth.oauth.step_up import StepUp
from app.core.auth.status import CANCELLED
from app.core.auth.tokens import TokenSet
from app.core.errors import BurrowError, Facts, SignInNeeded
from app.core.events import Event
from app.core.mcp.protocol.calls import RunningCall
from app.core.mcp.results.blocks import Block, TextBlock
from app.core.mcp.servers.definitions import HostEndpoint, HttpServer, InstalledServer, OwnServer
from app.core.mcp.servers.server import Server, ServerState
from app.core.mcp.tool_list import read_tools
from app.core.mcp.tools import Annotations, ToolInfo
from app.core.posthog.types import Installation, Project, ServerTemplate, User
from app.core.sign_ins import SignIns
from app.core.storage import RaisedPolicy, Scope
from app.core.storage.calls import StoredCall
from app.ui.servers.kinds import installation_of
from tests.ui._tasks_fakes import ANA, FakeCredential, FakeHost, FakeNavigator, settle, until
from tests.ui._tasks_fakes import FakeServices as TasksServices

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

    def __init__(self, server: str, tool: str, arguments: dict[str, Any], *, once: bool = False) -> None:
        self.server, self.tool, self.arguments, self.once = server, tool, arguments, once
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

        self.listed: tuple[Server, ...] = ()

    async def list(self, *, refresh: bool = False) -> tuple[Server, ...]:
        self.asked.append(("list", refresh))
        self._maybe_fail("list")
        self.listed = tuple(self.servers)
        self.changed.emit(self.listed)
        return tuple(self.servers)

    async def tools(self, server_id: str, *, refresh: bool = False) -> tuple[ToolInfo, ...]:
        self.asked.append(("tools", server_id, refresh))
        self._maybe_fail(f"tools {server_id}")
        return tuple(self.kept.get(server_id, ()))

    def start_call(
        self, server_id: str, tool: ToolInfo, arguments: dict[str, Any], *, once: bool = False
    ) -> RunningCall:
        call = FakeCall(server_id, tool.name, arguments, once=once)
        self.calls.append(call)

        async def run(report: Any) -> dict[str, Any]:
            call.report = report
            try:
                return await call.answer
            except asyncio.CancelledError:
                call.cancelled = True
                raise

        return RunningCall(run, silence=self.silence)

    def address_of(self, server: Server) -> str:
        return server.url

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
            kept = installation_of(server)
            if kept is not None and kept.id == installation_id:
                kept = msgspec.structs.replace(kept, is_enabled=bool(is_enabled))
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


class FakeOwnServers:
    """The user's own servers: none, until a test adds some."""

    def __init__(self) -> None:
        self.changed: Event[None] = Event()
        self.servers: tuple[OwnServer, ...] = ()
        self.removed: list[str] = []
        self.signed_out: list[str] = []
        self.signed_in: list[str] = []
        self.pending: list[FakePendingSignIn] = []
        self.fail: BurrowError | None = None

    async def definitions(self) -> tuple[OwnServer, ...]:
        return self.servers

    def credential_of(self, server: OwnServer) -> None:
        return None

    def step_up_of(self, server: OwnServer) -> None:
        return None

    def find(self, url: str, slot: str = "") -> OwnServer | None:
        return next((server for server in self.servers if server.address == url), None)

    async def add(self, server: HttpServer) -> HttpServer:
        if self.fail is not None:
            error, self.fail = self.fail, None
            raise error
        kept = replace(server, id=f"own-{len(self.servers)}")
        self.servers = (*self.servers, kept)
        return kept

    async def sign_out(self, server_id: str) -> None:
        self.signed_out.append(server_id)

    async def remove(self, server_id: str) -> None:
        self.removed.append(server_id)
        self.servers = tuple(server for server in self.servers if server.id != server_id)

    async def begin_sign_in(self, server_id: str, **_options: Any) -> FakePendingSignIn:
        self.signed_in.append(server_id)
        self.pending.append(FakePendingSignIn())
        return self.pending[-1]


class FakePendingSignIn:
    """A browser that waits for the test's word."""

    def __init__(self) -> None:
        self.url = "https://vendor.example/authorize"
        self.url_changed: Event[str] = Event()
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.opened = 0

    def open_again(self) -> None:
        self.opened += 1

    def cancel(self) -> None:
        if not self.answer.done():
            self.answer.set_exception(SignInNeeded("Cancelled.", Facts(code=CANCELLED)))

    async def finish(self) -> None:
        await self.answer


class FakeCalls:
    """The history of calls, by account, server and tool."""

    def __init__(self) -> None:
        self.kept: dict[tuple[Any, ...], list[StoredCall]] = {}

    async def add(self, scope: Scope, server: str, tool: str, call: StoredCall) -> None:
        calls = self.kept.setdefault((scope, server, tool), [])
        calls.insert(0, call._replace(number=len(calls) + 1))

    async def list(self, scope: Scope, server: str, tool: str) -> tuple[StoredCall, ...]:
        return tuple(self.kept.get((scope, server, tool), ()))

    async def clear(self, scope: Scope, server: str, tool: str) -> None:
        self.kept.pop((scope, server, tool), None)


class FakeServices(TasksServices):
    """The services; `servers` are those of the backend that is shown, or the test's own."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = FakeCalls()
        self.storage.calls = self.calls  # type: ignore[attr-defined]
        self.backend_changed: Event[Any] = Event()
        self.own_servers = FakeOwnServers()
        self.signed_out_servers = FakeServers([], {})
        self.sign_ins = SignIns(lambda: cast(Any, self.backend), self.backend_changed, cast(Any, self.own_servers))

    @property
    def servers(self) -> FakeServers:
        backend = cast(Any, self.backend)
        return self.signed_out_servers if backend is None else cast(FakeServers, backend.servers)

    def show(self, backend: FakeBackend | None) -> None:
        """Make a backend the current one."""
        self.backend = cast(Any, backend)
        self.backend_changed.emit(backend)


class FakeSingleCalls:
    """What could not be set back is the test's to say."""

    def __init__(self) -> None:
        self.changed: Event[None] = Event()
        self.still_allowed: tuple[RaisedPolicy, ...] = ()
        self.tried = 0

    def become(self, *still_allowed: RaisedPolicy) -> None:
        self.still_allowed = still_allowed
        self.changed.emit(None)

    def set_back_soon(self) -> None:
        self.tried += 1


class FakeBackend:
    def __init__(self, servers: list[Server] | None = None, tools: dict[str, list[ToolInfo]] | None = None) -> None:
        self.host = FakeHost()
        self.credential = FakeCredential()
        self.servers = FakeServers(servers if servers is not None else [own()], tools or {})
        self.store = FakeStore(self.servers)
        self.single_calls = FakeSingleCalls()
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
