"""What a request through the process's HTTP client does not spend its time on."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Any

from app.core.auth.http.clients import HttpClients


class Searched:
    """A finder that finds nothing and remembers what was looked for."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        self.names.append(name)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError):
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    writer.close()
    await writer.wait_closed()


async def test_a_later_request_searches_for_no_module() -> None:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(reader, writer)
        ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    transport = HttpClients()
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    client = await transport.client()
    await client.get(url)
    searched = Searched()
    sys.meta_path.insert(0, searched)
    try:
        await client.get(url)
    finally:
        sys.meta_path.remove(searched)
        await transport.close()
        await ended.wait()
        server.close()
    assert searched.names == []
