"""Signing in through the browser, against the real workspace: PKCE, state, issuer, cancel, denial, one listener."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from app.core.auth.credential import Credential
from app.core.auth.grant.files import GrantFiles
from app.core.auth.http.clients import HttpClients
from app.core.auth.oauth.authorization_server import AuthorizationServer
from app.core.auth.status import CredentialState
from app.core.auth.vault.vaults import MemoryVault
from app.core.errors import Rejected, SignInNeeded
from app.core.fetcher import Fetcher
from app.core.hosts import Host
from app.core.posthog.profile import posthog_profile, sign_in_with_key, sign_in_with_ticket
from app.core.urls import is_confidential
from tests.conftest import RunningWorkspace
from tests.core.conftest import Remembered


@asynccontextmanager
async def session_on(
    workspace: RunningWorkspace, folder: Path, client_id: str | None = None
) -> AsyncIterator[Credential]:
    host = Host(workspace.url, "Workspace", workspace.url, client_id=client_id)
    transport = HttpClients()
    session = Credential(
        AuthorizationServer(transport, posthog_profile(host)),
        GrantFiles(folder, "grant"),
        Remembered(),
        folder,
        vault=MemoryVault(),
    )
    session.test_transport, session.test_host = transport, host  # type: ignore[attr-defined]
    try:
        yield session
    finally:
        await session.close()
        await transport.close()


async def ticket(workspace: RunningWorkspace) -> str:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{workspace.url}/_tickets", headers={"X-Workspace-Secret": workspace.secret})
        return str(answer.json()["ticket"])


async def consented(workspace: RunningWorkspace, url: str) -> str:
    """What the browser would be sent back to."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{url}&login_ticket={await ticket(workspace)}")
        assert answer.status_code == 302, answer.text
        return str(answer.headers["location"])


async def visit(url: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(url)


@pytest.mark.parametrize("client_id", [None, "burrow-first-party"])
async def test_signing_in_through_the_browser_ends_with_a_token_that_works(
    workspace: RunningWorkspace, tmp_path: Path, client_id: str | None
) -> None:
    async with session_on(workspace, tmp_path, client_id) as session:
        attempt = await session.begin_sign_in(open_browser=False)
        finishing = asyncio.create_task(attempt.finish())
        page = await visit(await consented(workspace, attempt.url))
        await finishing
        assert page.status_code == 200
        assert page.headers["cache-control"] == "no-store"
        assert session.status.state is CredentialState.SIGNED_IN
        fetcher = Fetcher(session.test_transport, session, session.test_host)  # type: ignore[attr-defined]
        me = (await fetcher.get("/api/users/@me/")).decode(dict[str, Any])
        assert me["email"] == "ana@example.org"


@pytest.mark.parametrize("change", [{"state": "forged"}, {"state": "forged", "iss": "https://evil.example"}])
async def test_a_redirect_that_is_not_ours_is_refused_and_does_not_end_the_wait(
    workspace: RunningWorkspace, tmp_path: Path, change: dict[str, str]
) -> None:
    async with session_on(workspace, tmp_path) as session:
        attempt = await session.begin_sign_in(open_browser=False)
        finishing = asyncio.create_task(attempt.finish())
        honest = await consented(workspace, attempt.url)
        parts = urlsplit(honest)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()} | change
        forged = await visit(str(httpx.URL(honest, params=query)))
        assert forged.status_code == 400
        assert not finishing.done()
        await visit(honest)
        await finishing


async def test_a_denial_in_the_browser_is_said_in_plain_words(workspace: RunningWorkspace, tmp_path: Path) -> None:
    async with session_on(workspace, tmp_path) as session:
        attempt = await session.begin_sign_in(open_browser=False)
        finishing = asyncio.create_task(attempt.finish())
        honest = await consented(workspace, attempt.url)
        query = {name: values[0] for name, values in parse_qs(urlsplit(honest).query).items()}
        del query["code"]
        await visit(str(httpx.URL(honest.partition("?")[0], params={**query, "error": "access_denied"})))
        with pytest.raises(SignInNeeded, match="denied"):
            await finishing
        assert session.status.state is not CredentialState.SIGNED_IN


async def test_cancelling_frees_the_listener(workspace: RunningWorkspace, tmp_path: Path) -> None:
    async with session_on(workspace, tmp_path) as session:
        attempt = await session.begin_sign_in(open_browser=False)
        redirect = parse_qs(urlsplit(attempt.url).query)["redirect_uri"][0]
        finishing = asyncio.create_task(attempt.finish())
        attempt.cancel()
        with pytest.raises(SignInNeeded, match="cancelled"):
            await finishing
        with pytest.raises(httpx.ConnectError):
            await visit(redirect)


async def test_a_registration_that_the_server_forgot_is_made_anew(
    start_workspace: Callable[..., RunningWorkspace], tmp_path: Path
) -> None:
    first = start_workspace()
    async with session_on(first, tmp_path) as session:
        metadata = await session.registrar.rediscover()
        registration = await session.registrar.registration(metadata)
        again = await session.registrar.registration(metadata)
        assert registration == again
        await session.registrar.forget_registration()
        assert (await session.registrar.registration(metadata)).client_id != registration.client_id


async def test_a_registration_leaves_room_for_permissions_that_are_asked_for_later(
    workspace: RunningWorkspace, tmp_path: Path
) -> None:
    async with session_on(workspace, tmp_path) as session:
        for asked in ((), ("project:write",)):
            attempt = await session.begin_sign_in(scopes=asked, open_browser=False)
            finishing = asyncio.create_task(attempt.finish())
            await visit(await consented(workspace, attempt.url))
            await finishing
            assert session.grant is not None
            assert ("project:write" in session.grant.tokens.scope.split()) is bool(asked)


async def test_of_two_sign_ins_begun_at_once_one_listens(workspace: RunningWorkspace, tmp_path: Path) -> None:
    async with session_on(workspace, tmp_path) as session:
        await session.registrar.registration(await session.registrar.metadata())
        begun = await asyncio.gather(*(session.begin_sign_in(open_browser=False) for _ in range(2)))
        outcomes = [asyncio.create_task(attempt.finish()) for attempt in begun]
        [over], [listening] = await asyncio.wait(outcomes, return_when=asyncio.FIRST_COMPLETED)
        with pytest.raises(SignInNeeded, match="cancelled"):
            await over
        await visit(await consented(workspace, begun[outcomes.index(listening)].url))
        await listening
        assert session.status.state is CredentialState.SIGNED_IN


async def test_closing_the_session_frees_the_listener_of_a_sign_in_that_nobody_waits_for(
    workspace: RunningWorkspace, tmp_path: Path
) -> None:
    async with session_on(workspace, tmp_path) as session:
        attempt = await session.begin_sign_in(open_browser=False)
        redirect = parse_qs(urlsplit(attempt.url).query)["redirect_uri"][0]
        await session.close()
        with pytest.raises(httpx.ConnectError):
            await visit(redirect)


async def test_a_login_ticket_works_once(workspace: RunningWorkspace, tmp_path: Path) -> None:
    async with session_on(workspace, tmp_path, "burrow-first-party") as session:
        used = await ticket(workspace)
        await sign_in_with_ticket(session, used)
        assert session.status.state is CredentialState.SIGNED_IN
        with pytest.raises(Rejected):
            await sign_in_with_ticket(session, used)


@pytest.mark.parametrize("key", ["", "pha_x", "phx_a b", "phx_é", "phx_\n1"])
async def test_what_cannot_be_an_api_key_is_refused_before_it_is_stored(
    workspace: RunningWorkspace, tmp_path: Path, key: str
) -> None:
    async with session_on(workspace, tmp_path) as session:
        with pytest.raises(Rejected) as caught:
            await sign_in_with_key(session, key)
        assert caught.value.facts.attr == "key"


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://posthog.example/oauth/authorize", True),
        ("http://127.0.0.1:1/x", True),
        ("http://[::1]:1/x", True),
        ("http://posthog.example/x", False),
        ("javascript:alert(1)", False),
        ("file:///etc/passwd", False),
        ("-psn", False),
        ("https://user:pw@posthog.example/", False),
        ("http://127.0.0.1.evil.example/", False),
        ("", False),
    ],
)
def test_only_https_or_this_machine_is_handed_to_the_browser(url: str, safe: bool) -> None:
    assert is_confidential(url) is safe
