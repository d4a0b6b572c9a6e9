"""A scripted HTTP server on a real socket: an authorization server that rotates in place, and resource views.

It knows the contract only as far as a test needs it, so that a test can make it lie in one exact way.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.core._raw_server import RawRequest, RawServer

METADATA = "/.well-known/oauth-authorization-server"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}

    @property
    def bearer(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes | str | dict[str, Any] | list[Any] = b""
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    """Close the connection without an answer."""
    stream: Callable[[asyncio.StreamWriter], Awaitable[None]] | None = None
    """Writes the body of an event stream, which ends with the connection."""


Handler = Callable[[Request], Reply | Awaitable[Reply]]

DEAD = Reply(
    401,
    {"type": "authentication_error", "code": "authentication_failed", "detail": "Invalid access token.", "attr": None},
)


class ScriptedServer(RawServer):
    """Answers from `views` (path -> handler or reply); counts requests per path."""

    def __init__(self) -> None:
        super().__init__()
        self.views: dict[str, Handler | Reply] = {}
        self.requests: Counter[str] = Counter()
        self.seen: list[Request] = []

    async def answer(self, request: RawRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        parts = urlsplit(request.target)
        seen = Request(request.verb, parts.path, parse_qs(parts.query), request.headers, request.body)
        self.requests[parts.path] += 1
        self.seen.append(seen)
        view = self.views.get(parts.path, Reply(404, {"code": "not_found", "detail": "Not found."}))
        reply = view if isinstance(view, Reply) else view(seen)
        if not isinstance(reply, Reply):
            reply = await reply
        if reply.drop:
            writer.transport.abort()
            return False
        if reply.stream is not None:
            lines = {"Content-Type": "text/event-stream", **reply.headers}
            head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            writer.write(f"HTTP/1.1 {reply.status} X\r\n{head}\r\n".encode("latin-1"))
            await reply.stream(writer)
            return False
        content = reply.body
        kind = "text/plain"
        if isinstance(content, dict | list):
            content, kind = json.dumps(content), "application/json"
        if isinstance(content, str):
            content = content.encode()
        # Both would be no valid message (RFC 9112 section 6.3).
        length = {} if "Transfer-Encoding" in reply.headers else {"Content-Length": str(len(content))}
        lines = {"Content-Type": kind, **length, **reply.headers}
        writer.write(
            f"HTTP/1.1 {reply.status} X\r\n".encode()
            + "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode("latin-1")
            + b"\r\n"
            + content
        )
        await writer.drain()
        return True


class Issuer:
    """The token endpoint of a first-party client: each refresh kills the former access token.

    See docs/wire.md, "Token lifetimes and rotation".
    A refresh token that was spent comes back with the same pair while `grace` is on, and revokes the family otherwise.
    """

    def __init__(self, server: ScriptedServer, *, lifetime: Any = 3600) -> None:
        self.server = server
        self.lifetime = lifetime
        self.accepted = 0
        self.rejected = 0
        self.revoked = False
        self.grace: bool | float = True
        """Whether, or for how many seconds, a spent refresh token comes back with the same pair."""
        self.gate: asyncio.Event | None = None
        """When set, renewals are answered only after it."""
        self.reached = asyncio.Event()
        self.script: list[Reply] = []
        """Answers to give before the endpoint works again."""
        self.extra: dict[str, Any] = {}
        self._serial = 0
        self._spent: dict[str, dict[str, Any]] = {}
        self._spent_at: dict[str, float] = {}
        self.pair = self._issue()
        server.views[METADATA] = self._metadata
        server.views["/oauth/token/"] = self._token
        server.views["/oauth/revoke/"] = self._revoke

    @property
    def access_token(self) -> str:
        return str(self.pair["access_token"])

    @property
    def refresh_token(self) -> str:
        return str(self.pair["refresh_token"])

    def kill(self) -> None:
        """The access token dies on the server; by the clock it would live on."""
        self.pair = {**self.pair, "access_token": "pha_dead"}

    def guard(self, reply: Callable[[Request], Reply] | Reply = DEAD) -> Handler:
        """A view that answers `ok` to the live access token and `reply` to any other."""

        def view(request: Request) -> Reply:
            if not self.revoked and request.bearer == self.access_token:
                return Reply(200, {"ok": True})
            return reply if isinstance(reply, Reply) else reply(request)

        return view

    def _issue(self) -> dict[str, Any]:
        self._serial += 1
        return {
            "access_token": f"pha_{self._serial}",
            "refresh_token": f"phr_{self._serial}",
            "token_type": "Bearer",
            "expires_in": self.lifetime,
            "scope": "task:read",
        }

    def _metadata(self, request: Request) -> Reply:
        origin = self.server.origin
        return Reply(
            200,
            {
                "issuer": origin,
                "authorization_endpoint": f"{origin}/oauth/authorize/",
                "token_endpoint": f"{origin}/oauth/token/",
                "registration_endpoint": f"{origin}/oauth/register/",
                "revocation_endpoint": f"{origin}/oauth/revoke/",
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": True,
            },
        )

    async def _token(self, request: Request) -> Reply:
        self.reached.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.script:
            return self.script.pop(0)
        presented = request.form.get("refresh_token", "")
        if not self.revoked and presented == self.refresh_token:
            return self.renewal(presented)
        if not self.revoked and presented in self._spent and self._graceful(presented):
            return Reply(200, self._spent[presented])
        if presented in self._spent:
            self.revoked = True
        self.rejected += 1
        return Reply(400, {"error": "invalid_grant"})

    def renewal(self, presented: str) -> Reply:
        """Rotate now."""
        self.accepted += 1
        self.pair = {**self._issue(), **self.extra}
        self._spent[presented] = self.pair
        self._spent_at[presented] = monotonic()
        return Reply(200, self.pair)

    def _graceful(self, presented: str) -> bool:
        if isinstance(self.grace, bool):
            return self.grace
        return monotonic() - self._spent_at[presented] < self.grace

    def _revoke(self, request: Request) -> Reply:
        self.revoked = True
        return Reply(200)
