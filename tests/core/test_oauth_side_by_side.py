"""Two credentials of one issuer in one data folder: two accounts, or two resources. Each lives and ends by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.core.auth.credential import Credential
from app.core.auth.grant.lock import ProcessLock
from app.core.auth.profile import CredentialProfile
from app.core.auth.registry import LOCKS_FOLDER
from app.core.auth.status import CredentialState
from tests.core._authorization_server import Family, ScriptedIssuer, ScriptedResource, servers
from tests.core._data_folder import DataFolder, opened, profile_of_parts, status_of
from tests.faults.authority import sign_in_at
from tests.faults.processes import Worker, started
from tests.until import until

KINDS = ["accounts", "resources"]
BOUND_SECONDS = 10.0


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody goes on without a lock that somebody else holds."""
    monkeypatch.setattr("app.core.auth.grant.lock.TRY_SECONDS", 2 * BOUND_SECONDS)


@dataclass
class Pair:
    """Two credentials that are signed in, and what belongs to them."""

    issuer: ScriptedIssuer
    profiles: list[CredentialProfile]
    folder: Path
    data: DataFolder
    credentials: list[Credential]

    def family(self, number: int) -> Family:
        return self.issuer.families[number]

    async def status(self, number: int) -> int:
        return await status_of(self.credentials[number], self.profiles[number].key.resource)

    async def kept(self, number: int) -> tuple[Any, ...]:
        """Everything of a credential that outlives the process."""
        credential, settings = self.credentials[number], self.data.storage.settings
        key = credential.key
        stamp = self.folder / LOCKS_FOLDER / f"{key.file_name}.stamp"
        journal = await self.data.storage.grants.recent(key.text, 50)
        assert journal
        names = ("metadata", "client", "client-method", "store", "stored")
        return (
            await credential._store.vault.read(credential._store.name),
            stamp.read_text(),
            journal,
            [settings.get(f"auth:{key.text}:{name}") for name in names],
            credential.status,
        )

    @asynccontextmanager
    async def untouched(self, number: int) -> AsyncIterator[None]:
        """Nothing of a credential changes in the block, and nobody waits for its lock, which is held meanwhile."""
        before = await self.kept(number)
        lock = ProcessLock(self.folder / LOCKS_FOLDER / f"{self.profiles[number].key.file_name}.lock")
        async with lock.hold(), asyncio.timeout(BOUND_SECONDS):
            yield
        assert await self.kept(number) == before


@asynccontextmanager
async def signed_in_twice(folder: Path, kind: str) -> AsyncIterator[Pair]:
    async with servers(2) as origins, opened(folder) as data:
        issuer, server = ScriptedIssuer(next(origins), "/tenant"), next(origins)
        resources = [ScriptedResource(server, issuer, path) for path in ("/one", "/two")]
        urls = [resources[0].url, resources[kind == "resources"].url]
        slots = ["", "work" if kind == "accounts" else ""]
        profiles = [profile_of_parts(issuer.issuer, url, slot) for url, slot in zip(urls, slots, strict=True)]
        credentials = [data.credential(profile) for profile in profiles]
        for credential in credentials:
            await sign_in_at(credential)
        yield Pair(issuer, profiles, folder, data, credentials)


async def test_two_credentials_are_kept_under_two_names(tmp_path: Path) -> None:
    async with signed_in_twice(tmp_path, "accounts") as pair:
        stems = {path.stem for path in (tmp_path / LOCKS_FOLDER).iterdir()}
        assert stems == {profile.key.file_name for profile in pair.profiles}
        assert len(stems) == 2
        bearers = [credential.fresh_token() for credential in pair.credentials]
        assert [one.access_token for one in bearers if one] == [pair.family(n).access_token for n in range(2)]


async def refresh(pair: Pair) -> None:
    pair.family(0).killed = True
    assert await pair.status(0) == 200
    assert (pair.family(0).refreshes, pair.family(1).refreshes) == (1, 0)


async def sign_out(pair: Pair) -> None:
    token = pair.family(0).refresh_token
    await pair.credentials[0].sign_out()
    assert [revoked for revoked, _ in pair.issuer.revoked] == [token]


async def end(pair: Pair) -> None:
    pair.family(0).over = True
    assert await pair.status(0) == 401
    assert pair.credentials[0].status.state is CredentialState.NEEDS_SIGN_IN


async def sign_in_again(pair: Pair) -> None:
    await sign_in_at(pair.credentials[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("happens", [refresh, sign_out, end, sign_in_again])
async def test_what_happens_to_one_leaves_the_other_as_it_was(
    tmp_path: Path, kind: str, happens: Callable[[Pair], Awaitable[None]]
) -> None:
    async with signed_in_twice(tmp_path, kind) as pair:
        before = await pair.kept(0)
        async with pair.untouched(1):
            await happens(pair)
        assert await pair.kept(0) != before
        assert await pair.status(1) == 200
        pair.family(1).killed = True
        assert await pair.status(1) == 200
        assert pair.family(1).refreshes == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_both_refresh_at_once(tmp_path: Path, kind: str) -> None:
    async with signed_in_twice(tmp_path, kind) as pair:
        for number in range(2):
            pair.family(number).killed = True
        statuses = await asyncio.gather(*(pair.status(number) for number in (0, 1) * 5))
        assert set(statuses) == {200}
        assert [pair.family(number).refreshes for number in range(2)] == [1, 1]


@pytest.mark.parametrize("kind", KINDS)
async def test_after_a_restart_each_is_as_it_was_left(tmp_path: Path, kind: str) -> None:
    async with signed_in_twice(tmp_path, kind) as pair:
        await pair.credentials[0].sign_out()
        async with opened(tmp_path) as later:
            states = [(await later.restored(profile)).status.state for profile in pair.profiles]
            assert states == [CredentialState.SIGNED_OUT, CredentialState.SIGNED_IN]


@asynccontextmanager
async def processes(pair: Pair, count: int) -> AsyncIterator[list[Worker]]:
    """Processes on the folder, each with both credentials."""
    parts = json.dumps([list(profile.key) for profile in pair.profiles])
    workers = [Worker(started("tests.core._credentials_process", str(pair.folder), parts)) for _ in range(count)]
    try:
        for worker in workers:
            assert (await worker.read())["ready"] == ["signed_in", "signed_in"]
        yield workers
    finally:
        await asyncio.gather(*(worker.end() for worker in workers))


async def test_processes_refresh_each_credential_once_and_end_each_by_itself(tmp_path: Path) -> None:
    async with signed_in_twice(tmp_path, "accounts") as pair, processes(pair, 2) as workers:
        for number in range(2):
            pair.family(number).killed = True
        for worker in workers:
            worker.tell("get 0 3")
            worker.tell("get 1 3")
        for worker in workers * 2:
            assert (await worker.read())["outcomes"] == [200] * 3
        assert [pair.family(number).refreshes for number in range(2)] == [1, 1]

        await until(lambda: pair.credentials[1].grant is not None and pair.credentials[1].grant.tokens.generation == 2)
        async with pair.untouched(1):
            assert (await workers[0].ask("sign-out 0"))["states"] == ["signed_out", "signed_in"]

        async def followed() -> bool:
            return (await workers[1].ask("state"))["states"] == ["signed_out", "signed_in"]

        await until(followed)
        await until(lambda: pair.credentials[0].status.state is CredentialState.SIGNED_OUT)
        pair.family(1).killed = True
        answers = await asyncio.gather(*(worker.ask("get 1 2") for worker in workers))
        assert [answer["outcomes"] for answer in answers] == [[200, 200]] * 2
        assert pair.family(1).refreshes == 2

        pair.family(1).over = True
        assert (await workers[1].ask("get 1 1"))["states"] == ["signed_out", "needs_sign_in"]
        await until(lambda: pair.credentials[1].status.state is CredentialState.NEEDS_SIGN_IN)
