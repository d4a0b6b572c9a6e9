"""A Peer whose other side is the test: bytes in, bytes out, over real pipes."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from app.acp.messages import PeerClosed
from app.acp.peer import Peer


class Other:
    """The other side of a peer."""

    def __init__(self, write_end: int, reader: asyncio.StreamReader) -> None:
        self._write_end = write_end
        self._reader = reader
        self.peer: Peer
        self.running: asyncio.Task[None]
        self.asked: list[tuple[str, dict[str, object], object]] = []
        self.told: list[tuple[str, dict[str, object]]] = []

    def send_bytes(self, data: bytes) -> None:
        os.write(self._write_end, data)

    def send(self, message: Any) -> None:
        self.send_bytes(json.dumps(message).encode() + b"\n")

    def close(self) -> None:
        if self._write_end >= 0:
            os.close(self._write_end)
            self._write_end = -1

    async def hear(self) -> dict[str, Any]:
        return json.loads(await self._reader.readline())


@asynccontextmanager
async def other_side(*, answer: Any = None, **options: Any) -> AsyncIterator[Other]:
    """`answer(method, params, id)` is a coroutine function, or the result itself."""
    loop = asyncio.get_running_loop()
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    transports: list[asyncio.BaseTransport] = []
    reader, hearer = asyncio.StreamReader(limit=1 << 26), asyncio.StreamReader(limit=1 << 26)
    for end, stream in ((ours_in, reader), (theirs_in, hearer)):
        protocol = asyncio.StreamReaderProtocol(stream)
        transports.append((await loop.connect_read_pipe(lambda p=protocol: p, os.fdopen(end, "rb", 0)))[0])
    flow = asyncio.streams.FlowControlMixin(loop)
    writing, _ = await loop.connect_write_pipe(lambda: flow, os.fdopen(ours_out, "wb", 0))
    transports.append(writing)
    other = Other(theirs_out, hearer)

    def on_request(method: str, params: dict[str, object], request_id: object) -> Any:
        other.asked.append((method, params, request_id))
        return answer(method, params, request_id) if callable(answer) else _same(answer)

    other.peer = Peer(
        reader,
        asyncio.StreamWriter(writing, flow, None, loop),
        on_request=on_request,
        on_notification=lambda method, params: other.told.append((method, params)),
        **options,
    )
    other.running = asyncio.create_task(other.peer.run())
    try:
        yield other
    finally:
        other.close()
        with suppress(PeerClosed):
            await other.running
        for transport in transports:
            transport.close()


async def _same(value: Any) -> Any:
    return value
