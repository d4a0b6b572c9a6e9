"""Servers behind the bridge over real sockets, and a client that speaks streamable HTTP to them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from app.core.mcp.proxy.bridge.bridges import Bridges
from app.core.mcp.proxy.messages import read_post
from app.core.mcp.proxy.parts import Call, ProxyClient, Request, Responder, StdioUpstream, Upstream, Way
from app.core.mcp.proxy.refusals import Refusal, RequestRefused
from app.core.storage.proxy_sessions import SessionRow
from tests.core.proxy._http import serving

SERVER = Path(__file__).parents[1] / "_stdio_server.py"
VERSION = "2025-11-25"
ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


class Allowing:
    """A policy that allows all, and hides the tool of this name from lists."""

    def __init__(self) -> None:
        self.hidden = ""

    async def check(self, call: Call, responder: Responder) -> Refusal | None:
        return None

    async def filtered(self, client: ProxyClient, upstream: Upstream, message: bytes) -> bytes:
        value = json.loads(message)
        tools = value["result"]["tools"]
        kept = [tool for tool in tools if tool["name"] != self.hidden]
        if len(kept) == len(tools):
            return message
        value["result"]["tools"] = kept
        return json.dumps(value).encode()


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
    """The scripted server behind the bridge. Clients name themselves in the header `X-Client`."""

    upstream: Upstream
    record: Path
    policy: Allowing = field(default_factory=Allowing)
    sessions: Sessions = field(default_factory=Sessions)
    bridges: Bridges = field(init=False)
    url: str = ""

    def noted(self, what: str) -> list[str]:
        return [line.partition(" ")[2] for line in self.record.read_text().splitlines() if line.startswith(what)]

    async def handle(self, request: Request, responder: Responder) -> None:
        name = (request.header(b"x-client") or b"ana").decode()
        try:
            post = read_post(request.body) if request.method == "POST" else None
            session = (request.header(b"mcp-session-id") or b"").decode()
            call = Call(request, ProxyClient(name, name), self.upstream, Way.MCP, post, session)
            await self.bridges.handle(call, responder)
        except RequestRefused as refused:
            data = refused.refusal.to_json(None)
            responder.start(refused.refusal.status, [(b"content-type", b"application/json")], length=len(data))
            await responder.write(data)
            responder.end()


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
    rig = Rig(upstream or scripted(record, shared=shared), record, sessions=sessions or Sessions())
    rig.bridges = Bridges(rig.policy, rig.sessions, **options)
    async with serving(rig.handle) as server:
        rig.url = f"{server.url}/mcp/pipes"
        try:
            yield rig
        finally:
            await rig.bridges.close()
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
        return {**ACCEPT, "X-Client": self.name, **session}

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

    async def run(self, do: str = "", **arguments: Any) -> Any:
        """The text that the tool answers, or its error."""
        response = await self.post(self.tool(do, **arguments))
        assert response.status_code == 200, response.text
        answer = response.json()
        return answer["error"] if "error" in answer else answer["result"]["content"][0]["text"]


@contextlib.asynccontextmanager
async def client_of(rig: Rig, name: str = "ana", *, initialise: bool = True) -> AsyncIterator[HttpClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
        made = HttpClient(http, rig.url, name)
        if initialise:
            await made.initialise()
        yield made


async def begun(work: Any) -> asyncio.Task[Any]:
    """Start work and let it begin."""
    task = asyncio.create_task(work)
    await asyncio.sleep(0)
    return task
