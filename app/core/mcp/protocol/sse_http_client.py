"""SseHttpClient: the HTTP client below the SDK's HTTP+SSE transport, where answers to a POST come on another stream.

Imports httpx2, so it is imported inside functions.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx2

from app.core.mcp.protocol.exchange import EVENT_STREAM, Exchange, media_type
from app.core.mcp.protocol.http_client import EXCHANGE, RecordingHttpClient
from app.core.mcp.protocol.result_tap import without_results

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

ACCEPTED = 202


class SseHttpClient(RecordingHttpClient):
    """`opening` is the exchange of the GET for the stream. `refused` is called for a request whose POST failed."""

    def __init__(self, open_exchanges: Mapping[int | str, Exchange], **options: Any) -> None:
        super().__init__(open_exchanges, **options)
        self.opening = Exchange("", "", None, time.monotonic())
        self.refused: Callable[[Exchange], Awaitable[None]] | None = None

    def exchange_of(self, request: httpx2.Request) -> Exchange | None:
        """The exchange that waits for the answer, which is a message on the stream."""
        if request.method == "GET":
            return self.opening
        exchange = super().exchange_of(request)
        if exchange is not None:
            exchange.by_message = True
        return exchange

    def intercepted(self, response: httpx2.Response, exchange: Exchange | None) -> httpx2.Response:
        """Results are taken from the stream. The response to a POST has none."""
        streams = exchange is self.opening and media_type(response.headers) == EVENT_STREAM
        return without_results(response, self._open_exchanges) if streams else response

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        response = await self.send_once(request, options)
        exchange = request.extensions.get(EXCHANGE)
        if exchange is None or exchange is self.opening or response.status_code < 400:
            return response
        # The request will get no answer on the stream, so it is failed here. The SDK must not see the status: it would
        # end the session for all requests.
        if self.refused is not None:
            await self.refused(exchange)
        return httpx2.Response(ACCEPTED, request=request)
