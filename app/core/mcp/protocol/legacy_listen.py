"""The GET stream on which servers before revision 2026-07-28 tell of changes (their transport's "listening").

The MCP SDK opens it once there is a session and opens it again with `Last-Event-ID`. But it gives up for ever after the
second stream that broke, asks a server twice that refuses, and waits no longer than the server's `retry` says, be it 0.
So its requests are answered here: when there is a stream again, or never.

Imports httpx2; load it like `client.py`, inside functions.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx2

from app.core.auth.http.target import REFRESH_FAILURE
from app.core.mcp.protocol.exchange import EVENT_STREAM, media_type
from app.core.mcp.protocol.reconnect import ReconnectPolicy, StreamEnd

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from app.core.mcp.protocol.listening import Listening

NOT_ALLOWED = 405

log = logging.getLogger(__name__)


class _Unbroken(httpx2.AsyncByteStream):
    """A stream that always ends in order, because the SDK counts the others; `ended` is told."""

    def __init__(self, body: Any, ended: Callable[[], None]) -> None:
        self._body = body
        self._ended = ended

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with suppress(httpx2.HTTPError, httpx2.StreamError):
            async for chunk in self._body:
                yield chunk
        self._ended()

    async def aclose(self) -> None:
        await self._body.aclose()


class LegacyListenStream:
    """Answers the SDK's requests for the stream of one session."""

    def __init__(self, listening: Listening) -> None:
        self._listening = listening
        # Another session may be let listen where this one was not.
        self._reopening = ReconnectPolicy(listening.timing)
        self._pause: float | None = 0.0 if listening.worth_it else None
        self._heard_before = False

    async def answer(self, request: httpx2.Request, ask: Callable[[], Awaitable[httpx2.Response]]) -> httpx2.Response:
        """An open stream, however long that takes, or a refusal for good. `ask` sends the request once."""
        while self._pause is not None:
            if self._pause:
                await self._listening.timing.sleep(self._pause)
            if await self._listening.sign_in.ready():
                self._reopening.start_over()
            request.extensions.pop(REFRESH_FAILURE, None)
            response = await ask()
            if response.has_redirect_location:
                return response
            if response.status_code == 200 and media_type(response.headers) == EVENT_STREAM:
                self._opened()
                response.stream = _Unbroken(response.stream, lambda: self._over(StreamEnd(200, agreed=True)))
                return response
            await response.aclose()
            self._over(self._refused(response, unrenewed=REFRESH_FAILURE in request.extensions))
        return httpx2.Response(NOT_ALLOWED, request=request)

    def _refused(self, response: httpx2.Response, *, unrenewed: bool) -> StreamEnd:
        if response.status_code < 400:
            # A success without a stream comes from a server that has none to give.
            return StreamEnd(NOT_ALLOWED)
        at_stake = self._listening.target.at_stake
        return StreamEnd(
            response.status_code, response.headers, response.content, at_stake=at_stake, unrenewed=unrenewed
        )

    def _opened(self) -> None:
        self._reopening.opened()
        if self._heard_before:
            self._listening.missed()
        self._heard_before = True

    def _over(self, ended: StreamEnd) -> None:
        self._pause = self._reopening.after(ended).pause
        if self._pause is None:
            log.info("the server has no stream of changes: %s", ended.status)
