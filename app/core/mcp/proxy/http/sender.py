"""DirectSender: requests to servers over connections of its own. Nothing is sent again, redirected or decoded."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from app.core.auth.http.proxies import PORTS
from app.core.mcp.proxy.http.upstream import UpstreamConnection
from app.core.mcp.proxy.http.wire import FRAMING, header_lines
from app.core.mcp.proxy.parts import SendFailure

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.mcp.proxy.http.upstream import UpstreamAnswer
    from app.core.mcp.proxy.parts import Headers

CONNECT_SECONDS = 10.0
# Node's servers close a connection after five seconds without a request, uvicorn's too.
KEEPALIVE_SECONDS = 4.0
# Of one origin.
MOST_IDLE = 16
READ = 256 * 1024
# The next address of a host is tried after so long (RFC 8305 section 5).
NEXT_ADDRESS_SECONDS = 0.25
_METHOD = re.compile(r"[A-Z]+")
_SET_HERE = FRAMING | {b"host"}
# A body of length 0 is announced with these (RFC 9110 section 8.6).
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


class ServerOrigin(NamedTuple):
    """Where connections go."""

    secure: bool
    host: str
    port: int


class DirectSender:
    """Implements `parts.Sender`. Used on one loop."""

    def __init__(self, tls: Callable[[], ssl.SSLContext], *, connect_seconds: float = CONNECT_SECONDS) -> None:
        """`tls` makes the context for servers with TLS; it is called in another thread, when one is first needed."""
        self._make_tls = tls
        self._tls: ssl.SSLContext | None = None
        self._connect_seconds = connect_seconds
        self._all: set[UpstreamConnection] = set()
        self._origins: dict[UpstreamConnection, ServerOrigin] = {}
        # The one used last at the end.
        self._idle: dict[ServerOrigin, list[UpstreamConnection]] = {}
        self._sweep: asyncio.TimerHandle | None = None
        # Of all connections: what is in it is taken out before another one reads.
        self._read_buffer = memoryview(bytearray(READ))
        self._closed = False
        self._empty = asyncio.Event()

    async def send(self, method: str, url: str, headers: Headers, body: bytes) -> UpstreamAnswer:
        """Send a request and wait for the head of its answer. Raises `SendFailure`.

        `host`, `content-length` and what else frames a message are set here, whatever `headers` say of them.
        """
        try:
            origin, start = _start_of(method, url)
            lines = header_lines(headers, without=_SET_HERE)
        except ValueError as error:
            raise SendFailure(f"this is no request that can be sent: {error}", sent=False) from None
        if body or method in _WITH_BODY:
            request = b"%b%bcontent-length: %d\r\n\r\n%b" % (start, lines, len(body), body)
        else:
            request = b"%b%b\r\n" % (start, lines)
        connection = self._take(origin) or await self._connect(origin)
        return await connection.ask(request, bodiless=method == "HEAD")

    async def close(self) -> None:
        """Close every connection; answers that are still read fail."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in list(self._all):
            connection.abort()
        if self._all:
            self._empty.clear()
            await self._empty.wait()

    def _take(self, origin: ServerOrigin) -> UpstreamConnection | None:
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.usable():
                return connection
            connection.abort()
        return None

    async def _connect(self, origin: ServerOrigin) -> UpstreamConnection:
        self._check_open()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_seconds):
                if origin.secure and self._tls is None:
                    self._tls = await asyncio.to_thread(self._make_tls)
                _, connection = await loop.create_connection(
                    lambda: UpstreamConnection(self._released, self._read_buffer),
                    origin.host,
                    origin.port,
                    ssl=self._tls if origin.secure else None,
                    happy_eyeballs_delay=NEXT_ADDRESS_SECONDS,
                )
        except TimeoutError:
            raise SendFailure(f"{origin.host} did not accept a connection in time", sent=False) from None
        except ssl.SSLError as error:
            raise SendFailure(f"{origin.host} cannot be trusted: {error}", sent=False) from error
        except (OSError, UnicodeError) as error:
            raise SendFailure(f"{origin.host}: {_why(error)}", sent=False) from error
        try:
            self._check_open()
        except SendFailure:
            connection.abort()
            raise
        self._all.add(connection)
        self._origins[connection] = origin
        return connection

    def _check_open(self) -> None:
        if self._closed:
            raise SendFailure("the proxy is closing", sent=False)

    def _released(self, connection: UpstreamConnection) -> None:
        """A connection has no request any more, or is closed."""
        if not connection.open:
            if connection.lost:
                self._all.discard(connection)
                if not self._all:
                    self._empty.set()
            origin = self._origins.pop(connection, None)
            if origin is not None and connection in self._idle.get(origin, ()):
                self._idle[origin].remove(connection)
            return
        idle = self._idle.setdefault(self._origins[connection], [])
        connection.idle_since = asyncio.get_running_loop().time()
        idle.append(connection)
        if len(idle) > MOST_IDLE:
            idle.pop(0).close()
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(KEEPALIVE_SECONDS, self._close_idle)

    def _close_idle(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - KEEPALIVE_SECONDS
        for origin, idle in list(self._idle.items()):
            while idle and idle[0].idle_since <= oldest:
                idle.pop(0).close()
            if not idle:
                del self._idle[origin]
        self._sweep = loop.call_later(KEEPALIVE_SECONDS / 4, self._close_idle) if self._idle else None


@lru_cache(maxsize=256)
def origin_of(url: str) -> ServerOrigin:
    """Where requests to `url` go. Raises `ValueError`, without the address in it."""
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("its address has characters that no address has")
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError("its address is neither http nor https")
    if parts.username is not None or parts.password is not None:
        raise ValueError("its address has a name or a password in it")
    return ServerOrigin(parts.scheme == "https", parts.hostname, parts.port or PORTS[parts.scheme])


@lru_cache(maxsize=256)
def _start_of(method: str, url: str) -> tuple[ServerOrigin, bytes]:
    """Where a request goes, and its first two lines. Raises `ValueError`."""
    if _METHOD.fullmatch(method) is None:
        raise ValueError("its method is none")
    origin = origin_of(url)
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    authority = f"[{origin.host}]" if ":" in origin.host else origin.host
    if origin.port != PORTS[parts.scheme]:
        authority += f":{origin.port}"
    return origin, f"{method} {target} HTTP/1.1\r\nhost: {authority}\r\n".encode("ascii")


def _why(error: OSError | UnicodeError) -> str:
    """What the system says of its error number: asyncio puts addresses in the place of that."""
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number is not None and number > 0 else str(error)
