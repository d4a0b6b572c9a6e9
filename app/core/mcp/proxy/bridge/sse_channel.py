"""SseChannel: a server that speaks HTTP+SSE (MCP 2024-11-05): one stream for its messages, a POST for each of ours."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from app.core.mcp.proxy.bridge.channel import ChannelClosed, Unhandled
from app.core.mcp.proxy.bridge.replies import unavailable
from app.core.mcp.proxy.bridge.sse_events import open_stream
from app.core.mcp.proxy.healing import Outgoing
from app.core.mcp.proxy.parts import SendFailure
from app.core.mcp.proxy.refusals import RequestRefused
from app.core.mcp.proxy.streams import data_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.core.mcp.proxy.bridge.sse_events import SseStream
    from app.core.mcp.proxy.healing import Healing
    from app.core.mcp.proxy.parts import Headers
    from app.core.mcp.proxy.routes import ServerRoute

# How long a server may take to name the address for messages.
ENDPOINT_SECONDS = 30.0
POST_HEADERS: Headers = ((b"content-type", b"application/json"), (b"accept", b"application/json, text/event-stream"))
# What says that the server does not know the stream (any more), so that the message did not reach it.
UNKNOWN_STREAM = frozenset({404, 410})


class SseChannel:
    """One stream. Tokens and their healing are the relay's, on both requests."""

    def __init__(self, route: ServerRoute, healing: Healing) -> None:
        self._route = route
        self._healing = healing
        self._stream: SseStream | None = None
        self._reading: asyncio.Task[None] | None = None
        self._endpoint = ""
        self._reason: str | None = None
        self._sending = asyncio.Lock()

    @property
    def reason(self) -> str | None:
        """Why it is closed; None while it is open."""
        return self._reason

    async def open(self, received: Callable[[bytes], Awaitable[None]], closed: Callable[[str], None]) -> None:
        """Open the stream; see `Channel.open`. Raises `RequestRefused`."""
        self._stream = await open_stream(self._healing, self._route)
        named: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read(self._stream, named, received, closed))
        try:
            async with asyncio.timeout(ENDPOINT_SECONDS):
                self._endpoint = await named
        except TimeoutError:
            words = f"It named no address for messages within {ENDPOINT_SECONDS:g} seconds."
            raise ChannelClosed(words, sent=False) from None

    async def send(self, message: bytes) -> None:
        """Post a message. Raises `ChannelClosed`, and `RequestRefused` for what keeps it from being sent."""
        async with self._sending:
            if self._reason is not None:
                raise ChannelClosed(self._reason, sent=False)
            # A POST that is repeated may run twice, whatever the method: the answer comes elsewhere.
            out = Outgoing(self._route, "POST", POST_HEADERS, message, repeatable=False, url=self._endpoint)
            answer = await self._healing.ask(out)
        status = answer.status
        if self._stream is not None:
            self._stream.know(answer)
        try:
            # So that the connection can be used again.
            with suppress(SendFailure):
                await answer.peek()
        finally:
            answer.close()
        if status in UNKNOWN_STREAM:
            self._reason = "It does not know this session any more."
            raise ChannelClosed(self._reason, sent=False)
        if status >= 500:
            raise ChannelClosed(f"It answered {status}.", sent=True)
        if status >= 400:
            raise RequestRefused(unavailable(self._route.upstream, f"it answered {status}.", sent=False))

    async def close(self) -> None:
        """End the stream."""
        self._reason = self._reason or "The session has ended."
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        if self._stream is not None:
            self._stream.close()

    async def _read(
        self,
        stream: SseStream,
        named: asyncio.Future[str],
        received: Callable[[bytes], Awaitable[None]],
        closed: Callable[[str], None],
    ) -> None:
        reason = "Its stream has ended."
        try:
            async with aclosing(stream.events()) as events:
                async for event in events:
                    if named.done():
                        await received(data_of(event))
                    elif (url := stream.endpoint(event)) is not None:
                        named.set_result(url)
        except SendFailure as failure:
            reason = f"Its stream broke: {failure.reason}."
        except Unhandled:
            reason = "Burrow could not handle a message of it. Its log says why."
        except RequestRefused as refused:
            if not named.done():
                named.set_exception(refused)
        self._reason = self._reason or reason
        if not named.done():
            named.set_exception(ChannelClosed(self._reason, sent=False))
        closed(self._reason)
