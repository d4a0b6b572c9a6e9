"""Rows 1 to 10: many requests meet one dead token."""

from __future__ import annotations

import asyncio
import time
from itertools import groupby
from pathlib import Path

import pytest

from app.core.auth.cause import ASKED, Cause, CauseKind
from app.core.auth.grant import coordinator
from app.core.auth.grant.files import GrantFiles
from app.core.auth.grant.grant import Grant
from app.core.auth.http.clients import CONNECTIONS
from app.core.auth.http.openings import PEEK_BYTES
from app.core.auth.http.target import Target
from app.core.auth.oauth import authorization_server
from app.core.auth.status import CredentialState, Trouble
from app.core.errors import ServerTrouble
from app.core.fetcher import Fetcher
from tests.clock import StillClock
from tests.core.conftest import Rig, client_of, signed_in
from tests.core.scripted import DEAD, Reply, Request
from tests.faults.measure import Measure
from tests.until import until

PATH = "/api/x/"


def ok(outcomes: list[object]) -> bool:
    return all(getattr(outcome, "status", None) == 200 for outcome in outcomes)


async def test_row_01_fifty_requests_on_a_dead_token_cost_one_renewal(tmp_path: Path, measure: Measure) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        rig.issuer.kill()
        assert ok(await measure.all(*(rig.fetcher.get(PATH) for _ in range(50))))
        assert not rig.issuer.revoked
        measure.expect(R=1)


async def test_row_01_refused_requests_that_hold_every_connection_leave_one_to_the_renewal(
    tmp_path: Path, measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig, asyncio.timeout(10):
        measure.watch(rig)
        # Longer than is read of a refusal: its connection is busy until the request is repeated.
        page = Reply(401, b"x" * (8 * PEEK_BYTES))
        rig.server.views[PATH] = rig.issuer.guard(page)
        rig.issuer.kill()
        fetcher = Fetcher(rig.transport, rig.credential, rig.host, in_flight=2 * CONNECTIONS)
        assert ok(await measure.all(*(fetcher.get(PATH) for _ in range(2 * CONNECTIONS))))
        measure.expect(R=1)


async def test_row_02_refusals_that_come_after_the_renewal_are_replayed_with_its_token(
    tmp_path: Path, measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        late = asyncio.Event()
        arrived = asyncio.Semaphore(0)

        async def slow(request: Request) -> Reply:
            if request.bearer == rig.issuer.access_token:
                return Reply(200, {})
            arrived.release()
            await late.wait()
            return DEAD

        rig.server.views["/api/slow/"] = slow
        rig.server.views[PATH] = rig.issuer.guard()
        rig.issuer.kill()
        stragglers = [asyncio.create_task(rig.fetcher.get("/api/slow/")) for _ in range(5)]
        for _ in stragglers:
            await arrived.acquire()
        await rig.fetcher.get(PATH)
        late.set()
        assert ok(await measure.all(*stragglers))
        measure.expect(R=1)


async def test_row_03_a_late_refusal_joins_the_renewal_of_the_successor_that_was_refused_too(
    tmp_path: Path, measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        late, arrived = asyncio.Event(), asyncio.Event()

        async def slow(request: Request) -> Reply:
            if request.bearer == rig.issuer.access_token:
                return Reply(200, {})
            arrived.set()
            await late.wait()
            return DEAD

        rig.server.views["/api/slow/"] = slow
        rig.server.views[PATH] = rig.issuer.guard()
        rig.issuer.kill()
        straggler = asyncio.create_task(rig.fetcher.get("/api/slow/"))
        await arrived.wait()
        await rig.fetcher.get(PATH)
        measure.watch(rig)
        rig.issuer.kill()
        rig.issuer.gate = asyncio.Event()
        rig.issuer.reached.clear()
        other = asyncio.create_task(rig.fetcher.get(PATH))
        await rig.issuer.reached.wait()
        late.set()
        await asyncio.sleep(0.05)
        assert not straggler.done()
        rig.issuer.gate.set()
        assert ok(await measure.all(straggler, other))
        bearers = [request.bearer for request in rig.server.seen if request.path == "/api/slow/"]
        assert bearers == ["pha_1", "pha_3"]
        measure.expect(R=1)


async def test_row_04_no_request_leaves_with_a_token_past_its_time(tmp_path: Path, measure: Measure) -> None:
    clock = StillClock()
    async with signed_in(tmp_path, clock=clock) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        clock.advance(4000)
        assert ok(await measure.all(*(rig.fetcher.get(PATH) for _ in range(50))))
        assert "pha_1" not in {request.bearer for request in rig.server.seen}
        measure.expect(R=1)


async def test_row_05_a_good_token_lets_all_requests_and_a_long_stream_run_side_by_side(
    tmp_path: Path, measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        at_once = 24
        meeting = asyncio.Barrier(at_once)

        async def meet(request: Request) -> Reply:
            """Answers nobody before all of them are here."""
            await meeting.wait()
            return Reply(200, {})

        stream_open = asyncio.Event()

        async def stream(request: Request) -> Reply:
            stream_open.set()
            await asyncio.sleep(300)
            return Reply(200)

        rig.server.views[PATH] = meet
        rig.server.views["/api/stream/"] = stream
        client = await rig.transport.client()
        auth = rig.credential.auth(Target(rig.host.token_origins))
        origin = rig.server.origin
        listening = asyncio.create_task(client.get(f"{origin}/api/stream/", auth=auth, timeout=None))
        await stream_open.wait()
        async with asyncio.timeout(10):
            answers = await asyncio.gather(*(client.get(f"{origin}{PATH}", auth=auth) for _ in range(at_once)))
        assert {answer.status_code for answer in answers} == {200}
        assert not listening.done()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        measure.expect(R=0)


async def test_row_06_a_cancelled_caller_takes_nobody_with_it(tmp_path: Path, measure: Measure) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        rig.issuer.kill()
        rig.issuer.gate = asyncio.Event()
        first = asyncio.create_task(rig.fetcher.get(PATH))
        others = [asyncio.create_task(rig.fetcher.get(PATH)) for _ in range(3)]
        await rig.issuer.reached.wait()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        rig.issuer.gate.set()
        assert ok(await measure.all(*others))
        assert await rig.stored_refresh_token() == "phr_2"
        measure.expect(R=1)


async def test_row_07_quitting_waits_until_the_renewal_is_stored(tmp_path: Path, measure: Measure) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        rig.issuer.kill()
        rig.issuer.gate = asyncio.Event()
        waiting = [asyncio.create_task(rig.fetcher.get(PATH)) for _ in range(3)]
        await rig.issuer.reached.wait()
        for task in waiting:
            task.cancel()
        closing = asyncio.create_task(rig.credential.close())
        await asyncio.sleep(0.05)
        rig.issuer.gate.set()
        await closing
        await asyncio.gather(*waiting, return_exceptions=True)
        assert await rig.stored_refresh_token() == "phr_2"
        measure.expect(R=1)


async def test_row_07_quitting_does_not_wait_for_an_answer_that_never_comes_and_the_next_start_repeats_the_renewal(
    tmp_path: Path, measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert coordinator.CLOSE_SECONDS > authorization_server.TOKEN_SECONDS
    monkeypatch.setattr(coordinator, "CLOSE_SECONDS", 0.5)
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        rig.issuer.kill()
        rig.issuer.gate = asyncio.Event()
        waiting = asyncio.create_task(rig.fetcher.get(PATH))
        await rig.issuer.reached.wait()
        waiting.cancel()
        began = time.monotonic()
        await rig.credential.close()
        assert time.monotonic() - began < 3.5
        rig.issuer.gate.set()
        again = client_of(rig.server, rig.issuer, tmp_path, vault=rig.vault, remembered=rig.remembered)
        measure.watch_credential(again.credential)
        await again.credential.restore()
        assert ok([await measure.one(again.fetcher.get(PATH))])
        await again.credential.close()
        await again.transport.close()
        measure.expect(R=2)


async def test_row_07_quitting_waits_for_no_renewal_that_has_sent_nothing(tmp_path: Path, measure: Measure) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        rig.issuer.kill()
        async with GrantFiles(tmp_path, rig.name_of_files).lock.hold():
            waiting = asyncio.create_task(rig.fetcher.get(PATH))
            await until(lambda: rig.server.requests[PATH] == 1)
            waiting.cancel()
            began = time.monotonic()
            await rig.credential.close()
            assert time.monotonic() - began < 2
        measure.expect(R=0)


@pytest.mark.parametrize("status", [401, 403])
async def test_row_08_a_refused_renewal_is_not_healed_itself(tmp_path: Path, measure: Measure, status: int) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        rig.issuer.kill()
        rig.issuer.script = [Reply(status, DEAD.body)] * 5
        await measure.one(rig.fetcher.get(PATH))
        assert rig.credential.status.state is CredentialState.SIGNED_IN
        measure.expect(R=1, V=1)


async def test_row_09_a_new_token_that_is_refused_is_tried_once_and_the_answer_shown(
    tmp_path: Path, measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = DEAD
        assert isinstance(await measure.one(rig.fetcher.get(PATH)), ServerTrouble)
        assert rig.server.requests[PATH] == 2
        measure.expect(R=1, V=1)


async def hammer(rig: Rig, measure: Measure, rounds: int) -> None:
    """Everybody who can ask for a renewal does, again and again."""
    refused = Cause(CauseKind.REFUSED, "Scripted", "unauthorized")
    for _ in range(rounds):
        grant = rig.credential.grant
        assert grant is not None
        await measure.all(
            *(rig.fetcher.get(PATH) for _ in range(5)),
            *(rig.credential.refresh(grant.tokens, refused) for _ in range(5)),
        )


async def test_row_10_a_grant_that_is_renewed_and_refused_stops_after_three_and_probes_once_a_minute(
    tmp_path: Path, measure: Measure
) -> None:
    clock = StillClock()
    async with signed_in(tmp_path, clock=clock) as rig:
        measure.watch(rig)
        troubles = [rig.credential.status.trouble]
        rig.credential.changed.subscribe(lambda status: troubles.append(status.trouble))
        rig.server.views[PATH] = DEAD
        await hammer(rig, measure, 20)
        assert rig.issuer.accepted == 3
        assert rig.credential.status.trouble == Trouble.REFUSED
        for probes in (1, 2):
            clock.advance(61)
            await hammer(rig, measure, 10)
            assert rig.issuer.accepted == 3 + probes
        # One state while it lasts, however many ask, and no other.
        assert [trouble for trouble, _ in groupby(troubles)] == [None, Trouble.REFUSED]
        assert rig.credential.status.state is CredentialState.SIGNED_IN
        clock.advance(66)
        await asyncio.sleep(0.01)
        assert rig.credential.status.trouble is None
        measure.expect(R=5, V=2)


async def test_row_10_a_server_that_takes_the_token_again_lets_go_of_the_brake(
    tmp_path: Path, measure: Measure
) -> None:
    async with signed_in(tmp_path, clock=StillClock()) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = DEAD
        for _ in range(5):
            await measure.one(rig.fetcher.get(PATH))
        assert rig.credential.status.trouble == Trouble.REFUSED
        rig.server.views[PATH] = rig.issuer.guard()
        assert ok([await measure.one(rig.fetcher.get(PATH))])
        assert rig.credential.status.trouble is None
        rig.issuer.kill()
        assert ok([await measure.one(rig.fetcher.get(PATH))])
        measure.expect(R=4, V=2)


async def test_row_10_a_server_that_takes_every_token_does_not_make_good_for_one_that_takes_none(
    tmp_path: Path, measure: Measure
) -> None:
    clock = StillClock()
    async with signed_in(tmp_path, clock=clock) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        rig.server.views["/mcp"] = DEAD
        client = await rig.transport.client()
        auth = rig.credential.auth(Target(rig.host.token_origins, jsonrpc=True, name="the other"))
        for _ in range(10):
            assert (await client.post(f"{rig.server.origin}/mcp", json={}, auth=auth)).status_code == 401
            assert ok([await measure.one(rig.fetcher.get(PATH))])
        measure.expect(R=3)


async def test_row_10_signing_in_again_lets_go_of_the_brake(tmp_path: Path, measure: Measure) -> None:
    async with signed_in(tmp_path, clock=StillClock()) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = DEAD
        await hammer(rig, measure, 5)
        grant = rig.credential.grant
        assert grant is not None
        await rig.credential.sign_in(Grant(grant.tokens, "client"), "test")
        rig.server.views[PATH] = rig.issuer.guard()
        rig.issuer.kill()
        assert ok([await measure.one(rig.fetcher.get(PATH))])
        measure.expect(R=4, V=2)


async def test_row_70_whatever_breaks_in_the_healing_the_servers_own_answer_comes_back(
    tmp_path: Path, measure: Measure, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views["/mcp"] = DEAD
        client = await rig.transport.client()
        auth = rig.credential.auth(Target(rig.host.token_origins, jsonrpc=True))

        def bug(*_: object) -> object:
            raise RuntimeError("a bug")

        for broken in ("fresh_token", "refresh", "accepted"):
            with monkeypatch.context() as patch:
                patch.setattr(rig.credential, broken, bug)
                answer = await client.post(f"{rig.server.origin}/mcp", json={}, auth=auth)
                assert answer.status_code == 401
                assert answer.json() == DEAD.body
        for broken in ("recovery.classify", "bearer.replayable", "bearer.peek"):
            with monkeypatch.context() as patch:
                patch.setattr(f"app.core.auth.http.{broken}", bug)
                assert (await client.post(f"{rig.server.origin}/mcp", json={}, auth=auth)).status_code == 401
        assert "a bug" in caplog.text
        rig.server.views["/mcp"] = rig.issuer.guard()
        assert (await client.post(f"{rig.server.origin}/mcp", json={}, auth=auth)).status_code == 200
        refreshes = rig.server.requests["/oauth/token/"]
        measure.expect(R=refreshes)
        assert refreshes <= 2


async def test_a_renewal_that_somebody_asks_for_counts_for_no_brake(tmp_path: Path) -> None:
    async with signed_in(tmp_path, clock=StillClock()) as rig:
        for _ in range(6):
            grant = rig.credential.grant
            assert grant is not None
            await rig.credential.refresh(grant.tokens, ASKED)
        assert rig.issuer.accepted == 6
