"""An MCP server over a raw socket whose event streams a test holds in its hands, in both eras.

It answers the small requests by itself. Each `subscriptions/listen` (or GET, before 2026-07-28) and each `tools/call`
becomes a `Stream` that the test writes, ends or breaks.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.core._mcp_server import ENVELOPE, LEGACY, MODERN, tool
from tests.core._raw_server import RawRequest, RawServer

SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
CHANGED = "notifications/tools/list_changed"
AUTH_ERROR = {
    "code": -32000,
    "message": "The API refused the request",
    "data": {"type": "authentication_error", "code": "authentication_failed", "detail": "…", "attr": None},
}


@dataclass(frozen=True)
class Refusal:
    """An answer in place of a stream; `error` is a JSON-RPC error object."""

    status: int = 200
    error: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""


@dataclass(frozen=True)
class Seen:
    verb: str
    headers: dict[str, str]
    message: dict[str, Any]

    @property
    def method(self) -> str:
        return str(self.message.get("method", self.verb))

    @property
    def bearer(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")


class Stream:
    """An event stream that is open: HTTP said 200 and nothing more."""

    def __init__(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        self.seen = seen
        self.over = asyncio.Event()
        self._writer = writer

    @property
    def id(self) -> Any:
        return self.seen.message.get("id")

    async def send(self, message: dict[str, Any], *, lines: str = "") -> None:
        """One JSON-RPC message; `lines` are further lines of its event, such as `id: 1`."""
        await self.write(_event(message, lines))

    async def acknowledge(self, *, lines: str = "", honoured: bool = True) -> None:
        granted = {"toolsListChanged": True} if honoured else {}
        params = {"notifications": granted, "_meta": {SUBSCRIPTION: self.id}}
        await self.send({"method": "notifications/subscriptions/acknowledged", "params": params}, lines=lines)

    async def announce(self, *, lines: str = "", times: int = 1) -> None:
        """The tool list changed; all of `times` at once."""
        stamp = {"params": {"_meta": {SUBSCRIPTION: self.id}}} if self.id is not None else {}
        await self.write(_event({"method": CHANGED, **stamp}, lines) * times)

    async def answer(self, **part: Any) -> None:
        """The last message: a `result` or an `error`."""
        await self.send({"id": self.id, **part})
        await self.end()

    async def write(self, data: bytes) -> None:
        self._writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await self._writer.drain()

    async def end(self) -> None:
        """The stream ends in order, which on the wire is no answer."""
        with suppress(ConnectionError):
            self._writer.write(b"0\r\n\r\n")
            await self._writer.drain()
        self.over.set()

    async def cut(self) -> None:
        """The connection breaks."""
        self._writer.transport.abort()
        self.over.set()


class Streaming(RawServer):
    """`admits` decides by the bearer who may enter. `refusals` answer methods (`GET` too) in place of a stream.

    `pause` is waited for before a tool list goes out.
    """

    def __init__(self, *, legacy: bool = False, admits: Callable[[str], bool] = lambda _bearer: True) -> None:
        super().__init__()
        self.legacy = legacy
        self.admits = admits
        self.refusals: dict[str, Refusal | list[Refusal]] = {}
        self.seen: list[Seen] = []
        self.pause: asyncio.Event | None = None
        self.tools: list[Any] = [tool("echo"), tool("count", annotations={"readOnlyHint": True})]
        self.capabilities: dict[str, Any] = {"tools": {"listChanged": True}}
        self.listeners: asyncio.Queue[Stream] = asyncio.Queue()
        self.calls: asyncio.Queue[Stream] = asyncio.Queue()
        self.arrivals: asyncio.Queue[Seen] = asyncio.Queue()

    @property
    def url(self) -> str:
        return f"{self.origin}/mcp"

    @property
    def listening(self) -> str:
        """What a request for the listen stream is called in this era."""
        return "GET" if self.legacy else "subscriptions/listen"

    def requests(self, method: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.method == method]

    async def arrival(self, method: str) -> Seen:
        """Wait for the next request of this method."""
        while (seen := await self.arrivals.get()).method != method:
            pass
        return seen

    async def answer(self, request: RawRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        seen = Seen(request.verb, request.headers, json.loads(request.body) if request.body else {})
        self.seen.append(seen)
        self.arrivals.put_nowait(seen)
        if not self.admits(seen.bearer):
            return await self._refuse(Refusal(401, text="OAuth token is inactive"), seen, writer)
        refusal = self._refusal(seen.method)
        if refusal is not None:
            return await self._refuse(refusal, seen, writer)
        waiting = {self.listening: self.listeners, "tools/call": self.calls}.get(seen.method)
        if waiting is not None:
            return await self._hold(waiting, seen, reader, writer)
        return await self._answer(seen, writer)

    def _refusal(self, method: str) -> Refusal | None:
        scripted = self.refusals.get(method)
        if isinstance(scripted, list):
            return scripted.pop(0) if scripted else None
        return scripted

    async def _refuse(self, refusal: Refusal, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        if refusal.error is None:
            kind, body = "text/plain", refusal.text.encode()
        else:
            kind = "application/json"
            body = json.dumps({"jsonrpc": "2.0", "id": seen.message.get("id"), "error": refusal.error}).encode()
        return await _whole(writer, refusal.status, body, {"content-type": kind, **refusal.headers})

    async def _hold(
        self, waiting: asyncio.Queue[Stream], seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        writer.write(_head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"}))
        await writer.drain()
        stream = Stream(seen, writer)
        waiting.put_nowait(stream)
        leaving = asyncio.ensure_future(reader.read(1))
        over = asyncio.ensure_future(stream.over.wait())
        try:
            await asyncio.wait({leaving, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (leaving, over):
                task.cancel()
            await asyncio.gather(leaving, over, return_exceptions=True)
            stream.over.set()
        return False

    async def _answer(self, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        if "id" not in seen.message:
            return await _whole(writer, 202 if seen.verb == "POST" else 204, b"", {})
        headers = {"content-type": "application/json"}
        envelope = {} if self.legacy else ENVELOPE
        match seen.method:
            case "server/discover" if not self.legacy:
                result: Any = {"supportedVersions": [MODERN], "capabilities": self.capabilities, **envelope}
            case "initialize":
                result = {
                    "protocolVersion": LEGACY,
                    "serverInfo": {"name": "streaming", "version": "1"},
                    "capabilities": self.capabilities,
                }
                headers["mcp-session-id"] = "session-1"
            case "tools/list":
                if self.pause is not None:
                    await self.pause.wait()
                result = {"tools": self.tools, **envelope}
            case _:
                return await self._refuse(
                    Refusal(400 if seen.method == "server/discover" else 404, {"code": -32601, "message": "Unknown"}),
                    seen,
                    writer,
                )
        body = json.dumps({"jsonrpc": "2.0", "id": seen.message["id"], "result": result}).encode()
        return await _whole(writer, 200, body, headers)


def _event(message: dict[str, Any], lines: str) -> bytes:
    return f"event: message\r\n{lines}data: {json.dumps({'jsonrpc': '2.0', **message})}\r\n\r\n".encode()


async def _whole(writer: asyncio.StreamWriter, status: int, body: bytes, headers: dict[str, str]) -> bool:
    length = {} if status == 204 else {"content-length": str(len(body))}
    writer.write(_head(status, {**headers, **length}) + body)
    await writer.drain()
    return True


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Streaming", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")
