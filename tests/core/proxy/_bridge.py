"""Servers behind the bridge over real sockets, and a client that speaks streamable HTTP to them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from app.core.errors import NotFound
from app.core.mcp.proxy.bridge.bridges import Bridges
from app.core.mcp.proxy.http.sender import DirectSender
from app.core.mcp.proxy.http.server import LoopbackServer
from app.core.mcp.proxy.parts import (
    Decision,
    HttpUpstream,
    ProxyClient,
    Request,
    Responder,
    StdioUpstream,
    ToolRule,
    Upstream,
)
from app.core.mcp.proxy.policy import DoorPolicy
from app.core.mcp.proxy.relay import Relay
from app.core.storage.proxy_sessions import SessionRow
from tests.core.proxy._http import bound

SERVER = Path(__file__).parents[1] / "_stdio_server.py"
VERSION = "2025-11-25"
ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


def key_of(name: str) -> str:
    """The key of a client of this name."""
    return f"bw_{name:_<43}"


class Host:
    """The process around the proxy: one server, and the rules that a test sets for its tools."""

    def __init__(self, upstream: Upstream) -> None:
        self.one = upstream
        self.rules: dict[str, ToolRule] = {}
        self.sign_ins: list[str] = []
        self.refused: set[str] = set()
        self.decision = asyncio.get_running_loop().create_future()

    def client_of(self, key: str) -> ProxyClient | None:
        name = key[3:].rstrip("_")
        return ProxyClient(name, name)

    async def find_client(self, key: str) -> ProxyClient | None:
        return None

    def admits(self, key_hash: str, server_id: str) -> bool:
        return True

    def has_access(self, client_id: str, server_id: str) -> bool:
        return client_id not in self.refused

    async def upstream(self, server_id: str) -> Upstream:
        if server_id != self.one.id:
            raise NotFound("There is no such server.")
        return self.one

    def rule(self, client: ProxyClient, server_id: str, tool: str) -> ToolRule:
        return self.rules.get(tool, ToolRule.ALLOW)

    def hides(self, client: ProxyClient, server_id: str) -> bool:
        return ToolRule.BLOCK in self.rules.values()

    def knows_rules(self, server_id: str) -> bool:
        return True

    async def rules_known(self, server_id: str) -> None:
        pass

    async def rules_doubted(self, server_id: str) -> None:
        pass

    async def ask(
        self, client: ProxyClient, server_id: str, tool: str, arguments: Mapping[str, Any], session: str
    ) -> Decision:
        found: Decision = await self.decision
        return found

    @contextlib.asynccontextmanager
    async def allowed_once(self, server_id: str, tool: str) -> AsyncIterator[None]:
        yield

    def used(self, client: ProxyClient, server_id: str, tool: str | None, agent: str) -> None:
        pass

    def asks_elsewhere(self, server_id: str, tool: str) -> bool:
        return False

    async def sign_in_needed(self, upstream: HttpUpstream) -> str:
        self.sign_ins.append(upstream.id)
        return "Sign in to it in Burrow."

    async def vendor_sign_in_needed(self, upstream: HttpUpstream) -> None:
        pass


class Sessions:
    """A store in memory, which outlives the bridges that use it."""

    def __init__(self) -> None:
        self.rows: dict[str, SessionRow] = {}

    async def get(self, session: str) -> SessionRow | None:
        return self.rows.get(session)

    async def put(self, session: SessionRow) -> bool:
        self.rows[session.id] = session
        return True

    def touch(self, session: str) -> None:
        pass

    async def delete(self, session: str) -> None:
        self.rows.pop(session, None)


@dataclass
class Rig:
    """A server behind door, policy and bridge."""

    host: Host
    record: Path
    port: int
    sender: DirectSender
    sessions: Sessions
    options: Mapping[str, Any]
    bridges: Bridges = field(init=False)
    relay: Relay = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Make the proxy anew, as another process would."""
        policy = DoorPolicy(self.host, beat_seconds=0.01)
        self.bridges = Bridges(self.host, self.sender, self.sessions, policy, **self.options)
        self.relay = Relay(self.host, self.sender, self.sessions, policy, port=self.port, bridges=[self.bridges])

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.origin}/mcp/{self.host.one.id}"

    def noted(self, what: str) -> list[str]:
        return [line.partition(" ")[2] for line in self.record.read_text().splitlines() if line.startswith(what)]

    async def handle(self, request: Request, responder: Responder) -> None:
        await self.relay.handle(request, responder)

    async def close(self) -> None:
        await self.bridges.close()
        await self.relay.close()


def scripted(record: Path, **options: Any) -> StdioUpstream:
    """The scripted server as a process."""
    record.touch()
    return StdioUpstream("pipes", "Pipes", (sys.executable, "-S", "-E", str(SERVER), str(record)), **options)


@contextlib.asynccontextmanager
async def bridged(
    folder: Path,
    upstream: Upstream | None = None,
    *,
    shared: bool = False,
    sessions: Sessions | None = None,
    **options: Any,
) -> AsyncIterator[Rig]:
    """Serve an upstream, by default the scripted process."""
    record = folder / "record"
    sender = DirectSender(ssl.create_default_context)
    async with contextlib.AsyncExitStack() as stack:
        listener = bound()
        host = Host(upstream or scripted(record, shared=shared))
        rig = Rig(host, record, listener.getsockname()[1], sender, sessions or Sessions(), options)
        server = LoopbackServer(rig.handle)
        await server.listen([listener])
        stack.push_async_callback(sender.close)
        stack.push_async_callback(rig.close)
        stack.push_async_callback(server.close)
        yield rig
    assert rig.bridges.processes == 0


class Stream:
    """The events of an answer, one at a time."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def next(self) -> Any:
        """The next message; None at the end."""
        async for line in self._lines:
            if line.startswith("data: "):
                return json.loads(line[6:])
        return None

    async def rest(self) -> list[Any]:
        found = []
        while (message := await self.next()) is not None:
            found.append(message)
        return found


def messages_of(response: httpx.Response) -> list[Any]:
    """The messages of an answer, whether it is a stream or not."""
    if response.headers["content-type"] != "text/event-stream":
        return [response.json()]
    return [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: ")]


class HttpClient:
    """A client of one session."""

    def __init__(self, http: httpx.AsyncClient, url: str, name: str) -> None:
        self.http, self.url, self.name = http, url, name
        self.session = ""
        self.opened: Any = None
        self._id = 0

    @property
    def headers(self) -> dict[str, str]:
        session = {"Mcp-Session-Id": self.session, "MCP-Protocol-Version": VERSION} if self.session else {}
        return {**ACCEPT, "Authorization": f"Bearer {key_of(self.name)}", **session}

    def message(self, method: str, params: Any = None, **more: Any) -> dict[str, Any]:
        self._id += 1
        return {"jsonrpc": "2.0", "id": self._id, "method": method, "params": params or {}, **more}

    def tool(self, do: str = "", token: Any = None, **arguments: Any) -> dict[str, Any]:
        meta = {} if token is None else {"_meta": {"progressToken": token}}
        return self.message("tools/call", {"name": "run", "arguments": {"do": do, **arguments}, **meta})

    async def post(self, message: Any, **headers: str) -> httpx.Response:
        content = message if isinstance(message, bytes) else json.dumps(message).encode()
        return await self.http.post(self.url, content=content, headers={**self.headers, **headers})

    @contextlib.asynccontextmanager
    async def streaming(self, message: Any) -> AsyncIterator[Stream]:
        content = json.dumps(message).encode()
        async with self.http.stream("POST", self.url, content=content, headers=self.headers) as response:
            yield Stream(response)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[Stream]:
        async with self.http.stream("GET", self.url, headers=self.headers) as response:
            assert response.status_code == 200
            yield Stream(response)

    async def initialise(self, version: str = VERSION) -> None:
        info = {"protocolVersion": version, "capabilities": {"sampling": {}}, "clientInfo": {"name": self.name}}
        response = await self.post(self.message("initialize", info))
        assert response.status_code == 200, response.text
        self.opened, self.session = response.json(), response.headers["mcp-session-id"]
        greeting = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        assert (await self.post(greeting)).status_code == 202

    async def run(self, do: str = "", token: Any = None, **arguments: Any) -> Any:
        """The text that the tool answers, or its error."""
        response = await self.post(self.tool(do, token, **arguments))
        assert response.status_code == 200, response.text
        answer = messages_of(response)[-1]
        return answer["error"] if "error" in answer else answer["result"]["content"][0]["text"]


@contextlib.asynccontextmanager
async def client_of(rig: Rig, name: str = "ana", *, initialise: bool = True) -> AsyncIterator[HttpClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
        made = HttpClient(http, rig.url, name)
        if initialise:
            await made.initialise()
        yield made
