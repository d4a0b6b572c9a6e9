"""ThroughProxy: requests to servers through an HTTP or SOCKS5 proxy, by httpx2's transport.

Imports httpx2, so it is imported inside functions.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import httpx2

from app.core.mcp.proxy.http.wire import FRAMING, header_lines
from app.core.mcp.proxy.parts import SendFailure

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from app.core.mcp.proxy.parts import Headers

_LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=16, keepalive_expiry=4.0)
# With these nothing has reached the server: no connection, no tunnel, or no request that could be sent.
_UNSENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.LocalProtocolError,
    httpx2.UnsupportedProtocol,
)


class ThroughProxy:
    """Implements `parts.Sender` for one proxy. Used on one loop."""

    def __init__(self, proxy: str, tls: ssl.SSLContext, connect_seconds: float) -> None:
        """`proxy` is the proxy's URL, perhaps with a name and a password."""
        # A proxy may itself be reached by TLS.
        through = httpx2.Proxy(proxy, ssl_context=tls if proxy.startswith("https:") else None)
        self._transport = httpx2.AsyncHTTPTransport(verify=tls, trust_env=False, proxy=through, limits=_LIMITS)
        self._timeout = {"connect": connect_seconds, "pool": connect_seconds, "read": None, "write": None}
        self._closing: set[asyncio.Task[None]] = set()

    async def send(self, method: str, url: str, headers: Headers, body: bytes) -> ThroughAnswer:
        """Send a request and wait for the head of its answer. Raises `SendFailure`."""
        kept = [pair for pair in headers if pair[0] not in FRAMING and pair[0] != b"host"]
        try:
            header_lines(kept)
            request = httpx2.Request(method, url, headers=kept, content=body, extensions={"timeout": self._timeout})
        except (ValueError, httpx2.InvalidURL) as error:
            raise SendFailure(f"this is no request that can be sent: {error}", sent=False) from None
        try:
            response = await self._transport.handle_async_request(request)
        except httpx2.TransportError as failure:
            raise _failure(failure) from failure
        return ThroughAnswer(response, self._closing)

    async def close(self) -> None:
        """Close every connection."""
        if self._closing:
            await asyncio.wait(self._closing)
        await self._transport.aclose()


class ThroughAnswer:
    """The `UpstreamResponse` of httpx2's response."""

    def __init__(self, response: httpx2.Response, closing: set[asyncio.Task[None]]) -> None:
        self.status = response.status_code
        self.headers: Headers = tuple((name.lower(), value) for name, value in response.headers.raw)
        self._stream = cast(httpx2.AsyncByteStream, response.stream)
        self._pieces: AsyncIterator[bytes] = aiter(self._stream)
        self._closing = closing
        self._closed = False
        self._complete = False

    async def read(self) -> bytes:
        """The next bytes of the body, empty at its end. Raises `SendFailure`."""
        if self._complete:
            return b""
        if self._closed:
            raise SendFailure("the answer was not read to its end", sent=True)
        try:
            async for piece in self._pieces:
                if piece:
                    return piece
            self._complete = True
            await self._stream.aclose()
        except httpx2.TransportError as failure:
            self.close()
            raise _failure(failure, sent=True) from failure
        return b""

    def close(self) -> None:
        """Not read any further."""
        if not self._closed and not self._complete:
            self._closed = True
            task = asyncio.get_running_loop().create_task(self._end())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _end(self) -> None:
        # The generator first: what it holds is what the stream would wait for.
        await cast(Any, self._pieces).aclose()
        await self._stream.aclose()


def _failure(failure: httpx2.TransportError, *, sent: bool | None = None) -> SendFailure:
    # Not its text, which may have the proxy's address with a password in it.
    reason = f"the server cannot be reached through the proxy ({type(failure).__name__})"
    return SendFailure(reason, sent=not isinstance(failure, _UNSENT) if sent is None else sent)
