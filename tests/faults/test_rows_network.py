"""Rows 90 to 97 of what must be survived: proxies, compressed and endless answers, certificates, and odd values."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from time import monotonic, time
from typing import Any

import pytest

from app.core.auth.oauth.discovery import find_challenge, find_protected_resource
from app.core.auth.oauth.requests import send
from app.core.errors import (
    BurrowError,
    CertificateRefused,
    OutcomeUnknown,
    ProtocolTrouble,
    ProxyUnusable,
    Rejected,
    ServerTrouble,
    Throttled,
    TimedOut,
)
from app.core.fetcher import Fetcher, plain_json
from app.core.mcp.protocol.connection import Connection
from app.core.preferences import preferences
from tests.core import _mcp_server as mcp
from tests.core._proxies import Recorded, http_proxy
from tests.core._tls import tls_server
from tests.core.conftest import Rig, signed_in
from tests.core.scripted import Reply, Request
from tests.faults.measure import Measure
from tests.faults.test_rows_answers import connected

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
MEGABYTE = 2**20


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """An environment without a proxy so far."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def name_proxies(environment: pytest.MonkeyPatch, proxy: Recorded) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        environment.setenv(name, proxy.address)


async def test_row_90_no_request_to_this_machine_reaches_the_proxy(
    tmp_path: Path, environment: pytest.MonkeyPatch, measure: Measure
) -> None:
    async with http_proxy() as proxy, mcp.Scripted() as tools:
        name_proxies(environment, proxy)
        async with signed_in(tmp_path) as rig, connected(tools.url) as connection:
            measure.watch(rig)
            rig.server.views["/api/x/"] = rig.issuer.guard()
            rig.server.views["/events/"] = Reply(200, b"data: x\n\n", {"Content-Type": "text/event-stream"})
            rig.issuer.kill()
            assert (await rig.fetcher.get("/api/x/")).status == 200
            async with rig.fetcher.stream("/events/") as stream:
                assert [event.data async for event in stream.events()] == ["x"]
            await rig.credential.oauth.discover()
            await find_challenge(rig.transport, f"{rig.server.origin}/mcp")
            rig.server.views["/_workspace"] = Reply(200, {"name": "burrow-workspace"})
            assert await plain_json("GET", f"{rig.server.origin}/_workspace") == {"name": "burrow-workspace"}
            assert await tool_names(connection)
        assert proxy.asked == []
        measure.expect(R=1)


async def test_row_91_a_variable_that_is_none_is_one_error_and_keeps_no_host_that_it_excludes(
    tmp_path: Path, environment: pytest.MonkeyPatch, measure: Measure
) -> None:
    environment.setenv("ALL_PROXY", "ftp://[::1")
    environment.setenv("NO_PROXY", "localhost,fd00:1::/64,[::1],\nexcluded.invalid")
    async with signed_in(tmp_path) as rig, mcp.Scripted() as tools, connected(tools.url) as connection:
        measure.watch(rig)
        rig.server.views["/api/x/"] = rig.issuer.guard()
        assert (await rig.fetcher.get("/api/x/")).status == 200
        assert await tool_names(connection)
        for url in ("https://excluded.invalid/", "http://[fd00:1::5]:9/"):
            with pytest.raises(BurrowError) as unreachable:
                await send(rig.transport, "GET", url, timeout=2)
            assert not isinstance(unreachable.value, ProxyUnusable)
        for work in (
            send(rig.transport, "GET", "https://posthog.invalid/"),
            elsewhere(rig, "https://posthog.invalid").get("/api/x/"),
            far_tools("https://posthog.invalid/mcp"),
        ):
            with measure.meets(ProxyUnusable, match="ALL_PROXY"):
                await work
        measure.expect(R=0, V=1)


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip, gzip", gzip.compress(gzip.compress(b"\0" * (64 * MEGABYTE)))),
        ("deflate, gzip, gzip", gzip.compress(gzip.compress(zlib.compress(b"\0" * MEGABYTE)))),
        ("br", b"\0"),
    ],
    ids=["twice", "three times", "another"],
)
async def test_row_92_several_codings_are_refused_by_every_reader(
    tmp_path: Path, coding: str, packed: bytes, measure: Measure
) -> None:
    headers = {"Content-Encoding": coding, "Content-Type": "application/json"}
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        for path in ("/api/x/", "/_plain", "/.well-known/oauth-authorization-server"):
            rig.server.views[path] = Reply(200, packed, headers)
        for work in (
            rig.fetcher.get("/api/x/"),
            plain_json("GET", f"{rig.server.origin}/_plain"),
            rig.credential.oauth.discover(),
        ):
            with pytest.raises(ProtocolTrouble, match="coding that was not asked for"):
                await work
        with measure.meets(OutcomeUnknown, match="coding that was not asked for"):
            await rig.fetcher.post("/api/x/", {})
        rig.server.views["/.well-known/oauth-authorization-server"] = rig.issuer._metadata
        # A refusal is judged by its status, whatever its body is.
        rig.server.views["/api/y/"] = rig.issuer.guard(Reply(401, packed, headers))
        rig.issuer.kill()
        assert (await rig.fetcher.get("/api/y/")).status == 200
        measure.expect(R=1, V=1)


@pytest.mark.parametrize("status", [200, 401, 403, 500])
async def test_row_92_one_coding_is_decoded_within_the_bound(tmp_path: Path, status: int, measure: Measure) -> None:
    bomb = gzip.compress(b"\0" * (200 * MEGABYTE))
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    async with signed_in(tmp_path) as rig, mcp.Scripted() as tools, connected(tools.url) as connection:
        measure.watch(rig)
        rig.server.views["/api/x/"] = rig.server.views["/.well-known/oauth-authorization-server"] = Reply(
            status, bomb, headers
        )
        tools.next["tools/list"].append(mcp.Reply(status, body=bomb, headers=headers))
        tracemalloc.start()
        for work in (
            rig.fetcher.request("GET", "/api/x/"),
            rig.credential.oauth.discover(),
            connection.tools(),
        ):
            with pytest.raises(BurrowError):
                await work
        _now, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 160 * MEGABYTE
        measure.expect(R=0)


async def test_row_93_an_answer_that_trickles_ends_in_time_and_a_stream_may_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measure: Measure
) -> None:
    monkeypatch.setattr(preferences(), "answer_seconds", 0.4)

    async def trickle(writer: asyncio.StreamWriter) -> None:
        for _ in range(40):
            writer.write(b"data: x\n\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views["/api/x/"] = Reply(200, stream=trickle)
        rig.server.views["/api/y/"] = Reply(500, stream=trickle)
        for path in ("/api/x/", "/api/y/"):
            began = monotonic()
            with measure.meets(TimedOut):
                await rig.fetcher.get(path)
            assert monotonic() - began < 0.7
        with measure.meets(OutcomeUnknown):
            await rig.fetcher.post("/api/x/", {})
        async with rig.fetcher.stream("/api/x/", silence=0.4) as stream:
            assert len([event async for event in stream.events()]) == 40
        measure.expect(R=0, V=2)


async def test_row_94_a_certificate_that_is_not_accepted_is_named_with_its_host_and_the_reason(
    tmp_path: Path, measure: Measure
) -> None:
    async with tls_server(tmp_path) as (origin, _chain), signed_in(tmp_path) as rig:
        measure.watch(rig)
        for work in (
            send(rig.transport, "GET", f"{origin}/x"),
            elsewhere(rig, origin).get("/api/x/"),
            elsewhere(rig, origin).post("/api/x/", {}),
            find_protected_resource(rig.transport, f"{origin}/mcp"),
            far_tools(f"{origin}/mcp"),
        ):
            with measure.meets(CertificateRefused, match=f"certificate of {origin}.*self-signed"):
                await work
        measure.expect(R=0, V=1)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("asked", [{}, {"Retry-After": "1"}])
async def test_row_95_one_refusal_for_the_moment_is_not_seen_and_a_second_one_is(
    tmp_path: Path, status: int, asked: dict[str, str], measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        refusals = [Reply(status, {"detail": "Wait."}, asked)]
        rig.server.views["/api/x/"] = lambda request: refusals.pop() if refusals else Reply(200, {})
        began = monotonic()
        assert (await rig.fetcher.get("/api/x/")).status == 200
        assert monotonic() - began >= float(asked.get("Retry-After", "0.4"))
        assert rig.server.requests["/api/x/"] == 2
        refusals += [Reply(status, {"detail": "Wait."}, asked)] * 3
        with measure.meets(Throttled if status == 429 else ServerTrouble):
            await rig.fetcher.get("/api/x/")
        assert len(refusals) == 1
        measure.expect(R=0, V=1)


async def test_row_95_a_change_is_not_repeated_and_nobody_waits_for_long(tmp_path: Path, measure: Measure) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views["/api/x/"] = Reply(429, {"detail": "Wait."}, {"Retry-After": "60"})
        with measure.meets(Throttled):
            await rig.fetcher.get("/api/x/")
        rig.server.views["/api/x/"] = Reply(503, {"detail": "Wait."})
        for work in (rig.fetcher.post("/api/x/", {}), rig.fetcher.delete("/api/x/")):
            with measure.meets(ServerTrouble):
                await work
        assert rig.server.requests["/api/x/"] == 3
        measure.expect(R=0, V=2)


@pytest.mark.parametrize(
    "headers",
    [
        {"Date": "Fri, 31 Dec 9999 23:59:59 GMT"},
        {"Date": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"Date": formatdate(time(), usegmt=True), "Age": "nan"},
        {"Date": formatdate(time(), usegmt=True), "Age": "9" * 400},
    ],
)
async def test_row_96_a_time_that_no_clock_shows_changes_nothing(
    tmp_path: Path, headers: dict[str, str], measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views["/api/x/"] = Reply(200, {}, headers)
        rig.issuer.script.append(replace(rig.issuer.renewal(rig.issuer.refresh_token), headers=headers))
        rig.server.views["/api/y/"] = rig.issuer.guard()
        await rig.fetcher.get("/api/x/")
        assert (await rig.fetcher.get("/api/y/")).status == 200
        assert (await rig.fetcher.get("/api/y/")).status == 200
        assert abs(rig.credential.oauth.time.skew) < 3
        measure.expect(R=1)


LONG = "x" * 900_000


@pytest.mark.parametrize(
    "body",
    [
        {"error": LONG},
        {"error": "\ud800" * 9},
        {"code": LONG[:300_000], "detail": LONG[:300_000], "attr": LONG[:300_000]},
        {"detail": "half of a pair: \udc00", "code": "\ud800", "attr": "\udfff"},
    ],
)
async def test_row_97_what_a_server_says_is_told_in_bounded_length_and_can_be_printed(
    tmp_path: Path, body: dict[str, str], measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views["/api/x/"] = Reply(400, body)
        rig.server.views["/.well-known/oauth-authorization-server"] = Reply(400, body)
        for work in (rig.fetcher.get("/api/x/"), rig.credential.oauth.discover()):
            with pytest.raises(Rejected) as caught:
                await work
            told = caught.value
            for text in (told.cause, told.advice, told.facts.detail, told.facts.code, told.facts.attr):
                assert len((text or "").encode()) < 12_000
        with measure.meets(Rejected):
            await rig.fetcher.get("/api/x/")
        measure.expect(R=0, V=1)


@pytest.mark.parametrize(
    "address",
    [
        "https://[::1",
        "https://as.example:port/x",
        "https://as.example:99999/x",
        "https://as.example/\ud800",
        "https://as.example/\n",
        "https://\udcff.example/",
        f"https://{'x' * 80}.example/",
        "https://a..example/",
        "https://",
        "",
        f"https://as.example/{LONG}",
    ],
)
async def test_row_97_an_address_that_is_none_is_a_typed_error(tmp_path: Path, address: str, measure: Measure) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        found = {"resource": f"{rig.server.origin}/mcp", "authorization_servers": [address]}
        rig.server.views["/.well-known/oauth-protected-resource/mcp"] = Reply(200, found)
        metadata: dict[str, Any] = rig.issuer._metadata(Request("GET", "", {}, {}, b"")).body  # type: ignore[assignment]
        rig.server.views["/.well-known/oauth-authorization-server"] = Reply(200, metadata | {"token_endpoint": address})
        errors = []
        for work in (
            find_protected_resource(rig.transport, f"{rig.server.origin}/mcp"),
            send(rig.transport, "GET", address),
            rig.credential.oauth.discover(),
            far_tools(address),
        ):
            try:
                await work
            except BurrowError as failure:
                errors.append(failure)
        assert len(errors) >= 3
        for failure in errors:
            assert len(failure.cause.encode()) < 12_000
            assert not any(name in failure.cause for name in ("Error", "InvalidURL", "Exception"))
        with measure.meets(Rejected):
            await rig.fetcher.get("https://[::1")
        measure.expect(R=0, V=1)


async def tool_names(connection: Connection) -> list[str]:
    return [tool.name for tool in await connection.tools()]


async def far_tools(url: str) -> None:
    async with connected(url) as connection:
        await connection.tools()


def elsewhere(rig: Rig, origin: str) -> Fetcher:
    """Requests to another server as the same person."""
    return Fetcher(rig.transport, rig.credential, replace(rig.host, origin=origin))
