"""Another account sees and sends nothing of the former one's, whoever signs in and in whichever window."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication

from app.core.auth.status import CredentialState
from app.core.backend import Backend
from app.core.fetcher import plain_json
from app.core.posthog.types import TaskQuery
from app.core.services import Services
from app.core.storage import Scope
from tests.conftest import RunningWorkspace
from tests.second_person import add_ben
from tests.ui._tasks_fakes import settle, until
from tests.ui._window import Living, button, living, never, sign_in_before
from tests.ui.recovery.steps import called, revoked_with_work_waiting

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

ME = "/api/users/@me/"


async def sign_in_as_ben(alive: Living) -> Scope:
    """From now on the server says that the token is another person's; answers the former scope."""
    me = await plain_json(
        "GET",
        f"{alive.backend.host.origin}{ME}",
        headers={"Authorization": f"Bearer {await token_of(alive)}"},
    )
    assert isinstance(me, dict)
    former = scope_of(alive)
    ben = {**me, "uuid": "0000-ben", "distinct_id": "ben", "email": "ben@example.org", "first_name": "Ben"}
    await alive.lab.path_fault(ME, status=200, body=ben, content_type="application/json", times=1000)
    await alive.lab.revoke_grant()
    alive.tasks.refresh()
    await until(lambda: alive.backend.credential.status.state is CredentialState.NEEDS_SIGN_IN, 10)
    return former


async def token_of(alive: Living) -> str:
    tokens = await alive.backend.credential.access_token()
    assert tokens is not None
    return tokens.access_token


def scope_of(alive: Living) -> Scope:
    assert alive.backend.scope is not None
    return alive.backend.scope


@asynccontextmanager
async def another_window(folder: Path, running: RunningWorkspace) -> AsyncIterator[Backend]:
    """Everything a second window on the same folder is made of, without its widgets."""
    services = Services(folder)
    try:
        yield await services.connect(await services.resolve(running.url))
    finally:
        await services.close()


async def left_nothing(services: Services, scope: Scope) -> None:
    """Wait until the account has neither drafts nor unsent changes."""
    while await services.storage.drafts.list(scope) or await services.storage.outbox.list(scope):
        await settle()


async def unsent(services: Services, scope: Scope) -> list[str]:
    """What waits in the outbox of an account."""
    return [str(item.payload["description"]) for item in await services.storage.outbox.list(scope)]


async def made(backend: Backend, search: str) -> list[str]:
    return [task.title for task in (await backend.tasks.list(TaskQuery(search=search))).items]


@pytest.mark.parametrize("choice", ["Keep separate", "Discard"])
async def test_another_account_sees_and_sends_nothing_of_the_former_ones_and_the_person_decides(
    qapp: QApplication, tmp_path: Path, choice: str
) -> None:
    async with living(qapp, tmp_path) as alive:
        former = await sign_in_as_ben(alive)
        await alive.write_task("Ana waits")
        await until(lambda: alive.waiting == ["waiting-sign-in"], 10)
        alive.tasks.selection.new_task()
        alive.tasks.pages.composer.title.setText("Ana thinks")
        alive.tasks.pages.composer.save_now()
        drafts = alive.services.storage.drafts
        await alive.sign_in_again()
        card = alive.window.previous_account
        await until(card.isVisible, 10)
        assert card.text() == "Drafts and unsent changes (2) belong to Ana."
        assert (card.text(), False) in alive.said
        assert alive.backend.scope != former
        assert alive.tasks.pages.composer.empty
        assert not alive.tasks.outbox.pending
        assert "Ana waits" not in alive.titles()
        button(card, choice).click()
        assert not card.isVisible()
        await settle()
        kept = choice == "Keep separate"
        if not kept:
            await left_nothing(alive.services, former)
        assert len(await drafts.list(former)) == int(kept)
        assert await unsent(alive.services, former) == ["Ana waits"] * kept
        assert await made(alive.backend, "Ana waits") == []


async def test_another_account_is_not_asked_about_where_nothing_was_left(qapp: QApplication, tmp_path: Path) -> None:
    async with living(qapp, tmp_path) as alive:
        former = await sign_in_as_ben(alive)
        await alive.sign_in_again()
        await until(lambda: alive.backend.scope not in {None, former}, 10)
        await never(alive.window.previous_account.isVisible, 0.2)


async def test_somebody_else_who_signs_in_in_another_window_gets_nothing_of_what_waits_in_this_one(
    qapp: QApplication, tmp_path: Path, workspace: RunningWorkspace
) -> None:
    folder = tmp_path / "app"
    await sign_in_before(folder, workspace)
    key = add_ben(workspace.data)
    async with AsyncExitStack() as stack:
        alive = await stack.enter_async_context(living(qapp, folder, running=workspace))
        former = scope_of(alive)
        await revoked_with_work_waiting(alive, "Ana waits")
        alive.tasks.selection.new_task()
        alive.tasks.pages.composer.title.setText("Ana thinks")
        other = await stack.enter_async_context(another_window(folder, workspace))
        await other.sign_in_with_key(key)
        await other.ready()
        await until(lambda: alive.backend.account.first_name == "Ben", 15)
        await until(alive.window.previous_account.isVisible, 10)
        assert alive.window.previous_account.text() == "Drafts and unsent changes (2) belong to Ana."
        assert alive.window.corner.account.text() == "Ben"
        assert alive.tasks.pages.composer.empty
        assert alive.waiting == []
        await until(lambda: alive.tasks.controller.load.loaded, 10)
        assert await unsent(alive.services, former) == ["Ana waits"]
        assert [draft.fields["title"] for draft in await alive.services.storage.drafts.list(former)] == ["Ana thinks"]
        assert await made(other, "Ana waits") == []
        await alive.sign_in_again()
        await until(lambda: alive.backend.scope == former, 15)
        async with asyncio.timeout(15):
            while await unsent(alive.services, former):
                await settle()
        assert await made(alive.backend, "Ana waits") == ["Ana waits"]


async def test_until_it_is_known_who_signed_in_elsewhere_what_is_typed_is_the_former_ones_and_is_not_sent(
    qapp: QApplication, tmp_path: Path, workspace: RunningWorkspace
) -> None:
    folder = tmp_path / "app"
    await sign_in_before(folder, workspace)
    key = add_ben(workspace.data)
    async with living(qapp, folder, running=workspace) as alive, another_window(folder, workspace) as other:
        await other.ready()
        former, first = scope_of(alive), alive.backend.credential.grant
        await alive.lab.path_fault(ME, status=503, body={"detail": "Later."}, times=1000)
        await other.sign_in_with_key(key)
        await until(lambda: alive.backend.credential.grant is not first, 10)
        assert scope_of(alive) == former
        assert not alive.backend.sure
        await alive.write_task("Sent too early")
        alive.tasks.selection.new_task()
        alive.tasks.pages.composer.title.setText("Typed too early")
        alive.tasks.pages.composer.save_now()
        alive.tasks.refresh()
        await never(lambda: alive.waiting == [], 0.25)
        await alive.lab.reset()
        await until(lambda: alive.backend.sure and alive.backend.account.first_name == "Ben", 20)
        await until(lambda: alive.waiting == [] and alive.tasks.pages.composer.empty, 10)
        ben = scope_of(alive)
        assert await unsent(alive.services, former) == ["Sent too early"]
        assert await unsent(alive.services, ben) == []
        drafts = alive.services.storage.drafts
        assert [draft.fields["title"] for draft in await drafts.list(former)] == ["Typed too early"]
        assert await drafts.list(ben) == ()
        await other.ready()
        assert await made(other, "too early") == []
        (item,) = await alive.services.storage.outbox.list(former)
        assert item.state.startswith("waiting")


async def test_those_behind_one_that_was_sent_stay_when_somebody_else_signs_in_between(
    qapp: QApplication, tmp_path: Path, workspace: RunningWorkspace
) -> None:
    folder = tmp_path / "app"
    await sign_in_before(folder, workspace)
    key = add_ben(workspace.data)
    async with AsyncExitStack() as stack:
        alive = await stack.enter_async_context(living(qapp, folder, running=workspace))
        former = scope_of(alive)
        await revoked_with_work_waiting(alive, "Sent in time")
        for count, words in enumerate(("Too late by one", "Too late by two"), 2):
            await alive.write_task(words)
            await until(lambda count=count: alive.waiting == ["waiting-sign-in"] * count, 10)
        other = await stack.enter_async_context(another_window(folder, workspace))
        await alive.lab.path_fault("/api/projects/1/tasks/", method="POST", delay=0.8, times=1)
        await alive.sign_in_again()
        await until(lambda: "sending" in alive.waiting, 10)
        await other.sign_in_with_key(key)
        await until(lambda: alive.backend.account.first_name == "Ben", 15)
        await until(lambda: alive.waiting == [], 10)
        await other.ready()
        assert await made(other, "Too late") == []
        assert (await unsent(alive.services, former))[-2:] == ["Too late by one", "Too late by two"]


async def test_a_call_that_waits_is_not_made_for_somebody_else_who_signs_in(
    qapp: QApplication, tmp_path: Path, workspace: RunningWorkspace
) -> None:
    folder = tmp_path / "app"
    await sign_in_before(folder, workspace)
    key = add_ben(workspace.data)
    async with living(qapp, folder, place="servers", running=workspace) as alive:
        assert (await called(alive, "workspace/list_tasks")).phase.value == "done"
        await alive.lab.revoke_grant()
        session = await called(alive, "workspace/who_am_i")
        assert session.waiting
        before = calls_made(alive)
        async with another_window(folder, workspace) as other:
            await other.sign_in_with_key(key)
            await other.ready()
            await until(lambda: alive.backend.account.first_name == "Ben", 15)
            await until(lambda: alive.servers.waiting == 0, 10)
            await never(lambda: calls_made(alive) > before, 0.25)


def calls_made(alive: Living) -> int:
    """How many calls of tools went out of this window."""
    return sum("tools/call" in record.summary for record in alive.services.activity.records())
