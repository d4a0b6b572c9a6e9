"""Where messages wait for a client: of a request until they are written, of a session until a stream is open."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from app.core.mcp.proxy.bridge.envelope import Envelope

# How much may wait for a client that reads slowly before its server has to wait too.
OUTLET_BYTES = 1024 * 1024
# What is kept for a client while it has no stream open.
BACKLOG_BYTES = 4 * 1024 * 1024
BACKLOG_MESSAGES = 256


class OutletItem(NamedTuple):
    """A message for a client; `last`: it is the answer to a request. Empty for one that was cancelled."""

    data: bytes
    last: bool


class Outlet:
    """The messages of one POST, in order. What is larger than the bound waits alone."""

    def __init__(self, limit: int = OUTLET_BYTES) -> None:
        self._limit = limit
        self._waiting: deque[OutletItem] = deque()
        self._bytes = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._ended = False

    async def put(self, data: bytes, *, last: bool = False) -> None:
        """Wait until there is room, then keep a message. After the end it is dropped."""
        while self._bytes and self._bytes + len(data) > self._limit and not self._ended:
            self._room.clear()
            await self._room.wait()
        self.put_now(data, last=last)

    def put_now(self, data: bytes, *, last: bool = False) -> None:
        """The same without waiting."""
        if not self._ended:
            self._waiting.append(OutletItem(data, last))
            self._bytes += len(data)
            self._changed.set()

    def end(self) -> None:
        """No message follows. Those that wait can still be taken."""
        self._ended = True
        self._changed.set()
        self._room.set()

    async def get(self) -> OutletItem | None:
        """The next message; None after the end."""
        while not self._waiting:
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        item = self._waiting.popleft()
        self._bytes -= len(item.data)
        self._room.set()
        return item


class Backlog:
    """The messages of a session that belong to no request. When there are too many, the oldest is dropped."""

    def __init__(self, bytes_limit: int = BACKLOG_BYTES, messages_limit: int = BACKLOG_MESSAGES) -> None:
        self._bytes_limit, self._messages_limit = bytes_limit, messages_limit
        self._waiting: deque[Envelope] = deque()
        self._bytes = 0
        self._changed = asyncio.Event()
        self._reader = 0

    def push(self, message: Envelope) -> list[Envelope]:
        """Keep a message; returns those that were dropped for it."""
        self._waiting.append(message)
        self._bytes += len(message.data)
        dropped = []
        while len(self._waiting) > 1 and (self._bytes > self._bytes_limit or len(self._waiting) > self._messages_limit):
            dropped.append(self._take())
        self._changed.set()
        return dropped

    def put_back(self, message: Envelope) -> None:
        """A message that could not be delivered goes first again."""
        self._waiting.appendleft(message)
        self._bytes += len(message.data)
        self._changed.set()

    def open(self) -> int:
        """Begin to read; whoever read before stops. Returns the number of this reader."""
        self._reader += 1
        self._changed.set()
        return self._reader

    def close(self) -> None:
        """Whoever reads stops."""
        self.open()

    async def get(self, reader: int) -> Envelope | None:
        """The next message; None when another reader has begun."""
        while reader == self._reader:
            if self._waiting:
                return self._take()
            self._changed.clear()
            await self._changed.wait()
        return None

    def _take(self) -> Envelope:
        message = self._waiting.popleft()
        self._bytes -= len(message.data)
        return message
