"""RecordingHttpClient: the HTTP client below the MCP SDK. It limits responses, records what HTTP said, never raises.

With a plain client the SDK would hide the body of an HTTP error, and one request that breaks would end the session for
all. Here each request fails alone, and its `Exchange` says why.

Imports httpx2, so it is imported inside functions, like `session.py`.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx2
from mcp.client.streamable_http import MCP_SESSION_ID

from app.core.auth.http.clients import reason_of
from app.core.auth.http.target import REFRESH_FAILURE
from app.core.auth.tokens import fingerprint
from app.core.errors import BurrowError
from app.core.mcp.protocol.exchange import EVENT_STREAM, NO_RESPONSE, media_type, send_context
from app.core.mcp.protocol.result_tap import intercepted, without_results
from app.core.urls import origin_of
from app.core.wire_text import mended_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from app.core.mcp.json_text import NumberPlaceholders
    from app.core.mcp.protocol.exchange import Exchange
    from app.core.mcp.protocol.legacy_listen import LegacyListenStream

ANSWER_LIMIT = 32 * 1024 * 1024
ERROR_BODY_LIMIT = 64 * 1024
NOTICE_SECONDS = 5.0
# For the DELETE that ends a session: quitting must not wait for a slow server.
GOODBYE_SECONDS = 0.4
EXCHANGE = "burrow.exchange"
# Failures that happen before the first byte of a request is sent.
NEVER_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
    httpx2.InvalidURL,
)


class AnswerTooLarge(httpx2.StreamError):
    """A response longer than `ANSWER_LIMIT`."""


class AnswerInterrupted(httpx2.StreamError):
    """A response that broke off."""


class _Body(httpx2.AsyncByteStream):
    """The body of a response. It limits the size, and records failures in the exchange."""

    def __init__(self, response: httpx2.Response, exchange: Exchange | None) -> None:
        self._source: Any = response.stream
        self._exchange = exchange
        self._stream = media_type(response.headers) == EVENT_STREAM
        self._size = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._source:
                self._count(chunk)
                yield chunk
        except httpx2.HTTPError as failure:
            if self._exchange is not None and isinstance(failure.__cause__, BurrowError):
                self._exchange.reason = failure.__cause__
            raise self._note(AnswerInterrupted(str(failure))) from failure
        if self._stream and self._exchange is not None:
            # The SDK stops reading at the result. If the stream is read to its end, there was none.
            self._exchange.cut_off = True

    def _count(self, chunk: bytes) -> None:
        # A body is limited as a whole. A stream may last as long as the call, so each of its events is limited.
        end = max(chunk.rfind(b"\n\n"), chunk.rfind(b"\r\n\r\n")) if self._stream else -1
        self._size = self._size + len(chunk) if end < 0 else len(chunk) - end
        if self._size > ANSWER_LIMIT:
            raise self._note(AnswerTooLarge("the answer is too large"))

    async def aclose(self) -> None:
        await self._source.aclose()

    def _note(self, failure: AnswerTooLarge | AnswerInterrupted) -> Exception:
        if self._exchange is not None:
            self._exchange.exceeded_limit = ANSWER_LIMIT if isinstance(failure, AnswerTooLarge) else None
            self._exchange.cut_off = isinstance(failure, AnswerInterrupted)
        return failure


class RecordingHttpClient(httpx2.AsyncClient):
    """An HTTP client that never raises into the SDK. The request's `Exchange` records what went wrong."""

    def __init__(
        self,
        open_exchanges: Mapping[int | str, Exchange],
        legacy_listen: LegacyListenStream | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options, event_hooks={"response": [self._record]})
        self._open_exchanges = open_exchanges
        self._legacy_listen = legacy_listen

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        # The SDK's GET for notifications, whose reconnecting is decided elsewhere.
        if request.method == "GET" and self._legacy_listen is not None and send_context.get() is None:
            return await self._legacy_listen.answer(request, lambda: self.send_once(request, options))
        return await self.send_once(request, options)

    def intercepted(self, response: httpx2.Response, exchange: Exchange | None) -> httpx2.Response:
        """A success as the SDK is to see it."""
        if exchange is not None:
            return intercepted(response, exchange)
        if response.request.method != "GET" or media_type(response.headers) != EVENT_STREAM:
            return response
        # The rest of a stream that broke has the answer to a request. The stream for notifications has none.
        return without_results(response, self._open_exchanges if send_context.get() is not None else {})

    def exchange_of(self, request: httpx2.Request) -> Exchange | None:
        """The exchange that waits for the response; None for a notification and for a GET."""
        if request.method != "POST":
            return None
        message = json.loads(request.content)
        identity = message.get("id") if isinstance(message, dict) and "method" in message else None
        return self._open_exchanges.get(identity) if isinstance(identity, int | str) else None

    async def send_once(self, request: httpx2.Request, options: Mapping[str, Any]) -> httpx2.Response:
        """Send the request and record the outcome. A response with status 599 stands for none."""
        exchange = self.exchange_of(request)
        if exchange is not None:
            # Set before anything is sent, and taken back only if it certainly was not: when this task is cancelled in
            # between, the request counts as sent, and a tool does not run twice.
            exchange.sent = True
            exchange.in_session = MCP_SESSION_ID in request.headers
            request = _with_exact_numbers(request, exchange.placeholders) if exchange.placeholders else request
            request.extensions[EXCHANGE] = exchange
        try:
            async with asyncio.timeout(_head_timeout(request, exchange)):
                response = await super().send(request, **{**options, "stream": True, "follow_redirects": False})
                if response.status_code >= 400:
                    return await _with_body(response, exchange)
                return self.intercepted(response, exchange)
        except Exception as failure:  # noqa: BLE001 (a bug in the auth flow must not end the session either)
            if exchange is not None:
                exchange.status = NO_RESPONSE
                exchange.failure = failure
                exchange.reason = reason_of(failure, origin_of(str(request.url)))
                exchange.sent = not isinstance(failure, NEVER_SENT)
            return httpx2.Response(NO_RESPONSE, request=request)
        finally:
            refresh_failure = request.extensions.get(REFRESH_FAILURE)
            if exchange is not None and isinstance(refresh_failure, BurrowError):
                exchange.refresh_failure = refresh_failure

    async def _record(self, response: httpx2.Response) -> None:
        """Record a response. Runs before the auth flow sees it, so of a repeated request the last one stands."""
        exchange = response.request.extensions.get(EXCHANGE)
        if exchange is not None:
            exchange.status = response.status_code
            exchange.headers = {name.lower(): value for name, value in response.headers.items()}
            exchange.bearer = _bearer(response.request)
            exchange.exceeded_limit, exchange.cut_off, exchange.reason = None, False, None
        response.stream = _Body(response, exchange)


def _head_timeout(request: httpx2.Request, exchange: Exchange | None) -> float | None:
    """Seconds to wait for the head of the response; None: as long as it takes."""
    # A call may take long. The SDK sends notifications one after the other, so one of them must not hold up the others.
    if request.method == "DELETE":
        return GOODBYE_SECONDS
    return NOTICE_SECONDS if exchange is None and request.method == "POST" else None


async def _with_body(response: httpx2.Response, exchange: Exchange | None) -> httpx2.Response:
    """An error response with the beginning of its body in memory, for the SDK and for the mapping to errors."""
    parts: list[bytes] = []
    size = 0
    with suppress(httpx2.StreamError, httpx2.HTTPError):
        async for chunk in response.aiter_bytes():
            parts.append(chunk)
            size += len(chunk)
            if size >= ERROR_BODY_LIMIT:
                break
    await response.aclose()
    body = mended_json(b"".join(parts)[:ERROR_BODY_LIMIT])
    if exchange is not None:
        exchange.body = body
        exchange.exceeded_limit, exchange.cut_off = None, False
    return httpx2.Response(response.status_code, headers=response.headers, content=body, request=response.request)


def _bearer(request: httpx2.Request) -> str:
    value = request.headers.get("authorization", "")
    return fingerprint(value) if value else ""


def _with_exact_numbers(request: httpx2.Request, placeholders: NumberPlaceholders) -> httpx2.Request:
    headers = [(name, value) for name, value in request.headers.multi_items() if name.lower() != "content-length"]
    return httpx2.Request(
        request.method,
        request.url,
        headers=headers,
        content=placeholders.restore(request.content.decode()).encode(),
        extensions=request.extensions,
    )
