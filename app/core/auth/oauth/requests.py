"""Bounded JSON requests to an authorization server, and Burrow's errors for its refusals (RFC 6749 section 5.2)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.core.auth.http.clients import TIMEOUT_SECONDS, retry_after, transport_error
from app.core.errors import (
    BurrowError,
    Facts,
    PermissionMissing,
    ProtocolTrouble,
    ServerTrouble,
    SignInRefused,
    Throttled,
    TimedOut,
)
from app.core.urls import origin_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.core.auth.http.clients import HttpClients

RESPONSE_LIMIT = 1024 * 1024
# Characters of an error code and of the server's own explanation.
CODE_CHARACTERS, SAID_CHARACTERS = 64, 300
NOT_PERMITTED, SERVER_TROUBLE = PermissionMissing.exit_code, ServerTrouble.exit_code
# What the refusal of a request that Burrow made by itself means for the command line.
EXIT_CODES = {
    "access_denied": NOT_PERMITTED,
    "consent_required": NOT_PERMITTED,
    "invalid_scope": NOT_PERMITTED,
    "invalid_target": NOT_PERMITTED,
    "unauthorized_client": NOT_PERMITTED,
    "unsupported_grant_type": NOT_PERMITTED,
}
STATUS_EXIT_CODES = {
    401: NOT_PERMITTED,
    403: NOT_PERMITTED,
    404: SERVER_TROUBLE,
    405: SERVER_TROUBLE,
    408: SERVER_TROUBLE,
    410: SERVER_TROUBLE,
}


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
        code = _error_code(body.get("error")) or _error_code(body.get("code"))
        said = _harmless(body.get("error_description") or body.get("detail"))
        facts = Facts(
            status=self.status, code=code, detail=said, retry_after=retry_after(self.headers), origin=self.origin
        )
        if self.status == 429:
            return Throttled(f"{self.origin} asks to wait before signing in again.", facts)
        # A refusal with a status below 400 is a captive portal or a broken proxy, not the server's decision.
        if self.status < 400 or self.status >= 500 or code == "temporarily_unavailable":
            return ServerTrouble(f"{self.origin} cannot handle sign-ins at the moment.", facts)
        cause = f"{self.origin} refused the sign-in request ({code or self.status})"
        exit_code = EXIT_CODES.get(code or "") or STATUS_EXIT_CODES.get(self.status, 1)
        return SignInRefused(f"{cause}: {said}" if said else f"{cause}.", facts, exit_code=exit_code)


def _error_code(value: object) -> str | None:
    """An error code (RFC 6749 section 5.2); None for what cannot be one."""
    fits = isinstance(value, str) and 0 < len(value) <= CODE_CHARACTERS and value.isascii() and value.isprintable()
    return value if fits and isinstance(value, str) else None


def _harmless(value: object) -> str | None:
    """The server's own words on one line, bounded, without characters that move the cursor or reverse the text."""
    if not isinstance(value, str):
        return None
    said = " ".join("".join(c if c.isprintable() else " " for c in value[: 4 * SAID_CHARACTERS]).split())
    return f"{said[:SAID_CHARACTERS]}…" if len(said) > SAID_CHARACTERS else said or None


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
