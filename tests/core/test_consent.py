"""Burrow opens the consent page of its own data folder's workspace with a proof of who sits there."""

from __future__ import annotations

import asyncio
import json
import re
import webbrowser
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import httpx
import pytest

from app.core.auth.oauth.sign_in import BrowserSignIn
from app.core.consent import WorkspaceConsent
from app.core.services import Services
from tests.conftest import RunningWorkspace

APPROVE = {"decision": "approve", "access_level": "all"}


def form_of(page: httpx.Response) -> dict[str, str]:
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found is not None, page.text
    return {"csrf": found[1]}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> SimpleQueue[str]:
    """The addresses that were handed to the browser."""
    addresses: SimpleQueue[str] = SimpleQueue()
    monkeypatch.setattr(webbrowser, "open", addresses.put)
    return addresses


async def next_of(opened: SimpleQueue[str]) -> str:
    return await asyncio.to_thread(opened.get, timeout=10)


async def begun(services: Services, named: str) -> BrowserSignIn:
    backend = await services.connect(await services.resolve(named), restore=False)
    return await backend.credential.begin_sign_in()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
async def test_the_page_of_the_own_workspace_opens_with_a_ticket_each_time(
    start_workspace: Callable[..., RunningWorkspace], tmp_path: Path, opened: SimpleQueue[str], name: str
) -> None:
    running = start_workspace("--host-name", name, data=tmp_path / "data" / "workspace")
    services = Services(tmp_path / "data")
    try:
        sign_in = await begun(services, running.url)
        first = await next_of(opened)
        sign_in.open_again()
        second = await next_of(opened)
        assert len({first, second, sign_in.url}) == 3
        finishing = asyncio.create_task(sign_in.finish())
        async with httpx.AsyncClient(follow_redirects=True) as browser:
            # What is shown or copied carries no ticket.
            by_hand = await browser.get(sign_in.url)
            assert "Approve" not in by_hand.text
            page = await browser.get(second)
            assert "Approve" in page.text
            action = httpx.URL(sign_in.url).join("/oauth/authorize/")
            last = await browser.post(action, data={**form_of(page), **APPROVE})
        assert "You are signed in" in last.text
        await finishing
    finally:
        await services.close()


async def test_a_page_that_is_opened_by_hand_takes_the_code_that_burrow_shows(
    start_workspace: Callable[..., RunningWorkspace], tmp_path: Path, opened: SimpleQueue[str]
) -> None:
    running = start_workspace(data=tmp_path / "data" / "workspace")
    services = Services(tmp_path / "data")
    try:
        sign_in = await begun(services, running.url)
        code = await sign_in.page_code()
        assert code is not None
        async with httpx.AsyncClient() as browser:
            page = await browser.get(sign_in.url)
            action = f"{running.url}/oauth/authorize/"
            assert "Approve" in (await browser.post(action, data={**form_of(page), "person_code": code})).text
    finally:
        await services.close()


async def test_the_secret_is_shown_to_no_other_server(workspace: RunningWorkspace, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    consent = WorkspaceConsent(folder)
    assert await consent.ticket(workspace.url, "c" * 43) is None
    other = {"url": "http://127.0.0.1:9", "secret": workspace.secret, "client_id": "x"}
    (folder / "runtime.json").write_text(json.dumps(other))
    assert await consent.ticket(workspace.url, "c" * 43) is None
    assert await consent.code("https://us.posthog.com/oauth/authorize/") is None
    (folder / "runtime.json").write_text(json.dumps({**other, "url": workspace.url}))
    assert await consent.ticket(workspace.url, "c" * 43)
    (folder / "runtime.json").write_text(json.dumps({**other, "url": workspace.url, "secret": "wrong"}))
    assert await consent.ticket(workspace.url, "c" * 43) is None
