"""What is kept of a request: its attempts with headers, bodies and times, and never a secret."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from app.core.auth.http.trace import Trace
from app.core.diagnostics import exchanges
from app.core.diagnostics.activity import Activity, ActivityRecord
from app.core.diagnostics.body_text import pretty
from app.core.diagnostics.exchanges import (
    BODY_CHARACTERS,
    WireAttempt,
    WireBody,
    WireExchange,
    as_curl,
    is_whole,
    read,
)
from app.core.errors import NotFound, Offline, SignInNeeded
from app.core.fetcher import Wire
from app.core.redaction import REDACTED
from app.core.storage import Storage
from app.core.storage import exchanges as exchange_log
from tests.core.conftest import Rig, signed_in
from tests.core.scripted import Reply

SECRET = "pha_Zq9averysecrettokenthatnobodysees7Xk"


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def newest(activity: Activity) -> WireExchange:
    found = await activity.exchange(activity.records()[0])
    assert found is not None
    return found


def recording(rig: Rig, storage: Storage | None = None) -> Activity:
    activity = Activity() if storage is None else Activity(storage.activity, storage.exchanges)
    rig.fetcher.finished.subscribe(activity.record_request)
    return activity


async def test_a_request_that_never_left_has_no_answer_and_says_why(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        activity = recording(rig)
        await rig.server.__aexit__()
        with pytest.raises(Offline):
            await rig.fetcher.get("/api/x/")
        exchange = await newest(activity)
        assert [(attempt.status, attempt.error) for attempt in exchange.attempts] == [(None, "ConnectError")]
        assert exchange.reading is None


async def test_a_healed_request_shows_the_refusal_the_renewal_and_the_repetition(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        activity = recording(rig)
        rig.server.views["/api/x/"] = rig.issuer.guard()
        rig.issuer.kill()
        await rig.fetcher.get("/api/x/")
        exchange = await newest(activity)
        refused, repeated = exchange.attempts
        assert (refused.status, repeated.status) == (401, 200)
        assert refused.renewal is not None
        assert refused.renewal > 0
        assert refused.refusal is not None
        assert refused.refusal.text
        assert (repeated.renewal, repeated.refusal) == (None, None)
        assert refused.at + (refused.head or 0) + refused.renewal <= repeated.at + 1
        assert exchange.queued == refused.at
        assert exchange.total is not None
        assert exchange.total >= repeated.at
        assert exchange.received == WireBody('{"ok": true}', len('{"ok": true}'))


async def test_a_refusal_that_could_not_be_healed_says_so(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        activity = recording(rig)
        rig.server.views["/api/x/"] = rig.issuer.guard()
        rig.issuer.kill()
        rig.server.views["/oauth/token/"] = Reply(400, {"error": "invalid_grant"})
        with pytest.raises(SignInNeeded):
            await rig.fetcher.get("/api/x/")
        (refused,) = (await newest(activity)).attempts
        assert (refused.status, refused.renewal_failure) == (401, "SignInNeeded")


async def test_no_secret_of_headers_and_bodies_reaches_the_disk(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    storage = Storage.open(folder)
    async with signed_in(tmp_path) as rig:
        activity = recording(rig, storage)
        signed = f"https://bucket.s3.amazonaws.com/k?X-Amz-Signature={SECRET}"
        rig.server.views["/api/x/"] = Reply(
            200,
            {"upload": signed, "access_token": SECRET, "note": f"Bearer {SECRET}", "title": "seen"},
            {"Set-Cookie": f"sessionid={SECRET}", "Location": signed, "X-Kept": "shown"},
        )
        token = rig.credential.grant.tokens.access_token  # type: ignore[union-attr]
        await rig.fetcher.post(f"/api/x/?code={SECRET}&page=2", {"client_secret": SECRET, "title": "typed"})
        exchange = await newest(activity)
        await activity.export(folder / "export.jsonl")
        await storage.close()
        kept = everything_in(folder)
        assert SECRET.encode() not in kept
        assert token.encode() not in kept
        assert "seen" in (exchange.received or WireBody("", 0)).text  # type: ignore[operator]
        assert "typed" in (exchange.sent or WireBody("", 0)).text  # type: ignore[operator]
        assert "page=2" in exchange.url
        (attempt,) = exchange.attempts
        assert ("Authorization", f"Bearer {REDACTED}") in attempt.sent
        assert {name.lower(): value for name, value in attempt.received}["x-kept"] == "shown"


async def test_a_header_of_a_name_that_nobody_knows_is_sent_and_not_shown() -> None:
    import httpx

    trace = Trace()
    trace.begin(httpx.Request("GET", "https://x.example/", headers={"X-Auth": "plain", "Accept": "application/json"}))
    kept = exchanges.stored_trace("GET", "https://x.example/", trace, None)
    sent = dict(kept["attempts"][0]["sent"])
    assert sent["X-Auth"] == REDACTED
    assert sent["Accept"] == "application/json"


def kept_body(body: bytes, size: int | None = None) -> WireBody:
    wire = Wire("https://x.example/", Trace(), body, b"", len(body) if size is None else size, 0, 0.0)
    found = read(json.loads(json.dumps(exchanges.stored("POST", wire))))
    assert found is not None
    assert found.sent is not None
    return found.sent


def test_a_long_body_is_cut_and_says_so_and_how_long_it_was() -> None:
    body = kept_body("ü".encode() * BODY_CHARACTERS)
    assert body.cut
    assert body.size == 2 * BODY_CHARACTERS
    assert len(body.text or "") <= BODY_CHARACTERS
    assert set(body.text or "") == {"ü"}


def test_a_secret_across_the_cut_is_not_kept_in_part() -> None:
    filler = "x " * (BODY_CHARACTERS // 2 - 10)
    body = kept_body((filler + SECRET + " end" * 4000).encode())
    assert SECRET[:12] not in (body.text or "")


def test_json_stays_json_with_its_digits_and_names_when_secrets_are_taken_out() -> None:
    body = (
        '{"state":{"mode":"x"},"n":3.14159265358979323846,"a":1,"a":2,"token":"SECRET","max_tokens":5,"password":12345678,'
        '"headers":[{"name":"X-Api-Key","value":"plain"}],"secrets":["one","two"],"pair":["X-Api-Key","plain"]}'
    ).replace("SECRET", SECRET)
    assert kept_body(body.encode()).text == (
        '{"state":{"mode":"x"},"n":3.14159265358979323846,"a":1,"a":2,"token":"[redacted]","max_tokens":5,'
        '"password":"[redacted]","headers":[{"name":"X-Api-Key","value":"[redacted]"}],'
        '"secrets":["[redacted]","[redacted]"],"pair":["X-Api-Key","[redacted]"]}'
    )


@pytest.mark.parametrize("body", [b"\x89PNG\r\n\x1a\n\0\0", b"\xff\xfe" * 100_000, b"a\0b"])
def test_what_is_no_text_is_kept_as_its_size(body: bytes) -> None:
    assert kept_body(body) == WireBody(None, len(body))


async def test_the_oldest_exchanges_go_first_and_their_lines_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_log, "MAX_CHARACTERS", 40_000)
    monkeypatch.setattr(exchange_log, "TRIM_EVERY", 1)
    storage = Storage.open(tmp_path)
    activity = Activity(storage.activity, storage.exchanges)
    made: list[ActivityRecord] = []
    for number in range(6):
        made.append(activity.record("http", "x", f"GET /{number}", exchange=lambda: example("x" * 15_000)))
        await activity.exchange(made[-1])
    kept = [await activity.exchange(record) is not None for record in made]
    assert kept == [False] * 4 + [True] * 2
    assert len(activity.records()) == 6
    await storage.close()


async def test_exchanges_that_wait_for_the_disk_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_log, "WAITING_BYTES", 100)
    storage = Storage.open(tmp_path)
    activity = Activity(storage.activity, storage.exchanges)
    first, second = (
        activity.record("http", "x", f"GET /{number}", exchange=lambda: example(""), exchange_bytes=80)
        for number in range(2)
    )
    assert await activity.exchange(first) is not None
    assert await activity.exchange(second) is None
    await storage.close()


async def test_exchanges_outlive_a_restart_and_are_deleted_with_the_record(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    record = Activity(storage.activity, storage.exchanges).record("http", "x", "GET /", exchange=lambda: example("hi"))
    await storage.close()
    storage = Storage.open(tmp_path)
    activity = Activity(storage.activity, storage.exchanges)
    assert (await activity.exchange(record) or read(example(""))).received == WireBody("hi", 2)  # type: ignore[union-attr]
    await activity.clear()
    assert await activity.exchange(record) is None
    await storage.close()


async def test_an_export_has_the_exchanges(tmp_path: Path) -> None:
    activity = Activity()
    activity.record("http", "x", "GET /", exchange=lambda: example("hi"))
    activity.record("auth", "x", "renewal")
    assert await activity.export(tmp_path / "out.jsonl") == 2
    first, second = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert first["exchange"]["received"]["text"] == "hi"
    assert "exchange" not in second


@pytest.mark.parametrize("value", [{}, {"method": "GET"}, {"method": "GET", "url": "x", "attempts": [1]}])
def test_what_another_version_kept_is_no_exchange_and_no_failure(value: dict[str, Any]) -> None:
    assert read(value) is None


def example(text: str) -> dict[str, Any]:
    attempts = [{"at": 1.0, "status": 200, "sent": [["Accept", "*/*"]], "received": []}]
    body = {"text": text, "size": len(text), "cut": False}
    return {"method": "GET", "url": "https://x.example/", "total": 2.0, "attempts": attempts, "received": body}


def test_a_command_for_curl_has_everything_but_the_secrets() -> None:
    sent = (("Authorization", f"Bearer {REDACTED}"), ("Content-Type", "application/json"), ("Content-Length", "9"))
    attempt = WireAttempt(0, 200, "HTTP/1.1", None, 1, sent, (), "", None, None, "", "")
    body = WireBody('{"a": "it\'s", "token": "' + REDACTED + '"}', 9)
    exchange = WireExchange("POST", "https://x.example/?a=1&b=$HOME", 1, (attempt,), body, None)
    words = shlex.split(as_curl(exchange).replace("\\\n", " "))
    assert words == [
        *("curl", "--request", "POST", "https://x.example/?a=1&b=$HOME"),
        *("--header", "Authorization: Bearer $TOKEN"),
        *("--header", "Content-Type: application/json"),
        *("--data-raw", '{"a": "it\'s", "token": "$TOKEN"}'),
    ]


async def test_an_answer_that_is_an_error_is_kept_with_its_body(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        activity = recording(rig)
        rig.server.views["/api/y/"] = Reply(404, {"detail": "Nothing here."})
        with pytest.raises(NotFound):
            await rig.fetcher.get("/api/y/")
        exchange = await newest(activity)
        assert exchange.received is not None
        assert "Nothing here." in (exchange.received.text or "")


async def test_of_a_stream_the_size_is_kept_and_of_its_refusal_the_body(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        activity = recording(rig)
        rig.server.views["/api/s/"] = Reply(200, "data: 1\n\n")
        async with rig.fetcher.stream("/api/s/") as stream:
            async for _ in stream.chunks():
                pass
        assert (await newest(activity)).received == WireBody(None, len("data: 1\n\n"))
        rig.server.views["/api/s/"] = Reply(404, {"detail": "No such run."})
        with pytest.raises(NotFound):
            async with rig.fetcher.stream("/api/s/"):
                pass
        refused = (await newest(activity)).received
        assert refused is not None
        assert "No such run." in (refused.text or "")


@pytest.mark.parametrize(
    ("url", "body", "whole"),
    [
        ("https://x.example/", None, True),
        ("https://x.example/?code=" + REDACTED, None, False),
        ("https://x.example/", WireBody("a", 1), True),
        ("https://x.example/", WireBody("a", 100_000, cut=True), False),
        ("https://x.example/", WireBody(REDACTED, 9), False),
    ],
)
def test_only_a_request_that_is_known_as_a_whole_can_be_sent_again(
    url: str, body: WireBody | None, whole: bool
) -> None:
    assert is_whole(WireExchange("GET", url, 1, (), body, None)) == whole


def test_json_is_laid_out_with_the_digits_that_it_has() -> None:
    assert pretty('{"a":3.14159265358979323846,"b":[1e400,"ü"],"c":{}}') == (
        '{\n  "a": 3.14159265358979323846,\n  "b": [\n    1e400,\n    "ü"\n  ],\n  "c": {}\n}'
    )
    assert pretty('{"a":1,"a":2}') == '{\n  "a": 1,\n  "a": 2\n}'
    assert pretty(r'["\ud800", {}]') == '[\n  "\\ud800",\n  {}\n]'
    assert pretty("<html>") == "<html>"
    assert pretty("[" * 100_000) == "[" * 100_000
