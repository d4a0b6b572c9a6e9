"""A dead token is healed once, unseen; only a failed renewal reaches the caller (the fault matrix, in part)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from app.core.auth.cause import ASKED
from app.core.auth.grant.grant import Grant
from app.core.auth.http.target import CredentialAtStake, Target
from app.core.auth.oauth.authorization_server import AuthorizationServer
from app.core.auth.status import CredentialState
from app.core.auth.tokens import TokenSet
from app.core.errors import (
    Offline,
    OutcomeUnknown,
    PermissionMissing,
    Rejected,
    ServerTrouble,
    SignInNeeded,
)
from app.core.posthog.profile import posthog_profile, sign_in_with_key
from tests.clock import StillClock
from tests.core.conftest import client_of, signed_in
from tests.core.scripted import DEAD, Issuer, Reply, Request, ScriptedServer

ENVELOPE = {"type": "authentication_error", "code": "authentication_failed", "detail": "…", "attr": None}


async def test_fifty_requests_on_a_dead_token_cost_one_renewal_and_no_failure(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = rig.issuer.guard()
        rig.issuer.kill()
        answers = await asyncio.gather(*(rig.fetcher.get("/api/x/") for _ in range(50)))
        assert [answer.status for answer in answers] == [200] * 50
        assert (rig.issuer.accepted, rig.issuer.rejected, rig.issuer.revoked) == (1, 0, False)


async def test_a_refusal_that_arrives_after_the_renewal_is_replayed_without_another(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        late = asyncio.Event()

        async def slow(request: Request) -> Reply:
            if request.bearer == "pha_1":
                await late.wait()
                return DEAD
            return Reply(200, {})

        rig.server.views["/api/slow/"] = slow
        rig.server.views["/api/x/"] = rig.issuer.guard()
        rig.issuer.kill()
        straggler = asyncio.create_task(rig.fetcher.get("/api/slow/"))
        await rig.fetcher.get("/api/x/")
        late.set()
        assert (await straggler).status == 200
        assert rig.issuer.accepted == 1


async def test_a_token_past_its_time_is_renewed_before_anything_is_sent(tmp_path: Path) -> None:
    clock = StillClock()
    async with signed_in(tmp_path, clock=clock) as rig:
        rig.server.views["/api/x/"] = rig.issuer.guard()
        clock.advance(4000)
        await asyncio.gather(*(rig.fetcher.get("/api/x/") for _ in range(20)))
        assert rig.issuer.accepted == 1
        assert not [request for request in rig.server.seen if request.bearer == "pha_1"]


async def test_a_cancelled_caller_does_not_cancel_the_renewal_of_the_others(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = rig.issuer.guard()
        rig.issuer.kill()
        rig.issuer.gate = asyncio.Event()
        first = asyncio.create_task(rig.fetcher.get("/api/x/"))
        second = asyncio.create_task(rig.fetcher.get("/api/x/"))
        await rig.issuer.reached.wait()
        first.cancel()
        rig.issuer.gate.set()
        assert (await second).status == 200
        assert rig.issuer.accepted == 1
        assert await rig.stored_refresh_token() == "phr_2"


async def test_closing_waits_until_a_renewal_under_way_is_stored(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        rig.issuer.gate = asyncio.Event()
        assert rig.credential.grant is not None
        renewal = asyncio.create_task(rig.credential.refresh(rig.credential.grant.tokens, ASKED))
        await rig.issuer.reached.wait()
        rig.issuer.gate.set()
        await rig.credential.close()
        await asyncio.gather(renewal, return_exceptions=True)
        assert await rig.stored_refresh_token() == "phr_2"


async def test_a_request_refused_again_after_healing_is_not_renewed_again(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = DEAD
        with pytest.raises(ServerTrouble):
            await rig.fetcher.get("/api/x/")
        assert rig.issuer.accepted == 1
        assert rig.server.requests["/api/x/"] == 2
        assert rig.credential.status.state is CredentialState.SIGNED_IN


async def test_the_brake_stops_a_grant_that_is_renewed_and_refused_for_ever(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = DEAD
        for _ in range(10):
            rig.credential.wake()
            with pytest.raises(ServerTrouble):
                await rig.fetcher.get("/api/x/")
        assert rig.issuer.accepted == 3


@pytest.mark.parametrize(
    "refusal",
    [
        Reply(401, ENVELOPE),
        Reply(403, ENVELOPE),
        Reply(401, "Invalid API key"),
        Reply(401, "OAuth token is inactive"),
        Reply(401, b""),
        Reply(401, "x", {"WWW-Authenticate": 'Bearer error="invalid_token"'}),
    ],
)
async def test_every_shape_of_a_dead_token_is_healed(tmp_path: Path, refusal: Reply) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = rig.issuer.guard(refusal)
        rig.issuer.kill()
        assert (await rig.fetcher.get("/api/x/")).status == 200
        assert rig.issuer.accepted == 1


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (Reply(403, {**ENVELOPE, "code": "permission_denied", "detail": "No."}), PermissionMissing),
        (Reply(403, "<html>blocked</html>", {"Content-Type": "text/html"}), ServerTrouble),
        (Reply(407, "proxy"), ServerTrouble),
        (Reply(401, "x", {"WWW-Authenticate": "Basic realm=x"}), ServerTrouble),
        (Reply(401, "x", {"WWW-Authenticate": 'Bearer error="invalid_request"'}), ServerTrouble),
        (Reply(403, "x", {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}), PermissionMissing),
        (Reply(400, {"code": "required", "attr": "title", "detail": "Missing."}), Rejected),
    ],
)
async def test_what_a_renewal_cannot_mend_never_causes_one(tmp_path: Path, refusal: Reply, error: Any) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = refusal
        for _ in range(5):
            with pytest.raises(error):
                await rig.fetcher.get("/api/x/")
        assert rig.server.requests["/oauth/token/"] == 0


async def test_a_revoked_grant_ends_the_session_once_for_all_who_wait(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = rig.issuer.guard()
        rig.issuer.revoked = True
        told: list[CredentialState] = []
        rig.credential.changed.subscribe(lambda status: told.append(status.state))
        failures = await asyncio.gather(*(rig.fetcher.get("/api/x/") for _ in range(20)), return_exceptions=True)
        assert {type(failure) for failure in failures} == {SignInNeeded}
        assert rig.server.requests["/oauth/token/"] == 1
        assert rig.credential.status.state is CredentialState.NEEDS_SIGN_IN
        assert [state for state in told if state is CredentialState.NEEDS_SIGN_IN]
        with pytest.raises(SignInNeeded):
            await rig.fetcher.get("/api/x/")
        assert rig.server.requests["/oauth/token/"] == 1
        assert await rig.vault.read(rig.name) is None


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A renewal is tried again at once. Row 24 proves how long it waits."""
    monkeypatch.setattr("app.core.auth.grant.refresh.PAUSES", (0.01, 0.01))


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize(
    "trouble",
    [
        Reply(503, {"error": "temporarily_unavailable"}),
        Reply(500, "<html>oops</html>"),
        Reply(429, {"detail": "slow down"}, {"Retry-After": "0"}),
        Reply(200, "<html>log in to the hotel</html>"),
        Reply(drop=True),
    ],
)
async def test_trouble_at_the_token_endpoint_passes_unseen(tmp_path: Path, trouble: Reply) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = rig.issuer.guard()
        rig.issuer.kill()
        rig.issuer.script = [trouble, trouble]
        assert (await rig.fetcher.get("/api/x/")).status == 200


@pytest.mark.usefixtures("short_pauses")
async def test_a_token_endpoint_that_stays_down_costs_an_error_but_not_the_session(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = rig.issuer.guard()
        rig.issuer.kill()
        rig.issuer.script = [Reply(503, {"error": "temporarily_unavailable"})] * 3
        with pytest.raises(ServerTrouble):
            await rig.fetcher.get("/api/x/")
        assert rig.credential.status.state is CredentialState.SIGNED_IN
        assert rig.credential.status.trouble == "server"
        rig.credential.wake()
        assert (await rig.fetcher.get("/api/x/")).status == 200
        assert rig.credential.status.trouble is None


async def test_a_renewal_whose_reply_was_lost_is_repeated_inside_the_grace(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = rig.issuer.guard()
        rig.issuer.kill()
        token = rig.server.views["/oauth/token/"]
        lost: list[bool] = []

        def lose_one(request: Request) -> Any:
            if not lost:
                lost.append(True)
                rig.issuer.renewal(request.form["refresh_token"])
                return Reply(drop=True)
            assert callable(token)
            return token(request)

        rig.server.views["/oauth/token/"] = lose_one
        assert (await rig.fetcher.get("/api/x/")).status == 200
        assert (rig.issuer.accepted, rig.issuer.rejected) == (1, 0)


@pytest.mark.usefixtures("short_pauses")
async def test_a_token_endpoint_that_redirects_never_sees_the_refresh_token_elsewhere(tmp_path: Path) -> None:
    async with ScriptedServer() as elsewhere, signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = rig.issuer.guard()
        rig.issuer.kill()
        rig.issuer.script = [Reply(307, b"", {"Location": f"{elsewhere.origin}/oauth/token/"})] * 3
        with pytest.raises(ServerTrouble):
            await rig.fetcher.get("/api/x/")
        assert not elsewhere.seen


@pytest.mark.parametrize("lifetime", [None, "soon", 0, -5, True])
async def test_an_unknown_lifetime_makes_no_renewal_loop(tmp_path: Path, lifetime: object) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = rig.issuer.guard()
        rig.issuer.extra = {"expires_in": lifetime}
        rig.issuer.kill()
        for _ in range(5):
            await rig.fetcher.get("/api/x/")
        assert rig.issuer.accepted == 1


async def test_a_short_life_is_not_renewed_at_every_request(tmp_path: Path) -> None:
    async with signed_in(tmp_path, lifetime=30) as rig:
        rig.server.views["/api/x/"] = rig.issuer.guard()
        for _ in range(10):
            await rig.fetcher.get("/api/x/")
        assert rig.issuer.accepted == 0


async def test_a_renewal_without_a_refresh_token_keeps_the_old_one(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        rig.issuer.extra = {"refresh_token": None}
        assert rig.credential.grant is not None
        await rig.credential.refresh(rig.credential.grant.tokens, ASKED)
        assert rig.credential.grant.tokens.refresh_token == "phr_1"


async def test_what_another_process_renewed_is_adopted(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        other = client_of(rig.server, rig.issuer, tmp_path, vault=rig.vault, remembered=rig.remembered)
        try:
            await other.credential.restore()
            assert other.credential.grant is not None
            await other.credential.refresh(other.credential.grant.tokens, ASKED)
            rig.server.views["/api/x/"] = rig.issuer.guard()
            assert (await rig.fetcher.get("/api/x/")).status == 200
            assert (rig.issuer.accepted, rig.issuer.rejected) == (1, 0)
        finally:
            await other.credential.close()
            await other.transport.close()


async def test_a_grant_ended_by_another_process_is_not_brought_back(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        other = client_of(rig.server, rig.issuer, tmp_path, vault=rig.vault, remembered=rig.remembered)
        try:
            await other.credential.restore()
            await other.credential.sign_out()
            rig.server.views["/api/x/"] = DEAD
            with pytest.raises(SignInNeeded):
                await rig.fetcher.get("/api/x/")
            assert rig.issuer.accepted == 0
            assert await rig.vault.read(rig.name) is None
        finally:
            await other.credential.close()
            await other.transport.close()


async def test_another_token_on_a_request_to_a_foreign_host_is_taken_off(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig, ScriptedServer() as stranger:
        client = await rig.transport.client()
        foreign = {"Authorization": "Bearer somebody's"}
        auth = rig.credential.auth(Target(rig.host.token_origins))
        await client.get(f"{stranger.origin}/api/x/", headers=foreign, auth=auth)
        assert [request.bearer for request in stranger.seen] == [""]


async def test_the_token_goes_to_its_own_host_only(tmp_path: Path) -> None:
    async with ScriptedServer() as stranger, signed_in(tmp_path) as rig:
        stranger.views["/api/x/"] = Reply(200, {})
        with pytest.raises(Rejected):
            await rig.fetcher.get(f"{stranger.origin}/api/x/")
        client = await rig.transport.client()
        await client.get(f"{stranger.origin}/api/x/", auth=rig.credential.auth(Target(rig.host.token_origins)))
        assert [request.bearer for request in stranger.seen] == [""]


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    async with ScriptedServer() as stranger, signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = Reply(307, b"", {"Location": f"{stranger.origin}/api/x/"})
        with pytest.raises(ServerTrouble):
            await rig.fetcher.post("/api/x/", {"a": 1})
        assert not stranger.seen


async def test_a_broken_connection_after_a_post_says_that_the_outcome_is_unknown(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = Reply(drop=True)
        with pytest.raises(OutcomeUnknown):
            await rig.fetcher.post("/api/x/", {})
        assert rig.server.requests["/api/x/"] == 1


async def test_a_broken_connection_after_a_get_is_tried_once_more(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        replies = [Reply(drop=True), Reply(200, {})]
        rig.server.views["/api/x/"] = lambda request: replies.pop(0)
        assert (await rig.fetcher.get("/api/x/")).status == 200


async def test_a_post_refused_before_it_ran_is_replayed_with_its_body(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = rig.issuer.guard()
        rig.issuer.kill()
        await rig.fetcher.post("/api/x/", {"title": "a"})
        bodies = [request.body for request in rig.server.seen if request.path == "/api/x/"]
        assert bodies == [b'{"title":"a"}'] * 2


async def test_a_host_that_is_gone_is_offline_and_costs_no_sign_in(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        await rig.server.__aexit__()
        with pytest.raises(Offline):
            await rig.fetcher.get("/api/x/")
        assert rig.credential.status.state is CredentialState.SIGNED_IN
        assert rig.credential.status.trouble == "offline"


async def test_an_unknown_client_id_that_a_person_configured_keeps_the_session(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        rig.server.views["/api/x/"] = rig.issuer.guard()
        rig.issuer.kill()
        rig.issuer.script = [Reply(401, {"error": "invalid_client"})]
        with pytest.raises(Rejected) as caught:
            await rig.fetcher.get("/api/x/")
        assert caught.value.facts.attr == "client_id"
        assert rig.credential.status.state is CredentialState.SIGNED_IN


async def test_a_refused_api_key_is_never_renewed(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        await sign_in_with_key(rig.credential, "phx_secret")
        rig.server.views["/api/x/"] = Reply(
            401,
            {**ENVELOPE, "detail": "Personal API key found in request Authorization header is invalid."},
        )
        with pytest.raises(SignInNeeded):
            await rig.fetcher.get("/api/x/")
        assert rig.server.requests["/oauth/token/"] == 0
        assert rig.credential.status.state is CredentialState.NEEDS_SIGN_IN


JSONRPC_FAILURE = {
    "jsonrpc": "2.0",
    "id": 1,
    "result": {
        "isError": True,
        "content": [{"type": "text", "text": '{"type":"authentication_error","code":"authentication_failed"}'}],
    },
}


@pytest.mark.parametrize("as_events", [False, True])
async def test_a_json_rpc_failure_inside_a_200_is_healed(tmp_path: Path, as_events: bool) -> None:
    import json

    async with signed_in(tmp_path) as rig:
        text = json.dumps(JSONRPC_FAILURE)
        headers = {"Content-Type": "text/event-stream" if as_events else "application/json"}
        failure = Reply(200, f"event: message\r\ndata: {text}\r\n\r\n" if as_events else text, headers)
        rig.server.views["/mcp"] = rig.issuer.guard(failure)
        rig.issuer.kill()
        client = await rig.transport.client()
        target = Target(rig.host.token_origins, jsonrpc=True, reports_own_auth=True)
        answer = await client.post(f"{rig.server.origin}/mcp", json={}, auth=rig.credential.auth(target))
        assert answer.json() == {"ok": True}
        assert rig.issuer.accepted == 1


@pytest.mark.parametrize("owner", list(CredentialAtStake))
async def test_a_result_that_only_quotes_the_words_passes_byte_for_byte(
    tmp_path: Path, owner: CredentialAtStake
) -> None:
    quoting = (
        b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text",'
        b'"text":"the code is \\"authentication_failed\\" in that case"}]}}'
    )
    async with signed_in(tmp_path) as rig:
        rig.server.views["/mcp"] = Reply(200, quoting, {"Content-Type": "application/json"})
        client = await rig.transport.client()
        target = Target(rig.host.token_origins, owner, jsonrpc=True, reports_own_auth=True)
        answer = await client.post(f"{rig.server.origin}/mcp", json={}, auth=rig.credential.auth(target))
        assert answer.content == quoting
        assert rig.issuer.accepted == 0


async def test_a_failing_auth_layer_returns_the_original_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with signed_in(tmp_path) as rig:

        async def broken(*_: object) -> TokenSet:
            raise RuntimeError("bug")

        monkeypatch.setattr(rig.credential, "refresh", broken)
        rig.server.views["/mcp"] = DEAD
        client = await rig.transport.client()
        auth = rig.credential.auth(Target(rig.host.token_origins, jsonrpc=True))
        assert (await client.post(f"{rig.server.origin}/mcp", json={}, auth=auth)).status_code == 401
        assert "the refusal could not be handled" in caplog.text


async def test_a_session_restores_what_was_stored_and_needs_no_network(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        again = client_of(rig.server, rig.issuer, tmp_path, vault=rig.vault, remembered=rig.remembered)
        before = len(rig.server.seen)
        await again.credential.restore()
        assert again.credential.status.state is CredentialState.SIGNED_IN
        assert len(rig.server.seen) == before
        await again.credential.close()
        await again.transport.close()


async def test_an_unreadable_stored_grant_asks_for_one_sign_in_and_is_not_written_over(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        await rig.vault.write(rig.name, "{torn")
        again = client_of(rig.server, rig.issuer, tmp_path, vault=rig.vault, remembered=rig.remembered)
        await again.credential.restore()
        assert again.credential.status.state is CredentialState.NEEDS_SIGN_IN
        assert await rig.vault.read(rig.name) == "{torn"
        await again.credential.close()


def test_a_token_set_shows_no_secret_in_its_repr() -> None:
    text = repr(TokenSet("pha_secret", "phr_secret"))
    assert "secret" not in text
    assert "secret" not in repr(Grant(TokenSet("pha_secret", "phr_secret"), "client"))


async def test_metadata_that_names_another_server_is_refused(tmp_path: Path) -> None:
    async with ScriptedServer() as server:
        issuer = Issuer(server)
        rig = client_of(server, issuer, tmp_path)
        view = server.views["/.well-known/oauth-authorization-server"]
        assert callable(view)
        honest = view(Request("GET", "/", {}, {}, b""))
        assert isinstance(honest, Reply)
        assert isinstance(honest.body, dict)
        for change in (
            {"issuer": "https://evil.example"},
            {"token_endpoint": "https://evil.example/token"},
            {"code_challenge_methods_supported": ["plain"]},
            {"authorization_endpoint": "javascript:alert(1)"},
        ):
            server.views["/.well-known/oauth-authorization-server"] = Reply(200, {**honest.body, **change})
            with pytest.raises(Exception, match=r"names|calls|PKCE"):
                await AuthorizationServer(rig.transport, posthog_profile(rig.host)).discover()
        await rig.transport.close()
