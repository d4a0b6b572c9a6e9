"""Rows 71 to 73: a refusal behind an installation's proxy that does not say whose credential it is about.

The host is asked with the same token, once, and its word decides.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import pytest

from app.core.auth.http.target import REFRESH_FAILURE, CredentialAtStake
from app.core.auth.status import CredentialState
from app.core.errors import ServerTrouble
from tests.core.conftest import signed_in
from tests.core.scripted import DEAD, Reply, Request
from tests.faults.measure import Measure
from tests.faults.test_rows_answers import call

CHECK = "/api/users/@me/"
BEHIND = CredentialAtStake.VENDOR_BEHIND
REFUSALS = [
    Reply(401, {"error": "Authentication failed"}),
    Reply(401),
    Reply(401, "<html><h1>401 Unauthorized</h1></html>", {"Content-Type": "text/html"}),
    Reply(401, b"", {"WWW-Authenticate": 'Bearer error="invalid_token"'}),
]
NAMES = ["the proxy's words", "bare", "a page", "a challenge"]


def says_nothing(request: Request) -> Reply:
    return Reply(drop=True)


@pytest.mark.parametrize("refusal", REFUSALS, ids=NAMES)
async def test_row_71_the_hosts_own_refusal_makes_it_ours_and_fifty_requests_cost_one_renewal(
    tmp_path: Path, refusal: Reply, measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views["/mcp"] = rig.issuer.guard(refusal)
        rig.server.views[CHECK] = rig.issuer.guard(DEAD)
        rig.issuer.kill()
        answers = await asyncio.gather(*(call(rig, BEHIND) for _ in range(50)))
        assert {answer.status_code for answer in answers} == {200}
        assert rig.server.requests[CHECK] == 1
        measure.expect(R=1)


@pytest.mark.parametrize("refusal", REFUSALS, ids=NAMES)
async def test_row_72_a_token_that_the_host_accepts_is_never_renewed_and_the_host_is_asked_once(
    tmp_path: Path, refusal: Reply, measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views["/mcp"] = refusal
        rig.server.views[CHECK] = rig.issuer.guard(DEAD)
        answers = await asyncio.gather(*(call(rig, BEHIND) for _ in range(50)))
        answers.append(await call(rig, BEHIND))
        assert {answer.status_code for answer in answers} == {401}
        assert rig.server.requests["/mcp"] == 51
        assert rig.server.requests[CHECK] == 1
        assert rig.credential.status.state is CredentialState.SIGNED_IN
        measure.expect(R=0)


async def test_row_72_a_vendor_that_fails_for_ever_costs_one_question_for_each_token(
    tmp_path: Path, measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views["/mcp"] = REFUSALS[0]
        rig.server.views[CHECK] = rig.issuer.guard(DEAD)
        await call(rig, BEHIND)
        rig.issuer.kill()
        rig.server.views["/api/x/"] = rig.issuer.guard()
        assert (await rig.fetcher.get("/api/x/")).status == 200
        await call(rig, BEHIND)
        await call(rig, BEHIND)
        # The second token is another one to ask about.
        assert rig.server.requests[CHECK] == 2
        measure.expect(R=1)


@pytest.mark.parametrize(
    "answer",
    [Reply(503), Reply(401, "<html>", {"Content-Type": "text/html"}), says_nothing],
    ids=["503", "a page of something on the way", "no answer"],
)
async def test_row_73_where_the_host_does_not_say_nothing_is_renewed_and_the_error_says_so(
    tmp_path: Path, answer: Reply, measure: Measure
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views["/mcp"] = REFUSALS[0]
        rig.server.views[CHECK] = answer
        with measure.meets(ServerTrouble, "did not say whether it was yours"):
            raise failure_of(await call(rig, BEHIND))
        rig.server.views[CHECK] = rig.issuer.guard(DEAD)
        answered = await call(rig, BEHIND)
        assert REFRESH_FAILURE not in answered.request.extensions
        assert rig.server.requests[CHECK] >= 2
        measure.expect(R=0, V=1)


async def test_row_73_a_host_that_hangs_is_waited_for_two_seconds_at_most(
    tmp_path: Path, measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.core.auth.oauth.authorization_server.TOKEN_CHECK_SECONDS", 0.1)

    async def hang(request: Request) -> Reply:
        await asyncio.Event().wait()
        return Reply()

    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views["/mcp"] = REFUSALS[1]
        rig.server.views[CHECK] = hang
        async with asyncio.timeout(5):
            with measure.meets(ServerTrouble):
                raise failure_of(await call(rig, BEHIND))
        measure.expect(R=0, V=1)


async def test_row_71_a_token_renewed_meanwhile_is_not_asked_about(tmp_path: Path, measure: Measure) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        grant = rig.credential.grant
        assert grant is not None
        rig.issuer.kill()
        rig.server.views["/api/x/"] = rig.issuer.guard()
        assert (await rig.fetcher.get("/api/x/")).status == 200
        assert await rig.credential.is_dead(grant.tokens) is True
        assert rig.server.requests[CHECK] == 0
        measure.expect(R=1)


def failure_of(answer: httpx2.Response) -> BaseException:
    """What the auth flow left for whoever sent the request."""
    failure = answer.request.extensions[REFRESH_FAILURE]
    assert isinstance(failure, BaseException)
    return failure
