"""ServerAnswer: an answer of a server that is read only as far as it has to be judged; the rest streams."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias

from app.core.auth.http.decoding import BodyDecoder, Undecodable, codings_of
from app.core.auth.http.openings import EVENT_STREAM, JSON, PEEK_BYTES, media_type_of
from app.core.mcp.proxy.headers import as_text
from app.core.mcp.proxy.parts import SendFailure
from app.core.mcp.proxy.streams import EventSplitter, data_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from app.core.auth.tokens import TokenSet
    from app.core.mcp.proxy.parts import Headers, UpstreamResponse

# RFC 9110 section 15. Interim answers are not given to whoever asked.
STATUSES = range(200, 600)

Release: TypeAlias = "Callable[[bytes], Awaitable[None]]"


class ServerAnswer:
    """Status, headers, and a body of which the beginning may have been read already.

    `ended`: nothing is left to be read from the connection. `message` is what it was judged by: the beginning of the
    body, or the first message of a stream. `tokens` are those that its request carried, `generation` that of its
    session then (`ProxySession`).
    """

    def __init__(self, response: UpstreamResponse) -> None:
        self.status = response.status
        self.headers: Headers = response.headers
        # As the classifier reads them.
        self.text_headers = as_text(response.headers)
        given = self.text_headers.get("content-type", "")
        self.media_type = given if given == JSON else media_type_of(given)
        # Whether it is a success that comes as an event stream.
        self.is_stream = response.status == 200 and self.media_type == EVENT_STREAM
        self.ended = False
        self.message = b""
        self.tokens: TokenSet | None = None
        self.generation = 0
        self._response = response
        self._read: list[bytes] = []
        self._size = 0
        coding = self.text_headers.get("content-encoding", "")
        # A server may encode although it was asked not to.
        self._decoder = BodyDecoder(coding) if coding and codings_of(coding) else None
        self._pieces: Iterator[bytes] = iter(())

    @property
    def length(self) -> int | None:
        """How long the body is, None when that is not known."""
        if self.ended:
            return self._size
        given = self.text_headers.get("content-length", "")
        return int(given) if self._decoder is None and given.isascii() and given.isdigit() else None

    async def next(self) -> bytes:
        """The next bytes, read already or to come; empty at the end. Raises `SendFailure`."""
        if self._read:
            data = self._read[0] if len(self._read) == 1 else b"".join(self._read)
            self._read.clear()
            return data
        return await self._fetch()

    async def peek(self, size: int = PEEK_BYTES) -> bytes:
        """The first `size` bytes or more, or all of a shorter body. Raises `SendFailure`."""
        while not self.ended and self._size < size and await self._more():
            pass
        if len(self._read) != 1:
            self._read = [b"".join(self._read)]
        return self._read[0]

    async def first_message(self, release: Release | None = None) -> bytes:
        """The data of the first event that has any; empty when the stream has none. Raises `SendFailure`.

        What comes before that event is given to `release` at once: comments that keep a connection open, and the id
        from which a broken stream is resumed.
        """
        splitter = EventSplitter()
        kept: list[bytes] = []
        while len(splitter.rest) < PEEK_BYTES:
            data = await self._fetch()
            if not data:
                break
            events = splitter.feed(data)
            for at, event in enumerate(events):
                found = data_of(event)
                if found:
                    self._put_back(*kept, *events[at:], splitter.rest)
                    return found
                if release is None:
                    kept.append(event)
                else:
                    await release(event)
        self._put_back(*kept, splitter.rest)
        return b""

    def _put_back(self, *read: bytes) -> None:
        self._read = [b"".join(read)]
        self._size = len(self._read[0])

    def cut_off(self) -> None:
        """What was read is all there is."""
        self.ended = True
        self.message = b"".join(self._read)
        self._response.close()

    def close(self) -> None:
        """Not read any further."""
        self._response.close()

    async def _more(self) -> bool:
        data = await self._fetch()
        if data:
            self._read.append(data)
            self._size += len(data)
        return bool(data)

    async def _fetch(self) -> bytes:
        if self.ended:
            return b""
        if self._decoder is None:
            data = await self._response.read()
        else:
            data = await self._decoded(self._decoder)
        self.ended = not data
        return data

    async def _decoded(self, decoder: BodyDecoder) -> bytes:
        try:
            while True:
                for piece in self._pieces:
                    return piece
                raw = await self._response.read()
                if not raw:
                    decoder.end()
                    return b""
                self._pieces = decoder.pieces(raw)
        except Undecodable as problem:
            self._response.close()
            raise SendFailure(str(problem), sent=True) from None


def error_code(message: bytes) -> object:
    """The code of the JSON-RPC error in a message; None where it has none."""
    try:
        match json.loads(message):
            case {"error": {"code": code}}:
                return code
    except (ValueError, RecursionError):
        pass
    return None


def answer_of(response: UpstreamResponse) -> ServerAnswer:
    """The answer to read. Raises `SendFailure` when it is none, or in a coding that cannot be read."""
    if response.status not in STATUSES:
        response.close()
        raise SendFailure(f"it answered with status {response.status}, which is none", sent=True)
    try:
        return ServerAnswer(response)
    except Undecodable as problem:
        response.close()
        raise SendFailure(str(problem), sent=True) from None
