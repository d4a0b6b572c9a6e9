"""Rows 24 to 39: what a token endpoint answers, and what it does not."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from app.core.auth.grant.refresh import GRANT_ENDED, TokenRefresh
from app.core.auth.status import CredentialState, Trouble
from app.core.errors import Offline, ProtocolTrouble, Rejected, ServerTrouble, SignInNeeded, TimedOut
from app.core.storage import Storage
from tests.clock import StillClock
from tests.core.conftest import Rig, client_of, signed_in
from tests.core.scripted import METADATA, Reply, Request, ScriptedServer
from tests.faults.measure import TOKEN_ENDPOINT, Measure
from tests.until import until

PATH = "/api/x/"
BUSY = Reply(503, {"error": "temporarily_unavailable"})


def dead(rig: Rig) -> None:
    """The token dies on the server."""
    rig.server.views[PATH] = rig.issuer.guard()
    rig.issuer.kill()


def lose_replies(rig: Rig, times: int) -> None:
    """The token endpoint renews and closes the connection without an answer, so often."""
    honest = rig.server.views[TOKEN_ENDPOINT]
    left = times

    async def lose(request: Request) -> Reply:
        nonlocal left
        assert callable(honest)
        answer = honest(request)
        answer = answer if isinstance(answer, Reply) else await answer
        left -= 1
        return Reply(drop=True) if left >= 0 else answer

    rig.server.views[TOKEN_ENDPOINT] = lose


async def test_row_24_two_refusals_for_now_are_not_shown(tmp_path: Path, measure: Measure) -> None:
    clock = StillClock()
    async with signed_in(tmp_path, clock=clock) as rig:
        measure.watch(rig)
        dead(rig)
        rig.issuer.script = [BUSY, BUSY]
        request = asyncio.create_task(measure.one(rig.fetcher.get(PATH)))
        for pause in (0.3, 1.0):
            await clock.until_sleeping(pause)
            clock.advance(pause)
        assert (await request).status == 200
        measure.expect(R=3)


@pytest.mark.parametrize("asked", ["7", "Thu, 01 Jan 2026 00:00:07 GMT"])
async def test_row_25_a_server_that_asks_to_wait_is_asked_again_no_sooner_and_a_good_token_serves_meanwhile(
    tmp_path: Path, measure: Measure, asked: str
) -> None:
    clock = StillClock()
    async with signed_in(tmp_path, clock=clock) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        headers = {"Retry-After": asked, "Date": "Thu, 01 Jan 2026 00:00:00 GMT"}
        rig.issuer.script = [Reply(503, {"error": "temporarily_unavailable"}, headers)]
        # Renewed ahead of time: the token has a fifth of its life left.
        clock.advance(3100)
        await clock.until_sleeping(7)
        assert (await measure.one(rig.fetcher.get(PATH))).status == 200
        clock.advance(6.9)
        await asyncio.sleep(0.02)
        assert rig.server.requests[TOKEN_ENDPOINT] == 1
        clock.advance(0.1)
        await until(lambda: rig.credential.grant is not None and rig.credential.grant.tokens.generation == 2)
        measure.expect(R=2)


async def test_row_26_a_server_that_is_asked_too_often_is_asked_again_no_sooner(
    tmp_path: Path, measure: Measure
) -> None:
    clock = StillClock()
    async with signed_in(tmp_path, clock=clock) as rig:
        measure.watch(rig)
        dead(rig)
        rig.issuer.script = [Reply(429, {"detail": "slow down"}, {"Retry-After": "9"})]
        requests = [asyncio.create_task(measure.one(rig.fetcher.get(PATH))) for _ in range(5)]
        await clock.until_sleeping(9)
        clock.advance(9)
        assert {answer.status for answer in await asyncio.gather(*requests)} == {200}
        measure.expect(R=2)


async def test_row_26_a_wait_that_is_too_long_for_a_request_is_told_and_kept_to(
    tmp_path: Path, measure: Measure
) -> None:
    clock = StillClock()
    async with signed_in(tmp_path, clock=clock) as rig:
        measure.watch(rig)
        dead(rig)
        rig.issuer.script = [Reply(429, {"detail": "slow down"}, {"Retry-After": "120"})]
        for _ in range(5):
            await measure.one(rig.fetcher.get(PATH))
        clock.advance(121)
        assert (await measure.one(rig.fetcher.get(PATH))).status == 200
        measure.expect(R=2, V=1)


async def test_row_27_without_a_connection_the_sign_in_is_kept_and_used_when_it_is_back(
    tmp_path: Path, measure: Measure
) -> None:
    clock = StillClock()
    async with signed_in(tmp_path, clock=clock) as rig:
        measure.watch(rig)
        dead(rig)
        await rig.server.go_away()
        clock.advance(4000)
        request = asyncio.create_task(measure.one(rig.fetcher.get(PATH)))
        for pause in (0.3, 1.0):
            await clock.until_sleeping(pause)
            clock.advance(pause)
        assert isinstance(await request, Offline)
        assert (rig.credential.status.state, rig.credential.status.trouble) == (
            CredentialState.SIGNED_IN,
            Trouble.OFFLINE,
        )
        assert await rig.stored_refresh_token() == "phr_1"
        await rig.server.come_back()
        rig.credential.wake()
        assert (await measure.one(rig.fetcher.get(PATH))).status == 200
        assert rig.credential.status.trouble is None
        measure.expect(R=1, V=1)


async def test_row_27_an_endpoint_that_never_answers_is_left_after_its_time(
    tmp_path: Path, measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.core.auth.oauth.authorization_server.TOKEN_SECONDS", 0.2)
    monkeypatch.setattr("app.core.auth.grant.refresh.PAUSES", (0.01, 0.01))
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        dead(rig)
        rig.issuer.gate = asyncio.Event()
        assert isinstance(await measure.one(rig.fetcher.get(PATH)), TimedOut)
        assert rig.credential.status.state is CredentialState.SIGNED_IN
        rig.issuer.gate.set()
        rig.credential.wake()
        assert (await measure.one(rig.fetcher.get(PATH))).status == 200
        measure.expect(R=4, V=1)


async def test_row_28_a_lost_reply_is_asked_for_once_more_inside_the_grace(tmp_path: Path, measure: Measure) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        dead(rig)
        lose_replies(rig, 1)
        assert (await measure.one(rig.fetcher.get(PATH))).status == 200
        assert (rig.issuer.accepted, rig.issuer.rejected, rig.issuer.revoked) == (1, 0, False)
        measure.expect(R=2)


async def test_row_29_a_lost_reply_without_grace_costs_one_more_try_and_one_sign_in(
    tmp_path: Path, measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        dead(rig)
        rig.issuer.grace = False
        lose_replies(rig, 1)
        for _ in range(5):
            assert isinstance(await measure.one(rig.fetcher.get(PATH)), SignInNeeded)
        measure.expect(R=2, B=1)


async def test_row_30_a_refused_grant_asks_once_for_all_who_wait_and_is_never_sent_again(
    tmp_path: Path, measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        dead(rig)
        rig.issuer.revoked = True
        failures = await measure.all(*(rig.fetcher.get(PATH) for _ in range(20)))
        assert {type(failure) for failure in failures} == {SignInNeeded}
        await measure.one(rig.fetcher.get(PATH))
        assert await rig.stored() is None
        measure.expect(R=1, B=1)


async def test_row_30_a_sign_in_that_the_server_ended_is_asked_for_after_a_restart_too(
    tmp_path: Path, measure: Measure
) -> None:
    async with AsyncExitStack() as stack:
        storage = Storage.open(tmp_path)
        stack.push_async_callback(storage.close)
        before = await stack.enter_async_context(signed_in(tmp_path, log=storage.grants))
        measure.watch(before)
        dead(before)
        before.issuer.revoked = True
        await measure.one(before.fetcher.get(PATH))
        after = client_of(
            before.server, before.issuer, tmp_path, vault=before.vault, remembered=before.remembered, log=storage.grants
        )
        stack.push_async_callback(after.transport.close)
        stack.push_async_callback(after.credential.close)
        await after.credential.restore()
        assert after.credential.status.state is CredentialState.NEEDS_SIGN_IN
        assert after.credential.status.reason == GRANT_ENDED
        assert isinstance(await measure.one(after.fetcher.get(PATH)), SignInNeeded)
        measure.expect(R=1, B=1)


@pytest.mark.parametrize("refusal", ["invalid_target", "invalid_scope"])
async def test_row_32_an_audience_that_the_server_does_not_take_is_left_out_once(
    tmp_path: Path, measure: Measure, refusal: str
) -> None:
    async with signed_in(tmp_path, resource="https://api.example") as rig:
        measure.watch(rig)
        dead(rig)
        honest = rig.server.views[TOKEN_ENDPOINT]

        def narrow(request: Request) -> Any:
            assert callable(honest)
            return Reply(400, {"error": refusal}) if "resource" in request.form else honest(request)

        rig.server.views[TOKEN_ENDPOINT] = narrow
        assert (await measure.one(rig.fetcher.get(PATH))).status == 200
        measure.expect(R=2)


async def test_row_32_a_scope_that_nobody_asked_for_is_told_and_costs_no_sign_in(
    tmp_path: Path, measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        dead(rig)
        rig.issuer.script = [Reply(400, {"error": "invalid_scope"})] * 3
        assert isinstance(await measure.one(rig.fetcher.get(PATH)), Rejected)
        form = next(request.form for request in rig.server.seen if request.path == TOKEN_ENDPOINT)
        assert set(form) == {"grant_type", "refresh_token", "client_id"}
        assert rig.credential.status.state is CredentialState.SIGNED_IN
        measure.expect(R=1, V=1)


async def test_row_33_an_answer_without_a_refresh_token_leaves_the_old_one(tmp_path: Path, measure: Measure) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        dead(rig)
        rig.issuer.extra = {"refresh_token": None}
        assert (await measure.one(rig.fetcher.get(PATH))).status == 200
        assert await rig.stored_refresh_token() == "phr_1"
        measure.expect(R=1)


@pytest.mark.parametrize("lifetime", [None, "soon", "", 0, -5, True, 1e400, [3600], "nan", "-inf"])
async def test_row_34_a_lifetime_that_is_none_means_that_only_a_refusal_tells(
    tmp_path: Path, measure: Measure, lifetime: object
) -> None:
    clock = StillClock()
    async with signed_in(tmp_path, clock=clock) as rig:
        measure.watch(rig)
        dead(rig)
        rig.issuer.extra = {"expires_in": lifetime}
        for _ in range(5):
            assert (await measure.one(rig.fetcher.get(PATH))).status == 200
            clock.advance(86_400)
        assert rig.credential.renews_at is None
        measure.expect(R=1)


@pytest.mark.parametrize("lifetime", ["3600", 3600.0, 3600])
async def test_row_34_a_lifetime_written_in_another_way_counts(
    tmp_path: Path, measure: Measure, lifetime: object
) -> None:
    async with signed_in(tmp_path, clock=StillClock()) as rig:
        measure.watch(rig)
        dead(rig)
        rig.issuer.extra = {"expires_in": lifetime}
        assert (await measure.one(rig.fetcher.get(PATH))).status == 200
        assert rig.credential.grant is not None
        assert rig.credential.grant.tokens.lifetime == 3600
        measure.expect(R=1)


async def test_row_35_a_life_of_thirty_seconds_is_used_for_most_of_it(tmp_path: Path, measure: Measure) -> None:
    clock = StillClock()
    async with signed_in(tmp_path, clock=clock, lifetime=30) as rig:
        measure.watch(rig)
        rig.server.views[PATH] = rig.issuer.guard()
        for _ in range(20):
            assert (await measure.one(rig.fetcher.get(PATH))).status == 200
            clock.advance(1)
        measure.expect(R=0)


@pytest.mark.parametrize(
    "answer",
    [
        Reply(200, "<html><title>Log in to the hotel</title></html>", {"Content-Type": "text/html"}),
        Reply(200, {"error": "invalid_grant"}),
        Reply(200, {"error": "invalid_token", "access_token": ""}),
        Reply(200, ["not", "an", "object"]),
        Reply(200, {"token_type": "Bearer"}),
        Reply(400, "<html>Bad gateway of the hotel</html>", {"Content-Type": "text/html"}),
    ],
)
async def test_row_36_what_a_captive_portal_says_ends_nothing(
    tmp_path: Path, measure: Measure, monkeypatch: pytest.MonkeyPatch, answer: Reply
) -> None:
    monkeypatch.setattr("app.core.auth.grant.refresh.PAUSES", (0.01, 0.01))
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        dead(rig)
        rig.issuer.script = [answer] * 3
        assert isinstance(await measure.one(rig.fetcher.get(PATH)), ServerTrouble)
        assert rig.credential.status.state is CredentialState.SIGNED_IN
        rig.credential.wake()
        assert (await measure.one(rig.fetcher.get(PATH))).status == 200
        measure.expect(R=4, V=1)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_row_37_the_refresh_token_follows_no_redirect(
    tmp_path: Path, measure: Measure, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr("app.core.auth.grant.refresh.PAUSES", (0.01, 0.01))
    async with ScriptedServer() as elsewhere, signed_in(tmp_path) as rig:
        measure.watch(rig)
        dead(rig)
        rig.issuer.script = [Reply(status, b"", {"Location": f"{elsewhere.origin}/oauth/token/"})] * 3
        assert isinstance(await measure.one(rig.fetcher.get(PATH)), ServerTrouble)
        assert not elsewhere.seen
        assert rig.credential.status.state is CredentialState.SIGNED_IN
        measure.expect(R=3, V=1)


@pytest.mark.parametrize("kind", ["mac", "N_A", "", 7, None])
async def test_row_38_a_token_of_an_unknown_type_is_not_used(tmp_path: Path, measure: Measure, kind: object) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        dead(rig)
        rig.issuer.extra = {"token_type": kind}
        assert isinstance(await measure.one(rig.fetcher.get(PATH)), ProtocolTrouble)
        assert "pha_2" not in {request.bearer for request in rig.server.seen}
        assert rig.credential.status.state is CredentialState.SIGNED_IN
        rig.issuer.extra = {}
        rig.credential.wake()
        # The pair is still good: inside the grace the server gives it again.
        rig.issuer._spent["phr_1"] = {**rig.issuer._spent["phr_1"], "token_type": "Bearer"}
        assert (await measure.one(rig.fetcher.get(PATH))).status == 200
        measure.expect(R=2, V=1)


async def test_row_39_a_renewal_uses_what_the_server_said_of_itself_before(tmp_path: Path, measure: Measure) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        await rig.credential.registrar.metadata()
        rig.server.views[METADATA] = Reply(503, b"")
        dead(rig)
        assert (await measure.one(rig.fetcher.get(PATH))).status == 200
        again = client_of(rig.server, rig.issuer, tmp_path, vault=rig.vault, remembered=rig.remembered)
        await again.credential.restore()
        rig.issuer.kill()
        assert (await measure.one(again.fetcher.get(PATH))).status == 200
        await again.credential.close()
        await again.transport.close()
        measure.expect(R=2)


async def test_row_39_an_endpoint_is_never_guessed(
    tmp_path: Path, measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TokenRefresh, "wake", lambda *_, **__: None)
    monkeypatch.setattr("app.core.auth.grant.refresh.PAUSES", (0.01, 0.01))
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views[METADATA] = Reply(503, b"")
        dead(rig)
        assert isinstance(await measure.one(rig.fetcher.get(PATH)), ServerTrouble)
        assert rig.credential.status.state is CredentialState.SIGNED_IN
        measure.expect(R=0, V=1)
