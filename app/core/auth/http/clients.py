"""The HTTP clients of a process and the translation of its failures into ours.

httpx costs 80 to 250 ms of import. Nothing here or in the modules above imports it before the first request, so that a
window shows what it has saved without waiting for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from time import time
from typing import TYPE_CHECKING, NamedTuple

from app import __version__
from app.core.errors import BurrowError, Facts, Offline, OutcomeUnknown, ServerTrouble, TimedOut

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

USER_AGENT = f"burrow/{__version__}"
TIMEOUT_SECONDS = 30.0
CONNECT_SECONDS = 10.0
HOLD_SECONDS = 0.4
# A server that asks for more is asked again after an hour all the same.
LONGEST_RETRY_AFTER = 3600.0
# Every caller is gated before the pool: beyond about eight in flight its own queue costs more than the network.
CONNECTIONS = 32
KEPT_ALIVE = 16
# For the authorization servers: a renewal, a discovery and a revocation at once.
CONNECTIONS_ASIDE = 4


class ClientPair(NamedTuple):
    """`aside` has connections of its own.

    Requests that were refused keep theirs until they are repeated, hence until a renewal: it must not wait for one.
    """

    requests: httpx.AsyncClient
    aside: httpx.AsyncClient


class HttpClients:
    """Opens the process's clients on first use and closes them at the end."""

    def __init__(self, clients: ClientPair | None = None) -> None:
        """`clients` are used in place of those that would be opened, and stay open."""
        self._opening: asyncio.Task[ClientPair] | None = None
        self._opened = clients
        self._turn: asyncio.Event | None = None

    def hold(self) -> None:
        """Open the clients only after `release`, or 0.4 s after somebody first asks for it.

        Its import competes with the window for the interpreter just while saved data is being put on the screen.
        """
        self._turn = asyncio.Event()

    def release(self) -> None:
        """Saved data is on the screen: the network may begin."""
        if self._turn is not None:
            self._turn.set()

    async def client(self) -> httpx.AsyncClient:
        """A client that follows no redirect, uses the system's certificates and keeps no credential of its own."""
        return (self._opened or await self._both()).requests

    async def aside(self) -> httpx.AsyncClient:
        """The same for the authorization server: what heals requests never waits for their connections."""
        return (self._opened or await self._both()).aside

    async def _both(self) -> ClientPair:
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        self._opened = await asyncio.shield(self._opening)
        return self._opened

    async def _open(self) -> ClientPair:
        if self._turn is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HOLD_SECONDS):
                    await self._turn.wait()
        return await asyncio.to_thread(_open_clients)

    async def close(self) -> None:
        """Close every connection."""
        if self._opening is not None:
            for client in await self._opening:
                await client.aclose()


def _open_clients() -> ClientPair:
    import importlib.util
    import ssl
    import sys
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    # httpcore tries this import at every lock and event, seven times a request; where it is not installed each attempt
    # searches the whole path: 0.75 ms of 2.7 a request.
    if importlib.util.find_spec("sniffio") is None:
        sys.modules["sniffio"] = None  # type: ignore[assignment]
    # httpx imports its own command line where click and rich happen to be installed: 55 ms and 6 MB for nothing.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    import httpx
    import truststore

    # 17 to 350 ms of processor time, hence once and in a worker.
    certificates = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    def client(connections: int, kept_alive: int) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            verify=certificates,
            timeout=httpx.Timeout(TIMEOUT_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=kept_alive),
            follow_redirects=False,
            headers={"User-Agent": USER_AGENT, "Accept": "application/json"},
            # A cookie would be a credential beside the token: of whoever was answered before.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        )

    return ClientPair(client(CONNECTIONS, KEPT_ALIVE), client(CONNECTIONS_ASIDE, 1))


def transport_error(failure: httpx.HTTPError, *, origin: str, repeatable: bool = True) -> BurrowError:
    """The typed error for a request that got no complete answer.

    `repeatable` is False for a request with side effects: once it may have left the machine its outcome is unknown.
    """
    import httpx

    facts = Facts(origin=origin)
    if isinstance(failure, httpx.ConnectTimeout | httpx.ConnectError | httpx.PoolTimeout | httpx.ProxyError):
        return Offline(f"{origin} cannot be reached.", facts)
    if isinstance(failure, httpx.UnsupportedProtocol | httpx.InvalidURL):
        return ServerTrouble(f"{origin} gave an address that cannot be used.", facts)
    if not repeatable:
        return OutcomeUnknown(f"The connection to {origin} broke after the request was sent.", facts)
    if isinstance(failure, httpx.TimeoutException):
        return TimedOut(f"{origin} did not answer in time.", facts)
    return ServerTrouble(f"The connection to {origin} broke before the answer was complete.", facts)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from a `Retry-After` header (RFC 9110 section 10.2.3), None when absent or unreadable."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.isdecimal():
        return min(float(value), LONGEST_RETRY_AFTER)
    from email.utils import parsedate_to_datetime

    try:
        # The server's own clock where it tells it: this machine's may be off.
        now = parsedate_to_datetime(headers["date"]).timestamp() if "date" in headers else time()
        return min(max(0.0, parsedate_to_datetime(value).timestamp() - now), LONGEST_RETRY_AFTER)
    except ValueError:
        return None
