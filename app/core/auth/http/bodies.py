"""Bodies of requests and answers of httpx and httpx2 alike: kept to be sent again, looked at and put back.

What is looked at of an answer decides what it is; its reader still gets every byte. What is kept of a request is
bounded (faults row 56).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import httpx2

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable

# Enough for every error body; what is longer is no error body.
PEEK_BYTES = 256 * 1024
REPLAY_BYTES = 4 * 1024 * 1024
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class ReplayableBody:
    """Whether and how the body of one request can be sent again."""

    async def restore(self, request: Any, response: Any) -> bool:
        """Make `request` ready to be sent again in place of `response`, which nobody will read; False if it cannot."""
        try:
            if len(request.content) > REPLAY_BYTES:
                return False
        except (httpx.RequestNotRead, httpx2.RequestNotRead):
            return False
        await _abandon(response)
        return True


class ReplayableStream(ReplayableBody):
    """A body that can be read once, kept up to the cap while it is sent."""

    def __init__(self, request: Any) -> None:
        self._chunks: list[bytes] | None = []
        self._size = 0
        self._complete = False
        source = request.stream
        request.stream = _stream_of(source, lambda: _noted(source, self._keep, self._end), source)

    async def restore(self, request: Any, response: Any) -> bool:
        if not self._complete or self._chunks is None:
            return False
        kind = httpx2 if isinstance(request, httpx2.Request) else httpx
        request.stream = kind.ByteStream(b"".join(self._chunks))
        await _abandon(response)
        return True

    def _keep(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > REPLAY_BYTES:
            self._chunks = None
        elif self._chunks is not None:
            self._chunks.append(chunk)

    def _end(self) -> None:
        self._complete = True


IN_MEMORY = ReplayableBody()


def keep(request: Any) -> ReplayableBody:
    """Called before `request` is sent."""
    if isinstance(request.stream, httpx.ByteStream | httpx2.ByteStream):
        return IN_MEMORY
    return ReplayableStream(request)


async def peek(response: Any) -> bytes:
    """The first bytes of a body, decoded; its reader still sees all of it."""
    raw = await _read_until(response, lambda body: len(body) >= PEEK_BYTES)
    return _decoded(raw, response.headers.get("content-encoding", "")) or b""


async def first_message(response: Any) -> bytes:
    """The first JSON-RPC message of an answer, JSON or event stream; its reader still sees every byte."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return await peek(response)
    if kind != "text/event-stream":
        return b""
    encoding = response.headers.get("content-encoding", "")

    def enough(raw: bytes) -> bool:
        """Nobody waits longer than the reader would: what cannot be decoded yet, it cannot read either."""
        body = _decoded(raw, encoding)
        return body is None or _data(body) is not None or max(len(raw), len(body)) >= PEEK_BYTES

    raw = await _read_until(response, enough)
    return _data(_decoded(raw, encoding) or b"") or b""


def _data(body: bytes) -> bytes | None:
    """The data of the first event that has any (WHATWG HTML section 9.2), None while it is incomplete."""
    normal = body.removeprefix(BYTE_ORDER_MARK).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events = normal.split(b"\n\n")
    for event in events[:-1]:
        lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
        if any(lines):
            return b"\n".join(lines)
    return None


def _decoded(raw: bytes, encoding: str) -> bytes | None:
    """What can be decoded of the beginning of a body, bounded; None for garbage and encodings nobody asked for."""
    if encoding in {"", "identity"}:
        return raw
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        return None
    import zlib

    for window in (47, -15):
        try:
            return zlib.decompressobj(window).decompress(raw, PEEK_BYTES)
        except zlib.error:
            continue
    return None


async def _read_until(response: Any, enough: Callable[[bytes], bool]) -> bytes:
    """Read bytes as they came until `enough`, then leave a response whose reader starts from the beginning."""
    if response.is_stream_consumed or response.is_closed:
        return bytes(response.content)
    source = response.stream.__aiter__()
    read: list[bytes] = []
    ended = False
    body = b""
    while not enough(body):
        try:
            read.append(await source.__anext__())
        except StopAsyncIteration:
            ended = True
            break
        body = b"".join(read)
    if ended:
        # The connection is free for others, the renewal among them, before anybody reads the answer.
        await response.stream.aclose()
    response.stream = _stream_of(response.stream, lambda: _chained(read, None if ended else source), response.stream)
    return body


async def _abandon(response: Any) -> None:
    """Nobody will read the rest, which may be endless: httpx reads an answer to its end before it sends again."""
    if not response.is_stream_consumed and not response.is_closed:
        original = response.stream
        response.stream = _stream_of(original, lambda: _chained([], None), original)


async def _chained(read: list[bytes], rest: AsyncIterator[bytes] | None) -> AsyncIterator[bytes]:
    for chunk in read:
        yield chunk
    if rest is not None:
        async for chunk in rest:
            yield chunk


async def _noted(
    source: AsyncIterable[bytes], keep: Callable[[bytes], None], end: Callable[[], None]
) -> AsyncIterator[bytes]:
    async for chunk in source:
        keep(chunk)
        yield chunk
    end()


class _Stream:
    """A body that gives `chunks` and closes `closes`."""

    def __init__(self, chunks: Callable[[], AsyncIterator[bytes]], closes: Any) -> None:
        self._chunks = chunks
        self._closes = closes

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks()

    async def aclose(self) -> None:
        await self._closes.aclose()


# Classes of their own for each library, made once: to define one takes longer than all else here.
class _HttpxStream(_Stream, httpx.AsyncByteStream):
    pass


class _Httpx2Stream(_Stream, httpx2.AsyncByteStream):
    pass


def _stream_of(like: Any, chunks: Callable[[], AsyncIterator[bytes]], closes: Any) -> Any:
    """A stream of the same library as `like` that gives `chunks` and closes `closes`."""
    kind = _Httpx2Stream if isinstance(like, httpx2.AsyncByteStream) else _HttpxStream
    return kind(chunks, closes)
