"""A client of the proxy never sees a dead token. What cannot be healed is a typed error, never a refusal of ours."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.core.auth.grant.grant import Grant
from app.core.auth.http.target import CredentialAtStake
from app.core.auth.tokens import TokenSet
from app.core.mcp.proxy import routes
from app.core.mcp.proxy.healing import Outgoing
from app.core.mcp.proxy.parts import Call
from app.core.mcp.proxy.refusals import RequestRefused
from tests.core.proxy._relay import KEY, McpView, call_of, event, events, proxied, upstream_of
from tests.core.scripted import DEAD, Reply, ScriptedServer
from tests.until import until

ENVELOPE = {"type": "authentication_error", "code": "authentication_failed", "detail": "…", "attr": None}
RPC = {"jsonrpc": "2.0", "id": 7, "error": {"code": -32001, "message": "dead", "data": ENVELOPE}}
TOOL = {"jsonrpc": "2.0", "id": 7, "result": {"isError": True, "content": [], "structuredContent": ENVELOPE}}
CHECK = "/api/users/@me/"
VENDOR = Reply(401, {"error": "vendor says no"})


@pytest.mark.parametrize(
    "refusal",
    [
        DEAD,
        Reply(403, ENVELOPE),
        Reply(401, "Invalid API key"),
        Reply(401, b"", {"WWW-Authenticate": 'Bearer error="invalid_token"'}),
        Reply(200, RPC),
        Reply(200, TOOL),
        events(RPC),
        events(b": ping\n\nid: 1\ndata:\n\n", RPC),
    ],
    ids=["envelope", "403", "plain", "challenge", "error", "result", "stream", "stream after a comment"],
)
@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
async def test_every_shape_of_a_dead_token_is_healed_unseen(tmp_path: Path, refusal: Reply, stream: bool) -> None:
    async with proxied(tmp_path) as (rig, view, proxy):
        view.refusal, view.stream = refusal, stream
        rig.issuer.kill()
        got = await proxy.call()
        assert got.status_code == 200
        text = got.text
        final = json.loads(text.split("data: ")[-1] if "data: " in text else text)
        assert final["result"]["content"][0]["text"] == "done"
        assert "authentication_failed" not in text
        assert (rig.issuer.accepted, view.executed[7]) == (1, 1)


async def test_a_token_past_its_time_is_renewed_before_anything_is_sent(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (rig, view, proxy):
        grant = rig.credential.grant
        assert grant is not None
        stale = TokenSet("pha_1", "phr_1", issued_at=1.0, expires_at=2.0, generation=1)
        await rig.credential.sign_in(Grant(stale, "client"), "test")
        assert (await proxy.call()).status_code == 200
        assert [request.bearer for request in view.seen] == ["pha_2"]


async def test_words_about_dead_tokens_in_the_middle_of_an_answer_are_data(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (rig, view, proxy):
        quoted = {
            "jsonrpc": "2.0",
            "id": 7,
            "result": {"content": [{"type": "text", "text": json.dumps(ENVELOPE) + "."}]},
        }
        note = {"jsonrpc": "2.0", "method": "notifications/message", "params": {}}
        view.answers = [Reply(200, quoted), events(note, RPC)]
        assert (await proxy.call()).json() == quoted
        assert (await proxy.call()).content == event(note) + event(RPC)
        assert rig.issuer.accepted == 0


async def test_a_vendors_failure_passes_through_and_is_told_once(tmp_path: Path) -> None:
    async with proxied(tmp_path, at_stake=CredentialAtStake.VENDOR_BEHIND) as (rig, view, proxy):
        rig.server.views[CHECK] = Reply(200, {"uuid": "ana"})
        view.answers = [VENDOR] * 3
        for _ in range(3):
            got = await proxy.call()
            assert (got.status_code, got.json()) == (401, {"error": "vendor says no"})
        view.answers = [Reply(403, {"error": "Authentication failed"})]
        assert (await proxy.call()).status_code == 403
        assert proxy.host.vendor_sign_ins == ["s"]
        assert (await proxy.call()).status_code == 200
        view.answers = [VENDOR]
        assert (await proxy.call()).status_code == 401
        await until(lambda: proxy.host.vendor_sign_ins == ["s", "s"])
        assert rig.issuer.accepted == 0


async def test_an_ambiguous_refusal_of_a_dead_token_is_healed(tmp_path: Path) -> None:
    async with proxied(tmp_path, at_stake=CredentialAtStake.VENDOR_BEHIND) as (rig, view, proxy):
        rig.server.views[CHECK] = DEAD
        view.refusal = VENDOR
        rig.issuer.kill()
        assert (await proxy.call()).json()["result"]
        assert rig.issuer.accepted == 1
        assert not proxy.host.vendor_sign_ins


async def test_an_ambiguous_refusal_that_nobody_settles_is_no_refusal_for_the_client(tmp_path: Path) -> None:
    async with proxied(tmp_path, at_stake=CredentialAtStake.VENDOR_BEHIND) as (rig, view, proxy):
        rig.server.views[CHECK] = Reply(503)
        view.answers = [VENDOR]
        got = await proxy.call()
        assert (got.status_code, got.json()["error"]["code"]) == (200, -32013)
        assert rig.issuer.accepted == 0


async def test_a_server_that_refuses_every_token_costs_one_renewal_and_a_typed_error(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (rig, view, proxy):
        view.answers = [DEAD, DEAD]
        got = await proxy.call()
        assert (got.status_code, got.json()["error"]["code"]) == (200, -32013)
        assert rig.issuer.accepted == 1


async def test_a_permission_that_is_missing_is_the_clients_to_see(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (rig, view, proxy):
        refusal = {**ENVELOPE, "code": "permission_denied", "detail": "No."}
        view.answers = [Reply(403, refusal)] * 2
        for _ in range(2):
            got = await proxy.call()
            assert (got.status_code, got.json()) == (403, refusal)
        assert rig.issuer.accepted == 0


async def test_a_renewal_that_hangs_is_waited_for_by_the_first_and_not_by_those_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(routes, "SHORT_PATIENCE_SECONDS", 0.02)
    async with proxied(tmp_path) as (rig, view, proxy):
        rig.issuer.gate = asyncio.Event()
        rig.issuer.kill()
        for _ in range(2):
            got = await proxy.call()
            assert (got.status_code, got.json()["error"]["code"]) == (200, -32013)
        assert not view.executed
        # It went on meanwhile.
        rig.issuer.gate.set()
        await until(lambda: rig.issuer.accepted == 1 and rig.credential.fresh_token() is not None)
        await until(lambda: rig.credential.grant is not None and rig.credential.grant.tokens.access_token == "pha_2")
        assert (await proxy.call()).json()["result"]
        assert rig.issuer.accepted == 1


async def test_trouble_at_the_token_endpoint_that_passes_is_not_seen(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (rig, _, proxy):
        rig.issuer.script = [Reply(503, {"error": "temporarily_unavailable"})] * 2
        rig.issuer.kill()
        assert (await proxy.call()).json()["result"]


async def test_a_bug_in_the_layer_that_heals_leaves_the_servers_own_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with proxied(tmp_path) as (rig, view, proxy):
        view.answers = [DEAD] * 3

        def bug(*_: Any) -> Any:
            raise RuntimeError("a bug")

        for broken in ("fresh_token", "refresh"):
            with monkeypatch.context() as patch:
                patch.setattr(rig.credential, broken, bug)
                got = await proxy.call()
                assert (got.status_code, got.json()) == (401, DEAD.body), broken
                assert "www-authenticate" not in got.headers
        with monkeypatch.context() as patch:
            patch.setattr("app.core.auth.http.recovery.classify", bug)
            assert (await proxy.call()).status_code == 401
        assert "a bug" in caplog.text
        with monkeypatch.context() as patch:
            patch.setattr(rig.credential, "accepted", bug)
            assert (await proxy.call()).json()["result"]
        assert (await proxy.call()).json()["result"]


async def test_two_servers_of_one_client_fail_and_heal_each_by_itself(tmp_path: Path) -> None:
    async with proxied(tmp_path, at_stake=CredentialAtStake.VENDOR_BEHIND) as (rig, view, proxy):
        rig.server.views[CHECK] = Reply(200, {"uuid": "ana"})
        other = McpView(rig)
        rig.server.views["/other"] = other
        proxy.host.upstreams["t"] = upstream_of(rig, "t", "/other")
        view.answers = [VENDOR] * 5
        dead, alive = await asyncio.gather(
            asyncio.gather(*(proxy.call() for _ in range(5))),
            asyncio.gather(*(proxy.call(server="t", identity=n) for n in range(5))),
        )
        assert {got.status_code for got in dead} == {401}
        assert all(got.json()["result"] for got in alive)
        assert proxy.host.vendor_sign_ins == ["s"]


async def test_a_server_that_asks_for_a_sign_in_that_there_never_was_has_the_user_told(tmp_path: Path) -> None:
    async with proxied(tmp_path, source=None, at_stake=CredentialAtStake.UNMANAGED) as (rig, view, proxy):
        view.answers = [Reply(401, {"error": "mine"}, {"WWW-Authenticate": "Bearer"})]
        got = await proxy.call()
        assert got.json()["error"]["data"]["type"] == "burrow/sign_in_needed"
        assert "authorization" not in view.seen[0].headers
        assert proxy.host.sign_ins == ["s"]
        assert rig.issuer.accepted == 0


async def test_a_server_without_a_sign_in_of_ours_says_what_it_says(tmp_path: Path) -> None:
    async with proxied(tmp_path, source=None, at_stake=CredentialAtStake.UNMANAGED) as (_rig, view, proxy):
        view.answers = [Reply(403, {"error": "mine"})]
        got = await proxy.call()
        assert (got.status_code, got.json()) == (403, {"error": "mine"})
        assert not proxy.host.sign_ins


async def test_a_key_that_is_refused_asks_for_a_sign_in(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (_, view, proxy):
        view.answers = [Reply(401, {**ENVELOPE, "detail": "Personal API key found in request but is invalid."})]
        got = await proxy.post(call_of("count"))
        assert got.json()["error"]["data"]["type"] == "burrow/sign_in_needed"
        assert proxy.host.sign_ins == ["s"]


async def test_neither_key_nor_token_is_in_a_log_or_a_repr(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []

    class Bridge:
        def takes(self, call: Call) -> bool:
            seen.append(repr(call))
            return False

        async def refuse(self, *_: Any) -> bool:
            return False

    async with proxied(tmp_path) as (rig, view, proxy):
        proxy.relay._bridges = (Bridge(),)  # type: ignore[assignment]
        view.sessions = True
        token = "pha_" + "canary" * 5
        rig.issuer.pair = {**rig.issuer.pair, "access_token": token}
        grant = rig.credential.grant
        assert grant is not None
        await rig.credential.sign_in(replace(grant, tokens=replace(grant.tokens, access_token=token)), "test")
        session = await proxy.initialize()
        assert view.seen[0].bearer == token
        view.answers = [Reply(drop=True), DEAD, Reply(500, token), Reply(302, b"", {"Location": token}), Reply(999)]
        for _ in range(8):
            await proxy.call(mcp_session_id=session)
        view.restart()
        await proxy.call(mcp_session_id=session)
        await rig.server.go_away()
        await proxy.call(mcp_session_id=session)
        await rig.server.come_back()
        live = rig.issuer.access_token
    written = caplog.text + "".join(seen) + "".join(repr(record.args) for record in caplog.records)
    assert seen
    for secret in (KEY, token, f"Bearer {live}"):
        assert secret not in written


async def test_a_token_goes_to_no_other_origin_than_its_servers(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (rig, _, proxy), ScriptedServer() as stranger:
        route = proxy.relay._routes.to(upstream_of(rig))
        for url in (f"{stranger.origin}/mcp", f"{rig.server.origin}@{stranger.origin[7:]}/mcp"):
            with pytest.raises(RequestRefused):
                await proxy.relay._healing.ask(Outgoing(route, "POST", (), b"{}", url=url))
        # A server whose token belongs elsewhere gets none.
        proxy.host.upstreams["t"] = replace(upstream_of(rig, "t"), url=f"{stranger.origin}/mcp")
        await proxy.call(server="t")
        assert [request.headers.get("authorization") for request in stranger.seen] == [None]
