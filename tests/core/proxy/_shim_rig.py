"""A proxy that answers as a test says, and a program that starts the shim: in this process, or as a process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.core.mcp.proxy.handover import Role
from app.core.mcp.proxy.http.limits import Limits
from app.core.mcp.proxy.http.sender import DirectSender
from app.core.mcp.proxy.http.server import LoopbackServer
from app.core.mcp.proxy.parts import Request, Responder
from app.core.mcp.proxy.port import Acceptor, PortState, ProxyPort
from app.core.mcp.proxy.shim.channel import SessionChannel
from app.core.mcp.proxy.shim.exchange import Patience
from app.core.mcp.proxy.shim.pipes import Lines, LineWriter
from app.core.mcp.proxy.shim.reach import PROXY_FOLDER, Reach
from app.core.mcp.proxy.shim.session import ShimSession
from tests.until import until

Headers = list[tuple[bytes, bytes]]
KEY = "bw_" + "k" * 43
SESSION = (b"mcp-session-id", b"session-1")
JSON = (b"content-type", b"application/json")
EVENTS = (b"content-type", b"text/event-stream")
QUICK = Patience(owner=0.5, sign_in=20.0, poll=0.02)

Answer = Callable[[Request, Responder, Any], Awaitable[None]]


def result(identity: Any, value: Any = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identity, "result": {} if value is None else value}


def call(identity: Any, method: str = "tools/call", **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identity, "method": method, "params": params}


def event(message: Any, identity: str | None = None) -> bytes:
    head = "" if identity is None else f"id: {identity}\n"
    return f"{head}data: {json.dumps(message)}\n\n".encode()


async def reply(responder: Responder, message: Any, *headers: tuple[bytes, bytes], status: int = 200) -> None:
    """A whole answer: a JSON value, or bytes as they are."""
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    responder.start(status, [JSON, *headers], length=len(body))
    await responder.write(body)
    responder.end()


async def serve_session(request: Request, responder: Responder, message: Any) -> None:
    """What every session begins with; a call is answered with its own parameters."""
    if request.method != "POST":
        await reply(responder, b"", status=405 if request.method == "GET" else 200)
    elif message.get("method") == "initialize":
        await reply(responder, result(message["id"], {"protocolVersion": "2025-06-18"}), SESSION)
    elif "id" in message and "method" in message:
        await reply(responder, result(message["id"], message.get("params")))
    else:
        await reply(responder, b"", status=202)


@dataclass
class ScriptedProxy:
    """Serves in the place of Burrow's proxy for a data folder. `answer` is called for each request."""

    folder: Path
    answer: Answer = serve_session
    requests: list[tuple[Request, Any]] = field(default_factory=list)
    port: ProxyPort | None = None
    server: LoopbackServer | None = None

    async def __aenter__(self) -> ScriptedProxy:
        self.port = ProxyPort(
            self.folder / PROXY_FOLDER,
            Role.HEADLESS,
            0,
            Acceptor(self._accept, self._release),
            choose=self._choose,
            changed=lambda _: None,
        )
        self.port.start()
        await until(lambda: self.port is not None and self.port.status.state is PortState.OWNED)
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self.port is not None:
            await self.port.stop(drain=0.0, keep=False)

    def methods(self) -> list[str]:
        """The JSON-RPC methods that were posted, other HTTP methods, and `answer` for an answer of the program."""
        found = []
        for request, message in self.requests:
            posted = request.method == "POST" and isinstance(message, dict)
            found.append(message.get("method", "answer") if posted else request.method)
        return found

    def break_connections(self) -> None:
        """Reset every connection, as a process that is killed does."""
        assert self.server is not None
        for connection in list(self.server._connections):
            connection.abort()

    async def _accept(self, listeners: Any) -> None:
        self.server = LoopbackServer(self._handle, Limits(body_bytes=64 * 1024 * 1024))
        await self.server.listen([each.dup() for each in listeners])

    async def _release(self, seconds: float) -> None:
        if self.server is not None:
            await self.server.close(seconds)

    async def _choose(self, _number: int) -> bool:
        return False

    async def _handle(self, request: Request, responder: Responder) -> None:
        message = json.loads(request.body) if request.body else None
        self.requests.append((request, message))
        await self.answer(request, responder, message)


class Program:
    """Has the shim in this process, with the pipes that it would start it with."""

    def __init__(self, folder: Path, *, patience: Patience = QUICK, command: tuple[str, ...] = ("false",)) -> None:
        self.reach = Reach(folder, command, start_seconds=5.0)
        self.words: list[str] = []
        self._patience = patience

    async def __aenter__(self) -> Program:
        reading, self.input = os.pipe()
        output, writing = os.pipe()
        self._descriptors = [reading, writing]
        self.sender = DirectSender(_no_tls)
        self.output = asyncio.StreamReader(limit=2**26)
        protocol = asyncio.StreamReaderProtocol(self.output)
        file = os.fdopen(output, "rb")
        self._transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, file)
        self.gone = asyncio.Event()
        self._writer = LineWriter(writing, self.gone.set)
        channel = SessionChannel(self.reach, self.sender, "own:1", KEY)
        self.session = ShimSession(channel, self._writer, self.words.append, self._patience)
        self.lines = Lines(reading)
        self.running = asyncio.create_task(self.session.run(self.lines))
        return self

    async def __aexit__(self, *exception: object) -> None:
        with contextlib.suppress(OSError):
            os.close(self.input)
        await asyncio.wait([self.running], timeout=5)
        await self.session.end()
        await self.reach.close()
        await self.sender.close()
        self._writer.close()
        self._transport.close()
        for descriptor in self._descriptors:
            os.close(descriptor)
        self.running.result()

    async def write(self, data: bytes) -> None:
        """Write bytes, in a thread: what is longer than a pipe takes its time."""
        await asyncio.to_thread(_write_all, self.input, data)

    async def send(self, *messages: Any) -> None:
        await self.write(b"".join(json.dumps(message).encode() + b"\n" for message in messages))

    async def receive(self) -> Any:
        """The next message."""
        async with asyncio.timeout(20):
            return json.loads(await self.output.readline())

    async def receive_answer(self, identity: Any) -> Any:
        """The answer to a request, after other messages."""
        while "id" not in (found := await self.receive()) or found["id"] != identity:
            continue
        return found

    async def ask(self, message: Any) -> Any:
        """Send a request and wait for the next message."""
        await self.send(message)
        return await self.receive()

    async def open(self) -> None:
        """Open a session as programs do."""
        answer = await self.ask(call("open", "initialize", protocolVersion="2025-06-18"))
        assert answer["result"]["protocolVersion"] == "2025-06-18", answer
        await self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _no_tls() -> Any:
    raise AssertionError
