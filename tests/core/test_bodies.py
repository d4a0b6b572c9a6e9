"""Bodies that are looked at still reach their reader, and what is sent again is what was sent."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator
from types import ModuleType

import httpx
import httpx2
import pytest

from app.core.auth.http.bodies import REPLAY_BYTES, first_message, peek, replayable
from app.core.auth.http.openings import PEEK_BYTES

LIBRARIES = [httpx, httpx2]


def response(
    library: ModuleType, chunks: list[bytes], headers: dict[str, str], closed: list[bool] | None = None
) -> httpx.Response:
    class Stream(library.AsyncByteStream):  # type: ignore[misc, name-defined]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk

        async def aclose(self) -> None:
            if closed is not None:
                closed.append(True)

    made = library.Response(401, headers=headers, stream=Stream())
    assert isinstance(made, library.Response)
    return made  # type: ignore[no-any-return]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("chunks", [[], [b"x"], [b"a" * PEEK_BYTES, b"b" * 10], [b"c" * (PEEK_BYTES * 3)]])
async def test_a_body_that_was_looked_at_is_still_whole(library: ModuleType, chunks: list[bytes]) -> None:
    made = response(library, chunks, {})
    seen = await peek(made)
    assert seen == b"".join(chunks)[: len(seen)]
    assert await made.aread() == b"".join(chunks)


@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_body_that_was_looked_at_to_its_end_holds_its_connection_no_longer(library: ModuleType) -> None:
    closed: list[bool] = []
    made = response(library, [b"x"], {}, closed)
    await peek(made)
    assert closed
    assert await made.aread() == b"x"
    closed.clear()
    longer = response(library, [b"c" * PEEK_BYTES, b"d"], {}, closed)
    await peek(longer)
    assert not closed
    assert await longer.aread() == b"c" * PEEK_BYTES + b"d"
    assert closed


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("encoding", "encode"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", lambda text: zlib.compress(text)[2:-4])],
)
async def test_a_compressed_body_is_judged_by_what_it_says(library: ModuleType, encoding: str, encode: object) -> None:
    text = b'{"code": "authentication_failed"}'
    made = response(library, [encode(text)], {"content-encoding": encoding})  # type: ignore[operator]
    assert await peek(made) == text
    assert await made.aread() == text


async def test_a_body_that_unpacks_to_gigabytes_is_not_unpacked() -> None:
    bomb = gzip.compress(b"\0" * (64 * PEEK_BYTES))
    assert len(await peek(response(httpx, [bomb], {"content-encoding": "gzip"}))) == PEEK_BYTES


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "nonsense"])
async def test_an_encoding_that_was_not_asked_for_is_not_guessed_at(encoding: str) -> None:
    assert await peek(response(httpx, [b"whatever"], {"content-encoding": encoding})) == b""


@pytest.mark.parametrize("garbage", [b"\x1f\x8b garbage", b"\x78\x9cgarbage", b"\xff"])
async def test_garbage_that_calls_itself_compressed_says_nothing(garbage: bytes) -> None:
    assert await peek(response(httpx, [garbage], {"content-encoding": "gzip"})) == b""


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    "chunks",
    [
        [b'data: {"a":1}\n\n'],
        [b': hello\n\nid: 1\n\nretry: 5\nevent: message\ndata: {"a":1}\n\ndata: later\n\n'],
        [b'data: {"a":', b"1}", b"\r", b"\n\r\n"],
        [b'\xef\xbb\xbfdata:{"a":1}\r\r'],
        [bytes([byte]) for byte in b'event: message\r\ndata: {"a":1}\r\n\r\n'],
        [b"id: 7\ndata:\n\n", b'data: {"a":1}\n\n'],
    ],
)
async def test_the_first_event_with_data_is_found_however_it_comes(library: ModuleType, chunks: list[bytes]) -> None:
    made = response(library, chunks, {"content-type": "text/event-stream; charset=utf-8"})
    assert await first_message(made) == b'{"a":1}'
    assert await made.aread() == b"".join(chunks)


@pytest.mark.parametrize("library", LIBRARIES)
async def test_the_first_event_of_a_compressed_stream_is_found_before_the_stream_ends(library: ModuleType) -> None:
    packer = zlib.compressobj(wbits=31)
    packed = [packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH) for text in (b": hello\n\n", b"data: x\n\n")]

    async def stream() -> AsyncIterator[bytes]:
        for part in packed:
            yield part
        raise AssertionError("nothing is read behind the first event")

    made = library.Response(
        200, headers={"content-type": "text/event-stream", "content-encoding": "gzip"}, content=stream()
    )
    assert await first_message(made) == b"x"


async def test_a_compressed_stream_of_nothing_but_comments_is_let_through_at_the_bound() -> None:
    packer = zlib.compressobj(wbits=31)
    comments = b": hello\n\n" * (PEEK_BYTES // 36)

    async def stream() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield packer.compress(comments) + packer.flush(zlib.Z_SYNC_FLUSH)
        yield packer.compress(b": hello\n\n" * 4) + packer.flush(zlib.Z_SYNC_FLUSH)
        raise AssertionError("nothing is read beyond the bound")

    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    assert await first_message(httpx.Response(200, headers=headers, content=stream())) == b""


@pytest.mark.parametrize("encoding", ["br", "gzip"])
async def test_an_event_stream_that_cannot_be_decoded_is_let_through_at_once(encoding: str) -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"data: x\n\n"
        raise AssertionError("nothing more is read")

    headers = {"content-type": "text/event-stream", "content-encoding": encoding}
    assert await first_message(httpx.Response(200, headers=headers, content=stream())) == b""


async def read(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def parts(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 65_536):
        yield b"x" * 65_536


@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_body_that_can_be_read_once_is_kept_while_it_is_sent(library: ModuleType) -> None:
    request = library.Request("POST", "http://127.0.0.1/", content=parts(REPLAY_BYTES))
    kept = replayable(request)
    sent = await read(request.stream.__aiter__())
    assert await kept.restore(request, response(library, [b"no"], {}))
    assert await read(request.stream.__aiter__()) == sent
    assert len(sent) == REPLAY_BYTES


@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_body_beyond_the_cap_or_cut_off_is_not_sent_again(library: ModuleType) -> None:
    beyond = library.Request("POST", "http://127.0.0.1/", content=parts(REPLAY_BYTES + 65_536))
    kept = replayable(beyond)
    await read(beyond.stream.__aiter__())
    assert not await kept.restore(beyond, response(library, [], {}))
    cut = library.Request("POST", "http://127.0.0.1/", content=parts(REPLAY_BYTES))
    kept = replayable(cut)
    async for _ in cut.stream:
        break
    assert not await kept.restore(cut, response(library, [], {}))
    large = library.Request("POST", "http://127.0.0.1/", content=b"x" * (REPLAY_BYTES + 1))
    assert not await replayable(large).restore(large, response(library, [], {}))


@pytest.mark.parametrize("library", LIBRARIES)
async def test_the_endless_body_of_a_refusal_is_left_where_it_is(library: ModuleType) -> None:
    closed: list[bool] = []
    made = response(library, [b"x" * 1024] * 100_000, {}, closed)
    request = library.Request("POST", "http://127.0.0.1/", content=b"body")
    await peek(made)
    assert await replayable(request).restore(request, made)
    assert await made.aread() == b""
    assert closed
