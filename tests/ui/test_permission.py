"""A tool that needs one more permission, in the real window on a real workspace: asked for, denied, allowed, run."""

from __future__ import annotations

import asyncio
import sys
import webbrowser
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from PySide6.QtWidgets import QApplication

from app.core.auth.status import CredentialState
from app.ui.servers.place import ServersPlace
from app.ui.servers.tool_session import CallPhase, ToolSession
from tests.faults.consenting import approve, deny
from tests.ui._screens import nameless
from tests.ui._servers_fakes import actions
from tests.ui._tasks_fakes import settle, until
from tests.ui._window import Living, living, never
from tests.ui.recovery.test_accounts import sign_in_as_ben
from tests.workspace.browser import Browser, chromium

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)
USUAL = "openid user:read organization:read project:read task:read task:write integration:read"


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that a browser was opened at."""
    addresses: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: addresses.append(url) or True)
    return addresses


class Writing:
    """The tool that writes a document, which needs `project:write`."""

    def __init__(self, alive: Living, opened: list[str]) -> None:
        self.alive, self.opened = alive, opened
        place = alive.window.place("servers")
        assert isinstance(place, ServersPlace)
        self.page = place.page.tool

    @property
    def session(self) -> ToolSession:
        assert self.page.session is not None
        return self.page.session

    @property
    def card(self) -> str:
        return self.page.result.card.text()

    def press(self, words: str) -> None:
        actions(self.page.result.card)[words]()

    @property
    def offers(self) -> list[str]:
        return list(actions(self.page.result.card))

    @property
    def token(self) -> str:
        grant = self.alive.backend.credential.grant
        assert grant is not None
        return grant.tokens.access_token

    async def refused(self) -> None:
        """Run it; the workspace refuses."""
        self.page.run()
        await until(lambda: self.session.asks or self.session.phase is CallPhase.FAILED, 15)
        actions(self.page.question)["Run"]()
        await until(lambda: self.session.phase is CallPhase.FAILED, 15)
        await settle()

    async def allow(self, person: Callable[[str], Awaitable[None]]) -> None:
        """Press the button; `person` acts in the browser."""
        count = len(self.opened)
        self.press("Allow in browser")
        await until(lambda: len(self.opened) > count, 10)
        await until(lambda: self.alive.window.bar.isVisible())
        assert self.alive.window.bar.text() == "Waiting for your browser…"
        assert self.session.phase is CallPhase.ALLOWING
        assert self.card.startswith("Waiting for your browser… It asks you to allow project:write.")
        await person(self.opened[-1])

    async def documents(self) -> list[str]:
        """What has been written, as the list tells it."""
        call = self.alive.services.servers.start_call("workspace", "list_documents", {})
        structured = (await call.result()).structured
        assert isinstance(structured, dict)
        return [each["id"] for each in structured["result"]]

    async def approve(self, address: str) -> None:
        await approve(address, self.alive.backend.host.secret or "")


async def writing(alive: Living, opened: list[str]) -> Writing:
    place = alive.window.place("servers")
    assert isinstance(place, ServersPlace)
    await until(lambda: place.controller.tools.get("workspace"), 20)
    place.open_item("workspace/write_document")
    await until(lambda: place.page.tool.session is not None)
    on = Writing(alive, opened)
    assert on.page.form.set_json(True)
    on.page.form.json.edit.setPlainText('{"document": "by-hand", "title": "By hand", "markdown": "Written once."}')
    on.page.form.json.check()
    await on.refused()
    assert on.card == (
        "Write a document needs project:write You already granted 7 permissions."
        " Only this call waits. It runs as soon as you allow it."
    )
    assert on.offers == ["Allow in browser", "Not now"]
    assert nameless(alive.window) == []
    return on


@pytest.mark.skipif(sys.platform == "win32" or chromium() is None, reason="no Chromium to drive here")
async def test_a_click_on_the_page_in_the_browser_runs_the_call_that_waited(
    qapp: QApplication, tmp_path: Path, opened: list[str]
) -> None:
    async with living(qapp, tmp_path / "burrow", place="servers") as alive:
        on = await writing(alive, opened)
        shown: list[str] = []

        def click(address: str) -> None:
            with Browser(tmp_path / "profile") as browser:
                browser.open(address)
                browser.wait_for("document.querySelector('button[value=approve]') !== null")
                shown.append(" ".join(browser.evaluate("document.querySelector('main').innerText").split()))
                browser.click("button[value=approve]")
                browser.wait_for("document.title === 'You are signed in'")

        await on.allow(lambda address: asyncio.to_thread(click, address))
        await until(lambda: on.session.phase is CallPhase.DONE, 15)
        assert "It will also be able to See and change your project and its MCP servers project:write" in shown[0]
        assert on.session.result is not None
        assert not on.session.result.is_error
        assert (await on.documents()).count("by-hand") == 1
        await until(lambda: not alive.window.bar.isVisible())
        assert len(opened) == 1
        assert [text for text, assertive in alive.said if assertive] == []


async def test_not_now_asks_nobody_and_changes_nothing(qapp: QApplication, tmp_path: Path, opened: list[str]) -> None:
    async with living(qapp, tmp_path, place="servers") as alive:
        on = await writing(alive, opened)
        before = on.token
        on.press("Not now")
        await settle()
        assert not on.page.result.isVisible()
        assert on.page.can_run
        assert on.token == before
        assert opened == []
        await never(lambda: alive.window.bar.isVisible(), 0.2)


async def test_a_denial_leaves_the_sign_in_alone_and_the_second_one_is_the_last(
    qapp: QApplication, tmp_path: Path, opened: list[str]
) -> None:
    async with living(qapp, tmp_path, place="servers") as alive:
        on = await writing(alive, opened)
        before = on.token
        for tries, offers in ((1, ["Allow in browser", "Not now"]), (2, [])):
            await on.allow(deny)
            await until(lambda: on.session.phase is CallPhase.FAILED, 10)
            await settle()
            assert on.card.startswith("Not granted Write a document still needs project:write.")
            assert on.offers == offers
            assert not alive.window.bar.isVisible()
            assert len(opened) == tries
        assert on.token == before
        assert alive.backend.credential.status.state is CredentialState.SIGNED_IN
        assert "by-hand" not in await on.documents()
        assert alive.word == "Signed in"
        # A bar that comes later has nothing to say about the denial.
        await alive.lab.revoke_grant()
        alive.tasks.refresh()
        await until(alive.window.bar.isVisible, 10)
        assert alive.window.bar.text() == "Sign in again to keep going. Your drafts are kept."


async def test_a_sign_in_that_brings_too_little_is_not_granted_and_a_wider_one_runs_the_call(
    qapp: QApplication, tmp_path: Path, opened: list[str]
) -> None:
    async with living(qapp, tmp_path, place="servers") as alive:
        on = await writing(alive, opened)
        await ceiling(alive, USUAL)
        await on.allow(on.approve)
        await until(lambda: on.session.phase is CallPhase.FAILED, 10)
        await settle()
        assert on.card.startswith("Not granted Write a document still needs project:write.")
        await ceiling(alive, f"{USUAL} project:write")
        await on.allow(on.approve)
        await until(lambda: on.session.phase is CallPhase.DONE, 15)
        assert "by-hand" in await on.documents()
        assert (await alive.renewals()) == (0, 0)


async def ceiling(alive: Living, scope: str) -> None:
    """What the workspace lets anybody grant to this client."""
    host = alive.backend.host
    async with httpx.AsyncClient(
        trust_env=False, base_url=host.origin, headers={"X-Workspace-Secret": host.secret or ""}
    ) as client:
        answer = await client.post("/_faults/scope-ceiling", json={"client_id": host.client_id, "scope": scope})
        assert answer.json() == {"clients": 1}


async def test_cancel_in_the_bar_is_no_try_and_the_offer_stays(
    qapp: QApplication, tmp_path: Path, opened: list[str]
) -> None:
    async with living(qapp, tmp_path, place="servers") as alive:
        on = await writing(alive, opened)

        async def cancel(_address: str) -> None:
            actions(alive.window.bar)["Cancel"]()

        for _ in range(3):
            await on.allow(cancel)
            await until(lambda: on.session.phase is CallPhase.FAILED, 10)
            await settle()
            assert on.card.startswith("Write a document needs project:write")
            assert on.offers == ["Allow in browser", "Not now"]
            assert not alive.window.bar.isVisible()


async def test_another_sign_in_takes_the_browser_over_and_the_call_no_longer_waits(
    qapp: QApplication, tmp_path: Path, opened: list[str]
) -> None:
    async with living(qapp, tmp_path, place="servers") as alive:
        on = await writing(alive, opened)

        async def sign_in_instead(_address: str) -> None:
            alive.window.sign_in()
            await until(lambda: len(opened) == 2, 10)

        await on.allow(sign_in_instead)
        await until(lambda: on.session.phase is CallPhase.FAILED, 10)
        await settle()
        assert on.offers == ["Allow in browser", "Not now"]
        assert alive.window.bar.text() == "Waiting for your browser…"
        await on.approve(opened[-1])
        await until(lambda: not alive.window.bar.isVisible(), 10)
        assert "by-hand" not in await on.documents()


async def test_what_waited_for_one_person_never_runs_as_another(
    qapp: QApplication, tmp_path: Path, opened: list[str]
) -> None:
    async with living(qapp, tmp_path, place="servers") as alive:
        on = await writing(alive, opened)
        waiting = on.session

        async def as_ben(address: str) -> None:
            await sign_in_as_ben(alive)
            await on.approve(address)

        await on.allow(as_ben)
        await until(lambda: alive.backend.account is not None and alive.backend.account.first_name == "Ben", 10)
        await until(lambda: on.page.session is not waiting, 10)
        await never(lambda: waiting.phase in {CallPhase.RUNNING, CallPhase.DONE}, 0.2)
        assert "by-hand" not in await on.documents()
