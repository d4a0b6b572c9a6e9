"""A quick MCP server over streamable HTTP in its own process: what a proxy stands before when it is measured.

`python benchmarks/_proxy_upstream.py KIND` prints its port and serves until its standard input ends. KIND is `bare`,
bytes over asyncio's protocols and as quick as Python can be, or `uvicorn`, an ASGI application under uvicorn with h11,
which is how MCP servers in Python are served. It reads every message as JSON and answers `initialize`, `tools/list` and
`tools/call` with JSON. Its tools:

- `echo` answers with its arguments.
- `stream` answers with server-sent events: one at once that tells the time in nanoseconds, then `count` more of them,
  `gap` seconds apart.
- `flood` answers with `bytes` bytes of one event.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TOOLS = [
    {
        "name": name,
        "description": f"The tool {name} of the benchmark.",
        "annotations": {"readOnlyHint": True},
        "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}},
    }
    for name in ("echo", "stream", "flood")
]
PIECE = 64 * 1024


class Answering(asyncio.Protocol):
    """Answers the requests of a connection, one after the other."""

    def __init__(self) -> None:
        self.waiting = b""
        self.transport: asyncio.Transport
        self.writable = asyncio.Event()
        self.writable.set()
        self.streaming: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        if self.streaming is not None:
            self.streaming.cancel()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        while (end := self.waiting.find(b"\r\n\r\n")) >= 0:
            head = self.waiting[:end].lower()
            method = head.partition(b" ")[0]
            at = head.find(b"content-length:")
            length = 0 if at < 0 else int(head[at + 15 :].partition(b"\r\n")[0])
            if len(self.waiting) < end + 4 + length:
                return
            body = self.waiting[end + 4 : end + 4 + length]
            self.waiting = self.waiting[end + 4 + length :]
            if method == b"post":
                self.take(json.loads(body))
            else:
                # Neither listening nor the end of a session is offered.
                self.send(405, b"")

    def take(self, message: dict[str, Any]) -> None:
        if "id" not in message:
            self.send(202, b"")
            return
        if (streamed := streamed_call(message)) is not None:
            self.streaming = asyncio.get_running_loop().create_task(self.stream(message["id"], *streamed))
            return
        self.send(200, answer_to(message))

    def send(self, status: int, body: bytes) -> None:
        kind = b"Content-Type: application/json\r\n" if body else b""
        self.transport.write(b"HTTP/1.1 %d OK\r\n%bContent-Length: %d\r\n\r\n%b" % (status, kind, len(body), body))

    async def stream(self, identity: Any, tool: str, arguments: dict[str, Any]) -> None:
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        async for data in stream_of(identity, tool, arguments):
            self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
            await self.writable.wait()
        self.transport.write(b"0\r\n\r\n")


def streamed_call(message: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Tool and arguments of a call that is answered with a stream."""
    if message["method"] != "tools/call" or message["params"]["name"] == "echo":
        return None
    return message["params"]["name"], message["params"].get("arguments") or {}


def answer_to(message: dict[str, Any]) -> bytes:
    """The answer to a request, as JSON."""
    answer: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
    match message["method"]:
        case "initialize":
            answer["result"] = {
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "quick", "version": "1"},
            }
        case "tools/list":
            answer["result"] = {"tools": TOOLS}
        case "tools/call":
            text = json.dumps(message["params"].get("arguments") or {})
            answer["result"] = {"content": [{"type": "text", "text": text}], "isError": False}
        case "ping":
            answer["result"] = {}
        case _:
            answer["error"] = {"code": -32601, "message": "Method not found"}
    return json.dumps(answer).encode()


async def stream_of(identity: Any, tool: str, arguments: dict[str, Any]) -> AsyncIterator[bytes]:
    """The events of a call that is answered with a stream."""
    result = {"content": [{"type": "text", "text": "done"}]}
    if tool == "flood":
        yield b"event: message\ndata: "
        for _ in range(int(arguments["bytes"]) // PIECE):
            yield b"x" * PIECE
        yield b"\n\n"
    else:
        for number in range(int(arguments.get("count", 1))):
            if number:
                await asyncio.sleep(float(arguments.get("gap", 0.0)))
            params = {"level": "info", "data": monotonic_ns()}
            note = json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": params})
            yield f"event: message\ndata: {note}\n\n".encode()
    yield f"event: message\ndata: {json.dumps({'jsonrpc': '2.0', 'id': identity, 'result': result})}\n\n".encode()


async def application(scope: Any, receive: Any, send: Any) -> None:
    """The same server for ASGI."""
    body = b""
    more = True
    while more:
        part = await receive()
        body += part.get("body", b"")
        more = part.get("more_body", False)

    async def start(status: int, kind: bytes, length: int | None) -> None:
        headers = [(b"content-type", kind)]
        if length is not None:
            headers.append((b"content-length", str(length).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})

    if scope["method"] != "POST":
        await start(405, b"text/plain", 0)
        await send({"type": "http.response.body", "body": b""})
        return
    message = json.loads(body)
    if "id" in message and (streamed := streamed_call(message)) is not None:
        await start(200, b"text/event-stream", None)
        async for data in stream_of(message["id"], *streamed):
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return
    answer = answer_to(message) if "id" in message else b""
    await start(200 if answer else 202, b"application/json", len(answer))
    await send({"type": "http.response.body", "body": answer})


async def serve_with_uvicorn() -> None:
    import uvicorn

    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    settings = uvicorn.Config(application, http="h11", loop="asyncio", lifespan="off", log_level="error", ws="none")
    server = uvicorn.Server(settings)
    serving = asyncio.create_task(server.serve([listener]))
    print(listener.getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.force_exit = server.should_exit = True
    await serving


async def serve_bare() -> None:
    """Listen on a free port of the loopback interface until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run({"bare": serve_bare, "uvicorn": serve_with_uvicorn}[sys.argv[1]]())
