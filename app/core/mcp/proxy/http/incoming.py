"""RequestReader: makes requests of the bytes of one connection, however they are cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.mcp.proxy.http.chunks import ChunkedBody
from app.core.mcp.proxy.http.heads import END, BadRequest, RequestHead, check_start
from app.core.mcp.proxy.parts import Request

if TYPE_CHECKING:
    from app.core.mcp.proxy.http.heads import HeadReader


class RequestReader:
    """`head` is that of the request that is read or was read last, None before there is one."""

    __slots__ = ("_ahead", "_body", "_chunks", "_followed", "_heads", "_limits", "head")

    def __init__(self, heads: HeadReader) -> None:
        self._heads = heads
        self._limits = heads.limits
        self._ahead = b""
        self._body = bytearray()
        self._chunks: ChunkedBody | None = None
        self._followed = False
        self.head: RequestHead | None = None

    @property
    def ahead(self) -> int:
        """How many bytes are kept of what follows."""
        return len(self._ahead)

    @property
    def held(self) -> int:
        """How many bytes of the body are kept."""
        return len(self._body) + (0 if self._chunks is None else len(self._chunks.body))

    @property
    def lacks_body(self) -> bool:
        """Whether nothing of the body has come."""
        return not self._body and (self._chunks is None or not self._chunks.begun)

    def keep(self, data: memoryview) -> None:
        """Keep what comes before it can be read."""
        self._ahead += data

    def follow(self) -> None:
        """The request was answered; the next one is read now."""
        self._followed = True
        self._chunks = None
        self._body = bytearray()
        self.head = None

    def take(self, data: memoryview | bytes) -> Request | None:
        """The request that is complete with `data`, None before. Raises `BadRequest`.

        What follows the request is kept.
        """
        head = self.head
        if head is None:
            text = self._ahead + data if self._ahead else bytes(data)
            self._ahead = b""
            if self._followed and text.startswith(b"\r\n"):
                # RFC 9112 section 2.2: an empty line before a request is no part of it.
                text = text[2:]
            end = text.find(END, 0, self._limits.head_bytes)
            if end < 0:
                self._ahead = text
                check_start(text, self._limits)
                return None
            end += len(END)
            head = self.head = self._heads.read(text[:end])
            text = text[end:]
            if head.length is None:
                self._chunks = ChunkedBody(self._limits)
            elif head.length > self._limits.body_bytes:
                raise BadRequest(413, f"The body is longer than {self._limits.body_bytes} bytes.")
            elif len(text) >= head.length:
                # Most requests come in one piece.
                self._ahead = text[head.length :]
                return _request(head, text[: head.length])
            self._body += text
        else:
            self._body += data
        if self._chunks is not None:
            if not self._chunks.take(self._body):
                return None
            self._ahead = bytes(self._body)
            return _request(head, bytes(self._chunks.body))
        length = head.length or 0
        if len(self._body) < length:
            return None
        self._ahead = bytes(self._body[length:])
        return _request(head, bytes(self._body[:length]))


def _request(head: RequestHead, body: bytes) -> Request:
    return Request(head.method, head.path, head.query, head.headers, body)
