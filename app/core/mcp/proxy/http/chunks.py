"""The body of a request in chunks: RFC 9112 section 7.1, read strictly. Extensions and trailers are ignored."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from app.core.mcp.proxy.http.heads import BadRequest

if TYPE_CHECKING:
    from app.core.mcp.proxy.http.limits import Limits

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[\t -~\x80-\xff]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*")


class ChunkedBody:
    """Takes the bytes of a body as they come."""

    __slots__ = ("_framing", "_in_trailers", "_left", "_limits", "_rest", "body")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._rest = limits.body_bytes
        self._left: int | None = None
        self._in_trailers = False
        self._framing = 0
        self.body = bytearray()

    @property
    def begun(self) -> bool:
        """Whether anything of the body has come."""
        return self._framing > 0

    def take(self, data: bytearray) -> bool:
        """Take what belongs to the body out of `data`; whether the body is complete. Raises `BadRequest`."""
        while True:
            if self._left:
                part = data[: self._left]
                self.body += part
                del data[: len(part)]
                self._left -= len(part)
                if self._left:
                    return False
            if self._left == 0:
                if len(data) < 2:
                    return False
                if not data.startswith(b"\r\n"):
                    raise BadRequest(400, "A chunk that is longer than it says.")
                del data[:2]
                self._left = None
            line = self._line(data)
            if line is None:
                return False
            if self._in_trailers:
                if not line:
                    return True
                if _TRAILER.fullmatch(line) is None:
                    raise BadRequest(400, "A trailer that is not a header.")
            else:
                self._begin(line)

    def _begin(self, line: bytes) -> None:
        found = _SIZE.fullmatch(line)
        if found is None:
            raise BadRequest(400, "A chunk without a size.")
        size = int(found[1], 16)
        if size == 0:
            self._in_trailers = True
            return
        self._rest -= size
        if self._rest < 0:
            raise BadRequest(413, f"The body is longer than {self._limits.body_bytes} bytes.")
        self._left = size

    def _line(self, data: bytearray) -> bytes | None:
        """The next line; None until it is whole."""
        end = data.find(b"\n")
        length = len(data) if end < 0 else end + 1
        if self._framing + length > self._limits.framing_bytes:
            raise BadRequest(400, "Too many chunks, extensions or trailers.")
        if end < 0:
            return None
        self._framing += length
        line = bytes(data[:end])
        if not line.endswith(b"\r"):
            raise BadRequest(400, "A bare LF between chunks.")
        del data[: end + 1]
        return line[:-1]
