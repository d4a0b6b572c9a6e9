"""The transport below every HTTP client: its proxies, its bounds, and its reasons, for both libraries."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import threading
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import httpx2
import pytest

from app.core.auth.http.clients import reason_of
from app.core.auth.http.decoding import PIECE
from app.core.auth.http.direct import DirectTransport
from app.core.auth.http.proxies import ProxySettings
from app.core.auth.http.target import ANSWER_DEADLINE
from app.core.auth.http.transport import NetTransport, tls_context
from app.core.errors import CertificateRefused, ProtocolTrouble, ProxyUnusable
from tests.core._proxies import http_proxy, socks_proxy
from tests.core._raw_server import listening
from tests.core._tls import tls_server


class Direct:
    """httpx, whose requests aiohttp sends where they need no proxy."""

    def __getattr__(self, name: str) -> Any:
        return getattr(httpx, name)


DIRECT = Direct()
pytestmark = pytest.mark.parametrize("library", [httpx, httpx2, pytest.param(DIRECT, id="direct")])


@asynccontextmanager
async def client(library: Any, tls: ssl.SSLContext | None = None, **variables: str) -> AsyncIterator[Any]:
    direct = DirectTransport(tls or tls_context(), httpx.Limits()) if library is DIRECT else None
    inner = httpx if library is DIRECT else library
    transport = NetTransport(inner, ProxySettings.of_environment(variables), tls=tls, direct=direct)
    async with library.AsyncClient(transport=transport, trust_env=False, timeout=5.0) as opened:
        yield opened


@asynccontextmanager
async def served(*parts: bytes, pause: float = 0.0, end: bool = True) -> AsyncIterator[str]:
    """A server that answers every request with the same bytes, with a pause after each part."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        while not end:
            writer.write(parts[-1])
            await writer.drain()
            await asyncio.sleep(pause)

    async with listening(serve) as port:
        yield f"http://127.0.0.1:{port}/"


def answer(body: bytes, *headers: str, status: int = 200) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


async def test_another_machine_is_asked_through_the_proxy(library: Any) -> None:
    async with http_proxy() as proxy, client(library, HTTP_PROXY=proxy.address) as asking:
        assert (await asking.get("http://posthog.invalid/api/")).json() == {"via": "the"}
    assert proxy.asked == ["GET http://posthog.invalid/api/ HTTP/1.1"]


async def test_https_goes_through_a_tunnel(library: Any) -> None:
    async with http_proxy() as proxy, client(library, ALL_PROXY=proxy.address) as asking:
        with pytest.raises(library.ProxyError):
            await asking.get("https://posthog.invalid/api/")
    assert proxy.asked == ["CONNECT posthog.invalid:443 HTTP/1.1"]


async def test_a_socks_proxy_resolves_the_name(library: Any) -> None:
    async with socks_proxy() as proxy, client(library, ALL_PROXY=proxy.address) as asking:
        assert (await asking.get("http://posthog.invalid/api/")).json() == {"via": "the"}
    assert proxy.asked == ["posthog.invalid:80"]


async def test_a_server_on_this_machine_is_never_asked_through_a_proxy(library: Any) -> None:
    async with (
        served(answer(b"{}")) as url,
        http_proxy() as proxy,
        client(library, HTTP_PROXY=proxy.address, ALL_PROXY=proxy.address) as asking,
    ):
        for spelled in (url, url.replace("127.0.0.1", "localhost")):
            assert (await asking.get(spelled)).json() == {}
        # aiohttp takes an address in its usual form only.
        with pytest.raises(library.UnsupportedProtocol) if library is DIRECT else nullcontext():
            await asking.get(url.replace("127.0.0.1", "127.1"))
    assert proxy.asked == []


async def test_a_proxy_that_is_none_stops_only_the_hosts_that_need_it(library: Any) -> None:
    async with served(answer(b"{}")) as url, client(library, ALL_PROXY="http://[::1:x", NO_PROXY="[::1]") as asking:
        assert (await asking.get(url)).json() == {}
        with pytest.raises(library.ProxyError) as caught:
            await asking.get("https://posthog.invalid/")
    reason = reason_of(caught.value, "https://posthog.invalid")
    assert isinstance(reason, ProxyUnusable)
    assert "ALL_PROXY" in reason.cause


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(b"hello ") + gzip.compress(b"world")),
        ("X-GZIP", gzip.compress(b"hello world")),
        ("identity, gzip", gzip.compress(b"hello world")),
        ("deflate", zlib.compress(b"hello world")),
        ("deflate", zlib.compress(b"hello world")[2:-4]),
        ("identity", b"hello world"),
        ("", b"hello world"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else f"{len(value)} bytes",
)
async def test_one_coding_is_decoded_wherever_the_body_is_cut(library: Any, encoding: str, packed: bytes) -> None:
    head = answer(packed, f"Content-Encoding: {encoding}")[: -len(packed)]
    for parts in ((head + packed,), (head, *(packed[at : at + 1] for at in range(len(packed))))):
        async with served(*parts) as url, client(library) as asking:
            got = await asking.get(url)
            assert got.content == b"hello world"


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip, gzip", gzip.compress(gzip.compress(b"x"))),
        ("deflate, gzip", gzip.compress(zlib.compress(b"x"))),
        ("br", b"x"),
        ("zstd", b"x"),
        ("nonsense" * 500, b"x"),
        ("gzip", b"no gzip"),
        ("deflate", b"\xff\xff\xff\xff"),
        ("gzip", gzip.compress(b"cut off")[:-6]),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else f"{len(value)} bytes",
)
async def test_any_other_coding_is_named_and_not_decoded(library: Any, encoding: str, packed: bytes) -> None:
    async with served(answer(packed, f"Content-Encoding: {encoding}")) as url, client(library) as asking:
        with pytest.raises(library.DecodingError) as caught:
            await asking.get(url)
    reason = reason_of(caught.value, url)
    assert isinstance(reason, ProtocolTrouble)
    assert len(reason.cause) < 200


async def test_a_body_comes_in_pieces_of_bounded_size(library: Any) -> None:
    packed = gzip.compress(b"\0" * (40 * PIECE + 1))
    async with (
        served(answer(packed, "Content-Encoding: gzip")) as url,
        client(library) as asking,
        asking.stream("GET", url) as response,
    ):
        sizes = [len(piece) async for piece in response.aiter_raw()]
    assert max(sizes) <= PIECE
    assert sum(sizes) == 40 * PIECE + 1


@pytest.mark.parametrize("trickling", ["head", "body"])
async def test_an_answer_that_trickles_ends_in_time(library: Any, trickling: str) -> None:
    start = b"HTTP/1.1 200 X\r\n" if trickling == "head" else answer(b"", "X-A: b").replace(b"h: 0", b"h: 9999")
    more = b"X-A: b\r\n" if trickling == "head" else b"x"
    async with served(start, more, pause=0.02, end=False) as url, client(library) as asking:
        began = monotonic()
        with pytest.raises(library.ReadTimeout):
            await asking.get(url, extensions={ANSWER_DEADLINE: 0.3})
        assert monotonic() - began < 2


@pytest.mark.parametrize("line", [b"X-A: " + b"b" * 1000 + b"\r\n", b"b" * 1000])
async def test_a_head_without_end_is_not_kept_in_memory(library: Any, line: bytes) -> None:
    async with served(b"HTTP/1.1 200 X\r\n", line, end=False) as url, client(library) as asking:
        with pytest.raises(library.RemoteProtocolError):
            await asking.get(url)


@pytest.mark.parametrize(
    ("name", "days", "trusted", "why"),
    [
        ("localhost", 1, False, "self-signed certificate"),
        ("localhost", -2, True, "expired"),
        ("other.example", 1, True, "[Hh]ostname mismatch"),
    ],
)
async def test_a_certificate_that_is_refused_is_told_with_host_and_reason(
    library: Any, tmp_path: Path, name: str, days: int, trusted: bool, why: str
) -> None:
    async with tls_server(tmp_path, name=name, days=days) as (origin, chain):
        context = ssl.create_default_context(cafile=str(chain)) if trusted else None
        async with client(library, context) as asking:
            with pytest.raises(library.ConnectError) as caught:
                await asking.get(origin)
    reason = reason_of(caught.value, origin)
    assert isinstance(reason, CertificateRefused)
    assert "certificate" in reason.cause
    assert origin in reason.cause
    with pytest.raises(CertificateRefused, match=why):
        raise reason


async def test_a_server_that_speaks_no_tls_is_told_so(library: Any) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(answer(b"{}", status=400))

    async with listening(serve) as port, client(library) as asking:
        with pytest.raises(library.ConnectError) as caught:
            await asking.get(f"https://127.0.0.1:{port}/")
    reason = reason_of(caught.value, "the server")
    assert isinstance(reason, CertificateRefused)


async def test_a_connection_that_the_server_closed_is_not_used_again(library: Any) -> None:
    async with served(answer(b"{}")) as url, client(library) as asking:
        for _ in range(5):
            assert (await asking.get(url)).status_code == 200
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
@pytest.mark.parametrize("first", [True, False], ids=["on the first request", "on a kept-alive connection"])
async def test_nothing_is_sent_again_when_a_connection_breaks(library: Any, method: str, first: bool) -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            if first or len(asked) > 1:
                return
            writer.write(answer(b"{}"))

    async with listening(serve) as port, client(library) as asking:
        url = f"http://127.0.0.1:{port}/"
        if not first:
            await asking.get(url)
        with pytest.raises((library.RemoteProtocolError, library.ReadError)):
            await asking.request(method, url)
        assert len(asked) == (1 if first else 2)


async def test_what_is_sent_is_what_was_asked_for(library: Any) -> None:
    heads: list[str] = []
    bodies: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        heads.append(head)
        length = [int(line[16:]) for line in head.split("\r\n") if line.lower().startswith("content-length: ")]
        bodies.append(await reader.readexactly(length[0] if length else 0))
        writer.write(answer(b"{}", "Set-Cookie: a=b", "Connection: close"))

    async with listening(serve) as port, client(library) as asking:
        asking.headers.clear()
        asking.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=()))
        await asking.get(f"http://127.0.0.1:{port}/a%2Fb//c%41/../;x=1?q=%20+&&r=%2f")
        await asking.post(f"http://127.0.0.1:{port}/", content=b"x" * 3_000_000, headers={"X-One": "1"})
    # Both libraries remove the dots of a path, and change nothing else.
    assert heads[0].split(" ")[1] == "/a%2Fb//;x=1?q=%20+&&r=%2f"
    names = [{line.partition(":")[0].lower() for line in head.split("\r\n")[1:] if line} for head in heads]
    assert names[0] <= {"host", "connection"}
    assert names[1] <= {"host", "connection", "content-length", "x-one"}
    assert bodies == [b"", b"x" * 3_000_000]


async def test_waiting_for_a_server_ends_in_time(library: Any) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(b"", "X-A: b").replace(b"h: 0", b"h: 9"))
        await reader.read()

    async with listening(serve) as port, client(library) as asking:
        with pytest.raises(library.ReadTimeout):
            await asking.get(f"http://127.0.0.1:{port}/", timeout=0.1)


async def test_a_server_that_is_not_there_cannot_be_reached(library: Any) -> None:
    async with client(library) as asking:
        for url in ("http://127.0.0.1:9/", "https://posthog.invalid/"):
            with pytest.raises(library.ConnectError):
                await asking.get(url)


@pytest.mark.parametrize("at", ["head", "body"])
async def test_a_cancelled_request_closes_its_connection(library: Any, at: str) -> None:
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if at == "body":
            writer.write(answer(b"", "X-A: b").replace(b"h: 0", b"h: 9"))
        arrived.set()
        assert await reader.read() == b""
        gone.set()

    async with listening(serve) as port, client(library) as asking:
        task = asyncio.create_task(asking.get(f"http://127.0.0.1:{port}/"))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(gone.wait(), 2)


async def test_a_connection_that_the_server_closed_while_the_loop_was_busy_is_not_used_again(library: Any) -> None:
    close, closed = threading.Event(), threading.Event()

    def serve(listener: socket.socket) -> None:
        for _ in range(2):
            connection, _address = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer(b"{}"))
                close.wait(5)
            closed.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        async with client(library) as asking:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            assert (await asking.post(url)).status_code == 200
            close.set()
            assert closed.wait(5)
            assert (await asking.post(url)).status_code == 200
        thread.join(5)
