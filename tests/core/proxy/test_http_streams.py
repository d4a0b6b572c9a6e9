"""Bodies that stream through the proxy's HTTP: slow readers, clients that go away, and clients that only half close."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import struct
from collections.abc import AsyncIterator, Callable

import pytest

from app.core.mcp.proxy.http.connection import WAITING
from app.core.mcp.proxy.http.limits import Limits
from app.core.mcp.proxy.http.sender import DirectSender
from app.core.mcp.proxy.http.upstream import MOST_WAITING, UpstreamAnswer
from app.core.mcp.proxy.parts import Request, Responder, SendFailure
from tests.core._raw_server import listening
from tests.core.proxy._http import Client, Handler, Serving, connected, serving
from tests.core.proxy.test_http_sender import no_tls, sending
from tests.until import until

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
# asyncio reads and a chunk holds no more than this.
ONE_READ = 256 * 1024


def relay(sender: DirectSender, url: str, answers: list[UpstreamAnswer] | None = None) -> Handler:
    """A handler that passes everything on."""

    async def handle(request: Request, responder: Responder) -> None:
        answer = await sender.send(request.method, f"{url}{request.path}", (), request.body)
        if answers is not None:
            answers.append(answer)
        try:
            responder.start(answer.status, answer.headers)
            while data := await answer.read():
                await responder.write(data)
            responder.end()
        finally:
            answer.close()

    return handle


@contextlib.asynccontextmanager
async def relaying(
    upstream: Handler, answers: list[UpstreamAnswer] | None = None
) -> AsyncIterator[tuple[Serving, Serving]]:
    """A server, and a relay before it."""
    async with serving(upstream) as behind, sending() as sender, serving(relay(sender, behind.url, answers)) as before:
        yield behind, before


def goes_away_at_once(client: Client) -> None:
    client.writer.close()


def goes_away_with_a_reset(client: Client) -> None:
    raw = client.writer.transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.writer.transport.abort()


GOING = [goes_away_at_once, goes_away_with_a_reset]


@pytest.mark.parametrize("go", GOING)
@pytest.mark.parametrize("started", [False, True])
async def test_a_client_that_goes_away_cancels_the_handler_that_waits_for_a_server_and_the_server_sees_it(
    go: Callable[[Client], None], started: bool
) -> None:
    waiting, cancelled = asyncio.Event(), asyncio.Event()

    async def silent(request: Request, responder: Responder) -> None:
        if started:
            responder.start(200, [(b"content-type", b"text/event-stream")])
            await responder.write(b": hello\n\n")
        waiting.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with relaying(silent) as (behind, before), connected(before.port) as client:
        client.send(GET)
        await waiting.wait()
        if started:
            assert (await client.head())[0] == 200
            await client.reader.readuntil(b"hello\n\n\r\n")
        go(client)
        await cancelled.wait()
        await until(lambda: behind.server.connections == before.server.connections == 0)
        assert behind.server.running == before.server.running == 0


async def test_a_client_that_goes_away_while_it_waits_for_its_turn_never_has_it() -> None:
    seen = []
    gate = asyncio.Event()

    async def handle(request: Request, responder: Responder) -> None:
        seen.append(request.path)
        await gate.wait()
        responder.start(204, [])
        responder.end()

    async with serving(handle, Limits(requests=1)) as at, connected(at.port) as first:
        first.send(GET)
        await until(lambda: seen)
        async with connected(at.port) as second:
            second.send(GET.replace(b"/a", b"/b"))
            await until(lambda: at.server.waiting == 1)
        await until(lambda: at.server.connections == 1)
        gate.set()
        assert (await first.answer())[0] == 204
        assert at.server.running == 0
    assert seen == ["/a"]


@pytest.mark.parametrize("started", [False, True])
async def test_a_client_that_only_half_closes_gets_its_whole_answer_and_every_client_understands_it(
    started: bool,
) -> None:
    ended = asyncio.Event()

    async def handle(request: Request, responder: Responder) -> None:
        if started:
            responder.start(200, [])
            await responder.write(b"one ")
        await ended.wait()
        # Longer than the last look at whether the client is still there would make this test.
        await asyncio.sleep(0.05)
        if not started:
            responder.start(200, [])
        await responder.write(b"two ")
        await responder.write(b"x" * 1000)
        responder.end()

    async with serving(handle) as at:

        def ask() -> tuple[int, bytes]:
            # The standard library's client is another reader than ours.
            import http.client

            connection = http.client.HTTPConnection("127.0.0.1", at.port, timeout=10)
            with contextlib.closing(connection):
                connection.request("GET", "/a")
                connection.sock.shutdown(socket.SHUT_WR)
                loop.call_soon_threadsafe(ended.set)
                answer = connection.getresponse()
                return answer.status, answer.read()

        loop = asyncio.get_running_loop()
        body = (b"one " if started else b"") + b"two " + b"x" * 1000
        assert await asyncio.to_thread(ask) == (200, body)


async def test_a_slow_reader_pauses_the_server_and_little_waits_between_them() -> None:
    part = bytes(range(256)) * 1024
    parts = 256
    sent = 0

    async def large(request: Request, responder: Responder) -> None:
        nonlocal sent
        responder.start(200, [], length=len(part) * parts)
        for _ in range(parts):
            await responder.write(part)
            sent += 1
        responder.end()

    answers: list[UpstreamAnswer] = []
    async with relaying(large, answers) as (_, before), connected(before.port) as client:
        client.send(GET)
        client.writer.transport.pause_reading()
        await until(lambda: answers)
        last = -1
        while last != sent:
            last = sent
            await asyncio.sleep(0.05)
        # What the kernel keeps for both connections, and no more.
        assert sent < parts / 2
        assert answers[0].waiting <= MOST_WAITING + ONE_READ
        assert before.server.buffered <= WAITING + MOST_WAITING + ONE_READ
        most = 0
        client.writer.transport.resume_reading()
        assert (await client.head())[0] == 200
        digest, total = hashlib.sha256(), 0
        async for piece in client.chunks():
            digest.update(piece)
            total += len(piece)
            most = max(most, answers[0].waiting + before.server.buffered)
        assert total == len(part) * parts
        assert digest.digest() == hashlib.sha256(part * parts).digest()
        assert most <= WAITING + 2 * (MOST_WAITING + ONE_READ)


async def test_events_go_through_one_by_one_as_they_come() -> None:
    turns: asyncio.Queue[None] = asyncio.Queue()

    async def events(request: Request, responder: Responder) -> None:
        responder.start(200, [(b"content-type", b"text/event-stream")])
        for number in range(20):
            await turns.get()
            await responder.write(b"data: %d\n\n" % number)
        responder.end()

    async with relaying(events) as (_, before), connected(before.port) as client:
        client.send(GET)
        # The head is there before any event.
        assert (await client.head())[1]["content-type"] == "text/event-stream"
        chunks = client.chunks()
        for number in range(20):
            turns.put_nowait(None)
            assert await anext(chunks) == b"data: %d\n\n" % number
        assert [chunk async for chunk in chunks] == []


async def test_a_server_that_breaks_off_makes_the_relayed_answer_break_off_too() -> None:
    async def breaks(request: Request, responder: Responder) -> None:
        responder.start(200, [])
        await responder.write(b"part")
        raise ConnectionResetError

    async def handle(request: Request, responder: Responder) -> None:
        with contextlib.suppress(SendFailure):
            await relay(sender, behind.url)(request, responder)
        before_abort.set()
        raise ConnectionResetError

    before_abort = asyncio.Event()
    async with (
        serving(breaks) as behind,
        sending() as sender,
        serving(handle) as before,
        connected(before.port) as client,
    ):
        client.send(GET)
        await client.head()
        assert await anext(client.chunks()) == b"part"
        await before_abort.wait()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await client.reader.readuntil(b"0\r\n\r\n")


async def test_a_sender_that_closes_ends_what_is_read() -> None:
    async def silent(request: Request, responder: Responder) -> None:
        responder.start(200, [])
        await responder.write(b"part")
        await asyncio.sleep(60)

    async with serving(silent) as at:
        sender = DirectSender(no_tls)
        answer = await sender.send("GET", at.url, (), b"")
        assert await answer.read() == b"part"
        reading = asyncio.create_task(answer.read())
        await asyncio.sleep(0)
        await sender.close()
        with pytest.raises(SendFailure):
            await reading
        with pytest.raises(SendFailure) as failure:
            await sender.send("GET", at.url, (), b"")
        assert not failure.value.sent


async def test_a_server_that_answers_before_it_has_read_the_request_is_heard() -> None:
    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
        await asyncio.Event().wait()

    async with listening(early) as port, sending() as sender:
        for _ in range(2):
            # What is left of the request makes the connection useless for another one.
            answer = await sender.send("POST", f"http://127.0.0.1:{port}/", (), b"x" * 32_000_000)
            assert (answer.status, await answer.read(), await answer.read()) == (413, b"no", b"")


async def test_a_turn_is_given_back_whenever_a_client_goes_away() -> None:
    async def handle(request: Request, responder: Responder) -> None:
        await asyncio.sleep(0.001)
        responder.start(204, [])
        responder.end()

    async with serving(handle, Limits(requests=2)) as at:

        async def one(number: int) -> None:
            async with connected(at.port) as client:
                client.send(GET * 2)
                for _ in range(number % 7):
                    await asyncio.sleep(0)
                if number % 3:
                    goes_away_with_a_reset(client)

        await asyncio.gather(*(one(number) for number in range(120)))
        await until(lambda: at.server.connections == 0)
        assert (at.server.running, at.server.waiting) == (0, 0)
        async with connected(at.port) as client:
            client.send(GET)
            assert (await client.answer())[0] == 204
