"""Two people on one computer: each keeps what is theirs, and adding or leaving an account costs the other nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from PySide6.QtWidgets import QApplication

from app.core.auth.key import CredentialKey
from app.core.auth.status import CredentialState
from app.core.known_accounts import KnownAccount, distinct_names
from app.core.lab import Lab
from app.core.services import Services
from app.core.storage import Scope
from app.ui.signin.first_run import FirstRun
from tests.conftest import RunningWorkspace
from tests.second_person import KEY, add_ben
from tests.ui._tasks_fakes import settle, until
from tests.ui._window import Living, consent, living, never, sign_in_before, ticket_of
from tests.ui.recovery.steps import press
from tests.ui.recovery.test_accounts import made, unsent

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

ANA, BEN = "ana@example.org", "ben@example.org"


@asynccontextmanager
async def window_of_ana(
    qapp: QApplication, folder: Path, workspace: RunningWorkspace, *, with_ben: bool = False
) -> AsyncIterator[Living]:
    """Ana has signed in before; Ben too, where that is wanted, in a slot of his own."""
    await sign_in_before(folder, workspace)
    if with_ben:
        await add_ben_before(folder, workspace)
    async with living(qapp, folder, running=workspace) as alive:
        yield alive


async def add_ben_before(folder: Path, workspace: RunningWorkspace) -> None:
    """Ben has signed in at an earlier start; the last one to be used was Ana."""
    services = Services(folder)
    try:
        host = await services.resolve(workspace.url)
        backend = await services.connect(host, slot="2")
        await services.keep_where_usual()
        await backend.sign_in_with_key(add_ben(workspace.data))
        await backend.ready()
        await until(lambda: services.accounts.last_slot(host) == "2", 10)
        await services.connect(host, slot="")
    finally:
        await services.close()


def known(alive: Living) -> list[str]:
    return [account.name for account in alive.services.accounts.all()]


def issuers(alive: Living) -> list[str]:
    return [each.host for each in alive.services.accounts.all()]


def connected(alive: Living) -> CredentialKey | None:
    backend = alive.services.backend
    return None if backend is None else backend.credential.key


def account(alive: Living, name: str) -> KnownAccount:
    return next(each for each in alive.services.accounts.all() if each.name == name)


def first_page(alive: Living) -> FirstRun:
    page = alive.window.findChild(FirstRun)
    assert isinstance(page, FirstRun)
    return page


async def switch_to(alive: Living, name: str) -> Scope:
    """Go on as another account, until its tasks are shown; whose drafts and outbox are in use then."""
    former = alive.services.backend
    alive.window.switch_account(account(alive, name))
    await until(lambda: alive.services.backend not in {None, former}, 15)
    assert alive.services.backend is not None
    alive.backend = alive.services.backend
    await until(lambda: alive.tasks.backend is alive.backend and alive.backend.sure, 15)
    await until(lambda: alive.tasks.controller.load.loaded, 15)
    assert alive.backend.account is not None
    assert alive.backend.account.email == name
    assert alive.backend.scope is not None
    return alive.backend.scope


async def begun_addition(alive: Living) -> FirstRun:
    alive.window.add_account()
    await until(lambda: alive.window.findChild(FirstRun) is not None and first_page(alive).isVisible(), 10)
    await until(lambda: alive.window.pages.can_leave, 10)
    return first_page(alive)


async def account_of_the_next_start(folder: Path, workspace: RunningWorkspace) -> str:
    services = Services(folder)
    try:
        backend = await services.connect(await services.resolve(services.remembered_host() or ""))
        await backend.ready()
        return backend.account.email if backend.account is not None else ""
    finally:
        await services.close()


# Adding one, and not adding one


async def test_a_refused_key_adds_nobody_and_a_good_one_adds_its_person(
    qapp: QApplication, tmp_path: Path, workspace: RunningWorkspace
) -> None:
    add_ben(workspace.data)
    async with window_of_ana(qapp, tmp_path / "app", workspace) as alive:
        page = await begun_addition(alive)
        page.key_toggle.click()
        page._key.setText("phx_not-a-key-of-anybody")
        page.key_button.click()
        await until(lambda: page.shown_error(), 10)
        assert page.isVisible()
        assert known(alive) == [ANA]
        page._key.setText(KEY)
        page.key_button.click()
        await until(lambda: known(alive) == [ANA, BEN], 15)
        await until(lambda: alive.window.corner.account.text() == "Ben", 15)
        await until(lambda: not page.isVisible(), 5)
        assert alive.services.backend is not None
        assert alive.services.backend.credential.status.store == "file"
        await until(lambda: alive.tasks.controller.load.loaded, 15)
    assert await account_of_the_next_start(tmp_path / "app", workspace) == BEN


async def test_an_addition_that_is_left_leaves_no_trace(
    qapp: QApplication, tmp_path: Path, workspace: RunningWorkspace, browser: list[str]
) -> None:
    async with window_of_ana(qapp, tmp_path / "app", workspace) as alive:
        page = await begun_addition(alive)
        page.sign_in_button.click()
        await until(lambda: len(browser) == 1, 10)
        page.back_button.click()
        await until(lambda: alive.word == "Signed in" and not page.isVisible(), 10)
        assert alive.window.corner.account.text() == "Ana"
        assert known(alive) == [ANA]
        # The consent page is still open: nobody listens to the answer any more.
        with pytest.raises(httpx.ConnectError):
            await consent(browser[0], await ticket_of(workspace))
        await never(lambda: page.isVisible() or known(alive) != [ANA], 0.2)
    assert await account_of_the_next_start(tmp_path / "app", workspace) == ANA


async def test_a_window_that_is_closed_during_an_addition_opens_on_the_account_used_before(
    qapp: QApplication, tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with window_of_ana(qapp, tmp_path / "app", workspace) as alive:
        await begun_addition(alive)
    async with living(qapp, tmp_path / "app", running=workspace) as alive:
        assert alive.window.corner.account.text() == "Ana"
        assert known(alive) == [ANA]


async def test_one_person_can_be_added_twice_and_both_are_told_apart(
    qapp: QApplication, tmp_path: Path, workspace: RunningWorkspace, browser: list[str]
) -> None:
    async with window_of_ana(qapp, tmp_path / "app", workspace) as alive:
        page = await begun_addition(alive)
        page.sign_in_button.click()
        await until(lambda: len(browser) == 1, 10)
        await consent(browser[0], await ticket_of(workspace))
        await until(lambda: known(alive) == [ANA, ANA], 15)
        await until(lambda: alive.window.place("tasks") is not None and not page.isVisible(), 10)
        names = distinct_names(alive.services.accounts.all())
        assert len(set(names.values())) == 2
        assert alive.services.backend is not None
        name = names[alive.services.backend.credential.key]
        # The page turns when the sign-in is there. Whose it is, the host says a moment later.
        await until(lambda: name in alive.window.corner.account.accessibleName(), 10)


# Going from one to the other


async def test_drafts_and_waiting_work_stay_with_their_account_while_another_one_is_used(
    qapp: QApplication, tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with window_of_ana(qapp, tmp_path / "app", workspace, with_ben=True) as alive:
        ana = alive.backend.scope
        assert ana is not None
        await alive.lab.revoke_grant()
        await alive.write_task("Ana waits")
        await until(lambda: alive.waiting == ["waiting-sign-in"], 10)
        alive.tasks.selection.new_task()
        alive.tasks.pages.composer.title.setText("Ana thinks")
        ben = await switch_to(alive, BEN)
        assert ben != ana
        assert alive.tasks.pages.composer.empty
        assert alive.waiting == []
        assert not alive.window.bar.isVisible()
        assert not alive.window.previous_account.isVisible()
        await alive.write_task("Ben's own")
        await until(lambda: alive.waiting == [], 10)
        assert await made(alive.backend, "Ben's own") == ["Ben's own"]
        assert await unsent(alive.services, ana) == ["Ana waits"]
        assert [draft.fields["title"] for draft in await alive.services.storage.drafts.list(ana)] == ["Ana thinks"]
        assert await made(alive.backend, "Ana waits") == []


async def test_an_account_whose_grant_has_ended_is_switched_to_and_shows_the_bar(
    qapp: QApplication, tmp_path: Path, workspace: RunningWorkspace, browser: list[str]
) -> None:
    async with window_of_ana(qapp, tmp_path / "app", workspace, with_ben=True) as alive:
        await alive.write_task("Made in time")
        await until(lambda: alive.waiting == [], 10)
        await switch_to(alive, BEN)
        await Lab(workspace.url, workspace.secret).revoke_grant()
        alive.window.switch_account(account(alive, ANA))
        bar = alive.window.bar
        await until(bar.isVisible, 15)
        assert bar.text() == "Sign in again to keep going. Your drafts are kept."
        assert alive.window.corner.account.text() == "Ana"
        assert alive.services.accounts.last_slot(alive.backend.host) == ""
        await until(lambda: "Made in time" in alive.titles(), 10)
        await press(bar, "Sign in")
        await until(lambda: len(browser) == 1, 10)
        await consent(browser[0], await ticket_of(workspace))
        await until(lambda: alive.word == "Signed in" and known(alive) == [ANA, BEN], 15)


async def test_signing_out_of_one_offers_the_other_and_leaves_its_sign_in_alone(
    qapp: QApplication, tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with window_of_ana(qapp, tmp_path / "app", workspace, with_ben=True) as alive:
        await switch_to(alive, BEN)
        alive.window.sign_ins.sign_out()
        await until(lambda: alive.window.findChild(FirstRun) is not None and first_page(alive).isVisible(), 10)
        page = first_page(alive)
        await until(lambda: known(alive) == [ANA], 5)
        (only,) = page.account_buttons
        assert only.accessibleName().startswith(f"Continue as {ANA}")
        only.click()
        await until(lambda: alive.word == "Signed in" and not page.isVisible(), 15)
        assert alive.window.corner.account.text() == "Ana"
        assert alive.services.backend is not None
        assert alive.services.backend.credential.status.state is CredentialState.SIGNED_IN
        await until(lambda: alive.tasks.controller.load.loaded, 15)
        assert alive.tasks.controller.load.error is None
    assert await account_of_the_next_start(tmp_path / "app", workspace) == ANA


async def test_the_embedded_workspace_is_left_for_an_account_of_a_host_and_come_back_to(
    qapp: QApplication, tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with window_of_ana(qapp, tmp_path / "app", workspace) as alive:
        assert alive.window._connector is not None
        alive.window._connector.use_workspace()
        await until(lambda: alive.backend is not alive.services.backend and "workspace" in issuers(alive), 20)
        assert not alive.window.can_add_account
        there, here = (
            next(each for each in alive.services.accounts.all() if (each.host == "workspace") is embedded)
            for embedded in (False, True)
        )
        for each in (there, here):
            alive.window.switch_account(each)
            await until(lambda each=each: connected(alive) == each.key, 15)
            await until(lambda: alive.word == "Signed in" and alive.tasks.controller.load.loaded, 15)
            assert alive.window.can_add_account is (each is there)


async def test_two_switches_in_quick_succession_end_at_the_last_one(
    qapp: QApplication, tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with window_of_ana(qapp, tmp_path / "app", workspace, with_ben=True) as alive:
        ana, ben = account(alive, ANA), account(alive, BEN)
        for each in (ben, ana, ben):
            alive.window.switch_account(each)
            await settle()
        await until(lambda: alive.window.corner.account.text() == "Ben", 15)
        await until(lambda: alive.word == "Signed in", 15)
        assert alive.services.backend is not None
        assert alive.services.backend.credential.key == ben.key
        assert list(alive.services.credentials._users) == [alive.services.backend.credential]
