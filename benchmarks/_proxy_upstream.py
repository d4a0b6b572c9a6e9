"""A quick MCP server over streamable HTTP in its own process: what a proxy stands before when it is measured.

`python benchmarks/_proxy_upstream.py` prints its port and serves until its standard input ends. It reads every message
as JSON and answers `initialize`, `tools/list` and `tools/call` with JSON. Its tools:

- `echo` answers with its arguments.
- `stream` answers with server-sent events: one at once that tells the time in nanoseconds, then `count` more of them,
  `gap` seconds apart.
- `flood` answers with `bytes` bytes of one event.
"""

from __future__ import annotations

import asyncio
import json
import sys
from time import monotonic_ns
from typing import Any

TOOLS = [
    {
        "name": name,
        "description": f"The tool {name} of the benchmark.",
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
        match message["method"]:
            case "initialize":
                result: dict[str, Any] = {
                    "protocolVersion": message["params"]["protocolVersion"],
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "quick", "version": "1"},
                }
            case "tools/list":
                result = {"tools": TOOLS}
            case "tools/call":
                arguments = message["params"].get("arguments") or {}
                tool = message["params"]["name"]
                if tool != "echo":
                    self.streaming = asyncio.get_running_loop().create_task(self.stream(tool, message["id"], arguments))
                    return
                result = {"content": [{"type": "text", "text": json.dumps(arguments)}], "isError": False}
            case "ping":
                result = {}
            case _:
                error = {"code": -32601, "message": "Method not found"}
                self.send(200, json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": error}).encode())
                return
        self.send(200, json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode())

    def send(self, status: int, body: bytes) -> None:
        kind = b"Content-Type: application/json\r\n" if body else b""
        self.transport.write(b"HTTP/1.1 %d OK\r\n%bContent-Length: %d\r\n\r\n%b" % (status, kind, len(body), body))

    async def stream(self, tool: str, identity: Any, arguments: dict[str, Any]) -> None:
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        result = {"content": [{"type": "text", "text": "done"}]}
        last = json.dumps({"jsonrpc": "2.0", "id": identity, "result": result})
        if tool == "flood":
            await self.write(b"event: message\ndata: ")
            for _ in range(int(arguments["bytes"]) // PIECE):
                await self.write(b"x" * PIECE)
            await self.write(b"\n\n")
        else:
            for number in range(int(arguments.get("count", 1))):
                if number:
                    await asyncio.sleep(float(arguments.get("gap", 0.0)))
                params = {"level": "info", "data": monotonic_ns()}
                note = json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": params})
                await self.write(f"event: message\ndata: {note}\n\n".encode())
        await self.write(f"event: message\ndata: {last}\n\n".encode())
        self.transport.write(b"0\r\n\r\n")

    async def write(self, data: bytes) -> None:
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self.writable.wait()


async def serve() -> None:
    """Listen on a free port of the loopback interface until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve())
