"""Rows 67 and 68, and from 109 on: what agents meet at the local MCP proxy."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.core.auth.cause import ASKED
from app.core.auth.grant.grant import Grant
from app.core.auth.http.target import CredentialAtStake
from app.core.auth.tokens import TokenSet
from app.core.errors import BurrowError, OutcomeUnknown, ServerTrouble, SignInNeeded
from app.core.mcp.proxy import routes
from app.core.mcp.proxy.parts import HttpUpstream
from app.core.services import Services
from tests.core.conftest import Rig
from tests.core.proxy._http import connected
from tests.core.proxy._relay import KEY, LEGACY, McpView, Proxy, call_of, event, proxied, proxy, upstream_of
from tests.core.scripted import Reply
from tests.faults.measure import Measure
from tests.until import until

MOST_BUFFERED = 16 * 1024 * 1024
KINDS: dict[str, type[BurrowError]] = {
    "burrow/sign_in_needed": SignInNeeded,
    "burrow/server_unavailable": ServerTrouble,
}


def outcome(answer: httpx.Response) -> Any:
    """The result of a call. Raises what its typed error stands for."""
    assert answer.status_code == 200, answer.text
    found = json.loads(answer.text.split("data: ")[-1])
    if "error" in found:
        data = found["error"]["data"]
        kind = OutcomeUnknown if data.get("outcome_unknown") else KINDS[data["type"]]
        raise kind(found["error"]["message"])
    return found["result"]


async def called(running: Proxy, *arguments: Any, **options: Any) -> Any:
    return outcome(await running.call(*arguments, **options))


async def sign_in_again(rig: Rig) -> None:
    rig.issuer.revoked = False
    rig.issuer.renewal(rig.issuer.refresh_token)
    await rig.credential.sign_in(Grant(TokenSet(rig.issuer.access_token, rig.issuer.refresh_token), "client"), "test")


class Flood:
    """An answer without an end: how much of it left, and whether its reader is gone."""

    def __init__(self, first: bytes, piece: bytes) -> None:
        self.sent = 0
        self.gone = asyncio.Event()
        self._first = first
        self._piece = piece

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        writer.write(self._first)
        try:
            while True:
                writer.write(self._piece)
                await writer.drain()
                self.sent += len(self._piece)
        except ConnectionError:
            self.gone.set()
            raise

    async def stands_still(self) -> bool:
        before = self.sent
        await asyncio.sleep(0.2)
        return before == self.sent > 0


@pytest.mark.parametrize("stream", [True, False], ids=["events", "json"])
async def test_row_67_a_slow_reader_slows_the_server_and_one_that_leaves_ends_its_answer(
    tmp_path: Path, measure: Measure, stream: bool
) -> None:
    async with proxied(tmp_path) as (rig, view, running):
        measure.watch(rig)
        piece = event({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "x" * 65_000}})
        json_start = b'{"jsonrpc":"2.0","id":7,"result":"'
        flood = Flood(b"" if stream else json_start, piece if stream else b"x" * 65_000)
        kind = "text/event-stream" if stream else "application/json"
        view.answers = [Reply(200, stream=flood, headers={"Content-Type": kind})]
        async with connected(running.port) as client:
            body = json.dumps(call_of("count")).encode()
            client.send(
                f"POST /mcp/s HTTP/1.1\r\nhost: localhost:{running.port}\r\nauthorization: Bearer {KEY}\r\n"
                f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
                + body
            )
            assert (await client.head())[0] == 200
            # The client reads nothing more.
            await until(flood.stands_still, seconds=20)
            assert flood.sent < MOST_BUFFERED
            # Others are served meanwhile.
            assert await called(running)
            # It reads on: so does the proxy.
            before = flood.sent
            read = 0
            while flood.sent < before + MOST_BUFFERED:
                read += len(await client.reader.read(1_000_000))
            assert read > 0
        await asyncio.wait_for(flood.gone.wait(), 10)
        measure.expect(R=0)


async def test_row_67_ten_megabytes_arrive_as_they_were_sent(tmp_path: Path, measure: Measure) -> None:
    async with proxied(tmp_path) as (rig, view, running):
        measure.watch(rig)
        body = b'{"jsonrpc":"2.0","id":7,"result":{"data":"' + b"0123456789abcdef" * 650_000 + b'"}}'
        view.answers = [Reply(200, body, {"Content-Type": "application/json"})]
        assert (await running.call()).content == body
        measure.expect(R=0)


async def test_row_68_an_agent_with_a_dead_grant_is_told_at_once_and_works_after_the_sign_in(
    tmp_path: Path, measure: Measure
) -> None:
    async with proxied(tmp_path) as (rig, view, running):
        measure.watch(rig)
        view.sessions = True
        session = await running.initialize()
        rig.issuer.revoked = True
        calls = (called(running, mcp_session_id=session, identity=n) for n in range(20))
        async with asyncio.timeout(5):
            failures = await measure.all(*calls)
        assert {type(failure) for failure in failures} == {SignInNeeded}
        assert "Open Burrow and sign in." in str(failures[0])
        assert set(running.host.sign_ins) == {"s"}
        # Still pending: answered without asking anybody again.
        assert isinstance(await measure.one(called(running, mcp_session_id=session)), SignInNeeded)
        note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
        assert (await running.post(note, mcp_session_id=session)).status_code == 503
        assert set(running.host.sign_ins) == {"s"}
        rig.server.views["/oauth/revoke/"] = Reply(200)
        await sign_in_again(rig)
        assert await measure.one(called(running, mcp_session_id=session, identity=99))
        assert view.executed == {99: 1}
        measure.expect(R=1, B=1)


async def test_row_68_without_a_grant_nothing_is_sent_and_the_agent_is_told(tmp_path: Path, measure: Measure) -> None:
    async with proxied(tmp_path) as (rig, view, running):
        measure.watch(rig)
        rig.server.views["/oauth/revoke/"] = Reply(200)
        await rig.credential.sign_out()
        async with asyncio.timeout(5):
            failures = await measure.all(*(called(running) for _ in range(5)))
        assert {type(failure) for failure in failures} == {SignInNeeded}
        assert (len(view.seen), set(running.host.sign_ins)) == (0, {"s"})
        await sign_in_again(rig)
        assert await measure.one(called(running))
        measure.expect(R=0)


async def test_row_109_fifty_calls_on_a_dead_token_cost_one_renewal(tmp_path: Path, measure: Measure) -> None:
    async with proxied(tmp_path) as (rig, view, running):
        measure.watch(rig)
        measure.count_effects(lambda: view.duplicates)
        view.stream = True
        rig.issuer.kill()
        results = await measure.all(*(called(running, identity=n) for n in range(50)))
        assert all(isinstance(result, dict) for result in results)
        assert sorted(view.executed) == list(range(50))
        assert not rig.issuer.revoked
        measure.expect(R=1)


async def test_row_109_tokens_that_die_again_and_again_under_load_cost_one_renewal_each(
    tmp_path: Path, measure: Measure
) -> None:
    async with proxied(tmp_path) as (rig, view, running):
        measure.watch(rig)
        measure.count_effects(lambda: view.duplicates)
        view.sessions = view.bound = True
        session = await running.initialize()
        for death in range(5):
            rig.issuer.kill()
            numbers = range(death * 100, death * 100 + 12)
            await measure.all(*(called(running, mcp_session_id=session, identity=n) for n in numbers))
        assert len(view.executed) == 60
        measure.expect(R=5)


async def test_row_110_a_server_that_was_started_again_is_opened_again_once_for_all_calls(
    tmp_path: Path, measure: Measure
) -> None:
    async with proxied(tmp_path) as (rig, view, running):
        measure.watch(rig)
        measure.count_effects(lambda: view.duplicates)
        view.sessions = True
        session = await running.initialize()
        for round_ in range(3):
            view.restart()
            numbers = range(round_ * 100, round_ * 100 + 20)
            await measure.all(*(called(running, mcp_session_id=session, identity=n) for n in numbers))
        assert len(view.executed) == 60
        assert sum(view.opened.values()) == 4
        measure.expect(R=0)


async def test_row_111_a_session_that_is_bound_to_a_former_token_is_opened_again_without_a_renewal(
    tmp_path: Path, measure: Measure
) -> None:
    async with proxied(tmp_path) as (rig, view, running):
        measure.watch(rig)
        measure.count_effects(lambda: view.duplicates)
        view.sessions = view.bound = True
        session = await running.initialize()
        assert rig.credential.grant is not None
        await rig.credential.refresh(rig.credential.grant.tokens, ASKED)
        await measure.all(*(called(running, mcp_session_id=session, identity=n) for n in range(20)))
        assert len(view.executed) == 20
        # That of the refresh before.
        measure.expect(R=1)


async def test_row_112_a_token_that_a_server_quotes_does_not_reach_the_agent(tmp_path: Path, measure: Measure) -> None:
    async with proxied(tmp_path) as (rig, view, running):
        measure.watch(rig)
        token = "pha_" + "secret" * 6
        rig.issuer.pair = {**rig.issuer.pair, "access_token": token}
        grant = rig.credential.grant
        assert grant is not None
        await rig.credential.sign_in(replace(grant, tokens=replace(grant.tokens, access_token=token)), "test")
        quoted = json.dumps(
            {"jsonrpc": "2.0", "id": 7, "result": {"you sent": token, "and": f"Bearer {token}"}}
        ).encode()

        def split(at: int) -> Reply:
            note = event({"jsonrpc": "2.0", "method": "notifications/message", "params": {}})

            async def stream(writer: asyncio.StreamWriter) -> None:
                writer.write(note + b"data: " + quoted[:at])
                await writer.drain()
                await asyncio.sleep(0.01)
                writer.write(quoted[at:] + b"\n\n")

            return Reply(200, stream=stream)

        start = quoted.index(token.encode())
        for at in range(start - 1, start + len(token) + 2, 5):
            view.answers.append(split(at))
        view.answers.append(Reply(500, quoted, {"X-Echo": f"Bearer {token}"}))
        for _ in range(len(view.answers)):
            got = await running.call()
            assert token not in got.text + str(got.headers)
            masked = quoted.replace(token.encode(), b"*" * len(token))
            assert masked in got.content
        measure.expect(R=0)


async def test_row_113_one_vendor_that_fails_does_not_keep_an_agent_from_its_other_servers(
    tmp_path: Path, measure: Measure
) -> None:
    async with proxied(tmp_path, at_stake=CredentialAtStake.VENDOR_BEHIND) as (rig, view, running):
        measure.watch(rig)
        rig.server.views["/api/users/@me/"] = Reply(200, {"uuid": "ana"})
        refused = Reply(401, {"error": "the vendor's own words"})
        view.answers = [refused] * 10
        other = McpView(rig)
        rig.server.views["/other"] = other
        running.host.upstreams["t"] = upstream_of(rig, "t", "/other")
        failed, worked = await asyncio.gather(
            asyncio.gather(*(running.call() for _ in range(10))),
            measure.all(*(called(running, server="t", identity=n) for n in range(10))),
        )
        assert [(got.status_code, got.json()) for got in failed] == [(401, refused.body)] * 10
        assert all(isinstance(result, dict) for result in worked)
        assert running.host.vendor_sign_ins == ["s"]
        measure.expect(R=0)


async def test_row_114_a_call_that_broke_off_is_not_sent_again(tmp_path: Path, measure: Measure) -> None:
    async with proxied(tmp_path) as (rig, view, running):
        measure.watch(rig)
        measure.count_effects(lambda: view.duplicates)

        def executed_then_lost(request: Any) -> Reply:
            view.executed[json.loads(request.body)["id"]] += 1
            return Reply(drop=True)

        view.answers = [executed_then_lost]
        assert isinstance(await measure.one(called(running, identity=1)), OutcomeUnknown)
        assert view.executed == {1: 1}
        measure.expect(R=0, V=1)


async def test_row_115_a_renewal_that_hangs_hangs_no_agent(
    tmp_path: Path, measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "PATIENCE_SECONDS", 0.3)
    async with proxied(tmp_path) as (rig, view, running):
        measure.watch(rig)
        rig.issuer.gate = asyncio.Event()
        rig.issuer.kill()
        async with asyncio.timeout(5):
            failures = await measure.all(*(called(running) for _ in range(5)))
        assert {type(failure) for failure in failures} == {ServerTrouble}
        assert not view.executed
        rig.issuer.gate.set()
        await until(lambda: rig.issuer.accepted == 1)
        assert await measure.one(called(running))
        measure.expect(R=1, V=1)


async def test_row_116_what_is_no_client_of_the_proxy_reaches_nobody(tmp_path: Path, measure: Measure) -> None:
    async with proxied(tmp_path) as (rig, view, running):
        measure.watch(rig)
        rig.issuer.kill()
        body = json.dumps(call_of("count"))
        attempts: list[tuple[int, dict[str, str]]] = [
            (421, {"host": "evil.example"}),
            (403, {"origin": "https://evil.example"}),
            (403, {"origin": "null"}),
            (415, {"content-type": "text/plain"}),
            (401, {"authorization": "Bearer bw_" + "x" * 43}),
            (401, {"authorization": f"Bearer {rig.issuer.access_token}"}),
        ]
        for status, headers in attempts:
            assert (await running.http.post(running.url(), content=body, headers=headers)).status_code == status
        async with httpx.AsyncClient(trust_env=False, verify=False) as stranger:
            assert (await stranger.post(running.url(), content=body)).status_code == 401
        assert not view.seen
        measure.expect(R=0)


@asynccontextmanager
async def on_workspace(folder: Path) -> AsyncIterator[tuple[Services, Any, Proxy]]:
    services = Services(folder)
    try:
        backend = await services.connect(await services.start_workspace())
        await backend.ready()
        reached = await services.servers.route("workspace")
        transport: Any = reached.route.transport
        server = HttpUpstream(
            "workspace",
            "Workspace",
            transport.url,
            reached.route.target,
            reached.route.credential,
            headers=transport.headers,
            trusted=True,
        )
        async with proxy(folder / "proxy", [server]) as running:
            yield services, backend, running
    finally:
        await services.close()


async def test_row_109_an_agent_at_the_real_workspace_outlives_its_tokens_and_its_sessions(
    tmp_path: Path, measure: Measure
) -> None:
    (tmp_path / "proxy").mkdir()
    async with on_workspace(tmp_path) as (_, backend, running):
        lab = backend.lab
        measure.watch_credential(backend.credential)
        await lab.mcp(bind_sessions_to_token=True)
        session = await running.initialize("workspace")
        headers = {"mcp_session_id": session, "mcp_protocol_version": LEGACY}

        async def tasks(identity: int) -> Any:
            return await called(running, "list_tasks", server="workspace", identity=identity, **headers)

        assert not (await tasks(1)).get("isError")
        before = int((await lab.state())["counters"]["refreshes_accepted"])
        for death in range(2):
            await lab.kill_access_token()
            results = await measure.all(*(tasks(10 * death + n) for n in range(10)))
            assert all(isinstance(result, dict) and not result.get("isError") for result in results)
        for shape in ("error", "result"):
            await lab.mcp(tool_authentication_failed=1, shape=shape)
            assert isinstance(await measure.one(tasks(50)), dict)
        refreshed = int((await lab.state())["counters"]["refreshes_accepted"]) - before
        measure.count_refreshes(lambda: refreshed)
        await lab.revoke_grant()
        assert isinstance(await measure.one(tasks(60)), SignInNeeded)
        assert running.host.sign_ins == ["workspace"]
        measure.expect(R=4, B=1)
