"""HTTP/1.1 over plain sockets, so that a test decides every byte and when a connection breaks."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple, Self


class RawRequest(NamedTuple):
    """One request; header names are in lower case."""

    verb: str
    target: str
    headers: dict[str, str]
    body: bytes


class RawServer:
    """Listens on a port of this machine. Subclasses answer one request at a time in `answer`."""

    def __init__(self) -> None:
        self.origin = ""
        self._listener: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def answer(self, request: RawRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Write the answer; whether the connection goes on."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        await self.come_back()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.go_away()

    async def come_back(self) -> None:
        """Listen, where it was if it was away."""
        port = int(self.origin.rpartition(":")[2]) if self.origin else 0
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", port)
        self.origin = f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    async def go_away(self) -> None:
        """Break every connection and refuse new ones."""
        assert self._listener is not None
        self._listener.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        try:
            while await self.answer(await _read(reader), reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # Cancelled only by `go_away`; asyncio would log it.
            pass
        finally:
            self._connections.discard(connection)
            writer.transport.abort()


@asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """A port of this machine; `serve` has each connection, which is closed after it. All are closed at the end."""
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await serve(reader, writer)
                writer.close()
                await writer.wait_closed()
        finally:
            connections.discard(task)
            writer.transport.abort()

    async with await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls) as server:
        yield int(server.sockets[0].getsockname()[1])
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _read(reader: asyncio.StreamReader) -> RawRequest:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    verb, target, _ = head[0].split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return RawRequest(verb, target, headers, body)
