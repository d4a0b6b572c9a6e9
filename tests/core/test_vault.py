"""Tokens at rest, against a real Secret Service: absent, locked and unreadable are told apart, never written over."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from keyring.backend import KeyringBackend

from app.core.auth.status import CredentialState
from app.core.auth.vault.base import StoreKind, VaultFailure, VaultState
from app.core.auth.vault.vaults import FileVault, KeyringVault, MemoryVault, SingleItems, open_vault
from tests.core.conftest import client_of, signed_in
from tests.core.scripted import Issuer, ScriptedServer
from tests.secret_service import SecretService, environment_without_bus


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[SecretService]:
    """An unlocked keyring that this process sees as its own."""
    with SecretService() as running:
        for name, value in running.variables.items():
            monkeypatch.setenv(name, value)
        yield running


async def test_a_machine_without_a_session_bus_has_no_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = environment_without_bus(tmp_path)
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", environment.get("XDG_RUNTIME_DIR", str(tmp_path)))
    with pytest.raises(VaultFailure) as caught:
        await KeyringVault().write("a", "secret")
    assert caught.value.state is VaultState.ABSENT


async def test_a_bus_whose_socket_is_gone_is_no_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path}/gone")
    with pytest.raises(VaultFailure) as caught:
        await KeyringVault().read("a")
    assert caught.value.state is VaultState.ABSENT


# keyring leaves its bus connection to the garbage collector when a collection is locked.
leaves_bus_open = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@leaves_bus_open
async def test_a_locked_keyring_is_told_apart_and_keeps_what_it_has(service: SecretService) -> None:
    vault = KeyringVault()
    await vault.write("a", "first")
    service.lock()
    for attempt in (vault.read("a"), vault.write("a", "second")):
        with pytest.raises(VaultFailure) as caught:
            await attempt
        assert caught.value.state is VaultState.LOCKED
    service.unlock()
    assert await KeyringVault().read("a") == "first"
    gc.collect()


@pytest.fixture(params=[False, True], ids=["prompt dismissed", "prompt open"])
def no_collection(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[SecretService]:
    """A keyring service in which nobody has made a keyring yet."""
    with SecretService(empty=True, silent_prompter=request.param) as running:
        for name, value in running.variables.items():
            monkeypatch.setenv(name, value)
        yield running
        gc.collect()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_secret_service_without_a_default_collection_is_not_a_locked_one_and_asks_once(
    no_collection: SecretService, monkeypatch: pytest.MonkeyPatch
) -> None:
    import secretstorage.collection

    asked: list[str] = []
    create = secretstorage.collection.create_collection

    def create_collection(*arguments: Any) -> Any:
        asked.append("asked")
        return create(*arguments)

    monkeypatch.setattr(secretstorage.collection, "create_collection", create_collection)
    vault = KeyringVault(deadline=1)
    assert await vault.read("one") is None
    await vault.delete("one")
    assert asked == []
    for _ in range(2):
        with pytest.raises(VaultFailure) as caught:
            await vault.write("one", "secret")
        assert caught.value.state is VaultState.ABSENT
        assert "no keyring to store in" in caught.value.cause
    assert asked == ["asked"]


async def test_a_secret_comes_back_from_the_keyring_and_goes_when_deleted(service: SecretService) -> None:
    vault = KeyringVault()
    assert await vault.read("a") is None
    await vault.write("a", "sécret")
    assert await vault.read("a") == "sécret"
    await vault.delete("a")
    await vault.delete("a")
    assert await vault.read("a") is None


class Hanging(KeyringBackend):
    """A keyring that waits for a prompt nobody sees."""

    priority = 1

    def __init__(self) -> None:
        self.released = threading.Event()

    def get_password(self, service: str, username: str) -> str | None:
        self.released.wait(20)
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        raise AssertionError("nothing may be written while the keyring hangs")


async def test_a_keyring_that_hangs_gives_up_after_its_deadline_and_leaves_the_loop_free() -> None:
    backend = Hanging()
    vault = KeyringVault(deadline=0.2, opened=lambda: SingleItems(backend))
    started = time.monotonic()
    with pytest.raises(VaultFailure) as caught:
        await vault.read("a")
    assert caught.value.state is VaultState.LOCKED
    assert time.monotonic() - started < 5
    with pytest.raises(VaultFailure):
        await vault.write("a", "secret")
    backend.released.set()


async def test_a_private_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    vault = FileVault(tmp_path)
    assert await vault.read("a") is None
    await vault.write("a", "secret")
    assert await vault.read("a") == "secret"
    (file,) = (tmp_path / "sign-in-unencrypted").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    await vault.delete("a")
    assert await vault.read("a") is None


async def test_a_folder_that_cannot_be_written_is_named_and_leaves_no_half_file(tmp_path: Path) -> None:
    (tmp_path / "sign-in-unencrypted").write_text("in the way")
    with pytest.raises(VaultFailure, match="sign-in-unencrypted"):
        await FileVault(tmp_path).write("a", "secret")


async def test_a_write_that_fails_in_the_middle_leaves_the_former_secret_and_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = FileVault(tmp_path)
    await vault.write("a", "first")

    def full(_handle: int) -> None:
        assert list((tmp_path / "sign-in-unencrypted").glob(".new-*"))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(VaultFailure, match="No space left"):
        await vault.write("a", "second")
    assert len(list((tmp_path / "sign-in-unencrypted").iterdir())) == 1
    assert await vault.read("a") == "first"


async def test_a_secret_is_on_the_disk_before_it_replaces_the_former_one_and_so_is_the_rename_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = FileVault(tmp_path)
    await vault.write("a", "first")
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(handle: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else f"file of {os.fstat(handle).st_size} bytes"
        steps.append(f"sync {kind}")
        fsync(handle)

    def watched_replace(source: str, target: str) -> None:
        steps.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    await vault.write("a", "second")
    assert steps == ["sync file of 6 bytes", "rename", "sync folder"]


async def test_a_write_whose_unfinished_file_was_taken_for_a_leftover_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = FileVault(tmp_path)
    await vault.write("a", "former")
    fsync, swept = os.fsync, []

    def sweeping(handle: int) -> None:
        fsync(handle)
        if not swept:
            swept.extend(vault.unfinished("a"))
            swept[0].unlink()

    monkeypatch.setattr(os, "fsync", sweeping)
    await vault.write("a", "secret")
    assert await vault.read("a") == "secret"


def test_each_choice_opens_its_own_kind_of_vault(tmp_path: Path) -> None:
    kinds = {kind: type(open_vault(kind, tmp_path)) for kind in StoreKind}
    assert kinds == {StoreKind.KEYRING: KeyringVault, StoreKind.FILE: FileVault, StoreKind.MEMORY: MemoryVault}


@leaves_bus_open
async def test_a_session_whose_keyring_is_locked_at_start_waits_and_is_not_signed_out(
    tmp_path: Path, service: SecretService
) -> None:
    async with signed_in(tmp_path, vault=KeyringVault()) as rig:
        service.lock()
        again = client_of(rig.server, rig.issuer, tmp_path, vault=KeyringVault(), remembered=rig.remembered)
        await again.credential.restore()
        assert again.credential.status.state is CredentialState.RESTORING
        assert again.credential.status.trouble == "vault-locked"
        service.unlock()
        await again.credential.restore()
        assert again.credential.status.state is CredentialState.SIGNED_IN
        assert again.credential.status.trouble is None
        await again.credential.close()
        gc.collect()


async def test_a_sign_in_without_a_keyring_stays_in_memory_and_says_so_until_the_person_chooses(tmp_path: Path) -> None:
    class Absent(KeyringVault):
        async def write(self, name: str, secret: str) -> None:
            raise VaultFailure(VaultState.ABSENT, "This machine has no keyring.")

    async with signed_in(tmp_path, vault=Absent()) as rig:
        status = rig.credential.status
        assert (status.state, status.persistent, status.trouble) == (CredentialState.SIGNED_IN, False, "vault-absent")
        await rig.credential.choose_store("file")
        status = rig.credential.status
        assert (status.state, status.persistent, status.trouble, status.store) == (
            CredentialState.SIGNED_IN,
            True,
            None,
            "file",
        )
        assert list((tmp_path / "sign-in-unencrypted").iterdir())


async def test_a_renewal_that_cannot_be_stored_is_used_and_warned_about(tmp_path: Path) -> None:
    class Full(FileVault):
        full = False

        async def write(self, name: str, secret: str) -> None:
            if self.full:
                raise VaultFailure(VaultState.UNREADABLE, "No space left.")
            await super().write(name, secret)

    vault = Full(tmp_path)
    async with signed_in(tmp_path, vault=vault) as rig:
        rig.server.views["/api/x/"] = rig.issuer.guard()
        rig.issuer.kill()
        vault.full = True
        assert (await rig.fetcher.get("/api/x/")).status == 200
        assert not rig.credential.status.persistent


async def test_signing_out_revokes_there_and_forgets_here(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        await rig.credential.sign_out()
        assert rig.issuer.revoked
        assert await rig.vault.read(rig.name) is None
        assert rig.credential.status.state is CredentialState.SIGNED_OUT


async def test_waiting_for_the_lock_does_not_block_the_loop(tmp_path: Path) -> None:
    from app.core.auth.grant.lock import ProcessLock
    from app.core.errors import TimedOut

    first, second = ProcessLock(tmp_path / "l"), ProcessLock(tmp_path / "l", deadline=0.2)
    async with first.hold():
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticker = asyncio.create_task(tick())
        with pytest.raises(TimedOut):
            async with second.hold():
                pass
        ticker.cancel()
        assert ticks > 3
    async with second.hold():
        pass


async def test_an_issuer_without_a_stored_grant_leaves_the_keyring_alone(tmp_path: Path) -> None:
    class Untouchable(MemoryVault):
        async def read(self, name: str) -> str | None:
            raise AssertionError("nothing was ever stored: the keyring must not be asked")

    async with ScriptedServer() as server:
        rig = client_of(server, Issuer(server), tmp_path, vault=Untouchable())
        await rig.credential.restore()
        assert rig.credential.status.state is CredentialState.SIGNED_OUT
