"""Which way the proxy's requests to servers take: directly, or through the HTTP or SOCKS proxy that is chosen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from app.core.auth.http.proxies import ProxySettings
from app.core.auth.http.transport import tls_context
from app.core.mcp.proxy.http.routes import ChoosingSender
from app.core.mcp.proxy.parts import SendFailure
from app.core.preferences import ADDRESS, PROXY_ADDRESS, PROXY_MODE, Preferences
from tests.core._proxies import http_proxy, socks_proxy
from tests.core._raw_server import listening
from tests.core.proxy._http import bound, echo, serving
from tests.core.proxy.test_http_sender import read_all
from tests.until import until

ELSEWHERE = "http://mcp.example:8080/mcp?a=b"


@contextlib.asynccontextmanager
async def choosing(proxies: ProxySettings | None) -> AsyncIterator[ChoosingSender]:
    sender = ChoosingSender(tls_context, proxies, connect_seconds=5.0)
    try:
        yield sender
    finally:
        await sender.close()


def through(port: int) -> ProxySettings:
    return ProxySettings.of_environment({"http_proxy": f"http://127.0.0.1:{port}"})


async def test_requests_elsewhere_go_through_the_http_proxy_and_those_to_this_machine_do_not() -> None:
    async with http_proxy() as proxy, serving(echo) as at:
        async with choosing(ProxySettings.of_environment({"http_proxy": proxy.address})) as sender:
            answer = await sender.send("POST", ELSEWHERE, ((b"x-one", b"1"), (b"content-length", b"9")), b"{}")
            assert (answer.status, dict(answer.headers)[b"content-type"]) == (200, b"application/json")
            assert await read_all(answer) == b'{"via":"the"}'
            local = await sender.send("POST", f"{at.url}/mcp", (), b"{}")
            assert await read_all(local) == b"POST /mcp? {}"
        assert proxy.asked == ["POST http://mcp.example:8080/mcp?a=b HTTP/1.1"]


async def test_a_socks_proxy_is_told_the_servers_name() -> None:
    async with socks_proxy() as proxy, choosing(ProxySettings.of_environment({"all_proxy": proxy.address})) as sender:
        answer = await sender.send("GET", ELSEWHERE, (), b"")
        assert await read_all(answer) == b'{"via":"the"}'
        assert proxy.asked == ["mcp.example:8080"]


async def test_what_the_user_chooses_later_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stored(dict[str, object]):
        pass

    stored = Stored()
    chosen = Preferences(stored)
    monkeypatch.setattr("app.core.mcp.proxy.http.routes.preferences", lambda: chosen)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    async with http_proxy() as first, http_proxy() as second, choosing(None) as sender:
        for proxy in (first, second, first):
            stored.update({PROXY_MODE: ADDRESS, PROXY_ADDRESS: proxy.address})
            chosen.refresh()
            await read_all(await sender.send("GET", ELSEWHERE, (), b""))
        assert (len(first.asked), len(second.asked)) == (2, 1)


async def test_a_proxy_that_cannot_be_used_or_reached_or_that_refuses_means_that_nothing_was_sent() -> None:
    nobody = bound()
    async with http_proxy() as refusing:
        for address, url in (
            ("ftp://proxy.example", ELSEWHERE),
            (f"http://me:secret@127.0.0.1:{nobody.getsockname()[1]}", ELSEWHERE),
            # It answers the request for a tunnel with a 502.
            (refusing.address, "https://mcp.example/mcp"),
        ):
            async with choosing(ProxySettings.of_environment({"all_proxy": address})) as sender:
                with pytest.raises(SendFailure) as failure:
                    await sender.send("POST", url, (), b"{}")
                assert not failure.value.sent
                assert "secret" not in str(failure.value)
    nobody.close()


@pytest.mark.parametrize(
    ("wire", "parts"),
    [
        (b"", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart", b"part"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n", b"part"),
    ],
)
async def test_an_answer_that_breaks_off_behind_a_proxy_is_a_failure_after_sending(
    wire: bytes, parts: bytes | None
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(wire)

    async with listening(serve) as port, choosing(through(port)) as sender:

        async def whole() -> None:
            answer = await sender.send("GET", ELSEWHERE, (), b"")
            assert await answer.read() == parts
            await answer.read()

        with pytest.raises(SendFailure) as failure:
            await whole()
        assert failure.value.sent


async def test_an_answer_behind_a_proxy_streams_and_is_ended_by_closing_it() -> None:
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n")
        with contextlib.suppress(OSError):
            await reader.read()
        gone.set()

    async with listening(serve) as port, choosing(through(port)) as sender:
        answer = await sender.send("GET", ELSEWHERE, (), b"")
        assert await answer.read() == b"part"
        answer.close()
        await until(gone.is_set)
        with pytest.raises(SendFailure):
            await answer.read()
