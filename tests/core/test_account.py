"""Whose things are sent when several processes share a grant: the real services on a real workspace with two people."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from app.core.account import SOMEBODY_ELSE
from app.core.auth.status import ELSEWHERE, AuthEvent
from app.core.backend import Backend
from app.core.errors import NotFound, Offline, ServerTrouble, SignInNeeded
from app.core.fetcher import Admission
from app.core.lab import Lab
from app.core.posthog.types import NewTask, TaskQuery
from app.core.services import Services
from app.core.storage import Scope
from tests.conftest import RunningWorkspace
from tests.second_person import add_ben

T = TypeVar("T")

ME = "/api/users/@me/"
SECONDS = 15.0


@asynccontextmanager
async def services_in(folder: Path) -> AsyncIterator[Services]:
    services = Services(folder)
    try:
        yield services
    finally:
        await services.close()


async def connected(services: Services, running: RunningWorkspace) -> Backend:
    return await services.connect(await services.resolve(running.url))


async def signed_in_as_ana(services: Services, running: RunningWorkspace) -> Backend:
    backend = await connected(services, running)
    await backend.credential.choose_store("file")
    await sign_in_as_ana(backend, running)
    await backend.ready()
    return backend


async def sign_in_as_ana(backend: Backend, running: RunningWorkspace) -> None:
    key = (await Lab(running.url, running.secret).state())["personal_api_key"]
    await backend.sign_in_with_key(key)


def when_somebody_signs_in(backend: Backend, work: Callable[[], Awaitable[T]]) -> asyncio.Task[T]:
    """Begin `work` at once when this process hears of the next signing in elsewhere, before it can know who that is."""

    async def wait() -> T:
        heard = asyncio.Event()
        begun: list[Awaitable[T]] = []

        def hear(event: AuthEvent) -> None:
            if event.why == ELSEWHERE and not begun:
                begun.append(asyncio.ensure_future(work()))
                heard.set()

        unsubscribe = backend.credential.happened.subscribe(hear)
        try:
            async with asyncio.timeout(SECONDS):
                await heard.wait()
                return await begun[0]
        finally:
            unsubscribe()

    return asyncio.create_task(wait())


async def titles(backend: Backend, search: str) -> list[str]:
    return [task.title for task in (await backend.tasks.list(TaskQuery(search=search))).items]


def names(backend: Backend) -> str:
    return "" if backend.account is None else backend.account.first_name


async def test_an_account_that_was_learnt_for_another_sign_in_is_not_trusted(
    tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with services_in(tmp_path / "app") as services:
        await signed_in_as_ana(services, workspace)
        anas = services.storage.settings.get(f"account:{workspace.url}")
        await services.backend.sign_in_with_key(add_ben(workspace.data))  # type: ignore[union-attr]
        await services.backend.ready()  # type: ignore[union-attr]
        await services.storage.settings.set(f"account:{workspace.url}", anas)
    lab = Lab(workspace.url, workspace.secret)
    await lab.path_fault(ME, status=503, body={"detail": "Later."}, times=1000)
    async with services_in(tmp_path / "app") as services:
        backend = await services.connect(await services.resolve(workspace.url), restore=False)
        assert names(backend) == "Ana"
        assert not backend.sure
        await backend.start()
        assert (backend.account, backend.scope, backend.project) == (None, None, None)
        with pytest.raises(NotFound):
            await backend.tasks.create(NewTask(description="Whose is it?"))
        await lab.reset()
        await backend.ready()
        assert names(backend) == "Ben"
        assert backend.sure


async def test_a_signing_in_leaves_no_account_to_start_with_until_it_is_learnt(
    tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with services_in(tmp_path / "app") as services:
        backend = await signed_in_as_ana(services, workspace)
        lab = Lab(workspace.url, workspace.secret)
        await lab.path_fault(ME, status=503, body={"detail": "Later."}, times=1000)
        await backend.sign_in_with_key(add_ben(workspace.data))
        with pytest.raises(ServerTrouble):
            await backend.ready()
        assert names(backend) == "Ana"
        assert not backend.sure
    async with services_in(tmp_path / "app") as services:
        again = await services.connect(await services.resolve(workspace.url), restore=False)
        assert again.account is None


async def test_signed_in_again_as_the_same_person_nothing_is_forgotten_and_the_request_waits(
    tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with services_in(tmp_path / "app") as services:
        backend = await signed_in_as_ana(services, workspace)
        told: list[object] = []
        backend.changed.subscribe(lambda b: told.append(b.scope))
        await Lab(workspace.url, workspace.secret).path_fault(ME, delay=0.3, times=1)
        await sign_in_as_ana(backend, workspace)
        assert not backend.sure
        assert names(backend) == "Ana"
        created = asyncio.create_task(backend.tasks.create(NewTask(description="Asked for at once")))
        await created
        assert backend.sure
        assert told == []
    async with services_in(tmp_path / "app") as services:
        again = await services.connect(await services.resolve(workspace.url))
        assert names(again) == "Ana"
        assert again.sure


async def test_what_was_asked_for_as_one_person_is_not_sent_as_the_other_who_signed_in_meanwhile(
    tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with services_in(tmp_path / "app") as mine:
        backend = await signed_in_as_ana(mine, workspace)
        async with services_in(tmp_path / "app") as theirs:
            other = await connected(theirs, workspace)
            await other.ready()
            assert names(other) == "Ana"
            sent = when_somebody_signs_in(backend, lambda: backend.tasks.create(NewTask(description="Ana's own words")))
            await asyncio.sleep(0)
            await other.sign_in_with_key(add_ben(workspace.data))
            await other.ready()
            assert names(other) == "Ben"
            with pytest.raises(SignInNeeded) as caught:
                await sent
            assert caught.value.facts.code == SOMEBODY_ELSE
            assert names(backend) == "Ben"
            assert await titles(other, "own words") == []
            created = await backend.tasks.create(NewTask(description="Now as Ben"))
            assert created.title == "Now as Ben"


async def test_who_is_admitted_is_not_asked_about_again(tmp_path: Path, workspace: RunningWorkspace) -> None:
    async with services_in(tmp_path / "app") as services:
        backend = await signed_in_as_ana(services, workspace)
        admission = await backend.admit(backend.scope)
        asked: list[object] = []
        admit = backend.admit

        async def counted(scope: Scope | None) -> Admission:
            asked.append(scope)
            return await admit(scope)

        backend.admit = counted  # type: ignore[method-assign]
        await backend.tasks.create(NewTask(description="Admitted once"), admission=admission)
        assert asked == []
        await backend.tasks.create(NewTask(description="Admitted by the way"))
        assert asked == [backend.scope]


async def test_who_was_admitted_before_another_signed_in_is_refused_before_anything_is_sent(
    tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with services_in(tmp_path / "app") as services:
        backend = await signed_in_as_ana(services, workspace)
        admission = await backend.admit(backend.scope)
        await backend.sign_in_with_key(add_ben(workspace.data))
        with pytest.raises(SignInNeeded) as caught:
            await backend.tasks.create(NewTask(description="Ana's own words"), admission=admission)
        assert caught.value.facts.code == SOMEBODY_ELSE
        assert await titles(backend, "own words") == []


async def test_that_it_cannot_be_known_any_more_who_was_admitted_says_that_nothing_was_sent(
    tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with services_in(tmp_path / "app") as services:
        backend = await signed_in_as_ana(services, workspace)
        admission = await backend.admit(backend.scope)
        await Lab(workspace.url, workspace.secret).path_fault(ME, status=503, body={"detail": "Later."}, times=1000)
        await sign_in_as_ana(backend, workspace)
        with pytest.raises(Offline):
            await backend.tasks.create(NewTask(description="Ana's own words"), admission=admission)


async def test_a_call_of_one_person_is_not_made_as_the_other_who_signed_in_meanwhile(
    tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with services_in(tmp_path / "app") as services:
        backend = await signed_in_as_ana(services, workspace)
        await services.servers.tools("workspace")
        await backend.sign_in_with_key(add_ben(workspace.data))
        call = services.servers.start_call("workspace", "create_task", {"description": "Ana's own words"})
        with pytest.raises(SignInNeeded) as caught:
            await call.result()
        assert caught.value.facts.code == SOMEBODY_ELSE
        assert await titles(backend, "own words") == []
