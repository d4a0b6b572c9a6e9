"""Rows 98 to 104: what becomes of a data folder that is moved, copied, damaged, full, or looked into by others."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.core.auth.status import CredentialState
from app.core.auth.vault.base import StoreKind
from app.core.auth.vault.vaults import FileVault, KeyringVault
from app.core.errors import SignInNeeded
from tests.core.scripted import Issuer, ScriptedServer
from tests.faults.folders import PATH, process_on
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
