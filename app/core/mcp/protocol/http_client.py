"""The HTTP client below the MCP SDK: bounds answers, notes what HTTP said, and never raises.

Imports httpx2; load it like `session.py`, inside functions. The SDK hides the body of an HTTP error, and one request
that breaks ends the connection for all; here each request fails alone, with everything noted in its `Exchange`.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

import httpx2
import truststore
from mcp.client.streamable_http import MCP_SESSION_ID

from app.core.auth.http.target import REFRESH_FAILURE
from app.core.auth.tokens import fingerprint
from app.core.errors import BurrowError
from app.core.mcp.protocol.exchange import BROKEN, EVENT_STREAM, media_type, sending
from app.core.mcp.protocol.result_tap import for_the_sdk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from app.core.mcp.json_text import Marks
    from app.core.mcp.protocol.exchange import Exchange
    from app.core.mcp.protocol.legacy_listen import LegacyListenStream

ANSWER_LIMIT = 32 * 1024 * 1024
ERROR_BODY_LIMIT = 64 * 1024
NOTICE_SECONDS = 5.0
GOODBYE_SECONDS = 0.4
EXCHANGE = "burrow.exchange"
# Failures before anything of a request was sent.
NEVER_LEFT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
    httpx2.InvalidURL,
)


@cache
def tls_context() -> ssl.SSLContext:
    """The system's certificates; costs up to 350 ms once."""
    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class AnswerTooLarge(httpx2.StreamError):
    """An answer longer than `ANSWER_LIMIT`."""


class AnswerInterrupted(httpx2.StreamError):
    """An answer that broke off."""


class _Body(httpx2.AsyncByteStream):
    """The decoded body of an answer, counted, with its failures noted."""

    def __init__(self, response: httpx2.Response, exchange: Exchange | None) -> None:
        self._source = httpx2.Response(response.status_code, headers=response.headers, stream=response.stream)
        self._exchange = exchange
        self._stream = media_type(response.headers) == EVENT_STREAM
        self._size = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._source.aiter_bytes():
                self._weigh(chunk)
                yield chunk
        except httpx2.HTTPError as failure:
            raise self._note(AnswerInterrupted(str(failure))) from failure
        if self._stream and self._exchange is not None:
            # The SDK leaves a stream at its result; whoever reads it to its end found none.
            self._exchange.cut_off = True

    def _weigh(self, chunk: bytes) -> None:
        """Bound a whole body, and of a stream, which may last as long as the call, each event."""
        end = max(chunk.rfind(b"\n\n"), chunk.rfind(b"\r\n\r\n")) if self._stream else -1
        self._size = self._size + len(chunk) if end < 0 else len(chunk) - end
        if self._size > ANSWER_LIMIT:
            raise self._note(AnswerTooLarge("the answer is too large"))

    async def aclose(self) -> None:
        await self._source.aclose()

    def _note(self, failure: AnswerTooLarge | AnswerInterrupted) -> Exception:
        if self._exchange is not None:
            self._exchange.limit = ANSWER_LIMIT if isinstance(failure, AnswerTooLarge) else None
            self._exchange.cut_off = isinstance(failure, AnswerInterrupted)
        return failure


class RecordingHttpClient(httpx2.AsyncClient):
    """An HTTP client that never raises into the SDK: what went wrong is noted in the request's `Exchange`."""

    def __init__(
        self,
        open_exchanges: Mapping[int | str, Exchange],
        legacy_listen: LegacyListenStream | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options, event_hooks={"response": [self._answered]})
        self._open_exchanges = open_exchanges
        self._legacy_listen = legacy_listen

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        if request.method == "GET" and self._legacy_listen is not None and sending.get() is None:
            return await self._legacy_listen.answer(request, lambda: self.send_once(request, options))
        return await self.send_once(request, options)

    def for_the_sdk(self, response: httpx2.Response, exchange: Exchange | None) -> httpx2.Response:
        """A success as the SDK is to see it."""
        return response if exchange is None else for_the_sdk(response, exchange)

    def exchange_of(self, request: httpx2.Request) -> Exchange | None:
        """The exchange that waits for the answer; None for a notification and a GET."""
        if request.method != "POST":
            return None
        message = json.loads(request.content)
        identity = message.get("id") if isinstance(message, dict) and "method" in message else None
        return self._open_exchanges.get(identity) if isinstance(identity, int | str) else None

    async def send_once(self, request: httpx2.Request, options: Mapping[str, Any]) -> httpx2.Response:
        """Send and note what came; status 599 stands for no answer at all."""
        exchange = self.exchange_of(request)
        if exchange is not None:
            exchange.sent = True
            exchange.in_session = MCP_SESSION_ID in request.headers
            request = _with_exact_numbers(request, exchange.marks) if exchange.marks else request
            request.extensions[EXCHANGE] = exchange
        try:
            async with asyncio.timeout(_patience(request, exchange)):
                response = await super().send(request, **{**options, "stream": True, "follow_redirects": False})
                if response.status_code >= 400:
                    return await _whole_error(response, exchange)
                return self.for_the_sdk(response, exchange)
        except Exception as failure:  # noqa: BLE001 (a fault of the auth flow must not end the session either)
            if exchange is not None:
                exchange.status = BROKEN
                exchange.failure = failure
                exchange.sent = not isinstance(failure, NEVER_LEFT)
            return httpx2.Response(BROKEN, request=request)
        finally:
            renewal = request.extensions.get(REFRESH_FAILURE)
            if exchange is not None and isinstance(renewal, BurrowError):
                exchange.renewal = renewal

    async def _answered(self, response: httpx2.Response) -> None:
        """Note an answer before the auth flow sees it; of a replayed request the last answer stands."""
        exchange = response.request.extensions.get(EXCHANGE)
        if exchange is not None:
            exchange.status = response.status_code
            exchange.headers = {name.lower(): value for name, value in response.headers.items()}
            exchange.bearer = _bearer(response.request)
            exchange.limit, exchange.cut_off = None, False
        response.stream = _Body(response, exchange)
        for name in ("content-encoding", "content-length"):
            response.headers.pop(name, None)


def _patience(request: httpx2.Request, exchange: Exchange | None) -> float | None:
    """Seconds to wait for an answer's head: a call may take its time, a notification must not hold up the others."""
    if request.method == "DELETE":
        return GOODBYE_SECONDS
    return NOTICE_SECONDS if exchange is None and request.method == "POST" else None


async def _whole_error(response: httpx2.Response, exchange: Exchange | None) -> httpx2.Response:
    """The same answer with the beginning of its body in memory, where the SDK and the error table can read it."""
    parts: list[bytes] = []
    size = 0
    with suppress(httpx2.StreamError, httpx2.HTTPError):
        async for chunk in response.aiter_bytes():
            parts.append(chunk)
            size += len(chunk)
            if size >= ERROR_BODY_LIMIT:
                break
    await response.aclose()
    body = b"".join(parts)[:ERROR_BODY_LIMIT]
    if exchange is not None:
        exchange.body = body
        exchange.limit, exchange.cut_off = None, False
    return httpx2.Response(response.status_code, headers=response.headers, content=body, request=response.request)


def _bearer(request: httpx2.Request) -> str:
    value = request.headers.get("authorization", "")
    return fingerprint(value) if value else ""


def _with_exact_numbers(request: httpx2.Request, marks: Marks) -> httpx2.Request:
    headers = [(name, value) for name, value in request.headers.multi_items() if name.lower() != "content-length"]
    return httpx2.Request(
        request.method,
        request.url,
        headers=headers,
        content=marks.restore(request.content.decode()).encode(),
        extensions=request.extensions,
    )
