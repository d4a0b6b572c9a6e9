"""Rows 51 to 53 of the fault matrix: event streams of MCP servers that break, or that carry a dead token's refusal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.core.auth.cause import ASKED
from app.core.auth.grant.grant import Grant
from app.core.auth.http.target import CredentialAtStake
from app.core.auth.status import CredentialState
from app.core.auth.tokens import TokenSet
from app.core.errors import BurrowError, OutcomeUnknown
from app.core.lab import Lab
from app.core.mcp.protocol.connection import Connection, Endpoint
from app.core.mcp.protocol.http_transport import StreamableHttpTransport
from app.core.mcp.protocol.listening import START_SECONDS
from app.core.mcp.servers.server import ServerState
from tests.conftest import RunningWorkspace
from tests.core.scripted import Reply
from tests.core.test_services import services_in, signed_in
from tests.faults._listening import listening
from tests.faults._streams import AUTH_ERROR, Refusal, Streaming
from tests.faults.measure import Measure

PROGRESS = {"method": "notifications/message", "params": {"level": "info", "data": "under way"}}
RESUMABLE = "id: 7\r\nretry: 10\r\n"


async def silent(progress: float, total: float | None, message: str | None) -> None:
    pass


@asynccontextmanager
async def calling(server: Streaming, measure: Measure, *, repeatable: bool = False) -> AsyncIterator[asyncio.Task[Any]]:
    """A call of a tool under way; measured are the calls beyond the first."""
    measure.count_effects(lambda: len(server.requests("tools/call")) - 1)
    connection = Connection(
        Endpoint("streaming", StreamableHttpTransport(server.url), CredentialAtStake.CARRIED),
        lambda _endpoint, _item: None,
    )
    call = asyncio.create_task(connection.call("echo", {}, repeatable=repeatable, on_progress=silent))
    try:
        yield call
    finally:
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await connection.close()


async def test_row_51_an_auth_error_in_the_middle_of_a_calls_stream_is_not_replayed(measure: Measure) -> None:
    async with Streaming() as server, calling(server, measure, repeatable=True) as call:
        stream = await server.calls.get()
        await stream.send(PROGRESS)
        await stream.answer(error=AUTH_ERROR)
        assert isinstance(await measure.one(call), BurrowError)
        measure.expect(R=0, V=1)


async def test_row_51_a_listen_stream_refused_in_the_middle_is_opened_anew_with_a_fresh_token(
    tmp_path: Path, measure: Measure
) -> None:
    async with listening(tmp_path, measure=measure) as scene:
        first = await scene.server.listeners.get()
        await first.acknowledge()
        await scene.missed.get()
        scene.rig.issuer.kill()
        await first.answer(error=AUTH_ERROR)
        second = await scene.server.listeners.get()
        assert (first.seen.bearer, second.seen.bearer) == ("pha_1", "pha_2")
        assert len({first.id, second.id}) == 2
        assert [seen.bearer for seen in scene.server.requests("subscriptions/listen")] == ["pha_1", "pha_2"]
        await second.acknowledge()
        await scene.missed.get()
        measure.expect(R=1)


async def test_row_51_a_token_that_was_renewed_meanwhile_is_not_renewed_again(tmp_path: Path, measure: Measure) -> None:
    async with listening(tmp_path, measure=measure) as scene:
        first = await scene.server.listeners.get()
        await first.acknowledge()
        await scene.missed.get()
        assert scene.rig.credential.grant is not None
        await scene.rig.credential.refresh(scene.rig.credential.grant.tokens, ASKED)
        await first.answer(error=AUTH_ERROR)
        assert (await scene.server.listeners.get()).seen.bearer == "pha_2"
        measure.expect(R=1)


async def test_row_51_a_server_that_refuses_every_token_in_the_middle_costs_one_renewal(
    tmp_path: Path, measure: Measure
) -> None:
    async with listening(tmp_path, measure=measure) as scene:
        scene.server.admits = lambda _bearer: True
        for _ in range(3):
            stream = await scene.server.listeners.get()
            await stream.acknowledge()
            await scene.missed.get()
            await stream.answer(error=AUTH_ERROR)
        assert await scene.clock.next(3) == [START_SECONDS, 1, 60]
        measure.expect(R=1)


@pytest.mark.parametrize(
    "parts",
    [
        [b"id: 7\r\nretry: 10\r\ndata: %s\r\n\r\n"],
        [b"data: %s\nid:7\nretry:10\n\n"],
        [b"retry: 10\rdata: %s\ri", b"d: 7\r\r:\r\r"],
        [b"id: 7\nretry: 10\n", b"data:\n\n"],
    ],
    ids=["first", "last", "in-two-parts", "without-data"],
)
async def test_row_52_a_call_whose_stream_broke_is_not_resumed_since_2026_07_28(
    parts: list[bytes], measure: Measure
) -> None:
    async with Streaming() as server, calling(server, measure) as call:
        stream = await server.calls.get()
        message = json.dumps({"jsonrpc": "2.0", **PROGRESS}).encode()
        for part in parts:
            await stream.write(part.replace(b"%s", message))
        await stream.cut()
        assert isinstance(await measure.one(call), OutcomeUnknown)
        assert {seen.verb for seen in server.seen} == {"POST"}
        measure.expect(R=0, V=1)


async def test_row_52_a_call_goes_on_by_its_last_event_id_before_2026_07_28(measure: Measure) -> None:
    async with Streaming(legacy=True) as server, calling(server, measure) as call:
        stream = await server.calls.get()
        await stream.send(PROGRESS, lines=RESUMABLE)
        await stream.cut()
        while "last-event-id" not in (resumed := await server.listeners.get()).seen.headers:
            pass
        assert resumed.seen.headers["last-event-id"] == "7"
        await resumed.send({"id": stream.id, "result": {"content": []}})
        assert await call == {"content": []}
        measure.expect(R=0)


@pytest.mark.parametrize("ending", ["cut", "end"])
async def test_row_52_a_listen_stream_that_died_with_its_token_gets_a_new_id_and_a_fresh_token(
    tmp_path: Path, ending: str, measure: Measure
) -> None:
    async with listening(tmp_path, measure=measure) as scene:
        first = await scene.server.listeners.get()
        await first.acknowledge(lines=RESUMABLE)
        await scene.missed.get()
        scene.rig.issuer.kill()
        await getattr(first, ending)()
        second = await scene.server.listeners.get()
        assert second.seen.bearer == "pha_2"
        assert second.id not in {None, first.id}
        assert not [seen for seen in scene.server.seen if "last-event-id" in seen.headers or seen.verb == "GET"]
        await second.acknowledge()
        await scene.missed.get()
        measure.expect(R=1)


@pytest.mark.parametrize("ending", ["cut", "end"])
async def test_row_52_an_older_listen_stream_that_died_with_its_token_goes_on_by_its_last_event_id_and_a_fresh_token(
    tmp_path: Path, ending: str, measure: Measure
) -> None:
    async with listening(tmp_path, legacy=True, measure=measure) as scene:
        first = await scene.server.listeners.get()
        await first.announce(lines=RESUMABLE)
        scene.rig.issuer.kill()
        await getattr(first, ending)()
        second = await scene.server.listeners.get()
        await scene.missed.get()
        gets = [(seen.bearer, seen.headers.get("last-event-id")) for seen in scene.server.requests("GET")]
        assert gets == [("pha_1", None), ("pha_1", "7"), ("pha_2", "7")]
        assert second.seen.headers["mcp-session-id"] == first.seen.headers["mcp-session-id"]
        measure.expect(R=1)


async def test_row_52_a_call_goes_on_while_an_older_listen_stream_pauses(tmp_path: Path, measure: Measure) -> None:
    async with listening(tmp_path, legacy=True, measure=measure) as scene:
        scene.clock.stands_still = True
        listener = await scene.server.listeners.get()
        await listener.announce(lines=RESUMABLE)
        await listener.end()
        assert await scene.clock.next(1) == [1]
        call = asyncio.create_task(scene.connection.call("echo", {}, repeatable=False, on_progress=silent))
        stream = await scene.server.calls.get()
        await stream.send(PROGRESS, lines=RESUMABLE.replace("7", "8"))
        await stream.cut()
        resumed = await scene.server.listeners.get()
        assert resumed.seen.headers["last-event-id"] == "8"
        await resumed.send({"id": stream.id, "result": {"content": []}})
        assert await call == {"content": []}
        measure.count_effects(lambda: len(scene.server.requests("tools/call")) - 1)
        measure.expect(R=0)


async def test_row_52_the_workspaces_changes_are_heard_again_after_token_and_stream_died(
    workspace: RunningWorkspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measure: Measure
) -> None:
    monkeypatch.setattr("app.core.mcp.protocol.listening.START_SECONDS", 0.05)
    monkeypatch.setattr("app.core.mcp.protocol.reconnect.BASE_SECONDS", 0.05)
    lab = Lab(workspace.url, workspace.secret)
    async with services_in(tmp_path / "services") as services:
        backend = await signed_in(services, workspace)
        servers = services.servers
        measure.watch_credential(backend.credential)
        changed: asyncio.Queue[str] = asyncio.Queue()
        servers.tools_changed.subscribe(changed.put_nowait)

        async def offered(wanted: bool) -> None:
            while wanted is not ("extra_tool" in [tool.name for tool in await servers.tools("workspace")]):
                await changed.get()

        await offered(False)
        while (await lab.mcp())["listeners"] == 0:  # noqa: ASYNC110 (another process counts)
            await asyncio.sleep(0.02)
        await lab.mcp(extra_tool=True)
        await offered(True)
        await lab.kill_access_token()
        await lab.mcp(cut_listeners=True)
        await lab.mcp(extra_tool=False)
        await offered(False)
        counters = (await lab.state())["counters"]
        measure.count_refreshes(lambda: counters["refreshes_accepted"] + counters["refreshes_rejected"])
        assert servers._servers["workspace"].state is ServerState.READY
        measure.expect(R=1)


async def test_row_53_a_server_that_refuses_every_fresh_token_is_left_after_three_renewals(
    tmp_path: Path, measure: Measure
) -> None:
    refused = Refusal(401, text="OAuth token is inactive")
    async with listening(tmp_path, refusals={"subscriptions/listen": refused}, measure=measure) as scene:
        assert await scene.clock.next(3) == [START_SECONDS, 60, 60]
        await scene.deaf()
        assert len(scene.server.requests("subscriptions/listen")) == 6
        assert await scene.connection.tools()
        measure.expect(R=3)


async def test_row_53_a_token_endpoint_that_asks_to_wait_is_not_asked_by_each_attempt(
    tmp_path: Path, measure: Measure
) -> None:
    async with listening(tmp_path, measure=measure) as scene:
        stream = await scene.server.listeners.get()
        await stream.acknowledge()
        scene.rig.issuer.script = [Reply(429, {"detail": "Slow down."}, {"Retry-After": "120"})] * 10
        scene.rig.issuer.kill()
        await stream.end()
        assert await scene.clock.next(9) == [START_SECONDS, 1, 2, 4, 8, 16, 32, 60, 60]
        assert scene.rig.credential.status.state is CredentialState.SIGNED_IN
        measure.expect(R=1)


async def test_row_53_nothing_is_asked_while_the_person_must_sign_in_and_it_goes_on_by_itself(
    tmp_path: Path, measure: Measure
) -> None:
    async with listening(tmp_path, measure=measure) as scene:
        stream = await scene.server.listeners.get()
        await stream.acknowledge()
        await scene.missed.get()
        scene.rig.issuer.revoked = True
        scene.rig.issuer.kill()
        await stream.end()
        await scene.sign_ins.waited_for.wait()
        assert scene.rig.credential.status.state is CredentialState.NEEDS_SIGN_IN
        asked = [seen.bearer for seen in scene.server.requests("subscriptions/listen")]
        assert asked == ["pha_1", "pha_1"]
        scene.rig.issuer.pair = {**scene.rig.issuer.pair, "access_token": "pha_new"}
        await scene.rig.credential.sign_in(Grant(TokenSet("pha_new", "phr_new"), "client"), "test")
        again = await scene.server.listeners.get()
        assert [seen.bearer for seen in scene.server.requests("subscriptions/listen")] == [*asked, "pha_new"]
        await again.acknowledge()
        await scene.missed.get()
        measure.expect(R=1, B=1)


@pytest.mark.parametrize("ending", ["cut", "end"])
async def test_row_53_an_older_server_that_ends_every_stream_is_not_hammered_whatever_it_asks_for(
    tmp_path: Path, ending: str, measure: Measure
) -> None:
    async with listening(tmp_path, legacy=True, measure=measure) as scene:
        for _ in range(8):
            stream = await scene.server.listeners.get()
            await stream.announce(lines="id: 7\r\nretry: 0\r\n")
            await getattr(stream, ending)()
        assert await scene.clock.next(7) == [1, 2, 4, 8, 16, 32, 60]
        measure.expect(R=0)


async def test_row_53_an_older_server_is_not_hammered_while_the_token_endpoint_refuses(
    tmp_path: Path, measure: Measure
) -> None:
    async with listening(tmp_path, legacy=True, measure=measure) as scene:
        stream = await scene.server.listeners.get()
        await stream.announce(lines=RESUMABLE)
        scene.rig.issuer.script = [Reply(429, {"detail": "Slow down."}, {"Retry-After": "120"})] * 10
        scene.rig.issuer.kill()
        await stream.cut()
        assert await scene.clock.next(8) == [1, 2, 4, 8, 16, 32, 60, 60]
        measure.expect(R=1)


async def test_row_53_an_older_server_is_asked_nothing_while_the_person_must_sign_in(
    tmp_path: Path, measure: Measure
) -> None:
    async with listening(tmp_path, legacy=True, measure=measure) as scene:
        stream = await scene.server.listeners.get()
        await stream.announce(lines=RESUMABLE)
        scene.rig.issuer.revoked = True
        scene.rig.issuer.kill()
        await stream.cut()
        await scene.sign_ins.waited_for.wait()
        asked = [seen.bearer for seen in scene.server.requests("GET")]
        assert asked == ["pha_1", "pha_1"]
        scene.rig.issuer.pair = {**scene.rig.issuer.pair, "access_token": "pha_new"}
        await scene.rig.credential.sign_in(Grant(TokenSet("pha_new", "phr_new"), "client"), "test")
        assert (await scene.server.listeners.get()).seen.headers["last-event-id"] == "7"
        assert [seen.bearer for seen in scene.server.requests("GET")] == [*asked, "pha_new"]
        measure.expect(R=1, B=1)
