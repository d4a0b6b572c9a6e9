"""The HTTP clients of a process, and the errors for what can go wrong in them.

Importing httpx takes 80 to 250 ms. Nothing here or in the modules above imports it before the first request, so that a
window shows saved data without waiting for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from time import time
from typing import TYPE_CHECKING, NamedTuple

from app import __version__
from app.core.auth.http.decoding import ACCEPTED
from app.core.errors import (
    BurrowError,
    CertificateRefused,
    Facts,
    Offline,
    OutcomeUnknown,
    Rejected,
    ServerTrouble,
    TimedOut,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

USER_AGENT = f"burrow/{__version__}"
TIMEOUT_SECONDS = 30.0
CONNECT_SECONDS = 10.0
HOLD_SECONDS = 0.4
# A longer `Retry-After` counts as an hour.
LONGEST_RETRY_AFTER = 3600.0
# What a server answers that does not process a request for the moment (RFC 9110 section 15.6.4, RFC 6585 section 4).
REFUSED_FOR_NOW = frozenset({429, 503})
PAUSE_SECONDS = 0.5
# Whoever asks does not wait for longer than this before they are told.
LONGEST_PAUSE = 5.0
# More than are ever in use: callers are gated before the pool, whose queue gets slow with more than about eight
# waiters.
CONNECTIONS = 32
KEEPALIVE_CONNECTIONS = 16
# How deep the reason of a failure is looked for: httpx, httpcore, anyio, ssl.
LONGEST_CHAIN = 10
# Enough for a refresh, a discovery and a revocation at once.
AUTHORIZATION_CONNECTIONS = 4


class ClientPair(NamedTuple):
    """`authorization` is for requests to authorization servers and has connections of its own.

    Refused requests keep their connections until they are repeated, which is after the refresh. If the refresh waited
    for one of those connections, neither would ever go on.
    """

    requests: httpx.AsyncClient
    authorization: httpx.AsyncClient


class HttpClients:
    """The clients of the process, opened on first use."""

    def __init__(self, clients: ClientPair | None = None) -> None:
        """`clients` replace those that would be opened. The caller closes them."""
        self._opening: asyncio.Task[ClientPair] | None = None
        self._opened = clients
        self._released: asyncio.Event | None = None

    def hold(self) -> None:
        """Open the clients only after `release`, or 0.4 s after the first call that needs one.

        Importing httpx competes with the window for the interpreter while the window shows saved data.
        """
        self._released = asyncio.Event()

    def release(self) -> None:
        """The window shows saved data: the clients may be opened."""
        if self._released is not None:
            self._released.set()

    async def client(self) -> httpx.AsyncClient:
        """A client that follows no redirects, trusts the system's certificates and stores no cookies."""
        return (self._opened or await self._open_once()).requests

    async def authorization_client(self) -> httpx.AsyncClient:
        """The same for requests to authorization servers, with connections of its own."""
        return (self._opened or await self._open_once()).authorization

    async def _open_once(self) -> ClientPair:
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        # Shielded: a caller that is cancelled must not cancel the opening for the others.
        self._opened = await asyncio.shield(self._opening)
        return self._opened

    async def _open(self) -> ClientPair:
        if self._released is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HOLD_SECONDS):
                    await self._released.wait()
        return await asyncio.to_thread(_open_clients)

    async def close(self) -> None:
        """Close the clients that were opened here."""
        if self._opening is not None:
            for client in await self._opening:
                await client.aclose()


def _open_clients() -> ClientPair:
    import importlib.util
    import sys
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    # httpcore tries to import sniffio at every lock and event, seven times a request. Where it is not installed, each
    # attempt searches the whole path. That takes 0.75 of the 2.7 ms of a request.
    if importlib.util.find_spec("sniffio") is None:
        sys.modules["sniffio"] = None  # type: ignore[assignment]
    # httpx imports its own command line where click and rich happen to be installed. That takes 55 ms and 6 MB.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    import httpx

    from app.core.auth.http.direct import DirectTransport
    from app.core.auth.http.transport import NetTransport, tls_context

    def client(connections: int, keepalive: int) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=keepalive)
        return httpx.AsyncClient(
            transport=NetTransport(httpx, direct=DirectTransport(tls_context(), limits), limits=limits),
            trust_env=False,
            timeout=httpx.Timeout(TIMEOUT_SECONDS, connect=CONNECT_SECONDS),
            follow_redirects=False,
            headers={"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": ACCEPTED},
            # No cookies: one would be a credential beside the token, perhaps of another user.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        )

    return ClientPair(client(CONNECTIONS, KEEPALIVE_CONNECTIONS), client(AUTHORIZATION_CONNECTIONS, 1))


def transport_error(failure: httpx.HTTPError, *, origin: str, repeatable: bool = True) -> BurrowError:
    """The error for a request that got no complete response.

    `repeatable` is False for a request with side effects. Once it may have left the machine, its outcome is unknown.
    """
    import httpx

    facts = Facts(origin=origin)
    reason = reason_of(failure, origin)
    # These happen before the first byte of the request is sent.
    if isinstance(failure, httpx.ConnectTimeout | httpx.ConnectError | httpx.PoolTimeout | httpx.ProxyError):
        return reason or Offline(f"{origin} cannot be reached.", facts)
    if isinstance(failure, httpx.UnsupportedProtocol):
        return ServerTrouble(f"{origin} named an address that cannot be used.", facts)
    if isinstance(failure, httpx.LocalProtocolError):
        return Rejected("This cannot be sent as it is.", facts)
    if not repeatable:
        words = f"The connection to {origin} broke after the request was sent."
        return OutcomeUnknown(words if reason is None else reason.cause, facts)
    if reason is not None:
        return reason
    if isinstance(failure, httpx.TimeoutException):
        return TimedOut(f"{origin} did not answer in time.", facts)
    return ServerTrouble(f"The connection to {origin} broke before the answer was complete.", facts)


def reason_of(failure: BaseException, origin: str) -> BurrowError | None:
    """What explains a failure of httpx or httpx2 better than its own type; None when nothing does.

    A proxy that cannot be used, a coding that was not asked for, a certificate that is not accepted, TLS that failed.
    """
    import ssl

    facts = Facts(origin=origin)
    # The libraries keep the exception of each layer below as the cause or context of the one above.
    for _ in range(LONGEST_CHAIN):
        match failure:
            case BurrowError():
                return failure
            # Errors of aiohttp are ssl's too, but without its details.
            case ssl.SSLCertVerificationError(verify_message=str(why)):
                why = why or "it could not be verified"
                return CertificateRefused(f"The certificate of {origin} is not accepted: {_clause(why)}.", facts)
            case ssl.SSLError(reason=str(why)):
                why = why.replace("_", " ").lower()
                return CertificateRefused(f"No secure connection to {origin} could be made: {_clause(why)}.", facts)
        below = failure.__cause__ or failure.__context__
        if below is None:
            break
        failure = below
    return None


def _clause(words: str) -> str:
    return " ".join(words.split())[:200].rstrip(".")


def pause_before_repeating(status: int | None, asked: float | None) -> float | None:
    """Seconds after which a GET that was answered so is sent once more; None when the answer stands.

    `asked` is the answer's `retry_after`.
    """
    if status not in REFUSED_FOR_NOW:
        return None
    pause = PAUSE_SECONDS if asked is None else asked
    return pause if pause <= LONGEST_PAUSE else None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from a `Retry-After` header (RFC 9110 section 10.2.3); None when it is absent or invalid."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.isdecimal():
        # Of any length: a float becomes infinite where an int raises.
        return min(float(value), LONGEST_RETRY_AFTER)
    from email.utils import parsedate_to_datetime

    try:
        # Compared with the server's own clock, if it states the time: this machine's may be wrong.
        now = parsedate_to_datetime(headers["date"]).timestamp() if "date" in headers else time()
        return min(max(0.0, parsedate_to_datetime(value).timestamp() - now), LONGEST_RETRY_AFTER)
    except (ValueError, OverflowError, OSError):
        return None
