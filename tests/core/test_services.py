"""The services of one process over the real workspace: who is signed in, what is remembered, what a lost host costs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from app.core import backend as backend_module
from app.core import fetcher
from app.core.auth.status import CredentialState
from app.core.auth.vault.base import StoreKind
from app.core.data_folder import data_folder
from app.core.embedded import EmbeddedWorkspace
from app.core.errors import BurrowError, NotFound, Offline, Rejected, SignInNeeded, StorageTrouble
from app.core.lab import Lab
from app.core.services import WORKSPACE_FOLDER, Services
from tests.conftest import RunningWorkspace

if TYPE_CHECKING:
    from app.core.backend import Backend

Start = Callable[..., RunningWorkspace]
SECONDS = 15.0


@pytest.fixture(autouse=True)
def quick_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_module, "RECHECK_SECONDS", (0.05, 0.1))


@asynccontextmanager
async def services_in(folder: Path) -> AsyncIterator[Services]:
    services = Services(folder, store=StoreKind.FILE)
    try:
        yield services
    finally:
        await services.close()


async def sign_in(backend: Backend, running: RunningWorkspace) -> None:
    """Through the consent page, as a browser with a login ticket."""
    attempt = await backend.credential.begin_sign_in(open_browser=False)
    async with httpx.AsyncClient(trust_env=False, verify=False, follow_redirects=True) as browser:
        answer = await browser.post(f"{running.url}/_tickets", headers={"X-Workspace-Secret": running.secret})
        await browser.get(f"{attempt.url}&login_ticket={answer.json()['ticket']}")
    await attempt.finish()


async def signed_in(services: Services, running: RunningWorkspace) -> Backend:
    backend = await services.connect(await services.resolve(running.url))
    await sign_in(backend, running)
    await backend.ready()
    return backend


async def until(backend: Backend, condition: Callable[[], bool]) -> None:
    """Wait, bounded, for something that a change of the session or of the account brings."""
    changed = asyncio.Event()
    subscriptions = [
        backend.credential.changed.subscribe(lambda _: changed.set()),
        backend.changed.subscribe(lambda _: changed.set()),
    ]
    try:
        async with asyncio.timeout(SECONDS):
            while not condition():
                await changed.wait()
                changed.clear()
    finally:
        for unsubscribe in subscriptions:
            unsubscribe()


def stop(running: RunningWorkspace) -> None:
    assert running.process.stdin is not None
    running.process.stdin.close()
    running.process.wait(5)


def port_of(running: RunningWorkspace) -> str:
    return running.url.rpartition(":")[2]


def test_a_folder_that_cannot_be_used_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageTrouble, match="file"):
        Services(tmp_path / "file")


def test_the_folder_is_the_chosen_one_else_the_variables_else_the_platforms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURROW_DATA", "/variable")
    assert data_folder("/chosen") == Path("/chosen")
    assert data_folder() == Path("/variable").absolute()
    assert data_folder("relative").is_absolute()
    monkeypatch.delenv("BURROW_DATA")
    assert data_folder().name == "Burrow"


async def test_before_the_first_sign_in_nothing_is_known(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        assert services.remembered_host() is None
        backend = await services.connect(await services.resolve("us"))
        with pytest.raises(SignInNeeded):
            await backend.ready()
        assert (backend.account, backend.scope, backend.project) == (None, None, None)
        with pytest.raises(NotFound):
            backend.require_project()


async def test_the_choice_to_use_no_account_lasts_until_a_host_is_connected(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        told: list[object] = []
        services.backend_changed.subscribe(told.append)
        assert not services.without_account
        await services.use_no_account()
        assert services.without_account
        assert told == [None]
    async with services_in(tmp_path) as services:
        assert services.without_account
        assert services.remembered_host() is None
        await services.connect(await services.resolve("us"), restore=False)
        assert not services.without_account
        await services.use_no_account()
        assert services.backend is None
        assert services.without_account


async def test_a_part_that_cannot_be_closed_keeps_no_other_from_being_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = Services(tmp_path)
    backend = await services.connect(await services.resolve("us"), restore=False)
    ended: list[str] = []

    async def fails() -> None:
        raise RuntimeError("a bug")

    async def closed() -> None:
        ended.append("credential")

    monkeypatch.setattr(services.servers, "close", fails)
    monkeypatch.setattr(backend.credential, "close", closed)
    with pytest.raises(RuntimeError, match="a bug"):
        await services.close()
    assert ended == ["credential"]
    assert services.storage._database._connection is None


async def test_one_sign_in_brings_account_and_project(tmp_path: Path, workspace: RunningWorkspace) -> None:
    async with services_in(tmp_path) as services:
        told: list[object] = []
        services.backend_changed.subscribe(told.append)
        backend = await signed_in(services, workspace)
        assert told == [backend]
        assert backend.account is not None
        assert backend.account.email == "ana@example.org"
        assert backend.project is not None
        assert backend.project.name == "Hedgerow shop"
        assert backend.scope is not None
        assert (backend.scope.host, backend.scope.account) == (workspace.url, backend.account.account_key)
        assert services.remembered_host() == workspace.url
        assert (await backend.tasks.list()).count > 0
        with pytest.raises(Rejected):
            await backend.select_project(4711)
        kinds = {record.kind for record in services.activity.records()}
        assert {"http", "auth"} <= kinds


async def test_the_next_start_shows_the_account_without_the_network(tmp_path: Path, start_workspace: Start) -> None:
    running = start_workspace()
    async with services_in(tmp_path) as services:
        before = await signed_in(services, running)
        known = (before.account, before.projects, before.project, before.scope)
    stop(running)
    async with services_in(tmp_path) as services:
        remembered = services.remembered_host()
        assert remembered == running.url
        backend = await services.connect(await services.resolve(remembered), restore=False)
        assert (backend.account, backend.projects, backend.project, backend.scope) == known
        assert backend.host.mcp_url == before.host.mcp_url
        await backend.start()
        assert backend.credential.status.state is CredentialState.SIGNED_IN
        with pytest.raises(Offline):
            await backend.ready()
        assert backend.credential.status.trouble == "offline"
        assert (backend.account, backend.projects, backend.project, backend.scope) == known


async def test_a_host_that_comes_back_is_noticed_by_itself(tmp_path: Path, start_workspace: Start) -> None:
    running = start_workspace()
    async with services_in(tmp_path / "app") as services:
        backend = await signed_in(services, running)
        stop(running)
        for _ in range(2):
            with pytest.raises(Offline):
                await backend.tasks.list()
        assert backend.credential.status.trouble == "offline"
        start_workspace("--port", port_of(running), data=running.data)
        await until(backend, lambda: backend.credential.status.trouble is None)
        await backend.ready()
        assert (await backend.tasks.list()).count > 0
        assert backend.credential.status.state is CredentialState.SIGNED_IN


async def test_a_start_without_the_network_becomes_ready_when_it_is_back(
    tmp_path: Path, start_workspace: Start
) -> None:
    running = start_workspace()
    async with services_in(tmp_path / "app") as services:
        await signed_in(services, running)
    stop(running)
    async with services_in(tmp_path / "app") as services:
        backend = await services.connect(await services.resolve(running.url))
        with pytest.raises(Offline):
            await backend.ready()
        start_workspace("--port", port_of(running), data=running.data)
        await until(backend, lambda: backend.credential.status.trouble is None)
        await backend.ready()


async def test_a_renewal_does_not_ask_for_the_account_again(tmp_path: Path, workspace: RunningWorkspace) -> None:
    async with services_in(tmp_path) as services:
        backend = await signed_in(services, workspace)
        lab = Lab(workspace.url, workspace.secret)
        before = (await lab.state())["counters"]["requests"]["/api/users/@me/"]
        await lab.kill_access_token()
        await backend.tasks.list()
        await backend.tasks.list()
        assert (await lab.state())["counters"]["refreshes_accepted"] == 1
        assert (await lab.state())["counters"]["requests"]["/api/users/@me/"] == before


async def test_a_revoked_grant_asks_for_a_sign_in_and_keeps_what_is_known(
    tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with services_in(tmp_path) as services:
        backend = await signed_in(services, workspace)
        scope = backend.scope
        await Lab(workspace.url, workspace.secret).revoke_grant()
        with pytest.raises(SignInNeeded):
            await backend.tasks.list()
        with pytest.raises(SignInNeeded):
            await backend.ready()
        assert backend.credential.status.state is CredentialState.NEEDS_SIGN_IN
        assert backend.scope == scope
        await sign_in(backend, workspace)
        await backend.ready()
        assert (await backend.tasks.list()).count > 0
        assert backend.scope == scope


async def test_another_account_is_another_scope(tmp_path: Path, workspace: RunningWorkspace) -> None:
    async with services_in(tmp_path) as services:
        backend = await signed_in(services, workspace)
        first = backend.scope
        me = json.loads((await backend.fetcher.get("/api/users/@me/")).content)
        other = {**me, "uuid": "00000000-0000-4000-8000-00000000000b", "email": "ben@example.org", "first_name": "Ben"}
        await Lab(workspace.url, workspace.secret).path_fault("/api/users/@me/", status=200, body=other, times=9)
        told: list[object] = []
        backend.changed.subscribe(lambda b: told.append(b.scope))
        await sign_in(backend, workspace)
        await backend.ready()
        assert backend.account is not None
        assert backend.account.email == "ben@example.org"
        assert backend.scope not in {first, None}
        assert told == [backend.scope]


async def test_a_remembered_account_that_is_unreadable_is_forgotten(
    tmp_path: Path, workspace: RunningWorkspace, caplog: pytest.LogCaptureFixture
) -> None:
    async with services_in(tmp_path) as services:
        await signed_in(services, workspace)
        await services.storage.settings.set(f"account:{workspace.url}", '{"account": 5}')
    async with services_in(tmp_path) as services:
        backend = await services.connect(await services.resolve(workspace.url), restore=False)
        assert backend.account is None
        await backend.start()
        await backend.ready()
        assert backend.account is not None


async def test_another_host_is_another_backend_and_the_former_one_ends(tmp_path: Path, start_workspace: Start) -> None:
    first, second = start_workspace(), start_workspace()
    async with services_in(tmp_path) as services:
        one = await signed_in(services, first)
        told: list[object] = []
        services.backend_changed.subscribe(told.append)
        await Lab(first.url, first.secret).slow(30)
        waiting = asyncio.create_task(one.ready())
        two = await signed_in(services, second)
        assert told == [None, two]
        assert services.backend is two
        assert one._loading is None or one._loading.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await Lab(first.url, first.secret).slow(0)
        back = await services.connect(await services.resolve(first.url))
        await back.ready()
        assert (await back.tasks.list()).count > 0
        assert services.remembered_host() == first.url


async def test_agents_of_this_machine_are_ended_when_their_account_is_left_and_not_when_it_moves(
    tmp_path: Path, workspace: RunningWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with services_in(tmp_path) as services:
        await signed_in(services, workspace)
        ended: list[object] = []

        async def put_down() -> None:
            # Before it is left: the server can still be told.
            ended.append(services.backend)

        monkeypatch.setattr(services.local_runs, "put_down", put_down)
        host = await services.resolve(workspace.url)
        await services.connect(host)
        assert ended == []
        first = services.backend
        await services.connect(host, slot="2", restore=False)
        second = services.backend
        await services.use_no_account()
        assert ended == [first, second]


async def test_closing_does_not_wait_for_a_server_that_does_not_answer(
    tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with services_in(tmp_path) as services:
        await signed_in(services, workspace)
        await Lab(workspace.url, workspace.secret).slow(30)
        await services.connect(await services.resolve(workspace.url))
        async with asyncio.timeout(1.0):
            await services.close()
        await services.close()


async def test_the_embedded_workspace_is_signed_in_without_a_question(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        backend = await services.connect(await services.resolve(" Workspace "))
        await backend.ready()
        assert backend.host.embedded
        assert backend.lab is not None
        assert backend.lab.unlocked
        assert (await backend.tasks.list()).count > 0
        assert backend.credential.status.store == StoreKind.MEMORY.value


@pytest.mark.skipif(sys.platform == "win32", reason="kills as POSIX does")
async def test_a_killed_workspace_is_back_with_the_session(tmp_path: Path) -> None:
    async with services_in(tmp_path) as services:
        backend = await services.connect(await services.resolve("workspace"))
        await backend.ready()
        process = services.workspace._process
        assert process is not None
        process.kill()
        process.wait()
        with pytest.raises(BurrowError):
            await backend.tasks.list()
        await until(backend, lambda: backend.credential.status.trouble is None)
        assert (await backend.tasks.list()).count > 0
        assert backend.lab is not None
        assert backend.lab is backend.lab
        assert (await backend.lab.state())["counters"]["refreshes_accepted"] == 0


@pytest.mark.skipif(sys.platform == "win32", reason="suspends as POSIX does")
async def test_a_workspace_that_was_started_at_another_address_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The suspended one is asked first, and answers nothing.
    monkeypatch.setattr(fetcher, "PLAIN_SECONDS", 2.0)
    async with services_in(tmp_path) as services:
        backend = await services.connect(await services.resolve("workspace"))
        await backend.ready()
        ready = services.workspace.ready
        assert ready is not None
        os.kill(ready.pid, signal.SIGSTOP)
        other = EmbeddedWorkspace(tmp_path / WORKSPACE_FOLDER)
        try:
            moved = await other.start()
            assert moved.url != ready.url
            followed = asyncio.Event()
            services.backend_changed.subscribe(lambda backend: None if backend is None else followed.set())
            async with asyncio.timeout(10):
                await followed.wait()
            assert services.backend is not None
            assert services.backend.host.origin == moved.url
            await services.backend.ready()
            assert (await services.backend.tasks.list()).count > 0
        finally:
            os.kill(ready.pid, signal.SIGCONT)
            await other.stop()


OTHER_PROCESS = """
import asyncio, sys
from pathlib import Path
from app.core.services import Services

async def main():
    services = Services(Path(sys.argv[1]))
    try:
        backend = await services.connect(await services.resolve(services.remembered_host()))
        await backend.ready()
        print(backend.credential.grant.tokens.generation, (await backend.tasks.list()).count, flush=True)
    finally:
        await services.close()

asyncio.run(main())
"""


async def test_two_processes_on_one_folder_agree_after_a_renewal(tmp_path: Path, workspace: RunningWorkspace) -> None:
    async with services_in(tmp_path) as services:
        backend = await signed_in(services, workspace)
        await backend.credential.choose_store("file")
        lab = Lab(workspace.url, workspace.secret)
        await lab.kill_access_token()
        other = await asyncio.create_subprocess_exec(
            sys.executable, "-c", OTHER_PROCESS, str(tmp_path), stdout=asyncio.subprocess.PIPE
        )
        output, _ = await other.communicate()
        assert other.returncode == 0
        generation, count = map(int, output.split())
        assert (await backend.tasks.list()).count == count
        assert backend.credential.grant is not None
        assert backend.credential.grant.tokens.generation == generation
        counters = (await lab.state())["counters"]
        assert (counters["refreshes_accepted"], counters["refreshes_rejected"]) == (1, 0)


async def test_two_processes_that_find_a_dead_token_at_once_renew_it_once(
    tmp_path: Path, workspace: RunningWorkspace
) -> None:
    async with services_in(tmp_path) as services:
        backend = await signed_in(services, workspace)
        await backend.credential.choose_store("file")
        lab = Lab(workspace.url, workspace.secret)
        await lab.kill_access_token()
        other = await asyncio.create_subprocess_exec(
            sys.executable, "-c", OTHER_PROCESS, str(tmp_path), stdout=asyncio.subprocess.PIPE
        )
        assert (await backend.tasks.list()).count > 0
        await other.communicate()
        assert other.returncode == 0
        counters = (await lab.state())["counters"]
        assert (counters["refreshes_accepted"], counters["refreshes_rejected"]) == (1, 0)


@pytest.mark.parametrize("named", ["", "ftp://a.example", "http://a.example", "https://a.example/path"])
async def test_a_host_that_is_none_is_refused(tmp_path: Path, named: str) -> None:
    async with services_in(tmp_path) as services:
        with pytest.raises(Rejected):
            await services.resolve(named)


async def test_a_client_id_given_once_is_used_for_that_server_instead_of_a_registration(tmp_path: Path) -> None:
    services = Services(tmp_path)
    try:
        assert (await services.resolve("https://posthog.example.com")).client_id is None
        await services.use_client_id("https://posthog.example.com", "an-id")
        assert (await services.resolve("https://posthog.example.com")).client_id == "an-id"
        assert (await services.resolve("https://other.example.com")).client_id is None
    finally:
        await services.close()


@pytest.mark.parametrize(
    ("typed", "again"),
    [
        ("https://posthog.example.com", "posthog.example.com"),
        ("posthog.example.com/", "https://PostHog.Example.com:443"),
        (" https://posthog.example.com/ ", "https://posthog.example.com"),
        ("us", "https://us.posthog.com"),
        ("https://eu.posthog.com/", "EU"),
    ],
)
async def test_a_client_id_is_remembered_for_the_host_however_it_was_typed(
    tmp_path: Path, typed: str, again: str
) -> None:
    services = Services(tmp_path)
    try:
        await services.use_client_id(typed, "an-id")
        for named in (typed, again):
            assert (await services.resolve(named)).client_id == "an-id"
        assert (await services.resolve("https://other.example.com")).client_id is None
    finally:
        await services.close()


async def test_a_client_id_that_an_earlier_version_remembered_as_it_was_typed_still_counts(tmp_path: Path) -> None:
    services = Services(tmp_path)
    try:
        await services.storage.settings.set("client_id:PostHog.example.com/", "old-id")
        await services.storage.settings.set("client_id:not a host", "none")
        assert (await services.resolve("https://posthog.example.com")).client_id == "old-id"
        await services.use_client_id("posthog.example.com", "new-id")
        assert (await services.resolve("https://posthog.example.com")).client_id == "new-id"
    finally:
        await services.close()
