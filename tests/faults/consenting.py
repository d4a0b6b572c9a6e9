"""A session on a real workspace, and a person who agrees there without looking at the page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from app.core.auth.oauth import OAuth
from app.core.auth.session import Session
from app.core.auth.shared import Shared
from app.core.auth.signin import SignIn
from app.core.auth.transport import Transport
from app.core.auth.vault import MemoryVault
from app.core.fetcher import Fetcher
from app.core.hosts import Host
from tests.conftest import RunningWorkspace
from tests.core.conftest import Remembered


@asynccontextmanager
async def at_workspace(workspace: RunningWorkspace, folder: Path) -> AsyncIterator[tuple[Session, Fetcher]]:
    """A client that registers itself there, signed out so far."""
    host = Host(workspace.url, "Workspace", workspace.url, f"{workspace.url}/mcp")
    transport = Transport()
    oauth = OAuth(transport, host.origin)
    session = Session(host, oauth, Shared.at(folder, "grant"), Remembered(), folder, vault=MemoryVault())
    try:
        yield session, Fetcher(transport, session, host)
    finally:
        await session.close()
        await transport.close()


async def approve(workspace: RunningWorkspace, sign_in: SignIn) -> None:
    """Agree to what is asked, with a login ticket in place of the page, and go where the browser is sent."""
    async with httpx.AsyncClient() as browser:
        headers = {"X-Workspace-Secret": workspace.secret}
        ticket = (await browser.post(f"{workspace.url}/_tickets", headers=headers)).json()["ticket"]
        answer = await browser.get(f"{sign_in.url}&login_ticket={ticket}")
        assert answer.status_code == 302, answer.text
        assert (await browser.get(answer.headers["location"])).status_code == 200


async def sign_in_there(workspace: RunningWorkspace, session: Session, scopes: Iterable[str] = ()) -> None:
    """The whole way: to the browser, there, and back."""
    sign_in = await session.begin_sign_in(scopes=scopes, open_browser=False)
    finishing = asyncio.create_task(sign_in.finish())
    await approve(workspace, sign_in)
    await finishing


def made_anew(start: Callable[..., RunningWorkspace], workspace: RunningWorkspace) -> RunningWorkspace:
    """A workspace at the same address that remembers nothing of the former one."""
    assert workspace.process.stdin is not None
    workspace.process.stdin.close()
    workspace.process.wait(10)
    return start("--port", str(urlsplit(workspace.url).port))
