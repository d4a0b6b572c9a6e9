"""The shim carries messages of every size and order, survives a proxy that ends, and never does a thing twice."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from app.core.mcp.proxy.parts import Request, Responder
from app.core.mcp.proxy.shim.exchange import Patience
from app.core.mcp.proxy.shim.pipes import READ_BYTES, WAITING_BYTES
from tests.core.proxy._shim_rig import (
    EVENTS,
    KEY,
    SESSION,
    Program,
    ScriptedProxy,
    call,
    event,
    reply,
    result,
    serve_session,
)
from tests.until import until

BAD_LINES = {
    b"not json": -32700,
    b'{"jsonrpc": "2.0", "id": NaN, "method": "ping"}': -32700,
    b"\xff\xfe{}": -32700,
    b"\xef\xbb\xbf{}": -32700,
    b"[" * 100_000: -32700,
    b'{"jsonrpc": "2.0", "id": ' + b"9" * 5000 + b', "method": "ping"}': -32700,
    b"[]": -32600,
    b"7": -32600,
    b'["ping"]': -32600,
    b'{"jsonrpc": "2.0", "id": null, "method": "ping"}': -32600,
    b'{"jsonrpc": "2.0", "id": true, "method": "ping"}': -32600,
    b'{"jsonrpc": "2.0", "id": {"a": 1}, "method": "ping"}': -32600,
}


@pytest.mark.parametrize("line", BAD_LINES, ids=range(len(BAD_LINES)))
async def test_what_is_no_message_is_told_so_and_the_next_one_is_carried(tmp_path: Path, line: bytes) -> None:
    async with ScriptedProxy(tmp_path) as proxy, Program(tmp_path) as program:
        await program.write(line + b"\r\n\r\n  \n")
        refused = await program.receive()
        assert (refused["id"], refused["error"]["code"]) == (None, BAD_LINES[line])
        assert await program.ask(call(1)) == result(1, {})
        assert proxy.methods() == ["tools/call"]


@pytest.mark.parametrize(
    ("info", "title"),
    [
        ({"name": "ledger", "title": "The Ledger"}, "The Ledger"),
        ({"name": "ledger", "title": "a\x1b[31m"}, "ledger"),
        ({"name": "x" * 61}, "own:1"),
        ({"name": 7}, "own:1"),
        ("ledger", "own:1"),
    ],
)
async def test_a_failure_names_the_server_as_it_calls_itself(tmp_path: Path, info: Any, title: str) -> None:
    async def fails(request: Request, responder: Responder, message: Any) -> None:
        if message and message.get("method") == "initialize":
            await reply(
                responder, result(message["id"], {"protocolVersion": "2025-06-18", "serverInfo": info}), SESSION
            )
        else:
            await reply(responder, b"", status=502)

    async with ScriptedProxy(tmp_path, fails), Program(tmp_path) as program:
        await program.ask(call("open", "initialize"))
        error = (await program.ask(call(1)))["error"]
        assert error["message"].startswith(f"{title} cannot be used")
        assert error["data"]["server"] == "own:1"


async def test_what_the_proxy_refuses_as_unreadable_is_the_answer_to_its_request(tmp_path: Path) -> None:
    async def refuse(request: Request, responder: Responder, message: Any) -> None:
        error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "twice"}}
        await reply(responder, error, status=400)

    async with ScriptedProxy(tmp_path, refuse), Program(tmp_path) as program:
        await program.write(b'{"jsonrpc": "2.0", "id": 7.5, "method": "a", "method": "b"}\n')
        assert await program.receive() == {"jsonrpc": "2.0", "id": 7.5, "error": {"code": -32600, "message": "twice"}}


@pytest.mark.parametrize("size", [300 * 1024, 5 * 1024 * 1024])
async def test_long_messages_pass_both_ways(tmp_path: Path, size: int) -> None:
    async def stream(request: Request, responder: Responder, message: Any) -> None:
        responder.start(200, [EVENTS])
        await responder.write(event(result(message["id"], message["params"])))
        responder.end()

    for answer in (serve_session, stream):
        async with ScriptedProxy(tmp_path, answer), Program(tmp_path) as program:
            text = "é" * (size // 2)
            assert await program.ask(call(1, text=text)) == result(1, {"text": text})


async def test_a_line_that_is_too_long_is_refused_and_the_next_one_is_carried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.core.mcp.proxy.shim.pipes.LONGEST_LINE", 100_000)
    async with ScriptedProxy(tmp_path) as proxy, Program(tmp_path) as program:
        await program.write(b"x" * 3_000_000)
        await program.send(call(1, text="x" * 200_000), call(2))
        answers = [await program.receive() for _ in range(2)]
        assert [(answer.get("id"), "error" in answer) for answer in answers] == [(None, True), (2, False)]
        assert proxy.methods() == ["tools/call"]


async def test_many_short_lines_are_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.core.mcp.proxy.shim.pipes.READ_BYTES", 1024)
    monkeypatch.setattr("app.core.mcp.proxy.shim.pipes.WAITING_BYTES", 6400)
    async with ScriptedProxy(tmp_path), Program(tmp_path) as program:
        sending = asyncio.create_task(program.write(b"\n\r\n" * 1_000 + b"7\n" * 5_000))
        most = 0
        for _ in range(5_000):
            assert (await program.receive())["error"]["code"] == -32600
            most = max(most, program.lines._lines.qsize())
        await sending
        # 6,400 bytes are room for a hundred short lines, and one more read is handed over as a whole.
        assert most <= 100 + 512
        assert await program.ask(call(1)) == result(1, {})


async def test_a_program_that_reads_slowly_slows_the_server_down(tmp_path: Path) -> None:
    sent = 0

    async def flood(request: Request, responder: Responder, message: Any) -> None:
        nonlocal sent
        responder.start(200, [EVENTS])
        for number in range(400):
            await responder.write(
                event({"jsonrpc": "2.0", "method": "log", "params": {"x": "y" * 100_000, "n": number}})
            )
            sent += 1
        await responder.write(event(result(message["id"])))
        responder.end()

    async with ScriptedProxy(tmp_path, flood), Program(tmp_path) as program:
        # The reader of the test stops the pipe.
        program._transport.pause_reading()
        await program.send(call(1))
        await until(lambda: sent > 20)
        before = 0
        while before != sent:
            before = sent
            await asyncio.sleep(0.1)
        assert sent < 250
        program._transport.resume_reading()
        numbers = [(await program.receive())["params"]["n"] for _ in range(400)]
        assert numbers == list(range(400))
        assert await program.receive() == result(1)


async def test_the_session_the_revision_and_the_key_go_with_every_request(tmp_path: Path) -> None:
    async with ScriptedProxy(tmp_path) as proxy, Program(tmp_path) as program:
        await program.open()
        await program.ask(call(1))
        await until(lambda: "GET" in proxy.methods())
    assert sorted(proxy.methods()) == ["DELETE", "GET", "initialize", "notifications/initialized", "tools/call"]
    for request, message in proxy.requests:
        assert request.path == "/mcp/own:1"
        assert request.header(b"authorization") == f"Bearer {KEY}".encode()
        opening = message is not None and message.get("method") == "initialize"
        assert request.header(b"mcp-session-id") == (None if opening else b"session-1")
        assert request.header(b"mcp-protocol-version") == (None if opening else b"2025-06-18")
        assert request.header(b"content-type") == (b"application/json" if request.method == "POST" else None)


async def test_what_is_sent_before_the_session_is_open_belongs_to_it(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def slow(request: Request, responder: Responder, message: Any) -> None:
        if message and message.get("method") == "initialize":
            await release.wait()
        await serve_session(request, responder, message)

    async with ScriptedProxy(tmp_path, slow) as proxy, Program(tmp_path) as program:
        opened = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        await program.send(call("open", "initialize"), call(1), opened, call(2))
        await until(lambda: proxy.requests and len(program.session._requests) == 2, 20)
        assert proxy.methods() == ["initialize"]
        release.set()
        assert (await program.receive())["id"] == "open"
        assert {(await program.receive())["id"] for _ in range(2)} == {1, 2}
        sessions = {request.header(b"mcp-session-id") for request, message in proxy.requests if message}
        assert sessions == {None, b"session-1"}
        assert proxy.requests[1][0].header(b"mcp-session-id") == b"session-1"


async def test_a_message_without_an_answer_goes_before_the_next(tmp_path: Path) -> None:
    async def late(request: Request, responder: Responder, message: Any) -> None:
        if request.method == "POST" and "id" not in message:
            await asyncio.sleep(0.05)
        order.append(message["method"] if message else request.method)
        await serve_session(request, responder, message)

    order: list[str] = []
    async with ScriptedProxy(tmp_path, late), Program(tmp_path) as program:
        await program.send({"jsonrpc": "2.0", "method": "notifications/one"}, call(1))
        await program.receive()
        assert order == ["notifications/one", "tools/call"]


async def test_requests_do_not_wait_for_each_other(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def slow(request: Request, responder: Responder, message: Any) -> None:
        if message["id"] == "slow":
            await release.wait()
        await serve_session(request, responder, message)

    async with ScriptedProxy(tmp_path, slow), Program(tmp_path) as program:
        await program.send(call("slow"), *(call(number) for number in range(20)))
        assert {(await program.receive())["id"] for _ in range(20)} == set(range(20))
        # Its id is in use, and the program could not tell the two answers apart.
        assert (await program.ask(call("slow")))["error"]["code"] == -32600
        release.set()
        assert (await program.receive())["id"] == "slow"


async def test_many_requests_take_turns_and_an_answer_that_they_wait_for_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.core.mcp.proxy.shim.session.MOST_AT_ONCE", 4)
    at_once: set[int] = set()
    most = 0
    release = asyncio.Event()

    async def slow(request: Request, responder: Responder, message: Any) -> None:
        nonlocal most
        if "method" not in message:
            release.set()
        elif "id" in message:
            at_once.add(message["id"])
            most = max(most, len(at_once))
            await release.wait()
            at_once.discard(message["id"])
        await serve_session(request, responder, message)

    async with ScriptedProxy(tmp_path, slow), Program(tmp_path) as program:
        await program.send(*(call(number) for number in range(40)))
        await until(lambda: len(at_once) == 4)
        await program.send(result("asked by the server"))
        assert {(await program.receive())["id"] for _ in range(40)} == set(range(40))
        assert most == 4


async def test_a_program_that_sends_without_end_is_slowed_down(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def slow(request: Request, responder: Responder, message: Any) -> None:
        await release.wait()
        await reply(responder, result(message["id"]))

    async with ScriptedProxy(tmp_path, slow), Program(tmp_path) as program:
        text = "x" * 1_000_000
        sending = asyncio.create_task(program.send(*(call(number, text=text) for number in range(60))))
        # What waits is bounded, and so is what is read and not handled: the program cannot write on.
        await until(lambda: program.session._bytes > 30_000_000 and program.lines._waiting >= WAITING_BYTES, 20)
        assert not sending.done()
        assert program.session._bytes < 35_000_000
        assert program.lines._waiting <= WAITING_BYTES + READ_BYTES + len(text) + 1000
        release.set()
        assert {(await program.receive())["id"] for _ in range(60)} == set(range(60))
        await sending


async def test_messages_of_the_server_pass_in_order_and_the_answers_to_them_go_back(tmp_path: Path) -> None:
    answered = asyncio.Event()

    async def ask_back(request: Request, responder: Responder, message: Any) -> None:
        if "result" in message:
            answered.set()
            await reply(responder, b"", status=202)
            return
        responder.start(200, [EVENTS])
        await responder.write(b": a comment\n\nevent: other\ndata: {}\n\ndata:\n\n")
        await responder.write(event(call("s1", "elicitation/create")))
        await answered.wait()
        for number in range(50):
            await responder.write(event({"jsonrpc": "2.0", "method": "progress", "params": {"n": number}}))
        pretty = json.dumps(result(message["id"]), indent=1).replace("\n", "\r\ndata: ")
        await responder.write(f"data: {pretty}\r\n\r\n".encode())
        responder.end()

    async with ScriptedProxy(tmp_path, ask_back) as proxy, Program(tmp_path) as program:
        assert (await program.ask(call(1)))["method"] == "elicitation/create"
        await program.send(result("s1", {"action": "accept"}))
        assert [(await program.receive())["params"]["n"] for _ in range(50)] == list(range(50))
        assert await program.receive() == result(1)
        assert proxy.methods() == ["tools/call", "answer"]


async def test_what_a_server_sends_that_is_no_message_never_reaches_the_program(tmp_path: Path) -> None:
    async def garbage(request: Request, responder: Responder, message: Any) -> None:
        if message["id"] == "body":
            await reply(responder, b"<html>")
            return
        responder.start(200, [EVENTS])
        await responder.write(b'data: <html>\n\ndata: {"a": NaN}\n\ndata: 7\n\ndata: \xff\n\n')
        await responder.write(event(result(message["id"])))
        responder.end()

    async with ScriptedProxy(tmp_path, garbage), Program(tmp_path) as program:
        assert await program.ask(call("stream")) == result("stream")
        failed = await program.ask(call("body"))
        assert failed["error"]["data"]["type"] == "burrow/server_unavailable"


async def test_a_batch_is_carried_as_it_is(tmp_path: Path) -> None:
    async def batch(request: Request, responder: Responder, message: Any) -> None:
        await reply(responder, [result(each["id"]) for each in message if "id" in each])

    async with ScriptedProxy(tmp_path, batch), Program(tmp_path) as program:
        whole = [call(1), {"jsonrpc": "2.0", "method": "note"}, call("1")]
        assert await program.ask(whole) == [result(1), result("1")]


async def test_the_stream_of_the_server_is_opened_again_where_it_ended(tmp_path: Path) -> None:
    opened: list[bytes | None] = []

    async def listening(request: Request, responder: Responder, message: Any) -> None:
        if request.method != "GET":
            await serve_session(request, responder, message)
            return
        opened.append(request.header(b"last-event-id"))
        responder.start(200, [EVENTS])
        number = len(opened)
        await responder.write(b"retry: 10\n\n" + event({"jsonrpc": "2.0", "method": f"n{number}"}, f"id {number}"))
        if number < 3:
            responder.end()
        else:
            await asyncio.Event().wait()

    async with ScriptedProxy(tmp_path, listening), Program(tmp_path) as program:
        await program.open()
        assert [(await program.receive())["method"] for _ in range(3)] == ["n1", "n2", "n3"]
    assert opened == [None, b"id 1", b"id 2"]


async def test_an_answer_whose_stream_breaks_is_read_on_where_the_server_has_that(tmp_path: Path) -> None:
    async def breaks(request: Request, responder: Responder, message: Any) -> None:
        responder.start(200, [EVENTS])
        if request.method == "POST":
            await responder.write(b"retry: 5\n\n" + event({"jsonrpc": "2.0", "method": "first"}, "17"))
        else:
            assert request.header(b"last-event-id") == b"17"
            await responder.write(event(result(1, {"done": True}), "18"))
        responder.end()

    async with ScriptedProxy(tmp_path, breaks) as proxy, Program(tmp_path) as program:
        assert (await program.ask(call(1)))["method"] == "first"
        assert await program.receive() == result(1, {"done": True})
        assert proxy.methods() == ["tools/call", "GET"]


@pytest.mark.parametrize("begun", [False, True])
async def test_a_call_whose_answer_is_lost_is_not_sent_again_and_what_only_reads_is(
    tmp_path: Path, begun: bool
) -> None:
    seen: Counter[str] = Counter()

    async def lose(request: Request, responder: Responder, message: Any) -> None:
        seen[message["method"]] += 1
        if seen[message["method"]] > 1:
            await serve_session(request, responder, message)
            return
        if begun:
            responder.start(200, [EVENTS])
            await responder.write(event({"jsonrpc": "2.0", "method": "progress"}))
        proxy.break_connections()
        await asyncio.Event().wait()

    async with ScriptedProxy(tmp_path, lose) as proxy, Program(tmp_path) as program:
        await program.send(call(1))
        error = (await program.receive_answer(1))["error"]
        assert "own:1 may have run this" in error["message"]
        assert error["data"]["type"] == "burrow/server_unavailable"
        assert error["data"]["outcome_unknown"] is True
        await program.send(call(2, "tools/list"))
        assert await program.receive_answer(2) == result(2, {})
        assert seen == {"tools/call": 1, "tools/list": 2}


async def test_a_restarted_proxy_gets_the_requests_that_wait_and_the_session_goes_on(tmp_path: Path) -> None:
    async with ScriptedProxy(tmp_path) as first, Program(tmp_path, patience=Patience(owner=10)) as program:
        await program.open()
        assert await program.ask(call(1)) == result(1, {})
        await first.__aexit__()
        first.port = None
        async with ScriptedProxy(tmp_path) as second:
            await program.send(*(call(number) for number in range(10)))
            assert {(await program.receive())["id"] for _ in range(10)} == set(range(10))
            assert second.methods().count("tools/call") == 10
            assert {request.header(b"mcp-session-id") for request, _ in second.requests} == {b"session-1"}
            await until(lambda: "GET" in second.methods() or "GET" in first.methods())


async def test_a_session_that_the_proxy_does_not_know_any_more_is_opened_again_once(tmp_path: Path) -> None:
    known = {b"session-1"}

    async def forgets(request: Request, responder: Responder, message: Any) -> None:
        if message and message.get("method") == "initialize":
            new = b"session-%d" % (len(openings) + 1)
            openings.append(message)
            known.add(new)
            await reply(responder, result(message["id"], {"protocolVersion": "2025-06-18"}), (SESSION[0], new))
        elif request.header(b"mcp-session-id") not in known:
            await reply(responder, {"error": "unknown session"}, status=404)
        else:
            await serve_session(request, responder, message)

    openings: list[Any] = []
    async with ScriptedProxy(tmp_path, forgets) as proxy, Program(tmp_path) as program:
        await program.open()
        await program.ask(call(1))
        known.clear()
        await program.send(*(call(number) for number in range(10)))
        assert {(await program.receive())["id"] for _ in range(10)} == set(range(10))
        assert len(openings) == 2
        assert openings[0] == openings[1]
        assert proxy.methods().count("notifications/initialized") == 2


async def test_a_session_that_cannot_be_opened_again_fails_with_the_reason(tmp_path: Path) -> None:
    async def forgets(request: Request, responder: Responder, message: Any) -> None:
        if message and message["method"] == "initialize" and len(proxy.requests) > 1:
            error = {"code": -32010, "message": "Sign in", "data": {"type": "burrow/sign_in_needed"}}
            await reply(responder, {"jsonrpc": "2.0", "id": message["id"], "error": error})
        elif message and message["method"] == "tools/call":
            await reply(responder, {"error": "unknown session"}, status=404)
        else:
            await serve_session(request, responder, message)

    async with ScriptedProxy(tmp_path, forgets) as proxy, Program(tmp_path) as program:
        await program.open()
        answer = await program.ask(call(1))
        assert answer["error"]["data"]["type"] == "burrow/sign_in_needed"


async def test_the_first_request_waits_for_the_sign_in_and_the_others_are_told_at_once(tmp_path: Path) -> None:
    signed_in = False

    async def needs(request: Request, responder: Responder, message: Any) -> None:
        if signed_in or "id" not in message:
            await serve_session(request, responder, message)
            return
        error = {"code": -32010, "message": "Sign in to own:1", "data": {"type": "burrow/sign_in_needed"}}
        await reply(responder, {"jsonrpc": "2.0", "id": message["id"], "error": error})

    async with ScriptedProxy(tmp_path, needs) as proxy, Program(tmp_path) as program:
        await program.send(call("open", "initialize", protocolVersion="2025-06-18"))
        refused = await program.ask(call(1))
        assert (refused["id"], refused["error"]["data"]["type"]) == (1, "burrow/sign_in_needed")
        await until(lambda: proxy.methods().count("initialize") > 3)
        signed_in = True
        assert (await program.receive())["id"] == "open"
        assert program.words == ["Sign in to own:1"]


async def test_the_first_request_waits_for_a_proxy_that_is_not_ready_yet(tmp_path: Path) -> None:
    async def starts(request: Request, responder: Responder, message: Any) -> None:
        if len(proxy.requests) > 3:
            await serve_session(request, responder, message)
            return
        error = {"code": -32014, "message": "Burrow is starting", "data": {"type": "burrow/not_ready"}}
        await reply(responder, {"jsonrpc": "2.0", "id": message["id"], "error": error})

    async with ScriptedProxy(tmp_path, starts) as proxy, Program(tmp_path) as program:
        # Any other request was held by the proxy for as long as one waits.
        assert (await program.ask(call(1)))["error"]["code"] == -32014
        await program.open()
        assert proxy.methods()[:4] == ["tools/call", "initialize", "initialize", "initialize"]


async def test_a_sign_in_that_never_comes_fails_the_first_request(tmp_path: Path) -> None:
    async def needs(request: Request, responder: Responder, message: Any) -> None:
        error = {"code": -32010, "message": "Sign in", "data": {"type": "burrow/sign_in_needed"}}
        await reply(responder, {"jsonrpc": "2.0", "id": message["id"], "error": error})

    patience = Patience(owner=0.5, sign_in=0.1, poll=0.02)
    async with ScriptedProxy(tmp_path, needs), Program(tmp_path, patience=patience) as program:
        assert (await program.ask(call("open", "initialize")))["error"]["code"] == -32010


REFUSALS = [
    (401, b'{"error": "no key"}', "burrow/not_approved", "burrow connect add"),
    (403, b'{"error": "not for you"}', "burrow/server_unavailable", "not for you"),
    (404, b'{"error": "no server own:1"}', "burrow/server_unavailable", "no server own:1"),
    (413, b"", "burrow/server_unavailable", "413"),
    (502, b"<html>bad gateway</html>", "burrow/server_unavailable", "bad gateway"),
    (200, b"", "burrow/server_unavailable", "did not answer"),
    (202, b"", "burrow/server_unavailable", "did not answer"),
    (503, b'{"error": "Burrow is not running."}', "burrow/not_ready", "Burrow is not running"),
]


@pytest.mark.parametrize(("status", "body", "kind", "words"), REFUSALS, ids=[str(each[0]) for each in REFUSALS])
async def test_a_refusal_is_told_in_words(tmp_path: Path, status: int, body: bytes, kind: str, words: str) -> None:
    async def refuse(request: Request, responder: Responder, message: Any) -> None:
        await reply(responder, body, status=status)

    async with ScriptedProxy(tmp_path, refuse), Program(tmp_path) as program:
        error = (await program.ask(call(1)))["error"]
        assert error["data"]["type"] == kind
        assert words in error["message"]
        assert error["data"]["server"] == "own:1"


async def test_without_a_proxy_that_starts_requests_fail_in_words(tmp_path: Path) -> None:
    async with Program(tmp_path) as program:
        error = (await program.ask(call(1, "initialize")))["error"]
        assert error["data"]["type"] == "burrow/not_ready"
        assert "burrow proxy" in error["message"]


async def test_a_cancelled_request_is_left_and_not_answered_for(tmp_path: Path) -> None:
    async def slow(request: Request, responder: Responder, message: Any) -> None:
        if message["method"] == "notifications/cancelled":
            await reply(responder, b"", status=202)
            cancelled.set()
        elif message["id"] == 1:
            responder.start(200, [EVENTS])
            await cancelled.wait()
            responder.end()
        else:
            await serve_session(request, responder, message)

    cancelled = asyncio.Event()
    async with ScriptedProxy(tmp_path, slow), Program(tmp_path) as program:
        await program.send(call(1))
        await program.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
        assert (await program.ask(call(2)))["id"] == 2
        await until(lambda: not program.session._requests)
        # Its id may be used again.
        assert (await program.ask(call(3)))["id"] == 3


async def test_a_message_of_the_new_revision_has_its_headers(tmp_path: Path) -> None:
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
    schema = {
        "type": "object",
        "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "deep": {"type": "object", "properties": {"on": {"type": "boolean", "x-mcp-header": "On"}}},
            "wrong": {"type": "number", "x-mcp-header": "Wrong"},
            "why": {"type": ["string", "null"], "x-mcp-header": "Why"},
            "bad": {"type": "string", "x-mcp-header": "a b\r\n"},
            "absent": {"type": "string", "x-mcp-header": "Absent"},
        },
    }

    async def list_tools(request: Request, responder: Responder, message: Any) -> None:
        if message.get("method") == "tools/list":
            await reply(responder, result(message["id"], {"tools": [{"name": "zählen", "inputSchema": schema}, 7]}))
        else:
            await serve_session(request, responder, message)

    async with ScriptedProxy(tmp_path, list_tools) as proxy, Program(tmp_path) as program:
        await program.ask(call(1, "tools/list", _meta=meta))
        arguments = {"region": "Köln\r\nx: y", "deep": {"on": True}, "wrong": 1, "bad": "x"}
        await program.ask(call(2, name="zählen", arguments=arguments, _meta=meta))
    (listed, _), (called, _) = proxy.requests
    assert listed.header(b"mcp-method") == b"tools/list"
    assert listed.header(b"mcp-name") is None
    assert (
        dict(called.headers).items()
        >= {
            b"mcp-protocol-version": b"2026-07-28",
            b"mcp-method": b"tools/call",
            b"mcp-name": b"=?base64?esOkaGxlbg==?=",
            b"mcp-param-region": b"=?base64?S8O2bG4NCng6IHk=?=",
            b"mcp-param-on": b"true",
        }.items()
    )
    assert not any(name.startswith((b"mcp-param-w", b"mcp-param-b", b"mcp-param-a")) for name, _ in called.headers)


async def test_a_program_that_went_away_is_noticed(tmp_path: Path) -> None:
    async with ScriptedProxy(tmp_path), Program(tmp_path) as program:
        program._transport.close()
        await asyncio.sleep(0)
        await program.send(call(1))
        await until(program.gone.is_set)
        os.close(program.input)
