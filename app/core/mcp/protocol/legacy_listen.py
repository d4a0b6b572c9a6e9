"""LegacyListenStream: the GET stream for notifications of servers before revision 2026-07-28.

The MCP SDK opens it when a session is open, and again with `Last-Event-ID` when it ends. But the SDK gives up for ever
after two streams that broke, asks a server that refuses a second time, and waits only as long as the server's `retry`
says, even if that is 0. So its requests are held back here until there is a stream again, or refused for good.

Imports httpx2, so it is imported inside functions.
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


class _UnbrokenStream(httpx2.AsyncByteStream):
    """A stream that always ends without an error, because the SDK counts errors. Calls `ended` at its end."""

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
    """Answers the SDK's requests for the notification stream of one session."""

    def __init__(self, listening: Listening) -> None:
        self._listening = listening
        # A policy for each session, not for each server: the server may refuse one session and accept the next.
        self._policy = ReconnectPolicy(listening.timing)
        # Seconds before the next request; None when there must be no more.
        self._pause: float | None = 0.0 if listening.allowed else None
        self._opened_before = False

    async def answer(self, request: httpx2.Request, ask: Callable[[], Awaitable[httpx2.Response]]) -> httpx2.Response:
        """An open stream, however long it takes to get one, or a final refusal. `ask` sends the request once."""
        while self._pause is not None:
            if self._pause:
                await self._listening.timing.sleep(self._pause)
            if await self._listening.sign_in.ready():
                self._policy.start_over()
            # The same request is sent again and again. What the last attempt left in it must not count for the next.
            request.extensions.pop(REFRESH_FAILURE, None)
            response = await ask()
            if response.has_redirect_location:
                return response
            if response.status_code == 200 and media_type(response.headers) == EVENT_STREAM:
                self._opened()
                response.stream = _UnbrokenStream(response.stream, lambda: self._ended(StreamEnd(200, agreed=True)))
                return response
            await response.aclose()
            self._ended(self._refused(response, refresh_failed=REFRESH_FAILURE in request.extensions))
        return httpx2.Response(NOT_ALLOWED, request=request)

    def _refused(self, response: httpx2.Response, *, refresh_failed: bool) -> StreamEnd:
        if response.status_code < 400:
            # A success without a stream means that the server offers none.
            return StreamEnd(NOT_ALLOWED)
        at_stake = self._listening.target.at_stake
        return StreamEnd(
            response.status_code, response.headers, response.content, at_stake=at_stake, refresh_failed=refresh_failed
        )

    def _opened(self) -> None:
        self._policy.opened()
        # Between two streams changes may have been missed. Before the first one the session has only just begun.
        if self._opened_before:
            self._listening.on_gap()
        self._opened_before = True

    def _ended(self, ended: StreamEnd) -> None:
        self._pause = self._policy.after(ended).pause
        if self._pause is None:
            log.info("the server offers no notification stream: %s", ended.status)
