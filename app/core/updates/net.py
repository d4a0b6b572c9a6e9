"""UpdateNet: requests for update metadata and update files, over the HTTP clients that everything of Burrow uses.

They carry no credential and no cookie, go through the proxy that the user chose, and are bounded in bytes and time.
Redirects are followed, because releases are often kept elsewhere: what comes is verified by signatures, wherever it
comes from. They never lead from the network to this machine, and never to plain HTTP.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from app.core.auth.http.clients import transport_error
from app.core.auth.http.target import ANSWER_DEADLINE
from app.core.errors import BurrowError, Facts, ProtocolTrouble, ServerTrouble, TimedOut
from app.core.urls import is_confidential, may_name, origin_if_any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    import httpx

    from app.core.auth.http.clients import HttpClients

METADATA_SECONDS = 45.0
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MOST_REDIRECTS = 5


class UpdateNet:
    """Asks the server of updates."""

    def __init__(self, clients: Callable[[], HttpClients]) -> None:
        self._clients = clients

    async def content(self, url: str, limit: int) -> bytes:
        """The whole content at `url`, of at most `limit` bytes.

        Raises the errors of `stream`, and `ProtocolTrouble` for more than `limit`.
        """
        found = bytearray()
        async with self.stream(url, {}, seconds=METADATA_SECONDS) as response:
            origin = origin_if_any(url) or ""
            if response.status_code != 200:
                raise refusal(response.status_code, origin)
            async for chunk in self.chunks(response, origin):
                found += chunk
                if len(found) > limit:
                    raise ProtocolTrouble(f"{origin} sent more than was signed.", Facts(code="too_long", origin=origin))
        return bytes(found)

    @asynccontextmanager
    async def stream(
        self, url: str, headers: Mapping[str, str], *, seconds: float | None = None
    ) -> AsyncIterator[httpx.Response]:
        """A GET of `url`: its answer before its body, after redirects. `seconds` bounds the whole answer.

        Raises `Offline`, `TimedOut`, `CertificateRefused`, `ServerTrouble`, and `ProtocolTrouble` for a redirect that
        is not followed.
        """
        client = await self._clients().client()
        for _ in range(MOST_REDIRECTS + 1):
            response = await _sent(client, url, headers, seconds)
            try:
                if response.status_code not in REDIRECTS:
                    yield response
                    return
                url = _redirected(url, response.headers.get("location", ""))
            finally:
                await response.aclose()
        origin = origin_if_any(url) or ""
        raise ProtocolTrouble(f"{origin} redirects too often.", Facts(code="redirect", origin=origin))

    async def chunks(self, response: httpx.Response, origin: str) -> AsyncIterator[bytes]:
        """The body, decoded, as it comes. Raises like `stream`."""
        import httpx

        try:
            async for chunk in response.aiter_bytes():
                yield chunk
        except httpx.HTTPError as failure:
            raise transport_error(failure, origin=origin) from None


def refusal(status: int, origin: str) -> BurrowError:
    """The error for an answer that has another status than was asked for."""
    return ServerTrouble(f"{origin} answered {status}.", Facts(status=status, origin=origin))


async def _sent(
    client: httpx.AsyncClient, url: str, headers: Mapping[str, str], seconds: float | None
) -> httpx.Response:
    import httpx

    origin = origin_if_any(url)
    if origin is None or not is_confidential(url):
        raise ProtocolTrouble("This is no address that updates are taken from.", Facts(code="address"))
    # A file is compressed already, and what is resumed is counted in its own bytes.
    request = client.build_request("GET", url, headers={"Accept": "*/*", "Accept-Encoding": "identity", **headers})
    if seconds is not None:
        request.extensions[ANSWER_DEADLINE] = seconds
    try:
        async with asyncio.timeout(METADATA_SECONDS):
            return await client.send(request, stream=True)
    except TimeoutError:
        raise TimedOut(f"{origin} did not answer in time.", Facts(origin=origin)) from None
    except httpx.HTTPError as failure:
        raise transport_error(failure, origin=origin) from None
    except (httpx.InvalidURL, ValueError):
        raise ProtocolTrouble("This is no address that updates are taken from.", Facts(code="address")) from None


def _redirected(url: str, location: str) -> str:
    try:
        target = urljoin(url, location)
    except ValueError:
        target = ""
    if not location or not may_name(url, target):
        origin = origin_if_any(url) or ""
        raise ProtocolTrouble(
            f"{origin} redirects to an address that updates are not taken from.", Facts(code="redirect", origin=origin)
        )
    return target
