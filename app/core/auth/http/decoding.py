"""BodyDecoder: decodes the body of a response in pieces of bounded size (RFC 9110 section 8.4).

One content coding only, and one that Burrow asks for. httpx decodes as many as a response names, each chunk at once: 64
KB that were compressed twice become 60 GB before anybody can count them.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCEPTED = "gzip, deflate"
PIECE = 64 * 1024
GZIP_NAMES = frozenset({"gzip", "x-gzip"})
# 31: gzip. 15: zlib, which RFC 9110 calls deflate. -15: deflate without a header, which some servers send.
GZIP, ZLIB, RAW = 31, 15, -15


class Undecodable(Exception):
    """The body is not in its coding, or in one that Burrow does not decode. The message says so, for people."""


def codings_of(header: str) -> tuple[str, ...]:
    """The codings that a `Content-Encoding` header names, without those that change nothing."""
    named = (one.strip().lower() for one in header.split(","))
    return tuple(one for one in named if one and one != "identity")


class BodyDecoder:
    """Decodes one body. `header` is its `Content-Encoding`. Raises `Undecodable` for what it does not decode."""

    def __init__(self, header: str) -> None:
        codings = codings_of(header)
        if len(codings) != 1 or codings[0] not in {*GZIP_NAMES, "deflate"}:
            named = ", ".join(codings)[:40]
            raise Undecodable(f"The answer is in a coding that was not asked for: {named}.")
        self._gzip = codings[0] in GZIP_NAMES
        self._unpacker = zlib.decompressobj(GZIP if self._gzip else ZLIB)
        # What came before the first decoded byte: by then it may turn out that the header is missing.
        self._undecided: bytes | None = None if self._gzip else b""

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """What `chunk` decodes to, in pieces of at most 64 KB. Raises `Undecodable`."""
        waiting = chunk
        while waiting:
            if self._unpacker.eof:
                if not self._gzip:
                    return
                # A gzip file may have several members (RFC 1952 section 2.2).
                self._unpacker = zlib.decompressobj(GZIP)
            piece = self._unpacked(waiting)
            if piece:
                yield piece
            waiting = self._unpacker.unconsumed_tail or self._unpacker.unused_data
            if not piece and not self._unpacker.eof:
                # All of it was read, and gave nothing yet.
                return

    def end(self) -> None:
        """The body has ended. Raises `Undecodable` when it is cut off."""
        if not self._unpacker.eof:
            raise Undecodable("The compressed answer ended too early.")

    def _unpacked(self, data: bytes) -> bytes:
        try:
            piece = self._unpacker.decompress(data, PIECE)
        except zlib.error:
            if self._undecided is None:
                raise Undecodable("The answer is not in the coding that it names.") from None
            data, self._undecided = self._undecided + data, None
            self._unpacker = zlib.decompressobj(RAW)
            return self._unpacked(data)
        if self._undecided is not None:
            self._undecided = None if piece else self._undecided + data
        return piece
