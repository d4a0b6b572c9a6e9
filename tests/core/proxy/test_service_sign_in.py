"""A sign-in that clients need where there is no window: one page in the browser, however many of them ask."""

from __future__ import annotations

import asyncio
import webbrowser
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from app.core.mcp.proxy import sign_in_notices
from app.core.mcp.proxy.handover import Role
from app.core.mcp.proxy.sign_in_notices import BrowserNotice
from app.core.mcp.servers.definitions import HttpServer
from app.core.services import Services
from tests.conftest import RunningWorkspace
from tests.core.proxy._service import serving
from tests.core.test_own_servers import LEDGER, agree, lab_of
from tests.core.test_services import services_in
from tests.faults.consenting import approve
from tests.until import until

SECONDS = 10.0


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pages that were opened in the browser."""
    pages: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: pages.append(url) or True)
    return pages


def notice_of(services: Services, said: list[str]) -> BrowserNotice:
    return BrowserNotice(lambda: services.sign_ins, services.folder / "proxy", said.append)


def registrations(counters: Any) -> int:
    return sum(count for path, count in counters["requests"].items() if path.endswith("/register"))


async def test_clients_that_need_a_sign_in_at_once_cost_one_page_one_registration_and_one_exchange(
    workspace: RunningWorkspace, tmp_path: Path, opened: list[str]
) -> None:
    said: list[str] = []
    made: list[BrowserNotice] = []

    def notice(services: Services) -> BrowserNotice:
        made.append(notice_of(services, said))
        return made[0]

    async with serving(tmp_path, notice, Role.HEADLESS) as served:
        server = await served.services.own_servers.add(HttpServer("", "Ledger", workspace.url + LEDGER))
        answers = await asyncio.gather(*(served.call(server.id, "list_invoices") for _ in range(5)))
        assert {answer["error"]["code"] for answer in answers} == {-32010}
        assert all("browser" in answer["error"]["message"] for answer in answers)
        await until(lambda: opened, SECONDS)
        assert (await served.call(server.id, "list_invoices"))["error"]["code"] == -32010
        await agree(opened[0])
        await until(lambda: "Signed in to Ledger." in said, SECONDS)
        answers = await asyncio.gather(*(served.call(server.id, "list_invoices") for _ in range(5)))
        assert all("result" in answer for answer in answers)
        assert len(opened) == 1
        counters = (await lab_of(workspace).state())["counters"]
        assert registrations(counters) == 1
        await made[0].close()


async def test_a_page_that_was_left_alone_is_opened_again_later_if_a_client_still_asks(
    workspace: RunningWorkspace, tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    async with services_in(tmp_path) as services:
        server = await services.own_servers.add(HttpServer("", "Ledger", workspace.url + LEDGER))
        notice, now = notice_of(services, said), monotonic()
        await notice.tell(None, server.id, "Ledger")
        await until(lambda: opened, SECONDS)
        await notice.close()
        monkeypatch.setattr(sign_in_notices, "monotonic", lambda: sign_in_notices.QUIET_SECONDS / 2 + now)
        await notice.tell(None, server.id, "Ledger")
        monkeypatch.setattr(sign_in_notices, "monotonic", lambda: sign_in_notices.QUIET_SECONDS * 2 + now)
        await notice.tell(None, server.id, "Ledger")
        await until(lambda: len(opened) == 2, SECONDS)
        await notice.close()


async def test_two_processes_that_need_the_same_sign_in_open_one_page(
    workspace: RunningWorkspace, tmp_path: Path, opened: list[str]
) -> None:
    said: list[str] = []
    async with services_in(tmp_path) as one, services_in(tmp_path) as other:
        server = await one.own_servers.add(HttpServer("", "Ledger", workspace.url + LEDGER))
        await other.own_servers.definitions()
        notices = [notice_of(one, said), notice_of(other, said)]
        for notice in notices:
            assert "Ledger" in await notice.tell(None, server.id, "Ledger")
        await until(lambda: opened, SECONDS)
        await asyncio.sleep(0)
        assert len(opened) == 1
        for notice in notices:
            await notice.close()


async def test_a_server_that_cannot_be_signed_in_to_is_said_and_not_asked_for_again_at_once(
    tmp_path: Path, opened: list[str]
) -> None:
    said: list[str] = []
    async with services_in(tmp_path) as services:
        server = await services.own_servers.add(HttpServer("", "Gone", "http://127.0.0.1:9/mcp"))
        notice = notice_of(services, said)
        await notice.tell(None, server.id, "Gone")
        await until(lambda: said, SECONDS)
        assert "did not succeed" in said[0]
        await notice.tell(None, server.id, "Gone")
        assert "burrow login" in await notice.tell(None, "nothing", "Nothing")
        await notice.close()
        assert len(said) == 1
    assert opened == []


async def test_an_account_that_nobody_is_signed_in_to_is_signed_in_to_in_the_browser(
    workspace: RunningWorkspace, tmp_path: Path, opened: list[str]
) -> None:
    said: list[str] = []
    made: list[BrowserNotice] = []

    def notice(services: Services) -> BrowserNotice:
        made.append(notice_of(services, said))
        return made[0]

    async with serving(tmp_path, notice, Role.HEADLESS) as served:
        await served.services.connect(await served.services.resolve(workspace.url))
        answers = await asyncio.gather(*(served.call("workspace", "list_projects") for _ in range(5)))
        assert {answer["error"]["code"] for answer in answers} == {-32010}
        await until(lambda: opened, SECONDS)
        await approve(opened[0], workspace.secret)
        await until(lambda: len(said) == 2, SECONDS)
        assert "result" in await served.call("workspace", "list_projects")
        assert len(opened) == 1
        await made[0].close()
