"""A bare HTTP/1.1 server in its own process: an authorization server that rotates in place, and what its tokens open.

`python benchmarks/_rotating_server.py MILLISECONDS` prints its port and serves until its standard input ends. Each
renewal kills the former access token at once. A refresh token that comes back after it was spent revokes the whole
grant, unless the grant was given a grace, in which the same pair is handed out again. Every answer takes so many
milliseconds, but those under `/_control/`, where `_control.py` asks for grants, kills tokens and reads the counters.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

BACKLOG = 2048
LIFETIME_SECONDS = 3600
SCOPE = "task:read"
TASK = {
    "id": "0192f0c1-7b7e-7000-8000-00000000002a",
    "task_number": 42,
    "slug": "BUR-42",
    "title": "Look at what happened to the events last week",
    "created_at": "2026-11-23T09:15:00.000000Z",
    "archived": False,
}
REFUSAL = {
    "type": "authentication_error",
    "code": "authentication_failed",
    "detail": "Invalid access token.",
    "attr": None,
}
CHALLENGE = 'WWW-Authenticate: Bearer error="invalid_token"\r\n'


def message(status: str, value: object, extra: str = "") -> bytes:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


GOOD = message("200 OK", TASK)
REFUSED = message("401 Unauthorized", REFUSAL, CHALLENGE)
INVALID_GRANT = message("400 Bad Request", {"error": "invalid_grant"})
NOT_FOUND = message("404 Not Found", {"detail": "Not found."})


@dataclass
class Grant:
    """One grant with its live pair. `accepted` and `rejected` count refreshes, `repeated` those inside the grace."""

    grace: float
    access: str = ""
    refresh: str = ""
    revoked: bool = False
    accepted: int = 0
    rejected: int = 0
    repeated: int = 0
    good: int = 0
    refused: int = 0
    spent: dict[str, tuple[float, bytes]] = field(default_factory=dict)

    def counters(self) -> dict[str, object]:
        names = ("accepted", "rejected", "repeated", "revoked", "good", "refused")
        return {name: getattr(self, name) for name in names}

    def pair(self) -> dict[str, object]:
        return {
            "access_token": self.access,
            "refresh_token": self.refresh,
            "token_type": "Bearer",
            "expires_in": LIFETIME_SECONDS,
            "scope": SCOPE,
        }


class Authority:
    """All grants, and every token that ever belonged to one."""

    def __init__(self) -> None:
        self.grants: list[Grant] = []
        self.owners: dict[str, Grant] = {}
        self._serial = itertools.count(1)

    def new_grant(self, grace: float) -> dict[str, object]:
        grant = Grant(grace)
        self.grants.append(grant)
        self._rotate(grant)
        return {"number": len(self.grants) - 1, **grant.pair()}

    def kill(self, number: int) -> None:
        """The access token dies here; by the clock it would live on."""
        self.grants[number].access = ""

    def opens(self, access: str) -> bool:
        """Whether an access token is the live one of its grant."""
        grant = self.owners.get(access)
        if grant is None:
            return False
        live = grant.access == access and not grant.revoked
        if live:
            grant.good += 1
        else:
            grant.refused += 1
        return live

    def renew(self, refresh: str) -> bytes:
        """The answer of the token endpoint (RFC 6749 section 6, RFC 9700 section 4.14)."""
        grant = self.owners.get(refresh)
        if grant is None:
            return INVALID_GRANT
        if grant.refresh == refresh and not grant.revoked:
            grant.accepted += 1
            self._rotate(grant)
            answer = message("200 OK", grant.pair(), "Cache-Control: no-store\r\n")
            grant.spent[refresh] = (monotonic() + grant.grace, answer)
            return answer
        until, answer = grant.spent.get(refresh, (0.0, b""))
        if not grant.revoked and monotonic() < until:
            grant.repeated += 1
            return answer
        grant.rejected += 1
        grant.revoked = True
        return INVALID_GRANT

    def _rotate(self, grant: Grant) -> None:
        serial = next(self._serial)
        grant.access, grant.refresh = f"pha_{serial:040d}", f"phr_{serial:040d}"
        self.owners[grant.access] = self.owners[grant.refresh] = grant


class Server:
    """What each path answers."""

    def __init__(self, latency: float) -> None:
        self.origin = ""
        self.latency = latency
        self.authority = Authority()
        self.routes: dict[str, Callable[[dict[str, str]], bytes]] = {
            "/oauth/token/": lambda form: self.authority.renew(form.get("refresh_token", "")),
            "/oauth/register/": lambda form: message("201 Created", self._registration()),
            "/_control/grant": lambda form: message("200 OK", self.authority.new_grant(float(form.get("grace", 0)))),
            "/_control/kill": self._kill,
            "/_control/counters": lambda form: message("200 OK", self._grant(form).counters()),
        }

    def answer(self, path: str, bearer: str, form: dict[str, str]) -> bytes:
        """The whole answer to a request; `form` is its query or its form body."""
        route = self.routes.get(path)
        if route is not None:
            return route(form)
        if path.startswith("/.well-known/oauth-authorization-server"):
            return message("200 OK", self._metadata())
        if path.startswith("/.well-known/oauth-protected-resource"):
            return message("200 OK", {"resource": self.origin, "authorization_servers": [self.origin]})
        if path.startswith("/.well-known/"):
            return NOT_FOUND
        return GOOD if self.authority.opens(bearer) else REFUSED

    def _kill(self, form: dict[str, str]) -> bytes:
        self.authority.kill(int(form["number"]))
        return message("200 OK", {})

    def _grant(self, form: dict[str, str]) -> Grant:
        return self.authority.grants[int(form["number"])]

    def _metadata(self) -> dict[str, object]:
        return {
            "issuer": self.origin,
            "authorization_endpoint": f"{self.origin}/oauth/authorize/",
            "token_endpoint": f"{self.origin}/oauth/token/",
            "registration_endpoint": f"{self.origin}/oauth/register/",
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_methods_supported": ["none"],
            "code_challenge_methods_supported": ["S256"],
        }

    def _registration(self) -> dict[str, object]:
        return {
            "client_id": "registered",
            "redirect_uris": ["http://127.0.0.1:1/callback"],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        }


class Connection(asyncio.Protocol):
    """Answers one request after the other and keeps the connection."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self.server = server
        self.loop = loop
        self.waiting = b""
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        while True:
            head, end, rest = self.waiting.partition(b"\r\n\r\n")
            if not end:
                return
            lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            length = int(headers.get("content-length", "0"))
            if len(rest) < length:
                return
            self.waiting = rest[length:]
            self.handle(lines[0].split(" ")[1], headers, rest[:length])

    def handle(self, address: str, headers: dict[str, str], body: bytes) -> None:
        parts = urlsplit(address)
        coded = body.decode() if headers.get("content-type", "").startswith("application/x-www-form") else parts.query
        form = {name: values[0] for name, values in parse_qs(coded).items()}
        answer = self.server.answer(parts.path, headers.get("authorization", "").removeprefix("Bearer "), form)
        if parts.path.startswith("/_control/"):
            self.write(answer)
        else:
            self.loop.call_later(self.server.latency, self.write, answer)

    def write(self, answer: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(answer)


async def serve(latency: float) -> None:
    """Listen on a free port of the loopback interface until standard input ends."""
    loop = asyncio.get_running_loop()
    server = Server(latency)
    listener = await loop.create_server(lambda: Connection(server, loop), "127.0.0.1", 0, backlog=BACKLOG)
    port = listener.sockets[0].getsockname()[1]
    server.origin = f"http://127.0.0.1:{port}"
    print(port, flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    listener.close()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]) / 1000))
