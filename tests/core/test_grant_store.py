"""The stored grant tells other processes of each change, in time for one that dies in the middle."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from app.core.auth.grant.files import GrantFiles
from app.core.auth.grant.grant import Grant
from app.core.auth.grant.store import GrantStore
from app.core.auth.key import CredentialKey
from app.core.auth.settings import CredentialSettings
from app.core.auth.tokens import TokenSet
from app.core.auth.vault.base import VaultFailure, VaultState
from app.core.auth.vault.vaults import FileVault
from tests.core.conftest import Remembered

FIRST, SECOND = (Grant(TokenSet(f"pha_{n}", f"phr_{n}", generation=n), "client") for n in (1, 2))


class Watched(FileVault):
    """Calls `meanwhile` before it writes or deletes, and fails then if it is told to."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)
    fails = False

    async def write(self, name: str, secret: str) -> None:
        self._look()
        await super().write(name, secret)

    async def delete(self, name: str) -> None:
        self._look()
        await super().delete(name)

    def _look(self) -> None:
        self.meanwhile()
        if self.fails:
            raise VaultFailure(VaultState.UNREADABLE, "The disk is full.")


def store_in(folder: Path, vault: FileVault | None = None) -> GrantStore:
    """That of one process."""
    settings = CredentialSettings(Remembered(), CredentialKey("https://issuer.test"))
    return GrantStore("grant", folder, settings, GrantFiles(folder, "g"), vault=vault or FileVault(folder))


async def change(store: GrantStore, how: str) -> None:
    work: Awaitable[None] = store.save(SECOND) if how == "save" else store.remove()
    await work


@pytest.mark.parametrize("how", ["save", "remove"])
async def test_others_have_a_reason_to_read_before_the_vault_is_touched_and_after_it(tmp_path: Path, how: str) -> None:
    vault = Watched(tmp_path)
    mine, other = store_in(tmp_path, vault), store_in(tmp_path)
    await mine.save(FIRST)
    assert await other.read() == FIRST
    noticed: list[bool] = []
    # If this process died now, the other one would read what became of the grant.
    vault.meanwhile = lambda: noticed.append(other.changed_elsewhere)
    await change(mine, how)
    assert noticed == [True]
    assert other.changed_elsewhere


@pytest.mark.parametrize("how", ["save", "remove"])
async def test_one_that_reads_in_the_middle_of_a_change_reads_once_more_after_it(tmp_path: Path, how: str) -> None:
    vault = Watched(tmp_path)
    mine, other = store_in(tmp_path, vault), store_in(tmp_path)
    await mine.save(FIRST)
    vault.meanwhile = other.mark_seen
    await change(mine, how)
    assert other.changed_elsewhere


async def test_what_could_not_be_written_is_newer_than_what_is_stored(tmp_path: Path) -> None:
    vault = Watched(tmp_path)
    mine = store_in(tmp_path, vault)
    await mine.save(FIRST)
    assert await mine.read() == FIRST
    vault.fails = True
    with pytest.raises(VaultFailure):
        await mine.save(SECOND)
    assert await mine.newest(SECOND) == SECOND
