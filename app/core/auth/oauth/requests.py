"""Bounded JSON requests to an authorization server, and its errors as Burrow's (RFC 6749 section 5.2)."""

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

ANSWER_LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class OAuthAnswer:
    """What an endpoint of the server at `origin` answered."""

    origin: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def object(self) -> dict[str, Any]:
        """The body as a JSON object. Raises `Throttled` or `ServerTrouble` when it is none."""
        try:
            answer = json.loads(self.body)
        except (ValueError, RecursionError):
            answer = None
        if isinstance(answer, dict):
            return answer
        if self.status == 429:
            raise self.failure({})
        facts = Facts(status=self.status, retry_after=retry_after(self.headers), origin=self.origin)
        raise ServerTrouble(f"{self.origin} answered with something else than sign-in data ({self.status}).", facts)

    def failure(self, answer: dict[str, Any]) -> BurrowError:
        """The error that a refusal stands for; `answer` is its JSON object."""
        code = answer.get("error") or answer.get("code")
        code = code if isinstance(code, str) else None
        facts = Facts(status=self.status, code=code, retry_after=retry_after(self.headers), origin=self.origin)
        if self.status == 429:
            return Throttled(f"{self.origin} asks to wait before signing in again.", facts)
        if self.status < 400 or self.status >= 500 or code == "temporarily_unavailable":
            return ServerTrouble(f"{self.origin} cannot handle sign-ins at the moment.", facts)
        return Rejected(f"{self.origin} refused the sign-in request ({code or self.status}).", facts)


async def send(
    transport: HttpClients,
    method: str,
    url: str,
    *,
    form: Mapping[str, str] | None = None,
    json_body: object | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT_SECONDS,
) -> OAuthAnswer:
    """Ask an authorization server, without any credential but what `form` and `headers` carry.

    Redirects are not followed (faults row 37). Raises `TimedOut`, `Offline`, `ServerTrouble` or `ProtocolTrouble`.
    """
    import httpx

    try:
        origin = origin_of(url)
    except ValueError:
        raise ProtocolTrouble("The server named an address that cannot be used.") from None
    client = await transport.aside()
    try:
        async with (
            asyncio.timeout(timeout),
            client.stream(method, url, data=form, json=json_body, headers=headers, auth=None) as response,
        ):
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > ANSWER_LIMIT:
                    raise ServerTrouble(f"{origin} sent an answer without end.", Facts(origin=origin))
            return OAuthAnswer(origin, response.status_code, response.headers, bytes(body))
    except TimeoutError:
        raise TimedOut(f"{origin} did not answer in time.", Facts(origin=origin)) from None
    except httpx.HTTPError as failure:
        raise transport_error(failure, origin=origin) from None
    except (httpx.InvalidURL, UnicodeError):
        # Of a host that IDNA does not take httpx lets the codec's own error through.
        raise ProtocolTrouble(f"{origin} named an address that cannot be used.") from None
