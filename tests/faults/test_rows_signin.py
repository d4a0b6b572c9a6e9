"""Rows 87 to 89 and 105 to 108: what other programs, users and servers do to a sign-in."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from app.core.auth.cause import ASKED
from app.core.auth.status import CredentialState
from app.core.errors import ProtocolTrouble, SignInNeeded, SignInRefused
from app.core.posthog.profile import sign_in_with_key
from tests._command import DataFolder
from tests.conftest import RunningWorkspace
from tests.core.conftest import signed_in
from tests.core.scripted import Reply
from tests.faults.authority import REVOKE, TOKEN, browser_client, sign_in_at, visit
from tests.faults.consenting import approve, at_workspace, deny, person_code, sign_in_there
from tests.faults.measure import Measure
from tests.workspace.lab import Lab

SLOW = 256


async def test_row_87_a_response_of_another_server_ends_the_sign_in_at_once_and_its_code_goes_nowhere(
    tmp_path: Path, measure: Measure
) -> None:
    async with browser_client(tmp_path) as (rig, authority):
        measure.watch_credential(rig.credential)
        sign_in = await rig.credential.begin_sign_in(open_browser=False)
        query = parse_qs(urlsplit(sign_in.url).query)
        finishing = asyncio.create_task(sign_in.finish())
        back = f"{query['redirect_uri'][0]}?code=theirs&state={query['state'][0]}&iss=https://evil.example"
        assert "signed in" not in (await visit(back)).text
        with measure.meets(ProtocolTrouble, match="another server"):
            await asyncio.wait_for(finishing, 5)
        assert authority.posts(TOKEN) == []
        measure.expect(R=0, V=1)


async def test_row_88_a_forged_code_signs_nobody_in_and_the_page_says_so(tmp_path: Path, measure: Measure) -> None:
    async with browser_client(tmp_path) as (rig, _):
        measure.watch_credential(rig.credential)
        sign_in = await rig.credential.begin_sign_in(open_browser=False)
        query = parse_qs(urlsplit(sign_in.url).query)
        finishing = asyncio.create_task(sign_in.finish())
        rig.server.views[TOKEN] = Reply(400, {"error": "invalid_grant"})
        back = f"{query['redirect_uri'][0]}?code=forged&state={query['state'][0]}&iss={rig.server.origin}"
        assert "You are not signed in" in (await visit(back)).text
        with measure.meets(SignInRefused) as caught:
            await finishing
        assert caught.value.exit_code == SignInNeeded.exit_code
        measure.expect(R=0, V=1)


async def test_row_89_an_honest_redirect_arrives_beside_256_slow_connections(tmp_path: Path, measure: Measure) -> None:
    async with browser_client(tmp_path) as (rig, _):
        measure.watch_credential(rig.credential)
        sign_in = await rig.credential.begin_sign_in(open_browser=False)
        finishing = asyncio.create_task(sign_in.finish())
        port = urlsplit(parse_qs(urlsplit(sign_in.url).query)["redirect_uri"][0]).port
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(SLOW)]
        for _, writer in slow:
            writer.write(b"GET /")
        assert "You are signed in" in (await visit(sign_in.url)).text
        await finishing
        for _, writer in slow:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        assert rig.credential.status.state is CredentialState.SIGNED_IN
        measure.expect(R=0)


async def test_row_105_only_the_owner_of_the_workspace_can_approve_there(
    workspace: RunningWorkspace, tmp_path: Path, measure: Measure
) -> None:
    async with at_workspace(workspace, tmp_path) as (credential, _):
        measure.watch_credential(credential)
        sign_in = await credential.begin_sign_in(open_browser=False)
        finishing = asyncio.create_task(sign_in.finish())
        async with httpx.AsyncClient(base_url=workspace.url) as other_user:
            page = await other_user.get(sign_in.url)
            csrf = page.text.partition('name="csrf" value="')[2].partition('"')[0]
            form = {"csrf": csrf, "decision": "approve", "access_level": "all", "person_code": "2345-6789"}
            refused = await other_user.post("/oauth/authorize/", data=form)
        assert (refused.status_code, "location" in refused.headers) == (403, False)
        assert "ana@example.org" not in page.text + refused.text
        assert not finishing.done()
        await approve(sign_in.url, workspace.secret)
        await finishing
        measure.expect(R=0)


async def test_row_105_a_page_opened_by_hand_takes_the_code_and_can_be_denied(
    workspace: RunningWorkspace, tmp_path: Path, measure: Measure
) -> None:
    async with at_workspace(workspace, tmp_path) as (credential, _):
        measure.watch_credential(credential)
        sign_in = await credential.begin_sign_in(open_browser=False)
        finishing = asyncio.create_task(sign_in.finish())
        await deny(sign_in.url)
        with measure.meets(SignInNeeded, match="denied"):
            await finishing
        assert person_code(workspace) != person_code(workspace)
        measure.expect(R=0)


REFUSALS = [
    ({"error": "invalid_scope", "error_description": "The scope is\nnot \x1b[31mknown."}, 400, 4),
    ({"error": "unauthorized_client"}, 400, 4),
    ({"error": "invalid_request", "error_description": "x" * 900_000}, 400, 1),
    ({"error": "e" * 900_000}, 400, 1),
    ({"detail": "Not found."}, 404, 6),
]


@pytest.mark.parametrize("number", range(len(REFUSALS)))
async def test_row_106_a_refusal_of_the_token_endpoint_says_what_the_server_said_and_keeps_the_sign_in(
    tmp_path: Path, measure: Measure, number: int
) -> None:
    body, status, exit_code = REFUSALS[number]
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views[TOKEN] = Reply(status, body)
        grant = rig.credential.grant
        assert grant is not None
        with measure.meets(SignInRefused) as caught:
            await rig.credential.refresh(grant.tokens, ASKED)
        failure = caught.value
        assert failure.exit_code == exit_code
        assert "Change the value" not in failure.advice
        assert failure.cause.isprintable()
        assert len(failure.cause) < 500
        if "error_description" in body and status == 400:
            assert body["error_description"].split()[0][:20] in failure.cause
        assert rig.credential.grant is grant
        measure.expect(R=1, V=1)


async def test_row_107_signing_in_again_ends_the_former_access_token_and_keeps_the_new_grant(
    workspace: RunningWorkspace, tmp_path: Path, measure: Measure
) -> None:
    async with at_workspace(workspace, tmp_path) as (credential, fetcher):
        measure.watch_credential(credential)
        await sign_in_there(workspace, credential)
        assert credential.grant is not None
        former = credential.grant.tokens
        await sign_in_there(workspace, credential)
        assert await credential.oauth.refuses(former) is True
        await fetcher.get("/api/users/@me/")
        await credential.refresh(credential.grant.tokens, ASKED)
        await fetcher.get("/api/users/@me/")
        measure.expect(R=0)


async def test_row_107_the_refresh_token_is_revoked_where_that_ends_the_former_grant_alone(
    tmp_path: Path, measure: Measure
) -> None:
    async with browser_client(tmp_path, client_id="given") as (rig, authority):
        measure.watch_credential(rig.credential)
        await sign_in_at(rig.credential)
        assert rig.credential.grant is not None
        former = rig.credential.grant.tokens
        rig.server.views[REVOKE] = Reply(503, "no")
        await sign_in_at(rig.credential)
        assert [request.form["token"] for request in authority.posts(REVOKE)] == [former.refresh_token]
        # Best effort: the new sign-in does not depend on it.
        assert rig.credential.status.state is CredentialState.SIGNED_IN
        await sign_in_with_key(rig.credential, "phx_abcdefghijklmnop")
        assert len(authority.posts(REVOKE)) == 2
        await sign_in_at(rig.credential)
        assert len(authority.posts(REVOKE)) == 2
        measure.expect(R=0)


@pytest.mark.parametrize(
    ("answer", "ended"), [(Reply(200), True), (Reply(503, "no"), False), (Reply(drop=True), False)]
)
async def test_row_107_a_sign_out_says_whether_the_server_was_told(
    tmp_path: Path, measure: Measure, answer: Reply, ended: bool
) -> None:
    async with signed_in(tmp_path) as rig:
        measure.watch(rig)
        rig.server.views[REVOKE] = answer
        assert await rig.credential.sign_out() is ended
        assert rig.server.origin in rig.credential.by_hand
        assert await rig.stored() is None
        measure.expect(R=0)


@pytest.mark.parametrize(("status", "exit_code", "kept"), [(503, 6, True), (401, 3, False)])
def test_row_108_grant_and_remembered_host_are_kept_or_dropped_as_one(
    workspace: RunningWorkspace, tmp_path: Path, measure: Measure, status: int, exit_code: int, kept: bool
) -> None:
    folder = DataFolder(tmp_path)
    with Lab(workspace) as lab:
        key = lab.state()["personal_api_key"]
        body = {"type": "authentication_error", "code": "authentication_failed"}
        lab.switch("path", path="/api/users/@me/", status=status, body=body, times=99)
        login = folder.run("login", "--host", workspace.url, "--token", "-", "--store", "file", stdin=key)
        lab.switch("reset")
    assert login.returncode == exit_code, login.stderr
    # No host is named: the one that is remembered has to be that of the grant.
    after = folder.run("status", "--json")
    assert (after.returncode == 0) is kept
    if kept:
        assert json.loads(after.stdout)["host"] == workspace.url
        assert folder.run("tasks", "list", "--limit", "1").returncode == 0
    else:
        assert not list((tmp_path / "sign-in-unencrypted").glob("*.json"))
    measure.expect(R=0)
