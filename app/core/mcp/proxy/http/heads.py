"""The head of a request, read strictly: RFC 9112 sections 2 to 6, and no more of it than an MCP client needs.

Two programs that read one message differently can be played off against each other. So whatever has two readings is
refused, also where the standard would let a server be lenient.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import httptools

from app.core.mcp.proxy.parts import RequestHeaders

if TYPE_CHECKING:
    from app.core.mcp.proxy.http.limits import Limits
    from app.core.mcp.proxy.parts import Headers

END = b"\r\n\r\n"
# Of heads that are remembered, in bytes and in number.
LONGEST_KNOWN = 2048
MOST_KNOWN = 256
# All but CONNECT and TRACE of RFC 9110 section 9, and PATCH. The handler decides which of them a path has.
_METHODS = {name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}
# What says how a message is framed, where it goes, whose it is and what it is. Two of the same could be read as either.
_SINGLE = frozenset(
    {
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"expect",
        b"connection",
        b"upgrade",
        b"authorization",
        b"origin",
        b"content-type",
        b"mcp-session-id",
        b"mcp-protocol-version",
    }
)
_LONGEST_NUMBER = 12

# RFC 9112 section 3, with one space between its parts.
_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([^ \t\r]+) (HTTP/\d\.\d)\r\n")
# RFC 3986 section 3.3 without empty segments and dot segments. A slash, a backslash, a dot or a NUL that is encoded
# could become one where the path is decoded.
_CHARACTER = rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%(?!2[EeFf]|5[Cc]|00)[0-9A-Fa-f]{2})"
_SEGMENT = rb"(?!\.\.?(?:/|\?|\Z))" + _CHARACTER + rb"+"
_TARGET = re.compile(rb"(/(?:" + _SEGMENT + rb"/)*(?:" + _SEGMENT + rb")?)(?:\?([!-~]*))?")


class BadRequest(Exception):
    """A request that is not one that this server takes. `text` is for whoever wrote the client."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class RequestHead(NamedTuple):
    """A request's head. `length` is that of the body, None for one in chunks. `modern`: HTTP/1.1."""

    method: str
    path: str
    query: str
    headers: Headers
    length: int | None
    modern: bool
    keep_alive: bool
    expects_continue: bool

    def __repr__(self) -> str:
        # A key of a client is among its headers.
        return f"RequestHead({self.method} {self.path}, {len(self.headers)} headers)"


class _Fields:
    """What llhttp reports of a head."""

    __slots__ = ("headers", "single")

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.single: dict[bytes, bytes] = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        # llhttp leaves white space after a value.
        value = value.strip(b" \t")
        self.headers.append((name, value))
        if name in _SINGLE:
            if name in self.single:
                # RFC 9112 sections 3.2 and 6.3, RFC 9110 section 5.3.
                raise BadRequest(400, f"More than one header {name.decode()}.")
            self.single[name] = value


class HeadReader:
    """Reads heads, and knows those again that it has read: a client's differ in the length of the body, if at all.

    Reading one costs a fifth of what a whole request costs; knowing it again costs next to nothing.
    """

    __slots__ = ("_known", "limits")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._known: dict[bytes, RequestHead] = {}

    def read(self, raw: bytes) -> RequestHead:
        """See `read_head`."""
        head = self._known.get(raw)
        if head is None:
            head = read_head(raw, self.limits)
            if len(raw) <= LONGEST_KNOWN:
                if len(self._known) >= MOST_KNOWN:
                    self._known.clear()
                self._known[raw] = head
        return head


def check_start(data: bytes | bytearray, limits: Limits) -> None:
    """Refuse the beginning of a head that can have no good end. Raises `BadRequest`."""
    # RFC 9112 section 2.2: a bare CR or LF ends a line for some and not for others.
    lines = data.count(b"\r\n")
    if data.count(b"\n") != lines or data.count(b"\r") - data.endswith(b"\r") != lines or 0 in data:
        raise BadRequest(400, "A bare CR, a bare LF or a NUL in the head.")
    if len(data) > limits.head_bytes:
        if not 0 <= data.find(b"\r\n") <= limits.head_bytes:
            raise BadRequest(414, "The request line is too long.")
        raise BadRequest(431, f"The head is longer than {limits.head_bytes} bytes.")


def read_head(raw: bytes, limits: Limits) -> RequestHead:
    """The head of a request from its first byte to its empty line. Raises `BadRequest`."""
    check_start(raw, limits)
    # RFC 9112 section 5.2: the line that goes on in the next.
    if b"\r\n " in raw or b"\r\n\t" in raw:
        raise BadRequest(400, "A header that is folded over lines.")
    if raw.count(b"\r\n") - 2 > limits.headers:
        raise BadRequest(431, f"More than {limits.headers} headers.")
    line = _LINE.match(raw)
    if line is None:
        raise BadRequest(400, "The first line is not that of a request.")
    method, target, version = line.groups()
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise BadRequest(505, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    if method not in _METHODS:
        raise BadRequest(405, "This method is not offered here.")
    path, query = _target(target)
    fields = _Fields()
    parser = httptools.HttpRequestParser(fields)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        # It stops after an offer to speak another protocol; whether that is refused is decided below.
        pass
    except httptools.HttpParserError as error:
        if isinstance(error.__context__, BadRequest):
            raise error.__context__ from None
        raise BadRequest(400, "A header is not one that HTTP/1.1 allows.") from None
    single = fields.single
    modern = version == b"HTTP/1.1"
    if not single.get(b"host"):
        raise BadRequest(400, "No header host.")
    # Java's client offers `h2c` with every first request, and takes no for an answer.
    if single.get(b"upgrade", b"h2c").lower() != b"h2c":
        raise BadRequest(400, "No other protocol is spoken here.")
    expectation = single.get(b"expect")
    if expectation is not None and expectation.lower() != b"100-continue":
        raise BadRequest(417, "An expectation that is not 100-continue.")
    connection = single.get(b"connection")
    options = [] if connection is None else [each.strip(b" \t") for each in connection.lower().split(b",")]
    return RequestHead(
        _METHODS[method],
        path,
        query,
        RequestHeaders(fields.headers),
        _body_length(single, modern=modern),
        modern,
        b"close" not in options and (modern or b"keep-alive" in options),
        expectation is not None and modern,
    )


def _body_length(single: dict[bytes, bytes], *, modern: bool) -> int | None:
    length, coding = single.get(b"content-length"), single.get(b"transfer-encoding")
    if coding is None:
        if length is None:
            return 0
        # Nothing but digits: RFC 9110 section 8.6. `isdigit` of bytes knows those of ASCII only.
        if not length.isdigit():
            raise BadRequest(400, "The header content-length is not a number.")
        if len(length) > _LONGEST_NUMBER:
            raise BadRequest(413, "The body is too long.")
        return int(length)
    # RFC 9112 section 6.1, and 6.3 item 3.
    if length is not None:
        raise BadRequest(400, "Both content-length and transfer-encoding.")
    if not modern:
        raise BadRequest(400, "A transfer-encoding in HTTP/1.0.")
    if coding.lower() != b"chunked":
        raise BadRequest(400, "A transfer-encoding that is not chunked.")
    return None


@lru_cache(maxsize=64)
def _target(target: bytes) -> tuple[str, str]:
    found = _TARGET.fullmatch(target)
    if found is None or b"#" in target:
        raise BadRequest(400, "The target is not a plain path of this server.")
    return found[1].decode("ascii"), (found[2] or b"").decode("ascii")
