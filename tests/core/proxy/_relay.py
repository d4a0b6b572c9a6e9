"""A relay on real sockets between a client and scripted servers, and a scripted MCP server with sessions."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from app.core.auth.http.target import CredentialAtStake, Target
from app.core.auth.tokens import Fingerprints
from app.core.errors import BurrowError, NotFound
from app.core.mcp.proxy.http.sender import DirectSender
from app.core.mcp.proxy.http.server import LoopbackServer
from app.core.mcp.proxy.keys import hash_of
from app.core.mcp.proxy.parts import Decision, HttpUpstream, ProxyClient, ToolRule, Upstream
from app.core.mcp.proxy.policy import DoorPolicy
from app.core.mcp.proxy.relay import Relay
from app.core.storage import Storage
from tests.core.conftest import Rig, signed_in
from tests.core.proxy._http import bound
from tests.core.scripted import DEAD, Reply, Request

KEY = "bw_" + "k" * 43
CLIENT = ProxyClient("agent", "Agent")
ACCEPT = "application/json, text/event-stream"
LEGACY = "2025-11-25"
SIGN_IN = "Open Burrow and sign in."


class ScriptedHost:
    """The process around the proxy: what it knows is set by the test, and what it was told is kept."""

    def __init__(self) -> None:
        self.clients: dict[str, ProxyClient] = {KEY: CLIENT}
        self.fresh: dict[str, ProxyClient] = {}
        # Of an older look than `clients`.
        self.known: dict[str, ProxyClient] = {}
        self.upstreams: dict[str, Upstream | BurrowError] = {}
        self.rules: dict[str, ToolRule] = {}
        self.looked_up = 0
        self.sign_ins: list[str] = []
        self.vendor_sign_ins: list[str] = []
        self.uses: list[tuple[str, str | None, str]] = []
        self.answer: Callable[[], Any] = lambda: Decision.REFUSE

    def client_of(self, key: str) -> ProxyClient | None:
        return self.clients.get(key)

    async def find_client(self, key: str) -> ProxyClient | None:
        self.looked_up += 1
        if key in self.fresh:
            self.known[key] = self.fresh[key]
        return self.fresh.get(key)

    def admits(self, key_hash: str, server_id: str) -> bool:
        known = {**self.known, **self.clients}
        client = next((client for key, client in known.items() if hash_of(key) == key_hash), None)
        return client is not None and (not server_id or client.may_use(server_id))

    def has_access(self, client_id: str, server_id: str) -> bool:
        return True

    async def upstream(self, server_id: str) -> Upstream:
        found = self.upstreams.get(server_id)
        if found is None:
            raise NotFound("no such server")
        if isinstance(found, BurrowError):
            raise found
        return found

    def rule(self, client: ProxyClient, server_id: str, tool: str) -> ToolRule:
        return self.rules.get(tool, ToolRule.ALLOW)

    def hides(self, client: ProxyClient, server_id: str) -> bool:
        return ToolRule.BLOCK in self.rules.values()

    def knows_rules(self, server_id: str) -> bool:
        return True

    async def rules_known(self, server_id: str) -> None:
        return None

    async def rules_doubted(self, server_id: str) -> None:
        pass

    async def ask(
        self, client: ProxyClient, server_id: str, tool: str, arguments: Mapping[str, Any], session: str
    ) -> Decision:
        decision = self.answer()
        found: Decision = await decision if asyncio.iscoroutine(decision) else decision
        return found

    @asynccontextmanager
    async def allowed_once(self, server_id: str, tool: str) -> AsyncIterator[None]:
        yield

    def used(self, client: ProxyClient, server_id: str, tool: str | None, agent: str) -> None:
        self.uses.append((server_id, tool, agent))

    def asks_elsewhere(self, server_id: str, tool: str) -> bool:
        return False

    async def sign_in_needed(self, upstream: HttpUpstream) -> str:
        self.sign_ins.append(upstream.id)
        return SIGN_IN

    async def vendor_sign_in_needed(self, upstream: HttpUpstream) -> None:
        self.vendor_sign_ins.append(upstream.id)


@dataclass
class Proxy:
    """A running proxy and a client of it."""

    host: ScriptedHost
    relay: Relay
    port: int
    http: httpx.AsyncClient
    storage: Storage
    server: LoopbackServer

    def url(self, server: str = "s") -> str:
        return f"http://127.0.0.1:{self.port}/mcp/{server}"

    async def post(self, message: Any, server: str = "s", **headers: str) -> httpx.Response:
        content = message if isinstance(message, bytes) else json.dumps(message)
        return await self.http.post(self.url(server), content=content, headers=_named(headers))

    async def call(self, tool: str = "count", server: str = "s", identity: int = 7, **headers: str) -> httpx.Response:
        return await self.post(call_of(tool, identity), server, **headers)

    async def initialize(self, server: str = "s") -> str:
        """Open a session; its id."""
        answer = await self.post(INITIALIZE, server)
        assert answer.status_code == 200, answer.text
        session = answer.headers["mcp-session-id"]
        told = await self.post(
            {"jsonrpc": "2.0", "method": "notifications/initialized"}, server, mcp_session_id=session
        )
        assert told.status_code == 202
        return str(session)

    async def leave(self) -> None:
        """End as a process does that waits for nothing."""
        self.relay.leave()
        await self.server.close()

    def stream(self, method: str = "GET", server: str = "s", content: Any = None, **headers: str) -> Any:
        body = None if content is None else json.dumps(content)
        return self.http.stream(method, self.url(server), content=body, headers=_named(headers))


INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "agent", "version": "1.2"}},
}


def call_of(tool: str, identity: Any = 7, **arguments: Any) -> dict[str, Any]:
    params = {"name": tool, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": identity, "method": "tools/call", "params": params}


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@asynccontextmanager
async def proxy(
    folder: Path,
    upstreams: Iterable[Upstream] = (),
    *,
    host: ScriptedHost | None = None,
    bridges: Iterable[Any] = (),
    port: int = 0,
) -> AsyncIterator[Proxy]:
    """A proxy for these servers, whose sessions are kept in `folder`."""
    host = host or ScriptedHost()
    host.upstreams.update({one.id: one for one in upstreams})
    async with AsyncExitStack() as stack:
        storage = Storage.open(folder)
        stack.push_async_callback(storage.close)
        sender = DirectSender(ssl.create_default_context)
        stack.push_async_callback(sender.close)
        listener = bound(port)
        port = listener.getsockname()[1]
        relay = Relay(
            host,
            sender,
            storage.proxy_sessions,
            DoorPolicy(host),
            port=port,
            bridges=bridges,
            fingerprint=Fingerprints(b"install"),
        )
        stack.push_async_callback(relay.close)
        server = LoopbackServer(relay.handle)
        await server.listen([listener])
        stack.push_async_callback(server.close)
        headers = {"Authorization": f"Bearer {KEY}", "Accept": ACCEPT, "Content-Type": "application/json"}
        limits = httpx.Limits(max_connections=100)
        http = httpx.AsyncClient(headers=headers, trust_env=False, verify=False, timeout=10, limits=limits)
        await stack.enter_async_context(http)
        yield Proxy(host, relay, port, http, storage, server)


def upstream_of(rig: Rig, identity: str = "s", path: str = "/mcp", **options: Any) -> HttpUpstream:
    """A server at the rig's host, which takes the rig's tokens."""
    at_stake = options.pop("at_stake", CredentialAtStake.CARRIED)
    target = Target(
        frozenset({rig.server.origin}),
        at_stake,
        jsonrpc=True,
        reports_own_auth=at_stake is CredentialAtStake.CARRIED,
        name=identity,
    )
    source = options.pop("source", rig.credential)
    return HttpUpstream(identity, identity.title(), f"{rig.server.origin}{path}", target, source, **options)


@asynccontextmanager
async def proxied(folder: Path, **options: Any) -> AsyncIterator[tuple[Rig, McpView, Proxy]]:
    """A client that is signed in at a host with one MCP server, and a proxy for it."""
    async with signed_in(folder) as rig:
        view = McpView(rig)
        rig.server.views["/mcp"] = view
        async with proxy(folder, [upstream_of(rig, **options)]) as running:
            yield rig, view, running


@dataclass
class McpView:
    """A server of revision 2025-11-25 at a rig's host. It counts what it executes by the ids of the requests.

    `sessions`: it has some, each bound to the token it was opened with if `bound`. `refusal` is what it answers to a
    token that is not the live one, `over` to a session that it does not know. `answers` come before anything else.
    """

    rig: Rig
    sessions: bool = False
    bound: bool = False
    stream: bool = False
    refusal: Reply = DEAD
    over: Reply = field(default_factory=lambda: rpc_error(404, -32001, "Session not found"))
    answers: list[Any] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=lambda: [{"name": "count"}, {"name": "echo"}])
    protocol: str = LEGACY
    opened: Counter[str] = field(default_factory=Counter)
    executed: Counter[Any] = field(default_factory=Counter)
    known: dict[str, str] = field(default_factory=dict)
    seen: list[Request] = field(default_factory=list)
    listeners: list[asyncio.Queue[bytes | None]] = field(default_factory=list)

    def restart(self) -> None:
        """Forget every session."""
        self.known.clear()
        for listener in self.listeners:
            listener.put_nowait(None)
        self.listeners.clear()

    @property
    def duplicates(self) -> int:
        return sum(count > 1 for count in self.executed.values())

    async def __call__(self, request: Request) -> Reply:
        self.seen.append(request)
        if self.answers:
            answer = self.answers.pop(0)
            if answer is not None:
                return answer(request) if callable(answer) else answer
        if self.rig.issuer.revoked or request.bearer != self.rig.issuer.access_token:
            return self.refusal
        message = json.loads(request.body) if request.body else {}
        method = message.get("method", "")
        session = request.headers.get("mcp-session-id", "")
        if method == "initialize":
            return self._open(message, request)
        if self.sessions and session not in self.known:
            return self.over
        if self.bound and self.known[session] != request.bearer:
            return Reply(401, "Invalid API key")
        if request.method == "GET":
            return self._listen()
        if request.method == "DELETE":
            self.known.pop(session, None)
            return Reply(200)
        if "id" not in message:
            return Reply(202)
        return self._answer(message)

    def _open(self, message: dict[str, Any], request: Request) -> Reply:
        self.opened[request.bearer] += 1
        info = {"serverInfo": {"name": "scripted", "version": "1"}, "capabilities": {"tools": {}}}
        result = {"protocolVersion": self.protocol, **info}
        headers = {}
        if self.sessions:
            identity = f"upstream-{sum(self.opened.values())}"
            self.known[identity] = request.bearer
            headers = {"Mcp-Session-Id": identity}
        return Reply(200, {"jsonrpc": "2.0", "id": message["id"], "result": result}, headers)

    def _answer(self, message: dict[str, Any]) -> Reply:
        if message["method"] == "tools/call":
            self.executed[message["id"]] += 1
            result: dict[str, Any] = {"content": [{"type": "text", "text": "done"}]}
        elif message["method"] == "tools/list":
            result = {"tools": self.tools}
        else:
            result = {}
        answer = {"jsonrpc": "2.0", "id": message["id"], "result": result}
        return events(answer) if self.stream else Reply(200, answer)

    def _listen(self) -> Reply:
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.listeners.append(queue)

        async def stream(writer: asyncio.StreamWriter) -> None:
            writer.write(b": open\n\n")
            while (data := await queue.get()) is not None:
                writer.write(data)
                await writer.drain()

        return Reply(200, stream=stream)


def rpc_error(status: int, code: int, message: str, **headers: str) -> Reply:
    return Reply(status, {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}, headers)


def event(message: Any) -> bytes:
    return b"event: message\ndata: " + json.dumps(message).encode() + b"\n\n"


def events(*messages: Any) -> Reply:
    """An event stream of these messages; bytes go as they are, an `asyncio.Event` is waited for."""

    async def stream(writer: asyncio.StreamWriter) -> None:
        for each in messages:
            if isinstance(each, asyncio.Event):
                await writer.drain()
                await each.wait()
            else:
                writer.write(each if isinstance(each, bytes) else event(each))
        await writer.drain()

    return Reply(200, stream=stream)


def data_lines(text: str) -> list[Any]:
    """The messages of an event stream."""
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
