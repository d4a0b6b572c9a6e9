"""The user's own servers in the Servers place: added, signed in to, called and removed, with and without an account."""

from __future__ import annotations

import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from PySide6.QtWidgets import QApplication

from app.core.auth.vault.base import StoreKind
from app.core.errors import BurrowError, Facts, SignInNeeded, VendorSignInNeeded
from app.core.mcp.servers.definitions import HttpServer
from app.core.mcp.servers.server import NOT_SIGNED_IN, Server, ServerState
from app.core.services import Services
from app.ui.bridge import Bridge
from app.ui.context import Context
from app.ui.servers.connect_flow import ConnectStage
from app.ui.servers.place import ServersPlace
from app.ui.servers.tool_session import CallPhase
from app.ui.theme import apply_theme
from tests.conftest import RunningWorkspace
from tests.core.test_own_servers import AN_HOUR, LEDGER, agree, lab_of
from tests.ui._servers_fakes import READS, FakeBackend, FakeServices, actions, own, settle, tool, until
from tests.ui._tasks_fakes import FakeNavigator

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

ECHO = HttpServer("own-1", "Echo", "https://echo.example/mcp")


class Shown:
    """A place, what it works on, and shorthands for what a person does."""

    def __init__(self, place: ServersPlace, navigator: FakeNavigator) -> None:
        self.place, self.navigator = place, navigator

    @property
    def titles(self) -> list[str]:
        return [line.title for line in self.place.pane.servers.rows.lines()]

    @property
    def form(self) -> Any:
        return self.place.pages.custom

    async def add(self, name: str, url: str) -> None:
        """Fill in the form of a server on this machine and send it."""
        self.place.selection.add_server()
        self.form.location.set_value("own")
        self.form.name.edit.setText(name)
        self.form.url.edit.setText(url)
        self.form.submit()
        await settle()


@asynccontextmanager
async def shown(qapp: QApplication, services: Any) -> AsyncIterator[Shown]:
    apply_theme(qapp, "light", 1.0)
    bridge, navigator = Bridge(), FakeNavigator()
    failures: list[BaseException] = []
    bridge.crashed.connect(failures.append)
    place = ServersPlace(Context(cast(Services, services), bridge, navigator))
    place.resize(1000, 700)
    place.show()
    try:
        yield Shown(place, navigator)
        assert failures == []
    finally:
        await place.flush()
        await bridge.close()
        place.close()
        place.deleteLater()
        await settle()


@asynccontextmanager
async def signed_out(
    qapp: QApplication, *servers: Server, fail: dict[str, BurrowError] | None = None
) -> AsyncIterator[tuple[Shown, FakeServices]]:
    """Nobody is signed in anywhere; these servers are the user's own. `fail`: what is asked for fails once."""
    services = FakeServices()
    services.signed_out_servers.fail.update(fail or {})
    services.signed_out_servers.servers = list(servers)
    services.signed_out_servers.kept = {server.id: [tool("echo", annotations=READS)] for server in servers}
    async with shown(qapp, services) as on:
        on.place.controller.start(None)
        await settle()
        yield on, services


async def test_without_an_account_own_servers_are_listed_and_called(qapp: QApplication) -> None:
    async with signed_out(qapp, Server(ECHO)) as (on, services):
        assert on.titles == ["Echo"]
        on.place.open_item("own-1/echo")
        await until(lambda: on.place.page.tool.session is not None)
        session = on.place.page.tool.session
        assert session is not None
        session.ask({"query": "x"})
        await until(lambda: bool(services.signed_out_servers.calls))
        services.signed_out_servers.calls[-1].give()
        await until(lambda: session.phase is CallPhase.DONE)


async def test_without_an_account_and_without_servers_adding_one_is_offered(qapp: QApplication) -> None:
    async with signed_out(qapp) as (on, _):
        assert "No servers yet" in on.place.pane.no_servers.accessibleName()
        actions(on.place.pane.no_servers)["Add server"]()
        assert on.place.pages.shows_custom
        assert on.form.on_this_machine
        assert not on.form.location.isVisibleTo(on.form)
        assert not on.place.pane.tabs.isTabVisible(1)


async def test_the_servers_of_an_account_that_cannot_be_read_hide_no_own_one(qapp: QApplication) -> None:
    services = FakeServices()
    async with shown(qapp, services) as on:
        backend = FakeBackend([Server(ECHO)])
        backend.servers.listed = (Server(ECHO),)
        backend.servers.fail["list"] = SignInNeeded("The grant is over.")
        services.show(backend)
        on.place.set_backend(cast(Any, backend))
        await settle()
        assert on.titles == ["Echo"]


async def test_an_own_server_that_cannot_be_kept_leaves_the_form_as_it_was(qapp: QApplication) -> None:
    async with signed_out(qapp) as (on, services):
        services.own_servers.fail = SignInNeeded("The disk is full.")
        await on.add("Echo", "https://echo.example/mcp")
        await until(lambda: "The disk is full" in on.form.card.text())
        assert on.form.url.text == "https://echo.example/mcp"
        assert on.form.add_button.isEnabled()


async def test_an_address_that_was_added_before_is_not_added_again(qapp: QApplication) -> None:
    async with signed_out(qapp, Server(ECHO)) as (on, services):
        services.own_servers.servers = (ECHO,)
        await on.add("Echo once more", ECHO.url)
        await until(lambda: "already" in on.form.url.error.text())
        assert services.own_servers.servers == (ECHO,)


async def test_a_server_that_asks_for_a_sign_in_offers_it_and_is_signed_in_to(qapp: QApplication) -> None:
    refusal = VendorSignInNeeded("Echo asks you to sign in.", Facts(status=401, code=NOT_SIGNED_IN))
    server = Server(ECHO, ServerState.SIGN_IN)
    async with signed_out(qapp, server, fail={"tools own-1": refusal}) as (on, services):
        on.place.open_item("own-1")
        await until(lambda: "Echo asks you to sign in" in on.place.page.tools.empty.accessibleName())
        assert on.place.page.connect_button.text() == "Sign in"
        on.place.page.connect_button.click()
        await until(lambda: on.place.connecting.stage is ConnectStage.WAITING)
        assert "Waiting for your browser to connect Echo" in on.place.pages.banner.text()
        services.own_servers.pending[-1].answer.set_result(None)
        await until(lambda: on.place.connecting.stage is ConnectStage.IDLE)
        await until(lambda: "Echo is connected" in on.navigator.said)


async def test_a_cancelled_sign_in_is_no_failure_and_ends_the_wait(qapp: QApplication) -> None:
    async with signed_out(qapp, Server(ECHO, ServerState.SIGN_IN)) as (on, services):
        on.place.open_item("own-1")
        await settle()
        on.place.page.connect_button.click()
        await until(lambda: on.place.connecting.stage is ConnectStage.WAITING)
        actions(on.place.pages.banner)["Cancel"]()
        await until(lambda: services.own_servers.pending[-1].answer.done())
        assert on.place.connecting.stage is ConnectStage.IDLE
        assert on.place.pages.banner.isHidden()


async def test_a_call_that_needs_the_servers_sign_in_asks_for_that_one(qapp: QApplication) -> None:
    async with signed_out(qapp, Server(ECHO)) as (on, services):
        on.place.open_item("own-1/echo")
        await until(lambda: on.place.page.tool.session is not None)
        session = on.place.page.tool.session
        assert session is not None
        session.ask({"query": "x"})
        await until(lambda: bool(services.signed_out_servers.calls))
        refusal = SignInNeeded("Nobody is signed in to Echo.", Facts(credential="https://echo.example"))
        services.signed_out_servers.calls[-1].refuse(refusal)
        await until(lambda: session.waiting)
        actions(on.place.page.tool.result.card)["Sign in"]()
        await until(lambda: services.own_servers.signed_in == ["own-1"])
        assert on.navigator.sign_ins == 0


async def test_a_server_is_removed_after_a_question(qapp: QApplication) -> None:
    async with signed_out(qapp, Server(ECHO)) as (on, services):
        on.place.open_item("own-1")
        await settle()
        on.place.page.ask_remove()
        card = on.place.page.page.card
        assert "Burrow removes it" in card.text()
        actions(card)["Remove"]()
        await until(lambda: services.own_servers.removed == ["own-1"])


async def test_the_hosts_own_server_can_be_neither_removed_nor_switched_off(qapp: QApplication) -> None:
    services = FakeServices()
    async with shown(qapp, services) as on:
        backend = FakeBackend([own()])
        services.show(backend)
        on.place.set_backend(cast(Any, backend))
        on.place.open_item("posthog")
        await settle()
        offered = {command.id for command in on.place.commands() if command.enabled()}
        assert not {"servers.toggle", "servers.remove"} & offered
        assert on.place.page.remove_button.isHidden()


async def test_a_real_server_is_added_signed_in_to_and_healed_without_an_account(
    qapp: QApplication, tmp_path: Path, workspace: RunningWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    services = Services(tmp_path, store=StoreKind.FILE)
    try:
        async with shown(qapp, services) as on:
            on.place.controller.start(None)
            await on.add("Ledger", workspace.url + LEDGER)
            await until(lambda: on.titles == ["Ledger"], 10)
            await until(lambda: "Sign in" in actions(on.place.page.tools.empty), 10)
            actions(on.place.page.tools.empty)["Sign in"]()
            await until(lambda: opened, 10)
            await agree(opened[-1])
            [server] = services.own_servers.servers
            await until(lambda: on.place.controller.tools.get(server.id), 10)
            on.place.open_item(f"{server.id}/list_invoices")
            await until(lambda: on.place.page.tool.session is not None, 10)
            session = on.place.page.tool.session
            assert session is not None
            await lab_of(workspace).expire(AN_HOUR)
            session.ask({})
            await until(lambda: session.phase is CallPhase.DONE, 10)
    finally:
        await services.close()
