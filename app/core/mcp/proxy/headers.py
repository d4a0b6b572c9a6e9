"""Which headers travel: from a client to a server those of a list, from a server to a client all but those of a list.

MCP's own headers travel untouched in both directions, those that mirror the body in revision 2026-07-28 too, save
`Mcp-Session-Id`: clients have sessions with the proxy (`sessions.py`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from app.core.mcp.proxy.parts import values_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from app.core.mcp.proxy.parts import Headers

SESSION = b"mcp-session-id"
PROTOCOL_VERSION = b"mcp-protocol-version"
LAST_EVENT_ID = b"last-event-id"
_MCP = b"mcp-"
_INWARD = frozenset({b"accept", b"accept-language", b"content-type", LAST_EVENT_ID, b"user-agent"})
# A body in a coding could not be judged, nor cleared of a token that it quotes.
_PLAIN = (b"accept-encoding", b"identity")

# RFC 9110 section 7.6.1 and what older software sends. Framing is for each connection alone.
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"content-length",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# What would sign a client in elsewhere, name a place of the server's, or let a web page in.
_NEVER_OUTWARD = frozenset(
    {
        SESSION,
        b"alt-svc",
        b"authentication-info",
        b"authorization",
        b"clear-site-data",
        b"content-encoding",
        b"location",
        b"nel",
        b"refresh",
        b"report-to",
        b"reporting-endpoints",
        b"server",
        b"set-cookie",
        b"set-cookie2",
        b"strict-transport-security",
        b"via",
        b"www-authenticate",
    }
)
_NEVER_OUTWARD_BEGIN = (b"proxy-", b"access-control-", b"x-accel-")
STREAMED: Headers = ((b"cache-control", b"no-cache, no-transform"), (b"x-accel-buffering", b"no"))


def inward(
    given: Headers, besides: Mapping[str, str], *, bearer: str = "", session: str = "", more: Headers = ()
) -> Headers:
    """The headers of a request to a server. `besides` and `more` replace those of the client."""
    own = [(name.lower().encode(), _as_bytes(value)) for name, value in besides.items()]
    own += more
    replaced = {name for name, _value in own}
    named = _named_by_connection(given)
    headers = [pair for pair in given if _goes_in(pair[0]) and pair[0] not in replaced and pair[0] not in named]
    headers += own
    headers.append(_PLAIN)
    if session:
        headers.append((SESSION, session.encode("latin-1")))
    if bearer:
        # In the place of one that a configuration names.
        headers = [pair for pair in headers if pair[0] != b"authorization"]
        headers.append((b"authorization", bearer.encode("latin-1")))
    return tuple(headers)


def outward(given: Headers, *, session: str = "", stream: bool = False) -> list[tuple[bytes, bytes]]:
    """The headers of an answer to a client, without those of its framing."""
    named = _named_by_connection(given)
    headers = [pair for pair in given if _goes_out(pair[0]) and pair[0] not in named]
    if stream:
        headers = [pair for pair in headers if pair[0] != b"cache-control"]
        headers += STREAMED
    if session:
        headers.append((SESSION, session.encode("latin-1")))
    return headers


# Names repeat, so they are looked at once.
@lru_cache(maxsize=1024)
def _goes_in(name: bytes) -> bool:
    return name in _INWARD or (name.startswith(_MCP) and name != SESSION)


@lru_cache(maxsize=1024)
def _goes_out(name: bytes) -> bool:
    return name not in _HOP_BY_HOP and name not in _NEVER_OUTWARD and not name.startswith(_NEVER_OUTWARD_BEGIN)


def as_text(headers: Headers) -> dict[str, str]:
    """Headers as the classifier reads them: text, several of one name joined (RFC 9110 section 5.3)."""
    found: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def _as_bytes(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode()


def _named_by_connection(headers: Headers) -> frozenset[bytes]:
    """The headers that `Connection` names: they are for the next hop only."""
    lines = values_of(headers, b"connection")
    return frozenset(_names(lines)) if lines else frozenset()


def _names(lines: Iterable[bytes]) -> Iterator[bytes]:
    for line in lines:
        yield from (name.strip().lower() for name in line.split(b","))
