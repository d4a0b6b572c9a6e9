"""What travels through the relay, in both directions, and what does not."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from app.core.errors import NotFound, ServerTrouble, SignInNeeded, VendorSignInNeeded
from app.core.mcp.event_stream import EventReader
from app.core.mcp.proxy.parts import Decision, NotReady, ToolRule
from tests.core.proxy._relay import INITIALIZE, call_of, data_lines, event, events, proxied, rpc_error, upstream_of
from tests.core.scripted import Reply


async def test_a_call_and_its_answer_are_the_same_bytes_on_both_sides(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (rig, view, proxy):
        sent = b'{ "jsonrpc" : "2.0", "id":7,\n"method":"tools/call","params":{"name":"count","arguments":{"x":1.50}}}'
        answer = b'{"jsonrpc": "2.0",\t"id":7, "result": {"content": [], "n": 1.0e2}}\n'
        view.answers = [Reply(200, answer, {"Content-Type": "application/json"})]
        got = await proxy.post(sent)
        assert got.content == answer
        assert view.seen[0].body == sent
        assert view.seen[0].bearer == rig.issuer.access_token
        assert proxy.host.uses == [("s", "count", "")]


async def test_of_a_clients_headers_only_those_of_mcp_and_of_the_body_reach_the_server(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (rig, view, proxy):
        await proxy.call(
            user_agent="agent/1",
            mcp_protocol_version="2026-07-28",
            mcp_method="tools/call",
            mcp_name="=?base64?Y291bnQ=?=",
            cookie="a=b",
            proxy_authorization="Basic eA==",
            forwarded="for=1.2.3.4",
            x_forwarded_for="1.2.3.4",
            x_secret="s",
            te="trailers",
            connection="close, mcp-hop",
            mcp_hop="1",
        )
        headers = view.seen[0].headers
        assert headers.pop("content-length")
        assert headers == {
            "host": rig.server.origin.removeprefix("http://"),
            "accept": "application/json, text/event-stream",
            "accept-encoding": "identity",
            "content-type": "application/json",
            "user-agent": "agent/1",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call",
            "mcp-name": "=?base64?Y291bnQ=?=",
            "authorization": f"Bearer {rig.issuer.access_token}",
        }


async def test_what_would_sign_a_client_in_elsewhere_or_let_a_page_in_does_not_come_back(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, proxy):
        view.answers = [
            Reply(
                400,
                {"error": "no"},
                {
                    "Set-Cookie": "a=b",
                    "WWW-Authenticate": "Bearer error=invalid_request",
                    "Access-Control-Allow-Origin": "*",
                    "Location": "https://elsewhere.example",
                    "Connection": "keep-alive, X-Hop",
                    "X-Hop": "1",
                    "Retry-After": "3",
                    "X-Own": "kept",
                },
            )
        ]
        got = await proxy.call()
        assert got.status_code == 400
        kept = {name for name in got.headers if name not in {"date", "content-length", "content-type"}}
        assert kept == {"retry-after", "x-own"}


async def test_the_token_is_masked_wherever_a_server_quotes_it(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (rig, view, proxy):
        token = "pha_" + "t" * 30
        rig.issuer.pair = {**rig.issuer.pair, "access_token": token}
        grant = rig.credential.grant
        assert grant is not None
        await rig.credential.sign_in(replace(grant, tokens=replace(grant.tokens, access_token=token)), "test")
        more = asyncio.Event()
        view.answers = [
            Reply(200, {"quoted": token}, {"X-Token": f"is {token}!"}),
            events(
                {"jsonrpc": "2.0", "method": "notifications/message", "params": {}},
                b"data: x" + token[:10].encode(),
                more,
                token[10:].encode() + b"y pha_ttt\n\n",
            ),
        ]
        whole = await proxy.call()
        assert whole.json() == {"quoted": "*" * len(token)}
        assert whole.headers["x-token"] == f"is {'*' * len(token)}!"
        got = b""
        async with proxy.stream("POST", content=call_of("count")) as answer:
            async for chunk in answer.aiter_raw():
                got += chunk
                # What comes before the beginning of the token is not held up by it.
                if got.endswith(b"data: x"):
                    more.set()
        assert got.endswith(b"data: x" + b"*" * len(token) + b"y pha_ttt\n\n")


async def test_each_event_of_a_stream_is_there_before_the_next_one_is_sent(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, proxy):
        steps = [asyncio.Event() for _ in range(3)]
        progress = [{"jsonrpc": "2.0", "method": "notifications/progress", "params": {"n": n}} for n in range(2)]
        final = {"jsonrpc": "2.0", "id": 7, "result": {}}
        view.answers = [events(b": ping\n\n", steps[0], progress[0], steps[1], progress[1], steps[2], final)]
        wanted = [b": ping\n\n", event(progress[0]), event(progress[1]), event(final)]
        async with proxy.stream("POST", content=call_of("count")) as answer:
            # The head came before the first message.
            assert answer.headers["cache-control"] == "no-cache, no-transform"
            assert answer.headers["x-accel-buffering"] == "no"
            got = b""
            async for chunk in answer.aiter_raw():
                got += chunk
                if wanted and got == wanted[0]:
                    wanted.pop(0)
                    got = b""
                    if steps:
                        steps.pop(0).set()
        assert not wanted
        assert got == b""


async def test_a_client_that_goes_away_cancels_its_request_at_the_server(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, proxy):
        gone = asyncio.Event()

        async def endless(writer: asyncio.StreamWriter) -> None:
            try:
                while True:
                    writer.write(event({"jsonrpc": "2.0", "method": "notifications/message", "params": {}}))
                    await writer.drain()
                    await asyncio.sleep(0.01)
            except ConnectionError:
                gone.set()
                raise

        view.answers = [Reply(200, stream=endless)]
        async with proxy.stream("POST", content=call_of("count")) as answer:
            async for _ in answer.aiter_raw():
                break
        await asyncio.wait_for(gone.wait(), 5)


async def test_a_redirect_is_no_answer_and_nothing_is_sent_where_it_points(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (rig, view, proxy):
        view.answers = [Reply(307, b"", {"Location": f"{rig.server.origin}/elsewhere"})]
        got = await proxy.call()
        assert got.json()["error"]["data"]["type"] == "burrow/server_unavailable"
        assert "location" not in got.headers
        assert rig.server.requests["/elsewhere"] == 0


async def test_a_token_does_not_travel_in_the_clear(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (rig, view, proxy):
        proxy.host.upstreams["s"] = replace(upstream_of(rig), url="http://burrow.invalid/mcp")
        got = await proxy.call()
        assert "https" in got.json()["error"]["message"]
        assert not view.seen


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (NotFound("gone"), 404, None, None),
        (NotReady("Burrow is starting."), 200, "burrow/not_ready", -32014),
        (SignInNeeded("Nobody is signed in."), 200, "burrow/sign_in_needed", -32010),
        (VendorSignInNeeded("not finished"), 200, "burrow/reconnect_needed", -32015),
        (ServerTrouble("down"), 200, "burrow/server_unavailable", -32013),
    ],
)
async def test_what_keeps_a_server_from_being_reached_is_a_typed_error(
    tmp_path: Path, error: Exception, status: int, kind: str | None, code: int | None
) -> None:
    async with proxied(tmp_path) as (_, _view, proxy):
        proxy.host.upstreams["s"] = error  # type: ignore[assignment]
        got = await proxy.call(identity=41)
        assert got.status_code == status
        if kind is not None:
            found = got.json()
            assert (found["id"], found["error"]["code"], found["error"]["data"]["type"]) == (41, code, kind)
            assert found["error"]["data"]["server"] == "s"
            assert found["error"]["data"]["action"]
            # A message without an id gets a status instead.
            note = await proxy.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
            assert note.status_code >= 500


async def test_a_server_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (rig, _view, proxy):
        await rig.server.go_away()
        got = await proxy.call()
        error = got.json()["error"]
        assert error["data"]["type"] == "burrow/server_unavailable"
        assert "outcome_unknown" not in error["data"]
        assert error["message"].startswith("S cannot be reached: 127.0.0.1: Connection refused. ")
        await rig.server.come_back()
        assert (await proxy.call()).json()["result"]


async def test_a_status_that_is_none_is_no_answer(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, proxy):
        view.answers = [Reply(999, "what?")]
        got = await proxy.call()
        assert (got.status_code, got.json()["error"]["code"]) == (200, -32013)


async def test_a_call_that_broke_is_only_repeated_where_a_trusted_server_says_that_it_may_be(tmp_path: Path) -> None:
    async with proxied(tmp_path, trusted=True) as (_, view, proxy):
        view.tools = [{"name": "count"}, {"name": "read", "annotations": {"readOnlyHint": True}}]
        await proxy.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        view.answers = [Reply(drop=True)]
        got = await proxy.call("count")
        assert got.json()["error"]["data"]["outcome_unknown"] is True
        view.answers = [Reply(drop=True)]
        assert (await proxy.call("read")).json()["result"]
        # Once.
        view.answers = [Reply(drop=True), Reply(drop=True)]
        assert (await proxy.call("read")).json()["error"]["data"]["type"] == "burrow/server_unavailable"
        assert not view.duplicates


async def test_what_an_untrusted_server_says_of_its_tools_repeats_nothing(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, proxy):
        view.tools = [{"name": "read", "annotations": {"readOnlyHint": True}}]
        await proxy.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        view.answers = [Reply(drop=True)]
        assert (await proxy.call("read")).json()["error"]["data"]["outcome_unknown"] is True
        view.answers = [Reply(drop=True)]
        assert (await proxy.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})).json()["result"]


PROGRESS = event({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": {"result": "id: 1"}}})
ANSWER = event({"jsonrpc": "2.0", "id": 7, "result": {}})
BROKEN = [
    (PROGRESS, b"", True),
    (PROGRESS * 3, b'event: message\ndata: {"jsonrpc":', True),
    (PROGRESS.replace(b"\n", b"\r\n"), b"data: {}\r", True),
    (PROGRESS, ANSWER[:-1], True),
    (PROGRESS, b"data: " + b"x" * 200_000, True),
    (PROGRESS + ANSWER, b"", False),
    (b"id: 1\ndata:\n\n" + PROGRESS, b"", False),
    (PROGRESS, b"id: 2\ndata: {}", False),
]


@pytest.mark.parametrize(("events", "rest", "told"), BROKEN)
@pytest.mark.parametrize("size", [7, 1_000_000])
async def test_a_stream_that_breaks_before_its_answer_ends_in_an_error_and_not_in_silence(
    tmp_path: Path, events: bytes, rest: bytes, told: bool, size: int
) -> None:
    async with proxied(tmp_path) as (_, view, proxy):
        sent = events + rest[: size * 100]

        async def cut(writer: asyncio.StreamWriter) -> None:
            for at in range(0, len(sent), size):
                part = sent[at : at + size]
                writer.write(b"%x\r\n%b\r\n" % (len(part), part))
                await writer.drain()

        view.answers = [Reply(200, stream=cut, headers={"Transfer-Encoding": "chunked"})]
        content = b""
        try:
            async with proxy.stream("POST", content=call_of("count")) as answer:
                async for part in answer.aiter_raw():
                    content += part
        except httpx.RemoteProtocolError:
            # Whoever has its answer, or can resume, sees what happened.
            assert not told
            assert content == sent
            return
        assert told
        assert content.startswith(sent)
        assert content.endswith(b"\n\n")
        # What a client makes of it (WHATWG HTML section 9.2.6): messages, and an event of a type that it does not know.
        read = [one.data for one in EventReader().feed(content) if one.type in {b"", b"message"}]
        errors = [message for message in map(json.loads, read) if "error" in message]
        assert [(error["id"], error["error"]["data"]["outcome_unknown"]) for error in errors] == [(7, True)]


async def test_a_list_that_breaks_off_may_be_asked_for_again(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, proxy):
        proxy.host.rules = {"echo": ToolRule.BLOCK}

        async def cut(writer: asyncio.StreamWriter) -> None:
            writer.write(b"%x\r\n%b\r\n" % (len(PROGRESS), PROGRESS))
            await writer.drain()

        view.answers = [Reply(200, stream=cut, headers={"Transfer-Encoding": "chunked"})]
        got = await proxy.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        error = data_lines(got.text)[-1]["error"]
        assert error["data"]["type"] == "burrow/server_unavailable"
        assert "outcome_unknown" not in error["data"]


async def test_a_large_answer_streams_while_the_client_reads_it(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, proxy):
        body = b'{"jsonrpc":"2.0","id":7,"result":{"text":"' + b"x" * 3_000_000 + b'"}}'
        view.answers = [Reply(200, body, {"Content-Type": "application/json"})]
        got = await proxy.call()
        assert got.content == body
        assert got.headers["content-length"] == str(len(body))


async def test_an_answer_in_a_coding_is_passed_on_decoded(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, proxy):
        plain = json.dumps({"jsonrpc": "2.0", "id": 7, "result": {"x": "y" * 5000}}).encode()
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        view.answers = [
            Reply(200, gzip.compress(plain), headers),
            Reply(200, b"?", {**headers, "Content-Encoding": "br"}),
        ]
        got = await proxy.call()
        assert got.content == plain
        assert "content-encoding" not in got.headers
        assert (await proxy.call()).json()["error"]["data"]["type"] == "burrow/server_unavailable"


async def test_a_blocked_tool_is_neither_listed_nor_called_also_in_a_stream(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, proxy):
        proxy.host.rules = {"echo": ToolRule.BLOCK}
        wanted = [{"name": "count"}]
        ask = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        assert (await proxy.post(ask)).json()["result"]["tools"] == wanted
        view.stream = True
        got = (await proxy.post(ask)).text
        assert json.loads(got.split("data: ")[1])["result"]["tools"] == wanted
        assert (await proxy.call("echo")).json()["error"]["code"] == -32011
        assert not view.executed


async def test_a_call_that_asks_is_answered_in_the_stream_that_policy_began(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, proxy):
        proxy.relay._policy._beat_seconds = 0.02  # type: ignore[attr-defined]
        proxy.host.rules = {"count": ToolRule.ASK}
        answers = [Decision.ONCE, Decision.ONCE, Decision.ONCE, Decision.REFUSE]

        async def think() -> Decision:
            await asyncio.sleep(0.1)
            return answers.pop(0)

        proxy.host.answer = think
        for stream in (False, True):
            view.stream = stream
            got = await proxy.call()
            assert got.headers["content-type"] == "text/event-stream"
            assert json.loads(got.text.split("data: ")[-1]) == {
                "jsonrpc": "2.0",
                "id": 7,
                "result": {"content": [{"type": "text", "text": "done"}]},
            }
        view.answers = [rpc_error(404, -32601, "No such tool")]
        answers.insert(0, Decision.ONCE)
        got = await proxy.call()
        # The error names the request, although the server's answer had no need to.
        assert json.loads(got.text.split("data: ")[-1]) == {
            "jsonrpc": "2.0",
            "id": 7,
            "error": {"code": -32601, "message": "No such tool"},
        }
        view.answers = [Reply(500, "<html>oops")]
        got = await proxy.call()
        assert json.loads(got.text.split("data: ")[-1])["error"]["data"]["type"] == "burrow/server_unavailable"
        got = await proxy.call()
        assert json.loads(got.text.split("data: ")[-1])["error"]["code"] == -32012
        assert view.executed[7] == 2


async def test_who_listens_hears_that_the_tools_changed_by_policy(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, proxy), proxy.stream("GET") as answer:
        reading = answer.aiter_raw()
        assert await anext(reading) == b": open\n\n"
        proxy.relay.tools_changed("other", None)
        proxy.relay.tools_changed("s", "somebody")
        proxy.relay.tools_changed("s", None)
        assert b"notifications/tools/list_changed" in await anext(reading)
        view.restart()


async def test_a_stream_that_has_just_ended_is_told_nothing_more(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, proxy):
        view.answers = [Reply(200, {"jsonrpc": "2.0", "id": 7, "result": {}}), None]
        async with proxy.stream("GET") as answer:
            assert [chunk async for chunk in answer.aiter_raw()]
        done = asyncio.Event()
        params = {"notifications": {"toolsListChanged": True}}
        listen = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params}
        view.answers = [events({"jsonrpc": "2.0", "method": "notifications/message", "params": {}}, done)]
        async with proxy.stream("POST", content=listen) as answer:
            reading = answer.aiter_raw()
            await anext(reading)
            (one,) = proxy.relay._streams._open
            proxy.relay._streams._open.discard(one)
            await proxy.relay._streams._tell(one)
            done.set()
            assert [chunk async for chunk in reading] == []


async def test_a_message_that_is_none_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, proxy):
        for body in (
            b"",
            b"{",
            b"[]",
            b'{"jsonrpc":"2.0","id":1}',
            b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"x"}}',
            b'\xff{"jsonrpc":"2.0","id":1,"method":"ping"}',
            b'{"jsonrpc":"2.0","id":true,"method":"ping"}',
            b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":"count"}}',
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":["count"]}}',
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":'
            + b"[" * 400
            + b"]" * 400
            + b"}}",
            b'{"jsonrpc":"2.0","id":1,"method":"x","params":' + b"[" * 100_000 + b"}",
            json.dumps([INITIALIZE, call_of("count")]).encode(),
        ):
            got = await proxy.post(body)
            assert got.status_code == 400, body[:80]
            assert got.json()["error"]["code"] in {-32700, -32600}
        assert not view.seen


async def test_an_id_that_no_number_holds_and_half_a_character_are_survived(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, proxy):
        assert (await proxy.post(b'{"jsonrpc":"2.0","id":1e999,"method":"ping"}')).status_code == 400
        assert (await proxy.post(b'{"jsonrpc":"2.0","id":' + b"9" * 5000 + b',"method":"ping"}')).status_code == 400
        assert not view.seen
        view.sessions = True
        opening = json.dumps(INITIALIZE).replace('"agent"', '"\\ud800"').encode()
        session = (await proxy.post(opening)).headers["mcp-session-id"]
        assert (await proxy.call(mcp_session_id=session)).json()["result"]
        proxy.host.rules = {"\ud800": ToolRule.BLOCK}
        assert (await proxy.post(call_of("\ud800"), mcp_session_id=session)).json()["error"]["code"] == -32011
