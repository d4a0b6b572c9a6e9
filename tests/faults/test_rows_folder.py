"""Rows 98 to 104: what becomes of a data folder that is moved, copied, damaged, full, or looked into by others."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from app.core.auth.cause import ASKED
from app.core.auth.status import CredentialState
from app.core.auth.vault.base import StoreKind, VaultFailure, VaultState
from app.core.auth.vault.vaults import FileVault, KeyringVault
from app.core.errors import SignInNeeded
from tests.core.scripted import Issuer, ScriptedServer
from tests.faults.folders import PATH, Client, process_on
from tests.faults.measure import Measure
from tests.secret_service import SecretService

KINDS = (StoreKind.FILE, StoreKind.KEYRING)


@asynccontextmanager
async def scripted() -> AsyncIterator[Issuer]:
    """A server that lets nobody spend a refresh token twice."""
    async with ScriptedServer() as server:
        issuer = Issuer(server)
        issuer.grace = False
        server.views[PATH] = issuer.guard()
        yield issuer


@pytest.fixture
def _keyring(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An unlocked keyring that this process sees as its own."""
    with SecretService() as running:
        for name, value in running.variables.items():
            monkeypatch.setenv(name, value)
        yield


def moved(folder: Path) -> Path:
    return folder.rename(folder.with_name("elsewhere"))


def linked(folder: Path) -> Path:
    link = folder.with_name("link")
    link.symlink_to(folder)
    return link


def reached_by_a_detour(folder: Path) -> Path:
    (folder.parent / "beside").mkdir()
    return folder.parent / "beside" / ".." / folder.name


def restored_from_a_copy(folder: Path) -> Path:
    copy = Path(shutil.copytree(folder, folder.with_name("copy")))
    shutil.rmtree(folder)
    return copy


OTHER_PATHS = (moved, linked, reached_by_a_detour, restored_from_a_copy)


@pytest.mark.usefixtures("_keyring")
@pytest.mark.parametrize("store", KINDS)
@pytest.mark.parametrize("elsewhere", OTHER_PATHS)
async def test_row_98_a_folder_at_another_path_has_the_same_sign_in(
    tmp_path: Path, measure: Measure, store: StoreKind, elsewhere: Callable[[Path], Path]
) -> None:
    async with scripted() as issuer:
        async with process_on(tmp_path / "data", issuer.server) as first:
            await first.sign_in(issuer, store)
        issuer.kill()
        async with process_on(elsewhere(tmp_path / "data"), issuer.server) as again:
            measure.watch(again)
            assert again.state is CredentialState.SIGNED_IN
            assert await measure.one(again.answer()) == 200
            assert again.name == first.name
            measure.expect(R=1)


@pytest.mark.usefixtures("_keyring")
@pytest.mark.parametrize("store", KINDS)
@pytest.mark.parametrize("elsewhere", OTHER_PATHS)
async def test_row_98_signing_out_at_another_path_deletes_and_revokes_the_sign_in(
    tmp_path: Path, measure: Measure, store: StoreKind, elsewhere: Callable[[Path], Path]
) -> None:
    async with scripted() as issuer:
        async with process_on(tmp_path / "data", issuer.server) as first:
            await first.sign_in(issuer, store)
        folder = elsewhere(tmp_path / "data")
        async with process_on(folder, issuer.server) as again:
            measure.watch(again)
            await again.credential.sign_out()
            vault = KeyringVault() if store is StoreKind.KEYRING else FileVault(folder)
            assert await vault.read(again.name) is None
            assert [request.form["token"] for request in issuer.server.seen if request.path == "/oauth/revoke/"] == [
                "phr_1"
            ]
            measure.expect(R=0)


@pytest.mark.usefixtures("_keyring")
@pytest.mark.parametrize("store", KINDS)
async def test_row_99_a_copy_of_a_folder_asks_for_a_sign_in_and_leaves_that_of_the_original(
    tmp_path: Path, measure: Measure, store: StoreKind
) -> None:
    async with scripted() as issuer:
        async with process_on(tmp_path / "data", issuer.server) as first:
            await first.sign_in(issuer, store)
        shutil.copytree(tmp_path / "data", tmp_path / "copy")
        async with (
            process_on(tmp_path / "copy", issuer.server) as copy,
            process_on(tmp_path / "data", issuer.server) as original,
        ):
            assert copy.state is CredentialState.NEEDS_SIGN_IN
            assert not list((tmp_path / "copy" / "sign-in-unencrypted").glob("*"))
            measure.watch(copy, original)
            issuer.kill()
            assert isinstance(await measure.one(copy.answer()), SignInNeeded)
            assert await measure.one(original.answer()) == 200
            await copy.credential.sign_out()
            assert await measure.one(original.answer()) == 200
            measure.expect(R=1)


def missing(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def damaged(path: Path) -> None:
    path.write_bytes(b"this is not a database" * 500)


def newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()


def foreign(path: Path) -> None:
    missing(path)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()


@pytest.mark.usefixtures("_keyring")
@pytest.mark.parametrize("store", KINDS)
@pytest.mark.parametrize("happens", [missing, damaged, newer, foreign])
async def test_row_100_a_database_that_cannot_be_used_costs_no_sign_in(
    tmp_path: Path, measure: Measure, store: StoreKind, happens: Callable[[Path], None]
) -> None:
    async with scripted() as issuer:
        async with process_on(tmp_path, issuer.server) as first:
            await first.sign_in(issuer, store)
        happens(tmp_path / "burrow.sqlite3")
        if store is StoreKind.FILE:
            # The private file alone says that it is there, and that it was chosen.
            shutil.rmtree(tmp_path / "locks")
            (tmp_path / "identity.json").unlink()
        issuer.kill()
        async with process_on(tmp_path, issuer.server) as again:
            measure.watch(again)
            assert (again.state, again.credential.status.store) == (CredentialState.SIGNED_IN, store.value)
            assert await measure.one(again.answer()) == 200
        async with process_on(tmp_path, issuer.server) as later:
            assert await measure.one(later.answer()) == 200
            measure.expect(R=1)


async def test_row_101_a_setting_that_cannot_be_read_costs_no_sign_in(tmp_path: Path, measure: Measure) -> None:
    async with scripted() as issuer:
        async with process_on(tmp_path, issuer.server) as first:
            await first.sign_in(issuer, StoreKind.FILE)
        with closing(sqlite3.connect(tmp_path / "burrow.sqlite3")) as connection:
            assert connection.execute("SELECT count(*) FROM settings").fetchone()[0] >= 3
            connection.execute("UPDATE settings SET value = CAST(X'ff' AS TEXT)")
            connection.commit()
        async with process_on(tmp_path, issuer.server) as again:
            measure.watch(again)
            assert "could not be read" in (again.services.storage.notice or "")
            assert await measure.one(again.answer()) == 200
            measure.expect(R=0)


# Dies in the moment before the new file takes the place of the former one.
KILLED = """
import asyncio, os, sys
from pathlib import Path
from app.core.auth.vault.vaults import FileVault
def replace(*_): os._exit(9)
os.replace = replace
asyncio.run(FileVault(Path(sys.argv[1])).write(sys.argv[2], '{"refresh_token": "phr_live"}'))
"""


def killed_while_storing(folder: Path, name: str) -> Path:
    """What a process that was killed in that moment left behind."""
    process = subprocess.run([sys.executable, "-c", KILLED, str(folder), name], check=False)
    assert process.returncode == 9
    [left] = (folder / "sign-in-unencrypted").glob(".new-*")
    assert "phr_live" in left.read_text()
    return left


async def test_row_102_a_file_that_was_left_unfinished_is_deleted_at_the_next_start(
    tmp_path: Path, measure: Measure
) -> None:
    async with scripted() as issuer:
        async with process_on(tmp_path, issuer.server) as first:
            await first.sign_in(issuer, StoreKind.FILE)
        left = killed_while_storing(tmp_path, first.name)
        before_stems = left.with_name(".new-8_l3tt3r")
        before_stems.write_text("phr_older")
        async with process_on(tmp_path, issuer.server) as again:
            measure.watch(again)
            assert not left.exists()
            assert not before_stems.exists()
            assert await measure.one(again.answer()) == 200
            measure.expect(R=0)


async def test_row_102_a_file_that_was_left_unfinished_is_deleted_by_signing_out(
    tmp_path: Path, measure: Measure
) -> None:
    async with scripted() as issuer, process_on(tmp_path, issuer.server) as client:
        measure.watch(client)
        await client.sign_in(issuer, StoreKind.FILE)
        killed_while_storing(tmp_path, client.name)
        await client.credential.sign_out()
        assert not list((tmp_path / "sign-in-unencrypted").iterdir())
        measure.expect(R=0)


async def test_row_102_a_file_that_another_process_is_writing_is_left_to_it(tmp_path: Path, measure: Measure) -> None:
    async with scripted() as issuer, process_on(tmp_path, issuer.server) as writing:
        await writing.sign_in(issuer, StoreKind.FILE)
        async with writing.credential._store._files.lock.hold():
            unfinished = killed_while_storing(tmp_path, writing.name)
            async with process_on(tmp_path, issuer.server) as other:
                measure.watch(other)
                assert unfinished.exists()
        async with process_on(tmp_path, issuer.server, "another") as account:
            await account.credential.sign_out()
            assert unfinished.exists()
        measure.expect(R=0)


@pytest.mark.usefixtures("_keyring")
@pytest.mark.parametrize(("source", "target"), [KINDS, KINDS[::-1]])
async def test_row_102_a_former_copy_that_a_move_left_is_deleted_by_signing_out(
    tmp_path: Path, measure: Measure, monkeypatch: pytest.MonkeyPatch, source: StoreKind, target: StoreKind
) -> None:
    former = FileVault if source is StoreKind.FILE else KeyringVault

    async def failing(_self: object, _name: str) -> None:
        raise VaultFailure(VaultState.UNREADABLE, "It cannot be deleted.")

    async with scripted() as issuer, process_on(tmp_path, issuer.server) as client:
        measure.watch(client)
        await client.sign_in(issuer, source)
        with monkeypatch.context() as patched:
            patched.setattr(former, "delete", failing)
            await client.credential.choose_store(target)
        stores = {StoreKind.FILE: FileVault(tmp_path), StoreKind.KEYRING: KeyringVault()}
        assert [await stores[kind].read(client.name) is not None for kind in KINDS] == [True, True]
        await client.credential.sign_out()
        assert [await stores[kind].read(client.name) for kind in KINDS] == [None, None]
        measure.expect(R=0)


@pytest.mark.usefixtures("_keyring")
@pytest.mark.parametrize(("source", "target"), [KINDS, KINDS[::-1]])
async def test_row_102_a_move_leaves_no_copy_in_the_former_store(
    tmp_path: Path, measure: Measure, source: StoreKind, target: StoreKind
) -> None:
    async with scripted() as issuer, process_on(tmp_path, issuer.server) as client:
        measure.watch(client)
        await client.sign_in(issuer, source)
        issuer.kill()
        assert await measure.one(client.answer()) == 200
        await client.credential.choose_store(target)
        stores = {StoreKind.FILE: FileVault(tmp_path), StoreKind.KEYRING: KeyringVault()}
        assert await stores[source].read(client.name) is None
        assert "phr_2" in (await stores[target].read(client.name) or "")
        measure.expect(R=1)


@pytest.mark.usefixtures("_keyring")
async def test_row_102_a_move_that_was_interrupted_before_the_grant_was_stored_costs_no_sign_in(
    tmp_path: Path, measure: Measure
) -> None:
    async with scripted() as issuer:
        async with process_on(tmp_path, issuer.server) as first:
            await first.sign_in(issuer, StoreKind.FILE)
            await first.credential._store.switch_to(StoreKind.KEYRING)
        async with process_on(tmp_path, issuer.server) as again:
            measure.watch(again)
            assert await measure.one(again.answer()) == 200
            await renew(again)
        async with process_on(tmp_path, issuer.server) as later:
            assert await measure.one(later.answer()) == 200
            assert not list((tmp_path / "sign-in-unencrypted").iterdir())
            measure.expect(R=1)


@pytest.mark.usefixtures("_keyring")
async def test_row_102_signing_in_to_another_store_replaces_the_copy_in_the_former_one(
    tmp_path: Path, measure: Measure
) -> None:
    async with scripted() as issuer:
        async with process_on(tmp_path, issuer.server) as first:
            await first.sign_in(issuer, StoreKind.KEYRING)
        async with process_on(tmp_path, issuer.server, store=StoreKind.FILE) as again:
            await again.sign_in(issuer, StoreKind.FILE)
            measure.watch(again)
            assert await KeyringVault().read(again.name) is None
            assert await FileVault(tmp_path).read(again.name) is not None
            measure.expect(R=0)


async def renew(client: Client) -> None:
    grant = client.credential.grant
    assert grant is not None
    await client.credential.refresh(grant.tokens, ASKED)
