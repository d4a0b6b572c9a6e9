"""The HTTP client of the proxy: what it sends once, what it makes of answers, and which connections it uses again."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from app.core.mcp.proxy.http.sender import DirectSender
from app.core.mcp.proxy.parts import SendFailure, UpstreamResponse
from tests.core._raw_server import listening
from tests.core._tls import tls_server
from tests.core.proxy._http import bound, echo, serving

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def no_tls() -> ssl.SSLContext:
    raise AssertionError("no TLS is needed")


@contextlib.asynccontextmanager
async def sending(tls: Callable[[], ssl.SSLContext] = no_tls, seconds: float = 10.0) -> AsyncIterator[DirectSender]:
    sender = DirectSender(tls, connect_seconds=seconds)
    try:
        yield sender
    finally:
        await sender.close()


async def read_all(answer: UpstreamResponse) -> bytes:
    parts = []
    while part := await answer.read():
        parts.append(part)
    assert await answer.read() == b""
    return b"".join(parts)


def answering(*answers: bytes, seen: list[bytes] | None = None, close: bool = False) -> Serve:
    """Serves a connection: reads a head for each answer, then waits until the client closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            head = await reader.readuntil(b"\r\n\r\n")
            if seen is not None:
                seen.append(head)
            writer.write(answer)
        if not close:
            await reader.read()

    return serve


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_a_request_is_sent_as_it_was_given_with_its_framing() -> None:
    seen: list[bytes] = []
    async with listening(answering(OK, OK, seen=seen)) as port, sending() as sender:
        url = f"http://127.0.0.1:{port}/a%2Fb?c=%20d#fragment"
        headers = ((b"x-one", b"1"), (b"host", b"evil"), (b"content-length", b"9"), (b"transfer-encoding", b"chunked"))
        answer = await sender.send("POST", url, headers, b"body")
        assert (answer.status, await read_all(answer)) == (200, b"ok")
        await read_all(await sender.send("GET", f"http://127.0.0.1:{port}", (), b""))
    assert (
        seen[0]
        == f"POST /a%2Fb?c=%20d HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nx-one: 1\r\ncontent-length: 4\r\n\r\n".encode()
    )
    assert seen[1].removeprefix(b"body") == f"GET / HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n".encode()


@pytest.mark.parametrize("value", [b"1\r\nx-two: 2", b"1\n", b"1\r", b"\0"])
async def test_a_header_with_a_line_break_is_not_sent(value: bytes) -> None:
    async with serving(echo) as at, sending() as sender:
        with pytest.raises(SendFailure) as failure:
            await sender.send("GET", at.url, ((b"x-one", value),), b"")
        assert not failure.value.sent
        assert at.server.connections == 0


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a/",
        "http:///a",
        "http://a b/",
        "http://a/\r\nx: y",
        "http://me:secret@a/",
        "http://ä/",
        "http://a:99999/",
    ],
)
async def test_an_address_that_is_none_is_not_sent(url: str) -> None:
    async with sending() as sender:
        with pytest.raises(SendFailure) as failure:
            await sender.send("GET", url, (), b"")
        assert not failure.value.sent
        assert "secret" not in failure.value.reason


@pytest.mark.parametrize(
    ("wire", "body", "again"),
    [
        (OK, b"ok", True),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\no\r\n1\r\nk\r\n0\r\nX-Trailer: 1\r\n\r\n",
            b"ok",
            True,
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", b"", True),
        (b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK, b"ok", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", b"ok", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok", False),
        (b"HTTP/1.1 200 OK\r\n\r\nok", b"ok", False),
        (OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"ok", False),
    ],
)
async def test_answers_end_as_they_say_and_only_then_is_the_connection_used_again(
    wire: bytes, body: bytes, again: bool
) -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await answering(wire, wire, close=wire.endswith(b"\r\n\r\nok") and b"ength" not in wire)(reader, writer)

    async with listening(answering(wire, close=True) if b"OK\r\n\r\n" in wire else serve) as port, sending() as sender:
        for _ in range(2):
            answer = await sender.send("GET", f"http://127.0.0.1:{port}/", (), b"")
            assert answer.status in (200, 204, 304)
            assert b"link" not in dict(answer.headers)
            assert b"x-trailer" not in dict(answer.headers)
            assert await read_all(answer) == body
        if b"OK\r\n\r\n" not in wire:
            assert connections == (1 if again else 2)


async def test_head_has_no_body() -> None:
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
    async with listening(answering(wire)) as port, sending() as sender:
        answer = await sender.send("HEAD", f"http://127.0.0.1:{port}/", (), b"")
        assert (dict(answer.headers)[b"content-length"], await read_all(answer)) == (b"9", b"")


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
    ],
)
async def test_an_answer_without_a_right_head_is_a_failure_after_sending_and_nothing_is_sent_again(wire: bytes) -> None:
    seen: list[bytes] = []
    async with listening(answering(wire, seen=seen, close=True)) as port, sending() as sender:
        with pytest.raises(SendFailure) as failure:
            await sender.send("GET", f"http://127.0.0.1:{port}/", (), b"")
        assert failure.value.sent
    assert len(seen) == 1


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\nzz\r\n",
    ],
)
async def test_a_body_that_breaks_off_is_read_to_there_and_is_a_failure(wire: bytes) -> None:
    async with listening(answering(wire, close=True)) as port, sending() as sender:
        answer = await sender.send("GET", f"http://127.0.0.1:{port}/", (), b"")
        assert await answer.read() == b"part"
        with pytest.raises(SendFailure) as failure:
            await answer.read()
        assert failure.value.sent


async def test_trailers_without_an_end_are_a_failure_and_take_no_memory() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n0\r\nX-Trailer: ")
        with contextlib.suppress(OSError):
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()

    async with listening(endless) as port, sending() as sender:
        answer = await sender.send("GET", f"http://127.0.0.1:{port}/", (), b"")
        assert await answer.read() == b"part"
        with pytest.raises(SendFailure, match="headers"):
            await answer.read()


async def test_what_was_refused_or_never_connected_was_certainly_not_sent() -> None:
    closed = bound()
    port = closed.getsockname()[1]
    closed.close()
    full = bound()
    full.listen(0)
    async with sending(seconds=0.2) as sender, contextlib.AsyncExitStack() as stack:
        for url in (f"http://127.0.0.1:{port}/", "http://no-such-host.invalid/"):
            with pytest.raises(SendFailure) as failure:
                await sender.send("POST", url, (), b"x")
            assert not failure.value.sent
        # Connections that nobody accepts fill the queue of the listening socket.
        for _ in range(4):
            waiting = socket.socket()
            waiting.setblocking(False)
            stack.callback(waiting.close)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(full.getsockname())
        with pytest.raises(SendFailure, match="in time") as failure:
            await sender.send("POST", f"http://127.0.0.1:{full.getsockname()[1]}/", (), b"x")
        assert not failure.value.sent
    full.close()


async def test_tls_is_checked_before_anything_is_sent(tmp_path: Path) -> None:
    async with tls_server(tmp_path) as (origin, chain):
        trusting = ssl.create_default_context(cafile=str(chain))
        async with sending(lambda: trusting) as sender:
            assert await read_all(await sender.send("GET", f"{origin}/", (), b"")) == b"{}"
            with pytest.raises(SendFailure) as failure:
                await sender.send("GET", f"{origin}/".replace("localhost", "127.0.0.1"), (), b"")
            assert not failure.value.sent
        async with sending(ssl.create_default_context) as sender:
            with pytest.raises(SendFailure, match="trusted") as failure:
                await sender.send("GET", f"{origin}/", (), b"")
            assert not failure.value.sent


async def test_a_connection_that_the_server_closed_is_not_used_again_even_before_the_loop_knows() -> None:
    connections = 0
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writers.append(writer)
        await answering(OK, OK)(reader, writer)

    async with listening(serve) as port, sending() as sender:
        url = f"http://127.0.0.1:{port}/"
        await read_all(await sender.send("GET", url, (), b""))
        # The server's half closes now; this test lets the loop have no look at it before the next request.
        raw = writers[0].transport.get_extra_info("socket")
        raw.shutdown(1)
        assert await read_all(await sender.send("GET", url, (), b"")) == b"ok"
        assert connections == 2


async def test_a_cancelled_request_takes_its_connection_with_it() -> None:
    gone = asyncio.Event()
    asked = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        with contextlib.suppress(OSError):
            await reader.read()
        gone.set()

    async with listening(serve) as port, sending() as sender:
        sent = asyncio.create_task(sender.send("GET", f"http://127.0.0.1:{port}/", (), b""))
        await asked.wait()
        sent.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sent
        await gone.wait()


async def test_an_answer_that_is_closed_early_takes_its_connection_with_it() -> None:
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart")
        with contextlib.suppress(OSError):
            await reader.read()
        gone.set()

    async with listening(serve) as port, sending() as sender:
        answer = await sender.send("GET", f"http://127.0.0.1:{port}/", (), b"")
        assert await answer.read() == b"part"
        answer.close()
        await gone.wait()
        with pytest.raises(SendFailure):
            await answer.read()


async def test_many_requests_at_once_have_a_connection_each() -> None:
    async with serving(echo) as at, sending() as sender:

        async def one(number: int) -> None:
            answer = await sender.send("POST", f"{at.url}/{number}", (), b"x" * number)
            assert await read_all(answer) == f"POST /{number}? ".encode() + b"x" * number

        for _ in range(2):
            await asyncio.gather(*(one(number) for number in range(40)))
