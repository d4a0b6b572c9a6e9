"""Proxies on real sockets that write down what they were asked for: an HTTP proxy and a SOCKS5 proxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.core._raw_server import listening

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"via":"the"}'


@dataclass
class Recorded:
    """A proxy on this machine, and the first line of every connection that it got."""

    address: str
    asked: list[str] = field(default_factory=list)


@asynccontextmanager
async def http_proxy() -> AsyncIterator[Recorded]:
    """Answers every request for `http` itself; refuses tunnels with a 502."""
    proxy = Recorded("")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        proxy.asked.append(head.split("\r\n")[0])
        writer.write(b"HTTP/1.1 502 X\r\nContent-Length: 0\r\n\r\n" if head.startswith("CONNECT") else ANSWER)

    async with listening(serve) as port:
        proxy.address = f"http://127.0.0.1:{port}"
        yield proxy


@asynccontextmanager
async def socks_proxy() -> AsyncIterator[Recorded]:
    """Agrees to every connection (RFC 1928) and answers the request in it."""
    proxy = Recorded("")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _version, methods = await reader.readexactly(2)
        await reader.readexactly(methods)
        writer.write(b"\x05\x00")
        head = await reader.readexactly(5)
        host = (await reader.readexactly(head[4])).decode()
        port = int.from_bytes(await reader.readexactly(2))
        proxy.asked.append(f"{host}:{port}")
        writer.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)

    async with listening(serve) as port:
        proxy.address = f"socks5://127.0.0.1:{port}"
        yield proxy
