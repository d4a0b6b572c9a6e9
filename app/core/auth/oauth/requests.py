"""Bounded JSON requests to an authorization server, and Burrow's errors for its refusals (RFC 6749 section 5.2)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.core.auth.http.clients import TIMEOUT_SECONDS, retry_after, transport_error
from app.core.errors import BurrowError, Facts, ProtocolTrouble, Rejected, ServerTrouble, Throttled, TimedOut
from app.core.urls import origin_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.core.auth.http.clients import HttpClients

RESPONSE_LIMIT = 1024 * 1024
# The codes of RFC 6749 have up to 25 characters.
LONGEST_CODE = 100


@dataclass(frozen=True, slots=True)
class OAuthResponse:
    """The response of an endpoint at `origin`."""

    origin: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def object(self) -> dict[str, Any]:
        """The body as a JSON object. Raises `Throttled` or `ServerTrouble` when it is anything else."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            return value
        if self.status == 429:
            raise self.failure({})
        facts = Facts(status=self.status, retry_after=retry_after(self.headers), origin=self.origin)
        raise ServerTrouble(f"{self.origin} did not answer with sign-in data ({self.status}).", facts)

    def failure(self, body: dict[str, Any]) -> BurrowError:
        """The error for a refusal; `body` is its JSON object."""
        code = body.get("error") or body.get("code")
        code = code[:LONGEST_CODE] if isinstance(code, str) and code.isprintable() else None
        facts = Facts(status=self.status, code=code, retry_after=retry_after(self.headers), origin=self.origin)
        if self.status == 429:
            return Throttled(f"{self.origin} asks to wait before signing in again.", facts)
        # A refusal with a status below 400 is a captive portal or a broken proxy, not the server's decision.
        if self.status < 400 or self.status >= 500 or code == "temporarily_unavailable":
            return ServerTrouble(f"{self.origin} cannot handle sign-ins at the moment.", facts)
        return Rejected(f"{self.origin} refused the sign-in request ({code or self.status}).", facts)


async def send(
    clients: HttpClients,
    method: str,
    url: str,
    *,
    form: Mapping[str, str] | None = None,
    json_body: object | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT_SECONDS,
) -> OAuthResponse:
    """Send one request to an authorization server, with no other credential than those in `form` and `headers`.

    Redirects are not followed: a secret must not leave its origin (faults row 37). `timeout` bounds the whole exchange,
    in seconds. Raises `TimedOut`, `Offline`, `ServerTrouble` or `ProtocolTrouble`.
    """
    import httpx

    try:
        # For a host name that IDNA cannot encode, httpx raises the codec's error.
        address, origin = httpx.URL(url), origin_of(url)
    except (httpx.InvalidURL, ValueError):
        raise ProtocolTrouble("The server named an address that cannot be used.") from None
    client = await clients.authorization_client()
    try:
        async with (
            asyncio.timeout(timeout),
            client.stream(method, address, data=form, json=json_body, headers=headers, auth=None) as response,
        ):
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > RESPONSE_LIMIT:
                    raise ServerTrouble(f"{origin} sent an answer that is too large.", Facts(origin=origin))
            return OAuthResponse(origin, response.status_code, response.headers, bytes(body))
    except TimeoutError:
        raise TimedOut(f"{origin} did not answer in time.", Facts(origin=origin)) from None
    except httpx.HTTPError as failure:
        raise transport_error(failure, origin=origin) from None
    except UnicodeError:
        # Half of a surrogate pair, in a code or token that the server issued.
        raise ProtocolTrouble(f"{origin} issued something that cannot be sent back to it.") from None
