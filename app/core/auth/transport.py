"""The one HTTP client of a process and the translation of its failures into ours."""

from __future__ import annotations

import asyncio
import ssl
from email.utils import parsedate_to_datetime
from time import time
from typing import TYPE_CHECKING

import httpx
import truststore

from app import __version__
from app.core.errors import BurrowError, Facts, Offline, OutcomeUnknown, ServerTrouble, TimedOut

if TYPE_CHECKING:
    from collections.abc import Mapping

USER_AGENT = f"burrow/{__version__}"
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
# Every caller is gated before the pool: beyond about eight in flight its own queue costs more than the network.
LIMITS = httpx.Limits(max_connections=32, max_keepalive_connections=16, keepalive_expiry=30.0)


async def open_client() -> httpx.AsyncClient:
    """A client that follows no redirect, uses the system's certificates and no cookies.

    The TLS context costs 17 to 350 ms of processor time, so it is built once, off the loop.
    """
    context = await asyncio.to_thread(truststore.SSLContext, ssl.PROTOCOL_TLS_CLIENT)
    return httpx.AsyncClient(
        verify=context,
        timeout=TIMEOUT,
        limits=LIMITS,
        follow_redirects=False,
        headers={"User-Agent": USER_AGENT},
    )


def transport_error(failure: httpx.HTTPError, *, origin: str, repeatable: bool = True) -> BurrowError:
    """The typed error for a request that got no complete answer.

    `repeatable` is False for a request with side effects: once it may have left the machine its outcome is unknown.
    """
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
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except ValueError:
        return None
