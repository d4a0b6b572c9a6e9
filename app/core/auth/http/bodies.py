"""Keeps request bodies so that they can be sent again, and reads the beginning of response bodies ahead of the caller.

Works for httpx and httpx2. Whatever is read of a response here, its reader still gets every byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import httpx2

from app.core.auth.http.openings import EVENT_STREAM, JSON, PEEK_BYTES, decoded, first_message_of, media_type_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable

# A longer request body is not sent again (faults row 56): keeping it would cost every such request its memory.
REPLAY_BYTES = 4 * 1024 * 1024


class ReplayableBody:
    """A body in memory, which httpx can send any number of times."""

    async def restore(self, request: Any, response: Any) -> bool:
        """Make `request` ready to be sent again; `response` is then not read any more. False if that is impossible."""
        try:
            if len(request.content) > REPLAY_BYTES:
                return False
        except (httpx.RequestNotRead, httpx2.RequestNotRead):
            return False
        await _discard(response)
        return True


class ReplayableStream(ReplayableBody):
    """A body that can be read once. It is recorded while it is sent, up to the cap."""

    def __init__(self, request: Any) -> None:
        self._chunks: list[bytes] | None = []
        self._size = 0
        self._complete = False
        source = request.stream
        request.stream = _stream_of(source, lambda: _recorded(source, self._record, self._end), source)

    async def restore(self, request: Any, response: Any) -> bool:
        # A server may refuse a request before it has read all of it. What was not sent was not recorded either.
        if not self._complete or self._chunks is None:
            return False
        library = httpx2 if isinstance(request, httpx2.Request) else httpx
        request.stream = library.ByteStream(b"".join(self._chunks))
        await _discard(response)
        return True

    def _record(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > REPLAY_BYTES:
            self._chunks = None
        elif self._chunks is not None:
            self._chunks.append(chunk)

    def _end(self) -> None:
        self._complete = True


IN_MEMORY = ReplayableBody()


def replayable(request: Any) -> ReplayableBody:
    """The body of a request that is about to be sent."""
    if isinstance(request.stream, httpx.ByteStream | httpx2.ByteStream):
        return IN_MEMORY
    return ReplayableStream(request)


async def peek(response: Any) -> bytes:
    """The first bytes of a body, decoded. Its reader still gets all of it."""
    # Every answer to a JSON-RPC request comes through here: what this function does not do is what makes it quick.
    if response.is_stream_consumed or response.is_closed:
        raw = bytes(response.content)
    else:
        source = response.stream.__aiter__()
        read: list[bytes] = []
        size = 0
        try:
            async for chunk in source:
                read.append(chunk)
                size += len(chunk)
                if size >= PEEK_BYTES:
                    raw = b"".join(read)
                    _put_back(response, read, source)
                    break
            else:
                raw = read[0] if len(read) == 1 else b"".join(read)
                await _end(response, raw)
        except (httpx.HTTPError, httpx2.HTTPError) as problem:
            raw = b"".join(read)
            await _break(response, raw, problem)
    headers = response.headers
    # `in` costs a fifth of a `get` of what is not there.
    return (decoded(raw, headers["content-encoding"]) or b"") if "content-encoding" in headers else raw


async def first_message(response: Any) -> bytes:
    """The first JSON-RPC message of a response, JSON or event stream. Its reader still gets every byte."""
    media_type = response.headers.get("content-type", "")
    if media_type != JSON:
        media_type = media_type_of(media_type)
    if media_type == JSON:
        return await peek(response)
    if media_type != EVENT_STREAM:
        return b""
    encoding = response.headers.get("content-encoding", "")
    raw = await _read_until(response, lambda raw: first_message_of(raw, encoding) is not None)
    return first_message_of(raw, encoding) or b""


async def _read_until(response: Any, enough: Callable[[bytes], bool]) -> bytes:
    """Read raw bytes until `enough` says so. Afterwards the response can be read from its beginning."""
    if response.is_stream_consumed or response.is_closed:
        return bytes(response.content)
    source = response.stream.__aiter__()
    body = b""
    try:
        while not enough(body):
            body += await source.__anext__()
        _put_back(response, [body], source)
    except StopAsyncIteration:
        await _end(response, body)
    except (httpx.HTTPError, httpx2.HTTPError) as problem:
        await _break(response, body, problem)
    return body


def _put_back(response: Any, read: list[bytes], rest: AsyncIterator[bytes]) -> None:
    """Let the response be read from its beginning; `rest` is still to come."""
    stream = response.stream
    response.stream = _stream_of(stream, lambda: _chain(read, rest), stream)


async def _end(response: Any, body: bytes) -> None:
    """The response was read to its end."""
    # This frees the connection for others, the refresh among them, before anybody reads the response.
    await response.stream.aclose()
    library = httpx2 if isinstance(response, httpx2.Response) else httpx
    response.stream = library.ByteStream(body)


async def _break(response: Any, body: bytes, problem: Exception) -> None:
    """The response broke off after `body`. Its status may say enough; its reader meets the problem where it is."""
    stream = response.stream
    await stream.aclose()
    response.stream = _stream_of(stream, lambda: _chain([body], None, problem), stream)


async def _discard(response: Any) -> None:
    """Replace the rest of a response by nothing.

    httpx reads a response to its end before it sends the repeated request, and the rest may be endless.
    """
    if not response.is_stream_consumed and not response.is_closed:
        original = response.stream
        response.stream = _stream_of(original, lambda: _chain([], None), original)


async def _chain(
    read: list[bytes], rest: AsyncIterator[bytes] | None, failure: Exception | None = None
) -> AsyncIterator[bytes]:
    for chunk in read:
        yield chunk
    if failure is not None:
        raise failure
    if rest is not None:
        async for chunk in rest:
            yield chunk


async def _recorded(
    source: AsyncIterable[bytes], record: Callable[[bytes], None], end: Callable[[], None]
) -> AsyncIterator[bytes]:
    async for chunk in source:
        record(chunk)
        yield chunk
    end()


class _Stream:
    """A body of `chunks`. Closing it closes `source`."""

    def __init__(self, chunks: Callable[[], AsyncIterator[bytes]], source: Any) -> None:
        self._chunks = chunks
        self._source = source

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks()

    async def aclose(self) -> None:
        await self._source.aclose()


# One class for each library, because each checks for its own base class. Defined once and not in `_stream_of`: defining
# a class takes longer than everything else there.
class _HttpxStream(_Stream, httpx.AsyncByteStream):
    pass


class _Httpx2Stream(_Stream, httpx2.AsyncByteStream):
    pass


def _stream_of(like: Any, chunks: Callable[[], AsyncIterator[bytes]], source: Any) -> Any:
    """A stream of `chunks` for the library of `like`. Closing it closes `source`."""
    stream = _Httpx2Stream if isinstance(like, httpx2.AsyncByteStream) else _HttpxStream
    return stream(chunks, source)
