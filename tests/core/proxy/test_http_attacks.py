"""Requests that two programs could read differently, and clients that take up more than is theirs: each is refused."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from app.core.mcp.proxy.http.limits import Limits
from app.core.mcp.proxy.parts import Request, Responder
from tests.core.proxy._http import Client, connected, echo, serving
from tests.until import until

HOST = b"Host: x\r\n"
SMUGGLED = b"POST /smuggled HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"


def get(target: bytes) -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n"


def post(headers: bytes, body: bytes = b"") -> bytes:
    return b"POST /a HTTP/1.1\r\n" + HOST + headers + b"\r\n" + body


def chunked(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked\r\n", body)


FRAMING = {
    "both length and coding": (400, post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n")),
    "both coding and length": (400, post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n")),
    "two lengths": (400, post(b"Content-Length: 0\r\nContent-Length: 5\r\n", b"hello")),
    "two equal lengths": (400, post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello")),
    "a list of lengths": (400, post(b"Content-Length: 5, 5\r\n", b"hello")),
    "a length with a sign": (400, post(b"Content-Length: +5\r\n", b"hello")),
    "a negative length": (400, post(b"Content-Length: -5\r\n", b"hello")),
    "a length in hexadecimal": (400, post(b"Content-Length: 0x5\r\n", b"hello")),
    "an empty length": (400, post(b"Content-Length:\r\n")),
    "a length with a space": (400, post(b"Content-Length: 1 2\r\n", b"hello")),
    "a length that overflows": (400, post(b"Content-Length: 18446744073709551617\r\n", b"h")),
    "a length with an underscore": (400, post(b"Content_Length: 5\r\nContent-Length: 1_0\r\n", b"hello")),
    "a coding that is not chunked": (400, post(b"Transfer-Encoding: gzip\r\n")),
    "chunked and another": (400, post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n")),
    "chunked twice": (400, post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n")),
    "chunked and identity": (400, post(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n")),
    "two codings": (400, post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", b"0\r\n\r\n")),
    "an empty coding": (400, post(b"Transfer-Encoding:\r\n")),
    "a coding after a vertical tab": (400, post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n")),
    "a coding with a parameter": (400, post(b"Transfer-Encoding: chunked;q=1\r\n", b"0\r\n\r\n")),
    "a coding in quotes": (400, post(b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n")),
    "chunked in HTTP/1.0": (400, b"POST /a HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
}
CHUNKS = {
    "a size that is no number": (400, chunked(b"x\r\n")),
    "a size with a sign": (400, chunked(b"+1\r\na\r\n0\r\n\r\n")),
    "a size with a prefix": (400, chunked(b"0x1\r\na\r\n0\r\n\r\n")),
    "a size with an underscore": (400, chunked(b"1_0\r\n" + b"a" * 16 + b"\r\n0\r\n\r\n")),
    "a size with a space": (400, chunked(b"1 \r\na\r\n0\r\n\r\n")),
    "a size of too many digits": (400, chunked(b"000000001\r\na\r\n0\r\n\r\n")),
    "a size that overflows": (413, chunked(b"ffffffff\r\n")),
    "a size that ends with a bare LF": (400, chunked(b"1\na\r\n0\r\n\r\n")),
    "a size that ends with a bare CR": (400, chunked(b"1\ra\r\n0\r\n\r\n")),
    "a chunk longer than its size": (400, chunked(b"1\r\nab\r\n0\r\n\r\n")),
    "a chunk that ends with a bare LF": (400, chunked(b"1\r\na\n0\r\n\r\n")),
    "an empty size": (400, chunked(b"\r\na\r\n0\r\n\r\n")),
    "an extension with a bare CR": (400, chunked(b"1;\rx\r\na\r\n0\r\n\r\n")),
    "an extension with a NUL": (400, chunked(b"1;\0x\r\na\r\n0\r\n\r\n")),
    "an endless extension": (400, chunked(b"1;" + b"x" * 40_000)),
    "many extensions": (400, chunked((b"1;" + b"x" * 100 + b"\r\na\r\n") * 400 + b"0\r\n\r\n")),
    "many chunks of a byte": (400, chunked(b"1\r\na\r\n" * 20_000 + b"0\r\n\r\n")),
    "other bytes after a chunk": (400, chunked(b"1\r\naxx0\r\n\r\n")),
    "a trailer that is no header": (400, chunked(b"0\r\nno header\r\n\r\n")),
    "a trailer that is folded": (400, chunked(b"0\r\na: b\r\n c\r\n\r\n")),
    "a trailer that is a request": (400, chunked(b"0\r\n" + SMUGGLED)),
    "endless trailers": (400, chunked(b"0\r\n" + b"a: b\r\n" * 10_000 + b"\r\n")),
}
HEADERS = {
    "no host": (400, b"GET /a HTTP/1.1\r\n\r\n"),
    "no host in HTTP/1.0": (400, b"GET /a HTTP/1.0\r\n\r\n"),
    "two hosts": (400, b"GET /a HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n"),
    "two origins": (400, post(b"Origin: http://x\r\nOrigin: http://y\r\n")),
    "two keys": (400, post(b"Authorization: Bearer 1\r\nAuthorization: Bearer 2\r\n")),
    "two types": (400, post(b"Content-Type: application/json\r\nContent-Type: text/plain\r\n")),
    "two sessions": (400, post(b"Mcp-Session-Id: 1\r\nMcp-Session-Id: 2\r\n")),
    "an empty host": (400, b"GET /a HTTP/1.1\r\nHost:\r\n\r\n"),
    "a folded header": (400, post(b"X-One: 1\r\n 2\r\n")),
    "a header folded with a tab": (400, post(b"X-One: 1\r\n\t2\r\n")),
    "a folded first header": (400, b"GET /a HTTP/1.1\r\n Host: x\r\n\r\n"),
    "a space before the colon": (400, post(b"Content-Length : 5\r\n", b"hello")),
    "a tab before the colon": (400, post(b"Content-Length\t: 5\r\n", b"hello")),
    "no colon": (400, post(b"nothing\r\n")),
    "no name": (400, post(b": 1\r\n")),
    "a name that is no token": (400, post(b"x(y): 1\r\n")),
    "a name that is not ASCII": (400, post(b"x\xe4: 1\r\n")),
    "a bare LF between headers": (400, b"GET /a HTTP/1.1\nHost: x\r\n\r\n"),
    "a bare LF at the end": (400, b"GET /a HTTP/1.1\r\nHost: x\r\n\n"),
    "a bare LF in a value": (400, post(b"X-One: 1\nX-Two: 2\r\n")),
    "a bare CR in a value": (400, post(b"X-One: 1\rX-Two: 2\r\n")),
    "a bare CR before the end": (400, post(b"X-One: 1\r\r\n")),
    "a NUL in a value": (400, post(b"X-One: 1\x002\r\n")),
    "a NUL in a name": (400, post(b"X-\0One: 1\r\n")),
    "a control character in a value": (400, post(b"X-One: 1\x012\r\n")),
    "a delete in a value": (400, post(b"X-One: 1\x7f2\r\n")),
    "two expectations": (400, post(b"Expect: 100-continue\r\nExpect: 100-continue\r\n")),
    "another expectation": (417, post(b"Expect: 200-ok\r\n")),
    "an upgrade": (400, post(b"Connection: Upgrade\r\nUpgrade: websocket\r\n")),
    "too many headers": (431, post(b"X: 1\r\n" * 100)),
    "a head that is too long": (431, post(b"X: " + b"x" * 33_000 + b"\r\n")),
    "a head without an end": (431, b"GET /a HTTP/1.1\r\nX: " + b"x" * 40_000),
    "a body that is too long": (413, post(b"Content-Length: 4194305\r\n")),
    "a body of a length with many digits": (413, post(b"Content-Length: 9999999999999\r\n")),
}
START = {
    "a request line without an end": (414, b"GET /" + b"a" * 40_000),
    "a request line with two spaces": (400, b"GET  /a HTTP/1.1\r\nHost: x\r\n\r\n"),
    "a request line with a tab": (400, b"GET\t/a\tHTTP/1.1\r\nHost: x\r\n\r\n"),
    "a space after the version": (400, b"GET /a HTTP/1.1 \r\nHost: x\r\n\r\n"),
    "no version": (400, b"GET /a\r\nHost: x\r\n\r\n"),
    "HTTP/0.9": (400, b"GET /a\r\n\r\n"),
    "HTTP/1.2": (505, b"GET /a HTTP/1.2\r\nHost: x\r\n\r\n"),
    "HTTP/2.0": (505, b"GET /a HTTP/2.0\r\nHost: x\r\n\r\n"),
    "the preface of HTTP/2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "another protocol": (400, b"GET /a RTSP/1.0\r\nHost: x\r\n\r\n"),
    "lower case http": (400, b"GET /a http/1.1\r\nHost: x\r\n\r\n"),
    "a TLS handshake": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 20),
    "a method that nobody knows": (405, b"HACK /a HTTP/1.1\r\nHost: x\r\n\r\n"),
    "a method in lower case": (405, b"get /a HTTP/1.1\r\nHost: x\r\n\r\n"),
    "CONNECT": (405, b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n"),
    "TRACE": (405, b"TRACE /a HTTP/1.1\r\nHost: x\r\n\r\n"),
    "PROPFIND": (405, b"PROPFIND /a HTTP/1.1\r\nHost: x\r\n\r\n"),
    "a space before the method": (400, b" GET /a HTTP/1.1\r\nHost: x\r\n\r\n"),
}
TARGETS = {
    target: (400, get(target))
    for target in (
        b"http://x/a",
        b"http://evil.example/a",
        b"HTTP://x/a",
        b"//evil.example/a",
        b"/a//b",
        b"/a//",
        b"x:80",
        b"*",
        b"a",
        b"?a",
        b"/../a",
        b"/a/..",
        b"/a/../b",
        b"/a/./b",
        b"/.",
        b"/..?x",
        b"/a/.%2e/b",
        b"/a/%2e%2E/b",
        b"/a/%2e/b",
        b"/a%2fb",
        b"/a%2Fb",
        b"/a%5cb",
        b"/a%5Cb",
        b"/a%00b",
        b"/a\\b",
        b"/a/..\\b",
        b"/a%b",
        b"/a%zz",
        b"/a%",
        b"/a#b",
        b"/a?b#c",
        b"/\xe4",
        b"/a?\xe4",
        b"/a?\xff",
        b"/a\x01",
        b"/a\x7f",
        b'/a"b',
        b"/a<b",
        b"/a{b}",
        b"/a|b",
        b"/[::1]",
    )
}
ATTACKS = {
    f"{number:03} {name!s}": attack
    for number, (name, attack) in enumerate(
        (FRAMING | CHUNKS | HEADERS | START | {repr(target): case for target, case in TARGETS.items()}).items()
    )
}
SHORT = {name: attack for name, attack in ATTACKS.items() if len(attack[1]) < 2000}


class Ran:
    """A handler that remembers what reached it."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def __call__(self, request: Request, responder: Responder) -> None:
        self.requests.append(request)
        await echo(request, responder)


async def still_serves(port: int) -> None:
    async with connected(port) as client:
        client.send(get(b"/fine"))
        assert (await client.answer())[0] == 200


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
async def test_it_is_refused_with_a_reason_and_nothing_after_it_is_read(attack: tuple[int, bytes]) -> None:
    expected, raw = attack
    ran = Ran()
    async with serving(ran) as at, connected(at.port) as client:
        client.send(raw + SMUGGLED)
        status, headers, text = await client.answer()
        assert (status, headers["connection"]) == (expected, "close")
        assert headers["content-type"] == "text/plain; charset=utf-8"
        assert 0 < len(text) < 100
        assert await client.closed()
        assert ran.requests == []
        await still_serves(at.port)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (HEADERS["a bare LF in a value"][1], b"A bare CR, a bare LF or a NUL in the head."),
        (HEADERS["a folded header"][1], b"A header that is folded over lines."),
        (HEADERS["two origins"][1], b"More than one header origin."),
    ],
)
async def test_what_is_refused_does_not_depend_on_the_parser_alone(raw: bytes, words: bytes) -> None:
    async with serving(echo) as at, connected(at.port) as client:
        client.send(raw)
        assert (await client.answer())[2] == words + b"\n"


@pytest.mark.parametrize("attack", SHORT.values(), ids=SHORT)
async def test_it_is_refused_byte_by_byte_as_well(attack: tuple[int, bytes]) -> None:
    # Read at once, the parser sees it whole; like this, wherever it may be cut.
    expected, raw = attack
    ran = Ran()
    async with serving(ran) as at, connected(at.port) as client:
        for byte in raw + SMUGGLED:
            if client.reader.at_eof():
                break
            client.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await client.answer())[0] == expected
        assert ran.requests == []


@pytest.mark.parametrize(
    "raw",
    [
        get(b"/mcp/a-b_c.d~e/%20?x=/../%2e%2f//"),
        get(b"/mcp/..a/b..c/...?"),
        get(b"/"),
        post(b"Transfer-Encoding: Chunked\r\n", b"5;a=b\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n"),
        post(b"X-Empty:\r\nX-Latin: \xe4\r\nX-Tab: a\tb\r\n"),
        post(
            b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nContent-Length: 5\r\n",
            b"hello",
        ),
    ],
)
async def test_what_is_unusual_and_right_is_served_and_what_follows_it_too(raw: bytes) -> None:
    ran = Ran()
    async with serving(ran) as at, connected(at.port) as client:
        client.send(raw + get(b"/next"))
        assert (await client.answer())[0] == 200
        assert (await client.answer())[2] == b"GET /next? "
    assert len(ran.requests) == 2
    assert b"x-trailer" not in dict(ran.requests[0].headers)


QUICK = Limits(head_seconds=0.15, body_seconds=0.15, idle_seconds=0.15, linger_seconds=0.1)


async def trickle(client: Client, data: bytes) -> None:
    """Send a byte now and then, so that no gap is long, until the other side closes."""
    with contextlib.suppress(OSError):
        for byte in data:
            if client.reader.at_eof() or client.writer.is_closing():
                return
            client.send(bytes([byte]))
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /a HTTP/1.1\r\nHost: x\r\n" + b"X-More: 1\r\n" * 50,
        post(b"Content-Length: 1000\r\n", b"x" * 1000),
        chunked(b"1\r\na\r\n" * 200),
    ],
    ids=["head", "body", "chunks"],
)
async def test_a_client_that_trickles_is_cut_off_by_the_total_time(raw: bytes) -> None:
    ran = Ran()
    async with serving(ran, QUICK) as at, connected(at.port) as client:
        trickling = asyncio.create_task(trickle(client, raw))
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (408, "close")
        await until(lambda: at.server.connections == 0)
        trickling.cancel()
        assert ran.requests == []


async def test_a_client_that_says_nothing_is_cut_off_before_its_first_request_and_after_it() -> None:
    async with serving(echo, QUICK) as at:
        async with connected(at.port) as silent:
            assert (await silent.answer())[0] == 408
        async with connected(at.port) as client:
            client.send(get(b"/a"))
            await client.answer()
            # Between two requests nobody waits for an answer, so there is none.
            assert await client.closed()


async def test_a_client_that_reads_nothing_of_its_answer_is_cut_off() -> None:
    cancelled = asyncio.Event()

    async def endless(request: Request, responder: Responder) -> None:
        responder.start(200, [])
        try:
            while True:
                await responder.write(b"x" * 65536)
        finally:
            cancelled.set()

    limits = Limits(head_seconds=0.2, stalled_seconds=0.2)
    async with serving(endless, limits) as at, connected(at.port) as client:
        client.send(get(b"/a"))
        client.writer.transport.pause_reading()
        await cancelled.wait()
        await until(lambda: at.server.connections == 0)


async def test_300_connections_at_once_do_not_keep_others_out() -> None:
    async with serving(echo) as at, contextlib.AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(connected(at.port)) for _ in range(300)]
        assert at.server.connections <= 256
        for _ in range(3):
            await still_serves(at.port)
        # Those that were closed for it are the ones that had waited longest.
        assert await idle[0].closed()
        idle[-1].send(get(b"/a"))
        assert (await idle[-1].answer())[0] == 200


async def test_connections_that_are_all_busy_are_not_closed_for_another_one() -> None:
    gate = asyncio.Event()

    async def wait(request: Request, responder: Responder) -> None:
        await gate.wait()
        await echo(request, responder)

    async with serving(wait, Limits(connections=3)) as at, contextlib.AsyncExitStack() as stack:
        busy = [await stack.enter_async_context(connected(at.port)) for _ in range(3)]
        for client in busy:
            client.send(get(b"/a"))
        await until(lambda: at.server.running == 3)
        async with connected(at.port) as late:
            assert (await late.answer())[0] == 503
        gate.set()
        for client in busy:
            assert (await client.answer())[0] == 200


async def test_a_request_that_waits_too_long_for_its_turn_is_refused_and_never_runs() -> None:
    ran = Ran()
    gate = asyncio.Event()

    async def wait(request: Request, responder: Responder) -> None:
        await gate.wait()
        await ran(request, responder)

    limits = Limits(requests=1, queue_seconds=0.1, idle_seconds=0.4)
    async with serving(wait, limits) as at, connected(at.port) as first, connected(at.port) as second:
        first.send(get(b"/first"))
        await until(lambda: at.server.running == 1)
        second.send(get(b"/second"))
        assert (await second.answer())[0] == 503
        gate.set()
        assert (await first.answer())[0] == 200
        assert at.server.running == 0
    assert [request.path for request in ran.requests] == ["/first"]


async def test_requests_that_hang_do_not_hold_up_the_others() -> None:
    gate = asyncio.Event()

    async def handle(request: Request, responder: Responder) -> None:
        if request.path == "/hangs":
            await gate.wait()
        await echo(request, responder)

    limits = Limits(requests=1, turn_seconds=0.1)
    async with serving(handle, limits) as at, connected(at.port) as first, connected(at.port) as second:
        first.send(get(b"/hangs"))
        await until(lambda: at.server.running == 1)
        second.send(get(b"/second"))
        assert (await second.answer())[0] == 200
        gate.set()
        assert (await first.answer())[0] == 200
        assert at.server.running == 0


async def test_a_refused_client_that_goes_on_sending_still_reads_why() -> None:
    async with serving(echo) as at, connected(at.port) as client:
        client.send(post(b"Content-Length: 99999999\r\n"))
        for _ in range(50):
            client.send(b"x" * 65536)
            await asyncio.sleep(0)
        assert (await client.answer())[0] == 413
        assert await client.closed()


async def test_long_bodies_of_many_clients_are_bounded_together_and_those_that_never_end_give_way() -> None:
    limits = Limits(body_bytes=1_000_000, bodies_bytes=1_500_000)
    async with serving(echo, limits) as at, connected(at.port) as first, connected(at.port) as second:
        first.send(post(b"Content-Length: 900000\r\n", b"x" * 800_000))
        await until(lambda: at.server.held == 800_000)
        second.send(chunked(b"%x\r\n" % 900_000 + b"x" * 899_999))
        assert (await first.answer())[0] == 503
        await until(lambda: at.server.held == 899_999)
        second.send(b"x\r\n0\r\n\r\n")
        assert len((await second.answer())[2]) == len(b"POST /a? ") + 900_000
        await until(lambda: at.server.held == 0)
        # Who goes away gives back what was kept for them.
        async with connected(at.port) as third:
            third.send(post(b"Content-Length: 900000\r\n", b"x" * 800_000))
            await until(lambda: at.server.held == 800_000)
        await until(lambda: at.server.held == 0)
