"""Rows 31 and 40: a server that no longer knows Burrow, and a server that is another one now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from app.core.auth.status import CredentialState
from app.core.errors import BurrowError, Rejected, SignInNeeded, Throttled
from tests.conftest import RunningWorkspace
from tests.core.conftest import Rig
from tests.core.scripted import METADATA, Handler, Reply, Request
from tests.faults.authority import (
    AUTHORIZE,
    NO_CLIENT,
    REGISTER,
    REVOKE,
    TOKEN,
    UNKNOWN,
    Authority,
    agree,
    browser_client,
    sign_in_at,
    visit,
)
from tests.faults.consenting import at_workspace, made_anew, sign_in_there
from tests.faults.measure import Measure

PATH = "/api/x/"


@dataclass
class Once:
    """A view that answers so the first time, and as it was from then on."""

    first: Reply
    then: Handler | Reply
    asked: bool = False

    def __call__(self, request: Request) -> Reply | Awaitable[Reply]:
        if not self.asked:
            self.asked = True
            return self.first
        return self.then if isinstance(self.then, Reply) else self.then(request)


def count(measure: Measure, rig: Rig, authority: Authority) -> None:
    """Exchanges of codes are no refreshes."""
    measure.watch_credential(rig.credential)
    measure.count_refreshes(lambda: authority.refreshes)


@asynccontextmanager
async def registered(folder: Path, measure: Measure) -> AsyncIterator[tuple[Rig, Authority]]:
    """A client that has signed in through the browser, with a registration of its own."""
    async with browser_client(folder) as (rig, authority):
        count(measure, rig, authority)
        await sign_in_at(rig.credential)
        yield rig, authority


def client_of_grant(rig: Rig) -> str:
    assert rig.credential.grant is not None
    return rig.credential.grant.client_id


async def test_row_31_a_renewal_that_is_refused_for_the_client_costs_one_sign_in_with_another_registration(
    tmp_path: Path, measure: Measure
) -> None:
    async with registered(tmp_path, measure) as (rig, authority):
        rig.server.views[PATH] = authority.guard()
        authority.forget()
        authority.kill()
        for outcome in await measure.all(*(rig.fetcher.get(PATH) for _ in range(5))):
            assert isinstance(outcome, SignInNeeded)
        await sign_in_at(rig.credential)
        assert (await measure.one(rig.fetcher.get(PATH))).status == 200
        assert client_of_grant(rig) == "client-2"
        # Nothing was left to be asked about, so nothing was asked.
        assert rig.server.requests[AUTHORIZE] == 2
        measure.expect(R=1, B=1)


async def test_row_31_a_refusal_of_the_former_client_leaves_the_registration_that_took_its_place(
    tmp_path: Path, measure: Measure
) -> None:
    async with registered(tmp_path, measure) as (rig, authority):
        rig.server.views[PATH] = authority.guard()
        authority.forget()
        # A sign-in that is on its way has registered anew; the grant is still that of the former client.
        waiting = await rig.credential.begin_sign_in(open_browser=False)
        assert "client_id=client-2" in waiting.url
        authority.kill()
        assert isinstance(await measure.one(rig.fetcher.get(PATH)), SignInNeeded)
        await sign_in_at(rig.credential)
        assert client_of_grant(rig) == "client-2"
        assert rig.server.requests[REGISTER] == 2
        measure.expect(R=1, B=1)


@pytest.mark.parametrize(
    "refusal",
    [UNKNOWN, NO_CLIENT, Reply(400, {"error": "unauthorized_client"}), Reply(401, {"error": "invalid_request"})],
)
async def test_row_31_a_registration_that_the_server_forgot_is_made_anew_before_the_browser_is_opened(
    tmp_path: Path, measure: Measure, refusal: Reply
) -> None:
    async with registered(tmp_path, measure) as (rig, authority):
        authority.forget()
        authority.refusal = refusal
        sign_in = await rig.credential.begin_sign_in(open_browser=False)
        assert "client_id=client-2" in sign_in.url
        finishing = asyncio.create_task(sign_in.finish())
        assert (await agree(sign_in)).status_code == 200
        await finishing
        assert client_of_grant(rig) == "client-2"
        # One page a sign-in, and the one question.
        assert rig.server.requests[AUTHORIZE] == 3
        measure.expect(R=0)


@pytest.mark.parametrize(
    "answer",
    [
        Reply(200, "<html>Sign in</html>", {"Content-Type": "text/html"}),
        Reply(302, b"", {"Location": "/login?next=x"}),
        Reply(400, {"error": "invalid_scope"}),
        Reply(400, "<html>Bad request</html>", {"Content-Type": "text/html"}),
        Reply(403, {"error": "access_denied"}),
        Reply(404, {"error": "invalid_client"}),
        Reply(429, {"error": "invalid_client"}),
        Reply(500, {"error": "invalid_client"}),
        Reply(503, b""),
        Reply(401, ["invalid_client"]),
        Reply(401, {"error": ["invalid_client"]}),
        Reply(drop=True),
    ],
)
async def test_row_31_an_answer_that_does_not_say_that_the_client_is_unknown_changes_nothing(
    tmp_path: Path, measure: Measure, answer: Reply
) -> None:
    async with registered(tmp_path, measure) as (rig, _authority):
        honest, rig.server.views[AUTHORIZE] = rig.server.views[AUTHORIZE], answer
        sign_in = await rig.credential.begin_sign_in(open_browser=False)
        rig.server.views[AUTHORIZE] = honest
        finishing = asyncio.create_task(sign_in.finish())
        await agree(sign_in)
        await finishing
        assert client_of_grant(rig) == "client-1"
        assert rig.server.requests[REGISTER] == 1
        measure.expect(R=0)


async def test_row_31_a_server_that_is_silent_about_the_client_is_not_waited_for(
    tmp_path: Path, measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.core.auth.oauth.authorization_server.CLIENT_CHECK_SECONDS", 0.2)
    async with registered(tmp_path, measure) as (rig, _authority):
        silence = asyncio.Event()

        async def silent(request: Request) -> Reply:
            await silence.wait()
            return UNKNOWN

        rig.server.views[AUTHORIZE] = silent
        started = monotonic()
        sign_in = await rig.credential.begin_sign_in(open_browser=False)
        assert 0.2 <= monotonic() - started < 3
        silence.set()
        assert "client_id=client-1" in sign_in.url
        assert rig.server.requests[REGISTER] == 1
        measure.expect(R=0)


async def test_row_31_the_question_is_worth_nothing_to_anybody(tmp_path: Path, measure: Measure) -> None:
    async with registered(tmp_path, measure) as (rig, authority):
        honest = rig.server.views[AUTHORIZE]

        def with_cookie(request: Request) -> Reply:
            assert callable(honest)
            answer = honest(request)
            assert isinstance(answer, Reply)
            return replace(answer, headers={**answer.headers, "Set-Cookie": "sessionid=s; Path=/"})

        rig.server.views[AUTHORIZE] = with_cookie
        for _ in range(2):
            sign_in = await rig.credential.begin_sign_in(open_browser=False)
            asked = rig.server.seen[-1]
            assert asked.path == AUTHORIZE
            assert asked.query["state"][0] not in sign_in.url
            assert asked.query["code_challenge"][0] not in sign_in.url
            # The address is the registered one, where nobody listens.
            assert asked.query["redirect_uri"] == authority.registered[0]["redirect_uris"]
            assert "cookie" not in asked.headers
            assert "authorization" not in asked.headers
        # The code that this server gave away at once was left alone.
        assert rig.server.requests[TOKEN] == 1
        measure.expect(R=0)


async def test_row_31_a_client_that_only_the_token_endpoint_does_not_know_opens_the_page_once_more(
    tmp_path: Path, measure: Measure
) -> None:
    async with registered(tmp_path, measure) as (rig, _authority):
        rig.server.views[TOKEN] = Once(NO_CLIENT, rig.server.views[TOKEN])
        sign_in = await rig.credential.begin_sign_in(open_browser=False)
        first, moved = sign_in.url, asyncio.Event()
        addresses: list[str] = []
        sign_in.url_changed.subscribe(addresses.append)
        sign_in.url_changed.subscribe(lambda _: moved.set())
        finishing = asyncio.create_task(sign_in.finish())
        back = await visit(first)
        await moved.wait()
        assert not finishing.done()
        assert addresses == [sign_in.url]
        assert "client_id=client-2" in sign_in.url
        # The former listener is gone, and the new one listens somewhere else.
        assert parse_qs(urlsplit(sign_in.url).query)["redirect_uri"][0] not in str(back.url)
        with pytest.raises(httpx.ConnectError):
            await visit(str(back.url))
        await agree(sign_in)
        await finishing
        assert client_of_grant(rig) == "client-2"
        measure.expect(R=0)


async def test_row_31_a_server_that_knows_no_client_is_registered_with_once_and_then_left(
    tmp_path: Path, measure: Measure
) -> None:
    async with browser_client(tmp_path) as (rig, authority):
        count(measure, rig, authority)
        authority.known_at_the_token_endpoint = False
        sign_in = await rig.credential.begin_sign_in(open_browser=False)
        moved = asyncio.Event()
        sign_in.url_changed.subscribe(lambda _: moved.set())
        finishing = asyncio.create_task(measure.one(sign_in.finish()))
        await agree(sign_in)
        await moved.wait()
        await agree(sign_in)
        outcome = await finishing
        assert isinstance(outcome, Rejected)
        assert (outcome.facts.code, outcome.facts.attr) == ("invalid_client", None)
        assert rig.server.requests[REGISTER] == 2
        assert rig.credential.status.state is not CredentialState.SIGNED_IN
        measure.expect(R=0, V=1)


async def test_row_31_a_registration_renewed_before_the_browser_is_not_renewed_again_after_it(
    tmp_path: Path, measure: Measure
) -> None:
    async with registered(tmp_path, measure) as (rig, authority):
        authority.forget()
        authority.known_at_the_token_endpoint = False
        sign_in = await rig.credential.begin_sign_in(open_browser=False)
        finishing = asyncio.create_task(measure.one(sign_in.finish()))
        await agree(sign_in)
        assert isinstance(await finishing, Rejected)
        assert rig.server.requests[REGISTER] == 2
        # The grant of before is as it was.
        assert rig.credential.status.state is CredentialState.SIGNED_IN
        measure.expect(R=0, V=1)


async def test_row_31_a_cancelled_sign_in_does_not_open_the_page_once_more(tmp_path: Path, measure: Measure) -> None:
    async with browser_client(tmp_path) as (rig, authority):
        count(measure, rig, authority)
        authority.known_at_the_token_endpoint = False
        sign_in = await rig.credential.begin_sign_in(open_browser=False)
        first = sign_in.url
        honest = rig.server.views[REGISTER]

        def cancelled_meanwhile(request: Request) -> Reply:
            sign_in.cancel()
            assert callable(honest)
            answer = honest(request)
            assert isinstance(answer, Reply)
            return answer

        rig.server.views[REGISTER] = cancelled_meanwhile
        finishing = asyncio.create_task(sign_in.finish())
        await agree(sign_in)
        with pytest.raises(SignInNeeded, match="cancelled"):
            await finishing
        assert sign_in.url == first
        measure.expect(R=0)


async def test_row_31_a_configured_client_id_is_never_replaced(tmp_path: Path, measure: Measure) -> None:
    async with browser_client(tmp_path, client_id="mine") as (rig, authority):
        count(measure, rig, authority)
        await sign_in_at(rig.credential)
        authority.known_at_the_token_endpoint = False
        sign_in = await rig.credential.begin_sign_in(open_browser=False)
        finishing = asyncio.create_task(measure.one(sign_in.finish()))
        await agree(sign_in)
        outcome = await finishing
        assert isinstance(outcome, Rejected)
        assert (outcome.facts.code, outcome.facts.attr) == ("invalid_client", "client_id")
        assert rig.server.requests[REGISTER] == 0
        # Opened twice, never asked about.
        assert rig.server.requests[AUTHORIZE] == 2
        measure.expect(R=0, V=1)


@pytest.mark.parametrize(
    ("refusal", "kind", "attr"),
    [
        (Reply(400, {"error": "invalid_client_metadata"}), Rejected, "client_id"),
        (Reply(403, {"error": "access_denied"}), Rejected, "client_id"),
        (Reply(429, {"detail": "slow down"}, {"Retry-After": "9"}), Throttled, None),
    ],
)
async def test_row_31_a_server_that_takes_no_new_registration_says_so_and_the_grant_stays(
    tmp_path: Path, measure: Measure, refusal: Reply, kind: type[BurrowError], attr: str | None
) -> None:
    async with registered(tmp_path, measure) as (rig, authority):
        authority.forget()
        rig.server.views[REGISTER] = refusal
        failure = await measure.one(rig.credential.begin_sign_in(open_browser=False))
        assert type(failure) is kind
        assert failure.facts.attr == attr
        assert rig.credential.status.state is CredentialState.SIGNED_IN
        measure.expect(R=0, V=1)


async def test_row_31_a_workspace_with_an_empty_folder_is_registered_with_anew(
    start_workspace: Callable[..., RunningWorkspace], tmp_path: Path, measure: Measure
) -> None:
    workspace = start_workspace()
    async with at_workspace(workspace, tmp_path) as (session, fetcher):
        measure.watch_credential(session)
        await sign_in_there(workspace, session)
        former = session.grant
        workspace = made_anew(start_workspace, workspace)
        await sign_in_there(workspace, session)
        assert former is not None
        assert session.grant is not None
        assert session.grant.client_id != former.client_id
        assert (await fetcher.get("/api/users/@me/")).status == 200
        measure.expect(R=0)


async def test_row_40_another_issuer_is_registered_with_anew_and_never_sees_the_former_ones_credentials(
    tmp_path: Path, measure: Measure
) -> None:
    async with registered(tmp_path, measure) as (rig, authority):
        refresh_token = authority.refresh_token
        rig.server.views[PATH] = authority.guard()
        authority.issuer_suffix = "/"
        before = len(rig.server.seen)
        sign_in = await rig.credential.begin_sign_in(open_browser=False)
        assert "client_id=client-2" in sign_in.url
        sign_in.cancel()
        authority.kill()
        for outcome in await measure.all(*(rig.fetcher.get(PATH) for _ in range(5))):
            assert isinstance(outcome, SignInNeeded)
        assert "another issuer" in (rig.credential.status.reason or "")
        await sign_in_at(rig.credential)
        assert (await measure.one(rig.fetcher.get(PATH))).status == 200
        assert rig.credential.grant is not None
        assert rig.credential.grant.issuer == f"{rig.server.origin}/"
        said = [f"{request.query} {request.body.decode()}" for request in rig.server.seen[before:]]
        assert not [words for words in said if refresh_token in words or "client-1" in words]
        measure.expect(R=0, B=1)


async def test_row_40_a_token_endpoint_that_moved_with_its_issuer_gets_no_refresh_token(
    tmp_path: Path, measure: Measure
) -> None:
    async with registered(tmp_path, measure) as (rig, authority):
        rig.server.views[PATH] = authority.guard()
        authority.kill()
        honest = authority._metadata

        def moved(request: Request) -> Reply:
            answer = honest(request)
            assert isinstance(answer.body, dict)
            return Reply(200, {**answer.body, "token_endpoint": f"{rig.server.origin}/v2/token/"})

        rig.server.views[METADATA] = moved
        rig.server.views[TOKEN] = Reply(404, {"error": "gone"})
        authority.issuer_suffix = "/"
        assert isinstance(await measure.one(rig.fetcher.get(PATH)), SignInNeeded)
        assert rig.server.requests["/v2/token/"] == 0
        measure.expect(R=1, B=1)


async def test_row_40_signing_out_tells_another_issuer_nothing(tmp_path: Path, measure: Measure) -> None:
    async with registered(tmp_path, measure) as (rig, authority):
        authority.issuer_suffix = "/"
        sign_in = await rig.credential.begin_sign_in(open_browser=False)
        sign_in.cancel()
        await rig.credential.sign_out()
        assert rig.server.requests[REVOKE] == 0
        measure.expect(R=0)
