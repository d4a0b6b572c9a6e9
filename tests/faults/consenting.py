"""A session on a real workspace, and a person who agrees there without looking at the page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from app.core.auth.credential import Credential
from app.core.auth.grant.files import GrantFiles
from app.core.auth.http.clients import HttpClients
from app.core.auth.oauth.authorization_server import AuthorizationServer
from app.core.auth.vault.vaults import MemoryVault
from app.core.fetcher import Fetcher
from app.core.hosts import Host
from app.core.posthog.profile import posthog_profile
from tests.conftest import RunningWorkspace
from tests.core.conftest import Remembered


@asynccontextmanager
async def at_workspace(workspace: RunningWorkspace, folder: Path) -> AsyncIterator[tuple[Credential, Fetcher]]:
    """A client that registers itself there, signed out so far."""
    host = Host(workspace.url, "Workspace", workspace.url, f"{workspace.url}/mcp")
    transport = HttpClients()
    oauth = AuthorizationServer(transport, posthog_profile(host))
    session = Credential(oauth, GrantFiles(folder, "grant"), Remembered(), folder, vault=MemoryVault())
    try:
        yield session, Fetcher(transport, session, host)
    finally:
        await session.close()
        await transport.close()


async def approve(address: str, secret: str) -> None:
    """Agree at a consent page, with a login ticket in place of a click, and go where the browser is sent."""
    async with httpx.AsyncClient(trust_env=False, base_url=_origin(address)) as browser:
        ticket = (await browser.post("/_tickets", headers={"X-Workspace-Secret": secret})).json()["ticket"]
        await _go_back(browser, await browser.get(f"{address}&login_ticket={ticket}"))


def person_code(workspace: RunningWorkspace) -> str:
    """What the person types into a consent page that they opened by hand."""
    answer = httpx.post(
        f"{workspace.url}/_tickets/code", headers={"X-Workspace-Secret": workspace.secret}, trust_env=False
    )
    return str(answer.json()["code"])


async def deny(address: str) -> None:
    """Press the other button of a consent page, and go where the browser is sent."""
    async with httpx.AsyncClient(trust_env=False, base_url=_origin(address)) as browser:
        csrf = (await browser.get(address)).text.partition('name="csrf" value="')[2].partition('"')[0]
        form = {"csrf": csrf, "decision": "deny"}
        await _go_back(browser, await browser.post("/oauth/authorize/", data=form))


async def _go_back(browser: httpx.AsyncClient, answer: httpx.Response) -> None:
    assert answer.status_code == 302, answer.text
    assert (await browser.get(answer.headers["location"])).status_code == 200


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


async def sign_in_there(workspace: RunningWorkspace, session: Credential, scopes: Iterable[str] = ()) -> None:
    """The whole way: to the browser, there, and back."""
    sign_in = await session.begin_sign_in(scopes=scopes, open_browser=False)
    finishing = asyncio.create_task(sign_in.finish())
    await approve(sign_in.url, workspace.secret)
    await finishing


def made_anew(start: Callable[..., RunningWorkspace], workspace: RunningWorkspace) -> RunningWorkspace:
    """A workspace at the same address that remembers nothing of the former one."""
    assert workspace.process.stdin is not None
    workspace.process.stdin.close()
    workspace.process.wait(10)
    return start("--port", str(urlsplit(workspace.url).port))
