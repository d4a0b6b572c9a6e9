"""A client's session outlives those of the server: it keeps its id, and notices nothing."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from app.core.auth.cause import ASKED
from app.core.auth.http.target import CredentialAtStake, Target
from app.core.mcp.proxy import reopening, sessions
from app.core.mcp.proxy.parts import HttpUpstream, ProxyClient
from tests.core._mcp_server import Scripted
from tests.core.conftest import Rig, signed_in
from tests.core.proxy._relay import (
    INITIALIZE,
    KEY,
    McpView,
    Proxy,
    call_of,
    event,
    events,
    proxied,
    proxy,
    rpc_error,
    upstream_of,
)
from tests.core.scripted import Reply, Request
from tests.until import until

NOTE = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}


async def call(running: Proxy, session: str, identity: int = 7) -> None:
    got = await running.call(mcp_session_id=session, identity=identity)
    assert got.status_code == 200
    assert got.json()["result"], got.text
    assert got.headers.get("mcp-session-id", session) == session


def age(running: Proxy, session: str) -> None:
    """The session was opened a minute ago."""
    running.relay._sessions._known[session].opened_at -= 60.0


async def renew(rig: Rig) -> None:
    assert rig.credential.grant is not None
    await rig.credential.refresh(rig.credential.grant.tokens, ASKED)


@pytest.mark.parametrize(
    "over",
    [
        rpc_error(404, -32001, "Session not found"),
        Reply(404, "Session not found"),
        Reply(404, b""),
        rpc_error(400, -32000, "Bad Request: No valid session ID provided"),
        rpc_error(400, -32600, "Bad Request: Invalid or expired session ID"),
        rpc_error(400, -32000, "Bad Request: Server not initialized"),
        rpc_error(200, -32001, "Session not found"),
        events({"jsonrpc": "2.0", "id": 7, "error": {"code": -32001, "message": "Session not found"}}),
        Reply(503, "Server shutting down"),
    ],
    ids=["404 json", "404 text", "404", "no valid", "expired", "not initialized", "200", "200 stream", "503"],
)
async def test_a_server_that_was_started_again_gets_the_clients_own_initialize_once(
    tmp_path: Path, over: Reply
) -> None:
    async with proxied(tmp_path) as (_, view, running):
        view.sessions, view.over = True, over
        session = await running.initialize()
        assert not session.startswith("upstream")
        await call(running, session)
        view.restart()
        age(running, session)
        got = await running.call(mcp_session_id=session, identity=8)
        final = got.text.split("data: ")[-1]
        assert json.loads(final)["result"]
        assert view.executed == {7: 1, 8: 1}
        openings = [request for request in view.seen if b'"initialize"' in request.body]
        assert len(openings) == 2
        assert openings[0].body == openings[1].body
        after = next(at for at, request in enumerate(view.seen) if request is openings[1])
        assert b"notifications/initialized" in view.seen[after + 1].body
        assert view.seen[after + 1].headers["mcp-protocol-version"] == "2025-11-25"


async def test_calls_at_once_share_one_new_session(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, running):
        view.sessions = True
        session = await running.initialize()
        view.restart()
        await asyncio.gather(*(call(running, session, n) for n in range(20)))
        assert sum(view.opened.values()) == 2
        assert not view.duplicates


async def test_a_session_that_was_bound_to_a_former_token_costs_no_renewal(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (rig, view, running):
        view.sessions = view.bound = True
        session = await running.initialize()
        await renew(rig)
        await call(running, session)
        assert rig.issuer.accepted == 1
        rig.issuer.kill()
        await asyncio.gather(*(call(running, session, n) for n in range(100, 110)))
        assert rig.issuer.accepted == 2
        assert sum(view.opened.values()) == 3
        assert not view.duplicates


async def test_a_proxy_that_was_started_again_knows_the_session(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        view = McpView(rig, sessions=True)
        rig.server.views["/mcp"] = view
        async with proxy(tmp_path, [upstream_of(rig)]) as running:
            session = await running.initialize()
            port = running.port
        async with proxy(tmp_path, [upstream_of(rig)], port=port) as running:
            await call(running, session)
            view.restart()
            await call(running, session, 8)
            assert running.host.uses[-1] == ("s", "count", "agent 1.2")
        assert sum(view.opened.values()) == 2


async def test_a_session_that_was_bound_to_a_former_token_costs_no_renewal_after_a_restart_either(
    tmp_path: Path,
) -> None:
    async with signed_in(tmp_path) as rig:
        view = McpView(rig, sessions=True, bound=True)
        rig.server.views["/mcp"] = view
        async with proxy(tmp_path, [upstream_of(rig)]) as running:
            session = await running.initialize()
            port = running.port
        token = rig.issuer.access_token
        await renew(rig)
        async with proxy(tmp_path, [upstream_of(rig)], port=port) as running:
            await call(running, session)
            assert rig.issuer.accepted == 1
            assert sum(view.opened.values()) == 2
            # A token that is dead costs one all the same.
            rig.issuer.kill()
            await call(running, session, 8)
            assert rig.issuer.accepted == 2
        assert not view.duplicates
    stored = b"".join((tmp_path / name).read_bytes() for name in os.listdir(tmp_path) if "sqlite" in name)
    assert session.encode() in stored
    assert token.encode() not in stored


async def test_a_session_is_no_use_to_another_client_or_for_another_server(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (rig, view, running):
        view.sessions = True
        session = await running.initialize()
        running.host.upstreams["t"] = upstream_of(rig, "t")
        before = len(view.seen)
        assert (await running.call(server="t", mcp_session_id=session)).status_code == 404
        assert (await running.call(mcp_session_id="upstream-1")).status_code == 404
        running.host.clients[KEY] = ProxyClient("another", "Another")
        assert (await running.call(mcp_session_id=session)).status_code == 404
        assert len(view.seen) == before


async def test_a_method_that_a_server_does_not_know_is_no_end_of_a_session(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, running):
        view.sessions = True
        session = await running.initialize()
        view.answers = [
            rpc_error(404, -32601, "Method not found"),
            rpc_error(200, -32001, "Request timed out"),
            Reply(400, "bad arguments"),
        ]
        for status in (404, 200, 400):
            assert (await running.call(mcp_session_id=session)).status_code == status
        assert sum(view.opened.values()) == 1


async def test_a_server_that_came_back_with_another_revision_leaves_the_opening_to_the_client(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, running):
        view.sessions = True
        session = await running.initialize()
        view.restart()
        view.protocol = "2025-06-18"
        assert (await running.call(mcp_session_id=session)).status_code == 404
        assert not view.executed


async def test_a_server_that_opens_no_session_any_more_says_so_itself(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, running):
        view.sessions = True
        session = await running.initialize()
        busy = Reply(503, "Too many active sessions")
        age(running, session)
        view.answers = [busy, busy]
        got = await running.call(mcp_session_id=session)
        assert (got.status_code, got.text) == (503, "Too many active sessions")
        await call(running, session)


async def test_a_server_that_opens_a_session_for_ever_holds_nobody_up_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reopening, "OPEN_SECONDS", 0.05)
    async with proxied(tmp_path) as (_, view, running):
        view.sessions = True
        session = await running.initialize()
        view.restart()
        never = asyncio.Event()
        view.answers = [None, events(b": wait\n\n", never)]
        assert (await running.call(mcp_session_id=session)).status_code == 404
        never.set()


async def test_what_a_client_set_up_in_its_session_holds_in_the_new_one(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, running):
        view.sessions = True
        session = await running.initialize()

        async def ask(method: str, **params: str) -> None:
            message = {"jsonrpc": "2.0", "id": method, "method": method, "params": params}
            assert (await running.post(message, mcp_session_id=session)).json()["result"] == {}

        await ask("logging/setLevel", level="info")
        await ask("logging/setLevel", level="debug")
        for uri in ("a:1", "a:2"):
            await ask("resources/subscribe", uri=uri)
        await ask("resources/unsubscribe", uri="a:1")
        view.restart()
        view.seen.clear()
        await call(running, session)
        bodies = [json.loads(request.body) for request in view.seen]
        assert [(each["method"], each.get("params", {})) for each in bodies[1:5]] == [
            ("initialize", INITIALIZE["params"]),
            ("notifications/initialized", {}),
            ("logging/setLevel", {"level": "debug"}),
            ("resources/subscribe", {"uri": "a:2"}),
        ]


async def test_an_opening_that_is_too_long_to_be_kept_is_the_clients_to_repeat(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, running):
        view.sessions = True
        long = {**INITIALIZE, "params": {**INITIALIZE["params"], "_meta": {"x": "y" * 70_000}}}  # type: ignore[dict-item]
        session = (await running.post(long)).headers["mcp-session-id"]
        await call(running, session)
        view.restart()
        assert (await running.call(mcp_session_id=session)).status_code == 404
        assert sum(view.opened.values()) == 1


async def test_sessions_that_are_not_in_memory_any_more_are_known_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MOST_SESSIONS", 2)
    async with proxied(tmp_path) as (_, view, running):
        view.sessions = True
        opened = [await running.initialize() for _ in range(5)]
        assert len(running.relay._sessions._known) == 2
        for number, session in enumerate(opened):
            await call(running, session, number)


async def test_a_call_waits_for_a_server_that_is_just_being_started_again(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (rig, view, running):
        view.sessions = True
        session = await running.initialize()
        view.restart()
        await rig.server.go_away()
        calls = asyncio.gather(*(call(running, session, n) for n in range(5)))
        await asyncio.sleep(0.05)
        assert not calls.done()
        await rig.server.come_back()
        await calls
        assert not view.duplicates
        # Without a session nobody knows that it was ever there.
        await rig.server.go_away()
        assert (await running.post(INITIALIZE)).json()["error"]["code"] == -32013
        await rig.server.come_back()


async def test_a_server_that_is_busy_keeps_the_session_that_it_has_just_opened(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, running):
        view.sessions = True
        session = await running.initialize()
        view.answers = [Reply(503, "busy")] * 5
        for _ in range(5):
            assert (await running.call(mcp_session_id=session)).status_code == 503
        assert sum(view.opened.values()) == 1


async def test_the_stream_of_a_client_goes_on_over_a_restart_of_its_server(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, running):
        view.sessions = True
        session = await running.initialize()
        async with running.stream(mcp_session_id=session) as answer:
            reading = answer.aiter_raw()
            assert await anext(reading) == b": open\n\n"
            view.listeners[0].put_nowait(event(NOTE))
            assert await anext(reading) == event(NOTE)
            # It ends, its session is gone, and the client asks nothing.
            view.restart()
            assert await anext(reading) == b": open\n\n"
            assert sum(view.opened.values()) == 2
            view.listeners[0].put_nowait(event(NOTE))
            assert await anext(reading) == event(NOTE)
            # Another request finds out first: the stream follows.
            view.known.clear()
            former = list(view.listeners)
            await call(running, session)
            assert await anext(reading) == b": open\n\n"
            assert sum(view.opened.values()) == 3
            view.listeners[-1].put_nowait(event(NOTE))
            assert await anext(reading) == event(NOTE)
            for listener in (*former, *view.listeners):
                listener.put_nowait(None)
        assert [request.headers["mcp-session-id"] for request in view.seen if request.method == "GET"][:3] == [
            "upstream-1",
            "upstream-1",
            "upstream-2",
        ]


async def test_a_stream_that_broke_is_resumed_where_it_was(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, running):
        view.sessions = True
        session = await running.initialize()
        async with running.stream(mcp_session_id=session) as answer:
            reading = answer.aiter_raw()
            assert await anext(reading) == b": open\n\n"
            view.listeners[0].put_nowait(b"id: 5\n" + event(NOTE))
            assert await anext(reading) == b"id: 5\n" + event(NOTE)
            view.listeners.pop(0).put_nowait(None)
            assert await anext(reading) == b": open\n\n"
            view.restart()
            # A new session knows nothing of that event.
            assert await anext(reading) == b": open\n\n"
        ids = [request.headers.get("last-event-id") for request in view.seen if request.method == "GET"]
        assert ids[:2] == [None, "5"]
        assert ids[-1] is None


async def test_a_stream_that_a_client_resumes_ends_when_the_server_ends_it(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, running):
        view.sessions = True
        session = await running.initialize()
        async with running.stream(mcp_session_id=session, last_event_id="4") as answer:
            reading = answer.aiter_raw()
            assert await anext(reading) == b": open\n\n"
            view.listeners.pop(0).put_nowait(None)
            assert [chunk async for chunk in reading] == []
        assert [request.headers["last-event-id"] for request in view.seen if request.method == "GET"] == ["4"]


async def test_a_stream_waits_open_for_a_sign_in_and_for_a_server_that_is_away(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (rig, view, running):
        view.sessions = True
        session = await running.initialize()
        await rig.server.go_away()
        async with running.stream(mcp_session_id=session) as answer:
            assert answer.status_code == 200
            assert answer.headers["mcp-session-id"] == session
            await rig.server.come_back()
            assert await anext(answer.aiter_raw()) == b": open\n\n"
            view.restart()


async def test_a_server_without_such_streams_says_so_itself(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, running):
        view.sessions = True
        session = await running.initialize()
        view.answers = [Reply(405)]
        got = await running.http.get(running.url(), headers={"mcp-session-id": session})
        assert got.status_code == 405


async def test_a_token_that_dies_again_while_its_session_is_opened_fails_no_call(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (rig, view, running):
        view.sessions = view.bound = True
        session = await running.initialize()
        await renew(rig)

        def dies_now(request: Request) -> Reply:
            rig.issuer.kill()
            return view.refusal

        # The call is refused, a session is opened, and then the token dies.
        view.answers = [None, None, None, dies_now]
        await call(running, session)
        assert (rig.issuer.accepted, view.executed[7]) == (2, 1)


async def test_ending_a_session_ends_both(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, running):
        view.sessions = True
        session = await running.initialize()
        gone = await running.http.delete(running.url(), headers={"mcp-session-id": session})
        assert gone.status_code == 200
        assert not view.known
        assert (await running.call(mcp_session_id=session)).status_code == 404
        assert await running.storage.proxy_sessions.get(session) is None


async def test_a_session_that_its_client_ended_is_not_opened_again(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, running):
        view.sessions = True
        session = await running.initialize()
        async with running.stream(mcp_session_id=session) as answer:
            reading = answer.aiter_raw()
            assert await anext(reading) == b": open\n\n"
            await running.http.delete(running.url(), headers={"mcp-session-id": session})
            assert [chunk async for chunk in reading] == []
        assert sum(view.opened.values()) == 1
        view.restart()


async def test_ending_a_session_that_the_server_forgot_is_no_failure(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (rig, view, running):
        view.sessions = True
        session, other = await running.initialize(), await running.initialize()
        view.restart()
        assert (await running.http.delete(running.url(), headers={"mcp-session-id": session})).status_code == 204
        await rig.server.go_away()
        assert (await running.http.delete(running.url(), headers={"mcp-session-id": other})).status_code == 204
        await rig.server.come_back()


async def test_a_server_without_sessions_has_none_here(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, _view, running):
        got = await running.post(INITIALIZE)
        assert "mcp-session-id" not in got.headers
        assert (await running.post(call_of("count"))).json()["result"]


async def test_a_new_initialize_opens_another_session_whatever_id_comes_with_it(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, running):
        view.sessions = True
        session = await running.initialize()
        got = await running.post(INITIALIZE, mcp_session_id=session)
        assert got.headers["mcp-session-id"] != session
        await until(lambda: len(view.known) == 2)
        await call(running, session)


async def test_a_server_without_sessions_that_is_started_again_is_waited_for_too(tmp_path: Path) -> None:
    async with Scripted() as server:
        target = Target(frozenset({server.origin}), CredentialAtStake.UNMANAGED, jsonrpc=True, name="s")
        async with proxy(tmp_path, [HttpUpstream("s", "S", server.url, target)]) as running:
            assert "result" in (await running.call("echo")).json()
            await server.go_away()
            waiting = asyncio.create_task(running.call("echo"))
            await asyncio.sleep(0.2)
            assert not waiting.done()
            await server.come_back()
            assert "result" in (await waiting).json()
            # One that stays away is not waited for again and again.
            await server.go_away()
            running.relay._routes._known["s"].answered_at -= 60.0
            answer = await running.call("echo")
            assert answer.json()["error"]["data"]["type"] == "burrow/server_unavailable"
            assert answer.elapsed.total_seconds() < 1.0
            await server.come_back()
