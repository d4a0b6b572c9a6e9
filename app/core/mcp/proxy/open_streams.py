"""Streams: the streams on which clients listen to servers, for what the proxy itself has to say (`OpenStreams`)."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.core.background import retrieve
from app.core.mcp.proxy.messages import LISTEN
from app.core.mcp.proxy.streams import message_event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from app.core.mcp.proxy.messages import Post
    from app.core.mcp.proxy.parts import Call

METHOD = "notifications/tools/list_changed"
LIST_CHANGED = message_event(json.dumps({"jsonrpc": "2.0", "method": METHOD}).encode())
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"


@dataclass(eq=False)
class _Open:
    server: str
    client: str
    write: Callable[[bytes], Awaitable[None]]
    notice: bytes


class Streams:
    """Those that are open now."""

    def __init__(self) -> None:
        self._open: set[_Open] = set()
        self._writing: set[asyncio.Task[None]] = set()

    @contextmanager
    def opened(self, call: Call, write: Callable[[bytes], Awaitable[None]], notice: bytes) -> Iterator[None]:
        """Within this `call` is answered by a stream. `write` adds an event to it, `notice` says that tools changed."""
        one = _Open(call.upstream.id, call.client.id, write, notice)
        self._open.add(one)
        try:
            yield
        finally:
            self._open.discard(one)

    def tools_changed(self, server_id: str, client_id: str | None) -> None:
        """See `OpenStreams`."""
        for one in tuple(self._open):
            if one.server == server_id and client_id in {None, one.client}:
                task = asyncio.ensure_future(self._tell(one))
                self._writing.add(task)
                task.add_done_callback(self._writing.discard)
                # A client that is gone by now.
                task.add_done_callback(retrieve)

    async def _tell(self, one: _Open) -> None:
        # After its end, what is written would be taken for the next answer of its connection.
        if one in self._open:
            await one.write(one.notice)

    async def close(self) -> None:
        """Write nothing more."""
        tasks = tuple(self._writing)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def subscribed(post: Post) -> bytes | None:
    """How a client that asks for it is told that tools changed (MCP 2026-07-28); None when it did not ask."""
    request = post.request
    if request is None or request.method != LISTEN:
        return None
    match request.params:
        case {"notifications": {"toolsListChanged": True}}:
            params = {"_meta": {SUBSCRIPTION: request.id}}
            return message_event(json.dumps({"jsonrpc": "2.0", "method": METHOD, "params": params}).encode())
        case _:
            return None
