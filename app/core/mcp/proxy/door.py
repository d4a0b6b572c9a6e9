"""Door: whether a request may come in, before anything of it is carried anywhere.

The checks and their order are those of docs/architecture.md, "The local proxy". Each answers an attack of its own: the
exact `Host` ends DNS rebinding; an `Origin` of elsewhere, and a POST of anything but JSON, ends requests of web pages
(this server has no pages, so only a program can name its origin); no OPTIONS is answered, so no browser sends what
needs a preflight; the key ends everybody else. Whose key it is, is a look-up of its hash (`ProxyHost.client_of`), so
no comparison takes longer the more of it is right.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from functools import lru_cache
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from app.core.mcp.proxy.keys import hash_of
from app.core.mcp.proxy.parts import Way, values_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from app.core.mcp.proxy.parts import Headers, ProxyClient, ProxyHost, Request

KEY = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +(bw_[A-Za-z0-9_-]{43})")
PATHS = (
    (re.compile(r"/mcp/([^/]+)"), Way.MCP, ("POST", "GET", "DELETE")),
    (re.compile(r"/sse/([^/]+)/messages"), Way.SSE_MESSAGES, ("POST",)),
    (re.compile(r"/sse/([^/]+)"), Way.SSE, ("GET",)),
)
SAFE_ID = re.compile(r"[^\x00-\x1f\x7f/\\]{1,200}")
JSON = b"application/json"
# So many wrong keys in so many seconds are a client with an old key. More are somebody who guesses.
WRONG_KEYS, WITHIN_SECONDS = 20, 60.0
DELAY_SECONDS = 2.0
# How many wrong keys may wait for their answer. They must not take the places of requests with right ones.
MOST_DELAYED = 8

# Requests and streams of one client, of all that the port takes at once (`Limits.connections`).
MOST_OF_A_CLIENT = 192

ABOUT = "This is the local MCP proxy of Burrow. Its servers are at /mcp/SERVER; `burrow connect list` names them.\n"
NO_KEY = (
    "This address takes MCP clients that Burrow knows, each with a key of its own in the header Authorization. Add "
    "this client on the Connect page of Burrow, or with `burrow connect add`."
)
WRONG_KEY = (
    "Burrow does not know this key: it was revoked, or belongs to another data folder. Add this client again on the "
    "Connect page of Burrow, or with `burrow connect add`."
)


class Admitted(NamedTuple):
    """Whose request it is, which server it is for, how it came, and the hash of its key.

    `server` is empty for the address itself.
    """

    client: ProxyClient
    server: str
    way: Way
    key_hash: str


class TurnedAway(Exception):
    """A request that did not come in, and its answer."""

    def __init__(self, status: int, words: str, headers: Headers = ()) -> None:
        super().__init__(words)
        self.status = status
        self.body = json.dumps({"error": words}, ensure_ascii=False).encode()
        self.headers = headers


class WrongKeys:
    """Counts wrong keys, and slows whoever tries many of them."""

    def __init__(self, clock: Callable[[], float] = monotonic, delay: float = DELAY_SECONDS) -> None:
        self._clock = clock
        self._delay = delay
        self._at: deque[float] = deque(maxlen=WRONG_KEYS)
        self._delayed = 0

    @property
    def many(self) -> bool:
        """Whether so many were tried lately that the next one has to wait."""
        return len(self._at) == WRONG_KEYS and self._clock() - self._at[0] < WITHIN_SECONDS

    async def wait(self) -> None:
        """Wait for the turn of one that is to be looked up. Raises `TurnedAway` when too many wait already."""
        if not self.many:
            return
        if self._delayed >= MOST_DELAYED:
            raise TurnedAway(429, "Too many wrong keys.", ((b"retry-after", b"60"),))
        self._delayed += 1
        try:
            await asyncio.sleep(self._delay)
        finally:
            self._delayed -= 1

    def add(self) -> None:
        """Another one was wrong."""
        self._at.append(self._clock())


class Door:
    """Lets requests in. `port` is the one that clients use; `origins` are other web origins that may."""

    def __init__(
        self, host: ProxyHost, port: int, *, origins: Iterable[bytes] = (), wrong_keys: WrongKeys | None = None
    ) -> None:
        self._host = host
        self._hosts = frozenset(f"{name}:{port}".encode() for name in ("127.0.0.1", "localhost", "[::1]"))
        self._origins = frozenset({*(b"http://" + host for host in self._hosts), *origins})
        self._wrong_keys = wrong_keys or WrongKeys()

    async def admit(self, request: Request) -> Admitted:
        """Whose request it is and where it goes. Raises `TurnedAway`."""
        self._check_sender(request)
        key = _key_of(request)
        # Nothing here waits: nobody who guesses holds up a client that is known.
        client = self._host.client_of(key) if key else None
        if client is None:
            client = await self._unknown(key)
        identity = hash_of(key)
        if request.path == "/" and request.method == "GET":
            return Admitted(client, "", Way.MCP, identity)
        server, way, methods = place_of(request.path)
        if not client.may_use(server):
            raise nothing_here()
        if request.method not in methods:
            raise TurnedAway(405, f"Not with {request.method}.", ((b"allow", ", ".join(methods).encode()),))
        if request.method == "POST" and not _is_json(request):
            raise TurnedAway(415, "The body has to be application/json.")
        return Admitted(client, server, way, identity)

    def _check_sender(self, request: Request) -> None:
        hosts = values_of(request.headers, b"host")
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            raise TurnedAway(421, "This server answers to its own address only.")
        if not self._origins.issuperset(values_of(request.headers, b"origin")):
            raise TurnedAway(403, "Web pages may not use this address.")
        if request.method == "OPTIONS":
            raise TurnedAway(405, "Not with OPTIONS.", ((b"allow", b"POST, GET, DELETE"),))

    async def _unknown(self, key: str) -> ProxyClient:
        # What this process knew a moment ago is no guess: it is only looked at again.
        if not key or not self._host.admits(hash_of(key), ""):
            await self._wrong_keys.wait()
        if key and (client := await self._host.find_client(key)) is not None:
            return client
        self._wrong_keys.add()
        raise TurnedAway(401, WRONG_KEY)


def _key_of(request: Request) -> str:
    """The key of a request; empty for what cannot be one. Raises `TurnedAway` without any."""
    given = values_of(request.headers, b"authorization")
    if not given:
        raise TurnedAway(401, NO_KEY)
    found = KEY.fullmatch(given[0]) if len(given) == 1 else None
    return "" if found is None else found[1].decode()


@lru_cache(maxsize=256)
def place_of(path: str) -> tuple[str, Way, tuple[str, ...]]:
    """The server that a path names, how it comes there, and with which methods. Raises `TurnedAway`."""
    for pattern, way, methods in PATHS:
        found = pattern.fullmatch(path)
        if found is not None:
            server = unquote(found[1], errors="replace") if "%" in found[1] else found[1]
            if SAFE_ID.fullmatch(server) and server not in {".", ".."}:
                return server, way, methods
    raise nothing_here()


def nothing_here() -> TurnedAway:
    """For a place that there is not, and for one that the client may not know of."""
    # The same words for a server that there is not and for one that the client may not use.
    return TurnedAway(404, "There is no such server, or this client may not use it.")


def _is_json(request: Request) -> bool:
    given = values_of(request.headers, b"content-type")
    return len(given) == 1 and (given[0] == JSON or given[0].partition(b";")[0].strip().lower() == JSON)
