"""The one door to HTTP: answers become values, failures become typed errors, and nothing private gets out."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.core import fetcher as fetcher_module
from app.core.errors import (
    BurrowError,
    NotFound,
    Offline,
    OutcomeUnknown,
    PermissionMissing,
    ProtocolTrouble,
    QuotaReached,
    Rejected,
    ServerTrouble,
    SignInNeeded,
    Throttled,
    TimedOut,
)
from app.core.fetcher import RequestRecord, plain_json
from tests.core.conftest import signed_in
from tests.core.scripted import Reply, Request, ScriptedServer

PAGE = "<!doctype html><title>Log in to the hotel</title>"
HTML = {"Content-Type": "text/html"}


@dataclass(frozen=True)
class Row:
    id: int
    title: str


@dataclass(frozen=True)
class Rows:
    results: list[Row]


async def test_a_wrong_value_is_named_by_its_path(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = Reply(200, {"results": [{"id": 1, "title": "a"}, {"id": [], "title": "b"}]})
        answer = await rig.fetcher.get("/api/x/")
        with pytest.raises(ProtocolTrouble, match=r"\$\.results\[1\]\.id|\$\.results\[\.\.\.\]\.id"):
            answer.decode(Rows)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (PAGE, ServerTrouble),
        (f"\n  {PAGE}", ServerTrouble),
        ("", ProtocolTrouble),
        ('{"results": [', ProtocolTrouble),
        ("oops", ProtocolTrouble),
        ("[1]", ProtocolTrouble),
        ("null", ProtocolTrouble),
        (b'{"results": [{"id": 1, "title": "\xff\xfe"}]}', ProtocolTrouble),
        (b"\xff\xfe{\x00}\x00", ProtocolTrouble),
        ('{"results": ' + "[" * 100_000, ProtocolTrouble),
        ('{"unknown": ' + "[" * 100_000 + "]" * 100_000 + ', "results": []}', ProtocolTrouble),
    ],
    ids=range(11),
)
async def test_an_answer_that_is_no_such_data_is_typed(tmp_path: Path, body: Any, error: type[BurrowError]) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = Reply(200, body)
        answer = await rig.fetcher.get("/api/x/")
        with pytest.raises(error) as caught:
            answer.decode(Rows)
        assert caught.value.facts.origin == rig.server.origin
        assert caught.value.facts.status == 200


async def test_an_answer_is_decoded_into_values(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = Reply(200, {"results": [{"id": 1, "title": "a", "new": True}], "next": None})
        assert (await rig.fetcher.get("/api/x/")).decode(Rows) == Rows([Row(1, "a")])


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_beyond_the_limit_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, announced: bool
) -> None:
    monkeypatch.setattr(fetcher_module, "BODY_LIMIT", 1000)
    async with signed_in(tmp_path) as rig:
        if announced:
            rig.server.views["/api/x/"] = Reply(200, b"x", {"Content-Length": str(10**15)})
        else:
            chunk = b"200\r\n" + b"x" * 0x200 + b"\r\n"
            rig.server.views["/api/x/"] = lambda request: Reply(200, chunk * 3, {"Transfer-Encoding": "chunked"})
        with pytest.raises(ProtocolTrouble, match="more than"):
            await rig.fetcher.get("/api/x/")
        rig.server.views["/api/y/"] = Reply(200, {})
        assert (await rig.fetcher.get("/api/y/")).status == 200


async def test_an_answer_leaves_nothing_behind_that_only_a_collection_frees(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = rig.issuer.guard()
        await rig.fetcher.get("/api/x/")
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            await rig.fetcher.get("/api/x/")
            await rig.fetcher.post("/api/x/", {})
            gc.collect()
            left = [thing for thing in gc.garbage if isinstance(thing, httpx.Request | httpx.Response)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
        assert left == []


async def test_a_body_that_is_cut_off_is_typed(tmp_path: Path) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        writer.close()

    async with await asyncio.start_server(cut, "127.0.0.1", 0) as server, signed_in(tmp_path) as rig:
        host, port = server.sockets[0].getsockname()
        rig.fetcher._host = replace(rig.fetcher._host, origin=f"http://{host}:{port}")
        with pytest.raises(ServerTrouble):
            await rig.fetcher.get("/api/x/")
        with pytest.raises(OutcomeUnknown):
            await rig.fetcher.post("/api/x/", {})


async def test_no_more_than_six_are_in_flight_and_none_is_forgotten(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        held, most, now = asyncio.Event(), 0, 0

        async def view(request: Request) -> Reply:
            nonlocal most, now
            now += 1
            most = max(most, now)
            if now == fetcher_module.IN_FLIGHT:
                asyncio.get_running_loop().call_later(0.05, held.set)
            await held.wait()
            now -= 1
            return Reply(200, {})

        rig.server.views["/api/x/"] = view
        answers = await asyncio.gather(*(rig.fetcher.get("/api/x/") for _ in range(30)))
        assert [answer.status for answer in answers] == [200] * 30
        assert most == fetcher_module.IN_FLIGHT


async def test_a_cancelled_request_gives_its_place_back(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        reached, never = asyncio.Semaphore(0), asyncio.Event()

        async def view(request: Request) -> Reply:
            reached.release()
            await never.wait()
            return Reply(200, {})

        rig.server.views["/api/slow/"] = view
        rig.server.views["/api/x/"] = Reply(200, {})
        finished: list[RequestRecord] = []
        rig.fetcher.finished.subscribe(finished.append)
        waiting = [asyncio.create_task(rig.fetcher.get("/api/slow/")) for _ in range(fetcher_module.IN_FLIGHT)]
        for _ in waiting:
            await reached.acquire()
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert all(task.cancelled() for task in waiting)
        assert (await rig.fetcher.get("/api/x/")).status == 200
        assert [(exchange.status, exchange.path) for exchange in finished] == [
            *[(None, "/api/slow/")] * fetcher_module.IN_FLIGHT,
            (200, "/api/x/"),
        ]


async def test_silence_is_a_timeout_and_after_a_post_an_unknown_outcome(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        never = asyncio.Event()

        async def silent(request: Request) -> Reply:
            await never.wait()
            return Reply(200, {})

        rig.server.views["/api/x/"] = silent
        with pytest.raises(TimedOut):
            await rig.fetcher.request("GET", "/api/x/", timeout=0.1)
        with pytest.raises(OutcomeUnknown):
            await rig.fetcher.request("POST", "/api/x/", body={}, timeout=0.1)
        with pytest.raises(TimedOut):
            await rig.fetcher.request("POST", "/api/x/", body={}, timeout=0.1, idempotent=True)
        assert rig.server.requests["/oauth/token/"] == 0


ENVELOPE = {"type": "validation_error", "code": "max_length", "detail": "Too long.", "attr": "title"}

STATUSES: list[tuple[Reply, type[BurrowError]]] = [
    (Reply(400, ENVELOPE), Rejected),
    (Reply(402, {"code": "payment_required", "detail": "Pay."}), QuotaReached),
    (Reply(403, {"code": "permission_denied", "detail": "No."}), PermissionMissing),
    (Reply(403, "scope", {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}), PermissionMissing),
    (Reply(403, PAGE, HTML), ServerTrouble),
    (Reply(404, {"code": "not_found", "detail": "Not found."}), NotFound),
    (Reply(405, {"code": "method_not_allowed", "detail": "No."}), Rejected),
    (Reply(409, {"code": "conflict", "detail": "Changed meanwhile."}), Rejected),
    (Reply(410, b""), NotFound),
    (Reply(429, {"code": "throttled", "detail": "Slow down."}), Throttled),
    (Reply(301, b"", {"Location": "/elsewhere/"}), ServerTrouble),
    (Reply(407, b""), ServerTrouble),
    (Reply(500, PAGE, HTML), ServerTrouble),
    (Reply(502, b""), ServerTrouble),
    (Reply(503, {"code": "sandbox_not_ready", "detail": "Wait."}), ServerTrouble),
    (Reply(504, b""), ServerTrouble),
]


@pytest.mark.parametrize(("reply", "error"), STATUSES, ids=lambda value: getattr(value, "status", None))
async def test_every_status_is_one_kind_of_error(tmp_path: Path, reply: Reply, error: type[BurrowError]) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = reply
        with pytest.raises(BurrowError) as caught:
            await rig.fetcher.get("/api/x/")
        assert type(caught.value) is error
        assert caught.value.facts.status == reply.status
        assert caught.value.facts.origin == rig.server.origin
        assert caught.value.cause
        assert "<" not in caught.value.cause
        assert rig.server.requests["/oauth/token/"] == 0


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize(("reply", "error"), STATUSES, ids=lambda value: getattr(value, "status", None))
async def test_only_a_server_that_failed_leaves_the_outcome_of_a_change_open(
    tmp_path: Path, method: str, reply: Reply, error: type[BurrowError]
) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = reply
        unclear = reply.status in {500, 502, 504}
        for idempotent in (None, False, True):
            with pytest.raises(BurrowError) as caught:
                await rig.fetcher.request(method, "/api/x/", body={}, idempotent=idempotent)
            assert type(caught.value) is (OutcomeUnknown if unclear and not idempotent else error)
            assert caught.value.facts.status == reply.status
        assert rig.server.requests["/api/x/"] == 3


async def test_a_change_whose_answer_is_too_long_may_have_been_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher_module, "BODY_LIMIT", 1000)
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = Reply(201, b"x", {"Content-Length": str(10**15)})
        with pytest.raises(OutcomeUnknown, match="more than") as caught:
            await rig.fetcher.post("/api/x/", {})
        assert caught.value.facts.status == 201


async def test_an_error_carries_the_servers_own_words(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = Reply(400, ENVELOPE)
        with pytest.raises(Rejected) as caught:
            await rig.fetcher.post("/api/x/", {"title": "a" * 1000})
        facts = caught.value.facts
        assert (facts.status, facts.code, facts.detail, facts.attr) == (400, "max_length", "Too long.", "title")
        assert caught.value.cause == "Too long."


@pytest.mark.parametrize(
    ("header", "seconds"), [("17", 17.0), ("soon", None), ("", None), ("-3", None), ("1e400", None)]
)
async def test_a_throttled_request_knows_when_to_come_back(tmp_path: Path, header: str, seconds: float | None) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = Reply(429, b"", {"Retry-After": header})
        with pytest.raises(Throttled) as caught:
            await rig.fetcher.get("/api/x/")
        assert caught.value.facts.retry_after == seconds


@pytest.mark.parametrize("header", ["Wed, 21 Oct 2015 07:28:00 GMT", "Fri, 31 Dec 9999 23:59:59 -2359", "9" * 400, "²"])
async def test_a_strange_time_to_come_back_is_no_failure(tmp_path: Path, header: str) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = Reply(429, b"", {"Retry-After": header})
        with pytest.raises(Throttled) as caught:
            await rig.fetcher.get("/api/x/")
        assert caught.value.facts.retry_after is None or caught.value.facts.retry_after >= 0


@pytest.mark.parametrize(
    "body", ["[]", '{"detail": 5, "code": [], "attr": {}}', '{"detail": ""}', b"\xff\xfe", "x" * 100_000, "{" * 90_000]
)
async def test_a_strange_error_body_is_no_second_error(tmp_path: Path, body: Any) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = Reply(400, body)
        with pytest.raises(Rejected) as caught:
            await rig.fetcher.get("/api/x/")
        assert len(caught.value.cause) < 700


@pytest.mark.parametrize("form", ["{other}/api/x/?page=2", "//{name}/api/x/", "{origin}.evil.example/api/x/", "x/y"])
async def test_a_next_link_to_another_server_is_refused_before_anything_is_sent(tmp_path: Path, form: str) -> None:
    async with ScriptedServer() as other, signed_in(tmp_path) as rig:
        name = other.origin.removeprefix("http://")
        with pytest.raises(Rejected):
            await rig.fetcher.get(form.format(other=other.origin, name=name, origin=rig.server.origin))
        assert not other.seen
        assert not rig.server.seen


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:port/x", "http://[::1/x", "http://127.0.0.1:99999/", "", "/api/\0x/", f"/api/{'x' * 70_000}/"],
    ids=range(6),
)
async def test_what_is_no_address_is_refused(tmp_path: Path, address: str) -> None:
    async with signed_in(tmp_path) as rig:
        with pytest.raises(Rejected):
            await rig.fetcher.get(address)
        assert not rig.server.seen


@pytest.mark.parametrize("text", ["\ud83d", "x" * 70_000], ids=["half a character", "too long"])
async def test_a_search_that_cannot_be_sent_is_refused(tmp_path: Path, text: str) -> None:
    async with signed_in(tmp_path) as rig:
        with pytest.raises(Rejected):
            await rig.fetcher.get("/api/x/", params={"search": text})


async def test_a_body_that_cannot_be_sent_is_refused(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        with pytest.raises(Rejected):
            await rig.fetcher.post("/api/x/", {"title": "\ud83d"})


@pytest.mark.parametrize("path", ["/\\evil.example/x", "/@evil.example/x", "/.evil.example/x", "/%2f/evil.example/"])
async def test_a_path_stays_with_its_host_however_it_is_written(tmp_path: Path, path: str) -> None:
    async with signed_in(tmp_path) as rig:
        with pytest.raises(NotFound):
            await rig.fetcher.get(path)
        assert len(rig.server.seen) == 1


async def test_a_next_link_of_the_same_server_is_followed_with_its_query(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = Reply(200, {})
        await rig.fetcher.get(f"{rig.server.origin}/api/x/?offset=100&search=a%20b")
        assert rig.server.seen[-1].query == {"offset": ["100"], "search": ["a b"]}


async def test_a_query_is_written_as_the_server_reads_it(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = Reply(200, {})
        params = {"archived": False, "limit": 5, "search": "a&b=ü", "none": None}
        await rig.fetcher.get("/api/x/", params=params)
        assert rig.server.seen[-1].query == {"archived": ["false"], "limit": ["5"], "search": ["a&b=ü"]}


async def test_what_is_recorded_of_a_request_holds_no_query_and_no_secret(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        told: list[RequestRecord] = []
        rig.fetcher.finished.subscribe(told.append)
        rig.server.views["/api/x/"] = rig.issuer.guard()
        rig.issuer.kill()
        await rig.fetcher.get("/api/x/", params={"search": "private words"})
        with pytest.raises(NotFound):
            await rig.fetcher.post("/api/y/?key=private", {"body": "private"})
        first, second = told
        assert (first.method, first.path, first.status, first.error) == ("GET", "/api/x/", 200, None)
        assert (second.method, second.path, second.status, second.error) == ("POST", "/api/y/", 404, "NotFound")
        assert first.size == len('{"ok": true}')
        assert first.milliseconds > 0
        assert (first.rule, second.rule) == ("success", "not-found")
        for exchange in told:
            assert not any(word in repr(exchange) for word in ("private", "pha_", "phr_", "?"))


async def test_a_request_that_never_left_is_recorded_too(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        told: list[RequestRecord] = []
        rig.fetcher.finished.subscribe(told.append)
        await rig.server.__aexit__()
        with pytest.raises(Offline):
            await rig.fetcher.get("/api/x/")
        assert [(exchange.status, exchange.error) for exchange in told] == [(None, "Offline")]


async def test_nothing_is_sent_while_nobody_is_signed_in(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        await rig.credential.sign_out()
        before = len(rig.server.seen)
        with pytest.raises(SignInNeeded):
            await rig.fetcher.get("/api/x/")
        assert len(rig.server.seen) == before


async def test_a_cookie_is_never_kept_beside_the_token(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = Reply(200, {}, {"Set-Cookie": "sessionid=of-somebody; Path=/"})
        for _ in range(2):
            await rig.fetcher.get("/api/x/")
        assert [request for request in rig.server.seen if "cookie" in request.headers] == []


async def test_a_failing_listener_does_not_fail_the_request(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with signed_in(tmp_path) as rig:

        def broken(exchange: RequestRecord) -> None:
            raise RuntimeError("bug")

        rig.fetcher.finished.subscribe(broken)
        rig.server.views["/api/x/"] = Reply(200, {})
        assert (await rig.fetcher.get("/api/x/")).status == 200
        assert "a subscriber failed" in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "http://192.168.0.1/",
        "http://example.com/",
        "http://127.0.0.1.example.com/",
        "http://127.0.0.1@example.com/",
        "ftp://127.0.0.1/",
        "//127.0.0.1/",
        "http://[::1",
        "http://127.0.0.1:port/",
    ],
)
async def test_only_this_machine_is_asked_without_a_sign_in(url: str) -> None:
    with pytest.raises(Rejected):
        await plain_json("GET", url)


async def test_a_server_on_this_machine_is_asked_plainly() -> None:
    async with ScriptedServer() as server:
        server.views["/a"] = Reply(200, {"a": 1})
        server.views["/empty"] = Reply(204)
        server.views["/page"] = Reply(200, PAGE, HTML)
        server.views["/down"] = Reply(503, "no")
        server.views["/bad"] = Reply(400, {"detail": "Wrong."})
        server.views["/away"] = Reply(302, b"", {"Location": "http://example.com/"})
        server.views["/bytes"] = Reply(200, b'"\xff"')
        assert await plain_json("POST", f"{server.origin}/a", headers={"X-Key": "k"}, body={"b": 1}) == {"a": 1}
        assert server.seen[-1].headers["x-key"] == "k"
        assert server.seen[-1].body == b'{"b":1}'
        assert "authorization" not in server.seen[-1].headers
        assert await plain_json("GET", f"{server.origin}/empty") is None
        for path, error in (
            ("page", ServerTrouble),
            ("down", ServerTrouble),
            ("bad", Rejected),
            ("away", ServerTrouble),
            ("none", NotFound),
            ("bytes", ServerTrouble),
        ):
            with pytest.raises(error):
                await plain_json("GET", f"{server.origin}/{path}")
    with pytest.raises(Offline):
        await plain_json("GET", f"{server.origin}/a")
