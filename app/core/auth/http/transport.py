"""NetTransport: the transport below every HTTP client of Burrow, for httpx and httpx2 alike.

It chooses the proxy of each request (`proxies`), decodes bodies within bounds (`decoding`), limits how long an answer
may take, and gives a failure that has a better explanation than "cannot be reached" that explanation as its cause.

Imports httpx and httpx2, so it is imported inside functions.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import cache
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import truststore

from app.core.auth.http.decoding import BodyDecoder, Undecodable, codings_of
from app.core.auth.http.proxies import ProxySettings
from app.core.auth.http.target import ANSWER_DEADLINE
from app.core.auth.http.trace import TRACE, current_attempt
from app.core.errors import BurrowError, Facts, ProtocolTrouble
from app.core.preferences import preferences

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.core.preferences import ProxyChoice

# Nobody waits for the explanation of a refusal as long as for an answer.
REFUSAL_SECONDS = 30.0


@cache
def tls_context() -> ssl.SSLContext:
    """A context with the system's certificates. Creating it takes 17 to 350 ms of processor time, once."""
    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class NetTransport(httpx.AsyncBaseTransport, httpx2.AsyncBaseTransport):
    """Sends each request directly or through a proxy. `library` is httpx or httpx2."""

    def __init__(
        self,
        library: Any,
        proxies: ProxySettings | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        direct: Any = None,
        **options: Any,
    ) -> None:
        """`proxies` are by default those that the user chose, also when the choice changes.

        `options` are those of the library's own transport. `direct` sends what needs no proxy, by default the library's
        own transport.
        """
        self._library = library
        self._fixed = proxies
        self._choice = preferences().proxy
        self._proxies = ProxySettings.chosen(self._choice) if proxies is None else proxies
        self._tls = tls or tls_context()
        self._options = options
        self._direct = self._open(None) if direct is None else direct
        # By the proxy's URL.
        self._through: dict[str, Any] = {}
        # By scheme, host and port of the target.
        self._routes: dict[tuple[str, str, int | None], Any] = {}

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request. Raises the errors of its library."""
        url = request.url
        if self._choice is not preferences().proxy and self._fixed is None:
            self._follow(preferences().proxy)
        target = (url.scheme, url.host, url.port)
        route = self._routes.get(target) or self._route(target, request)
        seconds = request.extensions.get(ANSWER_DEADLINE)
        deadline = None if seconds is None else asyncio.get_running_loop().time() + seconds
        trace = request.extensions.get(TRACE)
        attempt = None if trace is None else trace.begin(request)
        current_attempt.set(attempt)
        try:
            async with asyncio.timeout_at(deadline):
                response = await route.handle_async_request(request)
        except TimeoutError:
            raise self._library.ReadTimeout("the head of the answer took too long", request=request) from None
        except Exception as failure:
            if attempt is not None:
                attempt.error = type(failure).__name__
            raise
        if attempt is not None:
            attempt.answered(response)
        if deadline is None and response.status_code >= 400:
            deadline = asyncio.get_running_loop().time() + REFUSAL_SECONDS
        encoding = response.headers.get("content-encoding", "")
        encoded = encoding != "" and bool(codings_of(encoding))
        if encoded or deadline is not None:
            body = _Body(response.stream, self._library, request, deadline, encoding if encoded else None)
            response.stream = body
        if encoded:
            # The reader gets the decoded body.
            del response.headers["content-encoding"]
            response.headers.pop("content-length", None)
        return response

    async def aclose(self) -> None:
        for transport in (self._direct, *self._through.values()):
            await transport.aclose()

    def _follow(self, choice: ProxyChoice) -> None:
        """Choose the routes anew. Those of the former choice stay open until their requests are answered."""
        self._choice, self._proxies = choice, ProxySettings.chosen(choice)
        self._routes.clear()

    def _route(self, target: tuple[str, str, int | None], request: Any) -> Any:
        try:
            proxy = self._proxies.proxy_for(*target)
        except BurrowError as trouble:
            raise self._library.ProxyError(trouble.cause, request=request) from trouble
        if proxy is None:
            route = self._direct
        else:
            route = self._through.get(proxy) or self._through.setdefault(proxy, self._open(proxy))
        self._routes[target] = route
        return route

    def _open(self, proxy: str | None) -> Any:
        through = None
        if proxy is not None:
            # A proxy may itself be reached by TLS.
            secure = proxy.startswith("https:")
            through = self._library.Proxy(proxy, ssl_context=self._tls if secure else None)
        return self._library.AsyncHTTPTransport(verify=self._tls, trust_env=False, proxy=through, **self._options)


class _Body(httpx.AsyncByteStream, httpx2.AsyncByteStream):
    """The decoded body of a response, with the errors of its library."""

    def __init__(self, source: Any, library: Any, request: Any, deadline: float | None, encoding: str | None) -> None:
        self._source = source
        self._library = library
        self._request = request
        self._deadline = deadline
        self._encoding = encoding

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = self._source if self._deadline is None else self._in_time(self._deadline)
        if self._encoding is None:
            async for chunk in chunks:
                yield chunk
            return
        try:
            decoder = BodyDecoder(self._encoding)
            async for chunk in chunks:
                for piece in decoder.pieces(chunk):
                    yield piece
            decoder.end()
        except Undecodable as problem:
            facts = Facts(code="coding", origin=str(self._request.url.copy_with(raw_path=b"/")).rstrip("/"))
            raise self._library.DecodingError(str(problem), request=self._request) from ProtocolTrouble(
                str(problem), facts
            )

    async def _in_time(self, deadline: float) -> AsyncIterator[bytes]:
        source = self._source.__aiter__()
        try:
            while True:
                # Not around the loop: a timeout that is open across a `yield` would end whatever the reader does.
                async with asyncio.timeout_at(deadline):
                    try:
                        chunk = await source.__anext__()
                    except StopAsyncIteration:
                        return
                yield chunk
        except TimeoutError:
            raise self._library.ReadTimeout("the answer took too long", request=self._request) from None

    async def aclose(self) -> None:
        await self._source.aclose()
