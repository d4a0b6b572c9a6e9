"""Several accounts on one machine: each has a name of its own, and the next start opens the one used last."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from app.core.auth.key import CredentialKey
from app.core.auth.status import CredentialState
from app.core.backend import Backend
from app.core.errors import BurrowError
from app.core.hosts import EU, host_name
from app.core.known_accounts import KnownAccount, distinct_names
from app.core.posthog.types import Project, User
from app.core.services import Services
from tests.conftest import RunningWorkspace
from tests.core.test_services import services_in, sign_in
from tests.second_person import add_ben
from tests.until import until

EUROPE, AMERICA = "https://eu.posthog.com", "https://us.posthog.com"


def account(issuer: str, email: str, slot: str = "", project: Project | None = None) -> KnownAccount:
    return KnownAccount(CredentialKey(issuer, slot=slot), User(email=email), project)


def names(*accounts: KnownAccount) -> list[str]:
    return list(distinct_names(accounts).values())


def test_one_e_mail_at_two_hosts_is_told_apart_by_the_hosts() -> None:
    found = names(account(EUROPE, "ana@example.org"), account(AMERICA, "ana@example.org"))
    assert found == ["ana@example.org (PostHog EU)", "ana@example.org (PostHog US)"]


def test_one_e_mail_twice_at_one_host_is_told_apart_by_the_projects() -> None:
    shop, mobile = Project(1, "Web shop"), Project(2, "Mobile app")
    found = names(account(EUROPE, "ana@example.org", "", shop), account(EUROPE, "Ana@example.org", "2", mobile))
    assert found == ["ana@example.org (PostHog EU, Web shop)", "Ana@example.org (PostHog EU, Mobile app)"]


@pytest.mark.parametrize("project", [None, Project(1, "Web shop"), Project(1, "")])
def test_one_e_mail_twice_in_one_project_is_told_apart_by_the_slots(project: Project | None) -> None:
    found = names(account(EUROPE, "ana@example.org", "", project), account(EUROPE, "ana@example.org", "work", project))
    assert found == ["ana@example.org (PostHog EU)", "ana@example.org (PostHog EU, work)"]


def test_a_host_is_called_by_its_name_however_it_is_kept() -> None:
    kept = ("eu", EUROPE, "workspace", "https://posthog.example.com:8443", "not an address")
    called = ["PostHog EU", "PostHog EU", "Workspace", "posthog.example.com:8443", "not an address"]
    assert [host_name(each) for each in kept] == called


async def test_a_free_slot_is_none_that_is_in_use_before_its_account_is_known(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        assert services.accounts.free_slot(EU) == ""
        assert services.accounts.free_slot(EU, "") == "2"
        assert services.accounts.free_slot(EU, "", "2") == "3"


async def test_an_addition_that_nobody_signed_in_to_is_not_the_account_of_the_next_start(
    tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with services_in(tmp_path) as services:
        ana = await signed_in_as_ana(services, workspace)
        adding = await services.connect(ana.host, slot=services.accounts.free_slot(ana.host))
        assert adding.credential.status.state is CredentialState.SIGNED_OUT
        assert services.adding
        assert await email_of_the_next_start(tmp_path, workspace) == "ana@example.org"


async def test_an_addition_whose_key_was_refused_is_not_the_account_of_the_next_start(
    tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with services_in(tmp_path) as services:
        ana = await signed_in_as_ana(services, workspace)
        adding = await services.connect(ana.host, slot="2")
        await adding.sign_in_with_key("phx_not-a-key-of-anybody")
        with pytest.raises(BurrowError):
            await adding.ready()
        assert await email_of_the_next_start(tmp_path, workspace) == "ana@example.org"


async def test_an_addition_is_the_account_of_the_next_start_once_it_is_known_who_signed_in(
    tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with services_in(tmp_path) as services:
        ana = await signed_in_as_ana(services, workspace)
        adding = await services.connect(ana.host, slot="2")
        await adding.sign_in_with_key(add_ben(workspace.data))
        await until(lambda: services.accounts.last_slot(adding.host) == "2", 15)
        assert not services.adding
    assert await email_of_the_next_start(tmp_path, workspace) == "ben@example.org"


async def test_whoever_signs_in_again_in_a_slot_signed_out_of_is_the_account_of_the_next_start(
    tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with services_in(tmp_path) as services:
        host = (await signed_in_as_ana(services, workspace)).host
        key = add_ben(workspace.data)
        ben = await services.connect(host, slot="2")
        await ben.sign_in_with_key(key)
        await until(lambda: [known.slot for known in services.accounts.of(host)] == ["", "2"], 15)
        await ben.credential.sign_out()
        await until(lambda: [known.slot for known in services.accounts.of(host)] == [""], 15)
        await services.connect(host, slot="")
        assert services.accounts.free_slot(host) == "2"
        again = await services.connect(host, slot="2")
        await again.sign_in_with_key(key)
        await until(lambda: services.accounts.last_slot(host) == "2", 15)


async def test_of_two_connects_at_once_the_last_one_stays_and_the_other_is_closed(
    tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with services_in(tmp_path) as services:
        host = (await signed_in_as_ana(services, workspace)).host
        first, second = await asyncio.gather(services.connect(host, slot="2"), services.connect(host, slot="3"))
        assert services.backend is second
        assert first.credential.key.slot == "2"
        assert open_slots(services) == ["3"]


async def test_a_connect_that_is_cancelled_leaves_no_credential_open(
    tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with services_in(tmp_path) as services:
        host = (await signed_in_as_ana(services, workspace)).host
        given_up = asyncio.create_task(services.connect(host, slot="2"))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        await services.connect(host, slot="3")
        assert open_slots(services) == ["3"]


async def test_what_another_process_signed_in_to_is_known_after_a_refresh(
    tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with services_in(tmp_path) as window, services_in(tmp_path) as command:
        await signed_in_as_ana(command, workspace)
        assert window.accounts.all() == ()
        await window.accounts.refresh()
        assert [known.name for known in window.accounts.all()] == ["ana@example.org"]
        assert command.backend is not None
        await command.backend.credential.sign_out()

        async def gone() -> bool:
            await window.accounts.refresh()
            return window.accounts.all() == ()

        await until(gone)


async def test_an_account_is_kept_where_the_others_are_unless_it_was_said_where(
    tmp_path: Path, workspace: RunningWorkspace
) -> None:
    services = Services(tmp_path)
    try:
        ana = await services.connect(await services.resolve(workspace.url))
        await ana.credential.choose_store("file")
        await sign_in(ana, workspace)
        await ana.ready()
        second = await services.connect(ana.host, slot="2")
        await services.keep_where_usual()
        assert second.credential.status.store == "file"
        third = await services.connect(ana.host, slot="3")
        await third.credential.choose_store("memory")
        await services.keep_where_usual()
        assert third.credential.status.store == "memory"
    finally:
        await services.close()


async def signed_in_as_ana(services: Services, workspace: RunningWorkspace) -> Backend:
    backend = await services.connect(await services.resolve(workspace.url))
    await sign_in(backend, workspace)
    await backend.ready()
    await until(lambda: services.accounts.all(), 5)
    return backend


async def email_of_the_next_start(folder: Path, workspace: RunningWorkspace) -> str:
    async with services_in(folder) as services:
        named = services.remembered_host()
        assert named is not None
        backend = await services.connect(await services.resolve(named))
        await backend.ready()
        return backend.account.email if backend.account is not None else ""


def open_slots(services: Services) -> list[str]:
    return [credential.key.slot for credential in services.credentials._users]
