"""DirectTransport: requests of httpx that go to their server without a proxy, sent by aiohttp.

aiohttp parses HTTP in C: an answer of 240 KB takes half of the processor time that it takes httpcore, h11 and anyio.
Only the connection is aiohttp's. It follows no redirects, keeps no cookies, decodes no body, reads nothing of the
environment, and does not send a request again.

Imports aiohttp and httpx, so it is imported inside functions.
"""

from __future__ import annotations

import select
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import aiohttp
import httpx
from yarl import URL

from app.core.auth.http.trace import current_attempt

if TYPE_CHECKING:
    import asyncio
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable

# Of a header's line. httpcore takes 100 KB for the whole head.
LONGEST_LINE = 64 * 1024
MOST_HEADERS = 256
KEEPALIVE_SECONDS = 5.0
# A longer body is written in pieces, between which others have their turn.
LONGEST_WRITE = 256 * 1024
READ_BUFFER = 256 * 1024


class _Broken(Exception):
    """A connection broke before the head of an answer was complete. The reason is its cause."""


async def _once(request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
    """A client middleware that keeps aiohttp from sending a request again when a kept-alive connection broke."""
    # aiohttp repeats what is idempotent after these two. Burrow alone decides what is repeated.
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as failure:
        raise _Broken(str(failure)) from failure


class _Connector(aiohttp.TCPConnector):
    """Connections that are not used again when their server has closed them meanwhile."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._used: WeakSet[asyncio.BaseTransport] = WeakSet()

    async def connect(self, *arguments: Any, **options: Any) -> aiohttp.connector.Connection:
        # aiohttp knows that a connection is closed when the loop has told it. After a sleep of the machine, or when
        # the loop was busy, the request comes first.
        while True:
            connection = await super().connect(*arguments, **options)
            transport = connection.transport
            if transport is None or transport not in self._used or not _has_news(transport):
                if transport is not None:
                    self._used.add(transport)
                return connection
            connection.close()

    async def _create_connection(self, *arguments: Any, **options: Any) -> Any:
        started = monotonic()
        protocol = await super()._create_connection(*arguments, **options)
        attempt = current_attempt.get()
        if attempt is not None:
            attempt.connect_seconds = monotonic() - started
        return protocol


def _has_news(transport: asyncio.BaseTransport) -> bool:
    """Whether the server has sent something although it was not asked, or has closed the connection."""
    socket = transport.get_extra_info("socket")
    if socket is None or socket.fileno() < 0:
        return True
    if not hasattr(select, "poll"):
        return bool(select.select([socket.fileno()], [], [], 0)[0])
    poll = select.poll()
    poll.register(socket.fileno(), select.POLLIN)
    return bool(poll.poll(0))


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), LONGEST_WRITE):
        yield body[start : start + LONGEST_WRITE]


class DirectTransport(httpx.AsyncBaseTransport):
    """Opened on the first request, on the loop that runs then."""

    def __init__(self, tls: ssl.SSLContext, limits: httpx.Limits) -> None:
        self._tls = tls
        self._connections = limits.max_connections or 0
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request. Raises the errors of httpx."""
        session = self._session or self._open()
        limits = request.extensions.get("timeout", {})
        body: Any = request.stream
        if isinstance(body, httpx.ByteStream):
            body = request.content or None
            if body is not None and len(body) > LONGEST_WRITE:
                body = _pieces(body)
        try:
            answer = await session.request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=request.headers.multi_items(),
                data=body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    connect=limits.get("pool"), sock_connect=limits.get("connect"), sock_read=limits.get("read")
                ),
            )
        except Exception as failure:
            error = _error(failure, request)
            if error is None:
                raise
            raise error from failure
        return httpx.Response(
            answer.status,
            headers=answer.raw_headers,
            stream=_Body(answer, request),
            extensions={"http_version": b"HTTP/1.1", "reason_phrase": (answer.reason or "").encode()},
        )

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=_Connector(ssl=self._tls, limit=self._connections, keepalive_timeout=KEEPALIVE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
            max_headers=MOST_HEADERS,
            read_bufsize=READ_BUFFER,
            middlewares=(_once,),
        )
        return self._session


class _Body(httpx.AsyncByteStream):
    """The body of an answer as it comes."""

    def __init__(self, answer: aiohttp.ClientResponse, request: httpx.Request) -> None:
        self._answer = answer
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._answer.content
        try:
            while chunk := await content.readany():
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as failure:
            raise _error(failure, self._request) or httpx.ReadError(str(failure), request=self._request) from failure

    async def aclose(self) -> None:
        # Closes the connection, unless the body was read to its end.
        self._answer.release()


def _error(failure: Exception, request: httpx.Request) -> httpx.TransportError | None:
    """The error of httpx for one of aiohttp; None for what is none."""
    kind: type[httpx.TransportError]
    match failure:
        case aiohttp.SocketTimeoutError():
            kind = httpx.ReadTimeout
        case aiohttp.ConnectionTimeoutError():
            kind = httpx.ConnectTimeout
        case aiohttp.ClientConnectorError():
            kind = httpx.ConnectError
        case aiohttp.InvalidURL():
            kind = httpx.UnsupportedProtocol
        case _Broken(__cause__=aiohttp.ServerDisconnectedError()) | aiohttp.ServerDisconnectedError():
            kind = httpx.RemoteProtocolError
        case _Broken() | aiohttp.ClientOSError():
            kind = httpx.ReadError
        case aiohttp.ClientPayloadError() | aiohttp.ClientResponseError():
            kind = httpx.RemoteProtocolError
        case aiohttp.ClientError() | TimeoutError() | OSError():
            kind = httpx.ReadError
        case ValueError():
            kind = httpx.LocalProtocolError
        case _:
            return None
    return kind(str(failure), request=request)
