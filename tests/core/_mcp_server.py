"""An MCP server that answers as a script says, byte for byte, and a real one made with the SDK."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from tests.core._raw_server import RawRequest, RawServer

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
ENVELOPE = {"ttlMs": 0, "cacheScope": "private", "resultType": "complete"}


@dataclass
class Reply:
    """One HTTP answer. `body`: a JSON-RPC result or error is wrapped; bytes go as they are, `%ID%` is the request's id.

    `drop`: "before" closes without an answer, "middle" after half the body. `hold` waits before the end. `stream`:
    parts of an event stream, each a JSON-RPC message (a dict) or raw bytes; the last may be the result.
    """

    status: int = 200
    result: Any = None
    error: dict[str, Any] | None = None
    body: bytes | None = None
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    stream: list[Any] | None = None
    drop: str = ""
    hold: asyncio.Event | None = None
    size: int = 0


@dataclass
class Seen:
    verb: str
    headers: dict[str, str]
    raw: bytes
    message: dict[str, Any]

    @property
    def method(self) -> str:
        return str(self.message.get("method", ""))


class Scripted(RawServer):
    """A server whose next answers can be set for each JSON-RPC method."""

    def __init__(self, *, legacy: bool = False, sessions: bool = False) -> None:
        super().__init__()
        self.legacy = legacy
        self.sessions = sessions
        self.seen: list[Seen] = []
        self.next: defaultdict[str, deque[Reply]] = defaultdict(deque)
        self.always: dict[str, Reply] = {}
        self.tools: list[Any] = [tool("echo"), tool("count", annotations={"readOnlyHint": True})]
        self.current_session: str | None = None
        self.opened = 0
        self.arrived: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.gone = asyncio.Event()

    @property
    def url(self) -> str:
        return f"{self.origin}/mcp"

    def methods(self) -> list[str]:
        return [seen.method for seen in self.seen if seen.verb == "POST"]

    def count(self, method: str) -> int:
        return self.methods().count(method)

    async def answer(self, request: RawRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        message = json.loads(request.body) if request.body else {}
        seen = Seen(request.verb, request.headers, request.body, message)
        self.seen.append(seen)
        self.arrived[seen.method or seen.verb].set()
        return await self._answer(self._reply(seen), seen, reader, writer)

    def _reply(self, seen: Seen) -> Reply:
        if seen.verb != "POST":
            return Reply(405)
        method = seen.method
        if self.next[method]:
            return self.next[method].popleft()
        if method in self.always:
            return self.always[method]
        if "id" not in seen.message:
            return Reply(202, body=b"")
        stale = self.sessions and method != "initialize" and method != "server/discover"
        if stale and seen.headers.get("mcp-session-id") != self.current_session:
            return Reply(404, body=b"Session not found", content_type="text/plain")
        match method:
            case "server/discover" if not self.legacy:
                return Reply(result={"supportedVersions": [MODERN], "capabilities": {"tools": {}}, **ENVELOPE})
            case "server/discover":
                return Reply(400, error={"code": -32601, "message": "Method not found"})
            case "initialize":
                self.opened += 1
                self.current_session = f"session-{self.opened}" if self.sessions else None
                info = {"serverInfo": {"name": "scripted", "version": "1"}, "capabilities": {"tools": {}}}
                session = {"mcp-session-id": self.current_session} if self.current_session else {}
                return Reply(result={"protocolVersion": LEGACY, **info}, headers=session)
            case "tools/list":
                return Reply(result={"tools": self.tools, **({} if self.legacy else ENVELOPE)})
            case "tools/call":
                return Reply(result={"content": [{"type": "text", "text": json.dumps(seen.message["params"])}]})
            case _:
                return Reply(404, error={"code": -32601, "message": "Method not found"})

    async def _answer(
        self, reply: Reply, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        if reply.drop == "before":
            writer.transport.abort()
            return False
        if reply.stream is not None:
            return await self._stream(reply, seen, reader, writer)
        if reply.hold is not None:
            await self._hold(reply.hold, reader)
        if reply.size:
            return await self._flood(reply, seen, writer)
        body = reply.body
        if body is None:
            body = b"" if reply.result is None and reply.error is None else json.dumps(_wrapped(reply, seen)).encode()
        body = with_id(body, seen.message)
        headers = {"content-type": reply.content_type, "content-length": str(len(body)), **reply.headers}
        writer.write(_head(reply.status, headers))
        writer.write(body[: len(body) // 2] if reply.drop == "middle" else body)
        await writer.drain()
        if reply.drop == "middle":
            writer.transport.abort()
            return False
        return True

    async def _stream(
        self, reply: Reply, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        writer.write(_head(reply.status, {"content-type": "text/event-stream", "connection": "close"}))
        for part in reply.stream or []:
            if isinstance(part, asyncio.Event):
                await self._hold(part, reader)
                continue
            data = part if isinstance(part, bytes) else b"event: message\ndata: " + _dumped(part, seen) + b"\n\n"
            writer.write(with_id(data, seen.message))
            await writer.drain()
        if reply.drop == "middle":
            writer.transport.abort()
        else:
            writer.close()
        return False

    async def _hold(self, event: asyncio.Event, reader: asyncio.StreamReader) -> None:
        """Wait for the event, or notice that the client went away."""
        left = asyncio.ensure_future(reader.read(1))
        waiting = asyncio.ensure_future(event.wait())
        try:
            await asyncio.wait({left, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if left.done():
                self.gone.set()
                raise ConnectionResetError
        finally:
            for task in (left, waiting):
                task.cancel()
            await asyncio.gather(left, waiting, return_exceptions=True)

    async def _flood(self, reply: Reply, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        writer.write(_head(200, {"content-type": "application/json", "connection": "close"}))
        start = json.dumps({"jsonrpc": "2.0", "id": seen.message["id"]})[:-1]
        writer.write((start + ', "result": {"content": [{"type": "text", "text": "').encode())
        chunk = b"x" * 1_000_000
        for _ in range(reply.size // len(chunk)):
            writer.write(chunk)
            await writer.drain()
        writer.write(b'"}]}}')
        writer.close()
        return False


def tool(name: str, **extra: Any) -> dict[str, Any]:
    return {"name": name, "description": f"The {name} tool", "inputSchema": {"type": "object"}, **extra}


def _wrapped(reply: Reply, seen: Seen) -> dict[str, Any]:
    part = {"error": reply.error} if reply.error is not None else {"result": reply.result}
    return {"jsonrpc": "2.0", "id": seen.message.get("id"), **part}


def _dumped(part: dict[str, Any], seen: Seen) -> bytes:
    message = {"jsonrpc": "2.0", **part}
    if "method" not in message:
        message["id"] = seen.message["id"]
    if message.get("method") == "notifications/progress":
        message["params"] = {"progressToken": seen.message["params"]["_meta"]["progressToken"], **message["params"]}
    return json.dumps(message).encode()


def with_id(text: bytes, message: dict[str, Any]) -> bytes:
    """The text with the id of the request in the place of `%ID%`, with or without quotes around it."""
    identity = json.dumps(message.get("id")).encode()
    return text.replace(b'"%ID%"', identity).replace(b"%ID%", identity)


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


@contextlib.asynccontextmanager
async def real_server(
    server: Any, *, app: str = "streamable_http", port: int = 0, **options: Any
) -> AsyncIterator[str]:
    """The SDK's own server over HTTP on the running loop; yields its address."""
    import socket

    import uvicorn

    listener = socket.create_server(("127.0.0.1", port))
    config = uvicorn.Config(getattr(server, f"{app}_app")(**options), log_config=None, timeout_graceful_shutdown=1)
    uvicorn_server = uvicorn.Server(config)
    uvicorn_server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    serving = asyncio.create_task(uvicorn_server.serve([listener]))
    try:
        while not uvicorn_server.started:  # noqa: ASYNC110 (uvicorn has no event for it)
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
    finally:
        uvicorn_server.should_exit = True
        await serving
        listener.close()
