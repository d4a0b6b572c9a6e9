"""Servers and raw clients over real sockets for the tests of the proxy's HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from app.core.mcp.proxy.http.limits import Limits
from app.core.mcp.proxy.http.server import LoopbackServer
from app.core.mcp.proxy.parts import Request, Responder

Handler = Callable[[Request, Responder], Awaitable[None]]


def bound(port: int = 0) -> socket.socket:
    """A socket bound to a port of the loopback interface, by default a free one."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(("127.0.0.1", port))
    return found


@dataclass
class Serving:
    server: LoopbackServer
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.asynccontextmanager
async def serving(handler: Handler, limits: Limits | None = None) -> AsyncIterator[Serving]:
    server = LoopbackServer(handler, limits)
    bound_to = bound()
    port = bound_to.getsockname()[1]
    await server.listen([bound_to])
    try:
        yield Serving(server, port)
    finally:
        await server.close()


class Client:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the next answer."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split(" ")[1]), headers

    async def chunks(self) -> AsyncIterator[bytes]:
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            yield await self.reader.readexactly(size)
            assert await self.reader.readexactly(2) == b"\r\n"
        assert await self.reader.readexactly(2) == b"\r\n"

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next answer with its body. Interim ones are skipped."""
        status, headers = await self.head()
        while status == 100:
            status, headers = await self.head()
        if "content-length" in headers:
            return status, headers, await self.reader.readexactly(int(headers["content-length"]))
        if headers.get("transfer-encoding") == "chunked":
            return status, headers, b"".join([part async for part in self.chunks()])
        if status in (204, 304):
            return status, headers, b""
        return status, headers, await self.reader.read()

    async def closed(self) -> bool:
        """Whether the other side sends nothing more. Waits for it."""
        try:
            return await self.reader.read(1) == b""
        except ConnectionResetError:
            return True


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def echo(request: Request, responder: Responder) -> None:
    """Answers with method, target and body of the request."""
    text = f"{request.method} {request.path}?{request.query} ".encode() + request.body
    responder.start(200, [(b"content-type", b"text/plain")], length=len(text))
    await responder.write(text)
    responder.end()
