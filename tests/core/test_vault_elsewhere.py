"""The vaults of Windows and macOS: keyring's own backends, over a fake of the system's calls that keeps its limits."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from app.core.auth.grant.grant import Grant
from app.core.auth.tokens import TokenSet
from app.core.auth.vault.base import VaultFailure, VaultState
from app.core.auth.vault.vaults import KeyringVault

# wincred.h
CRED_MAX_CREDENTIAL_BLOB_SIZE = 5 * 512
CRED_MAX_USERNAME_LENGTH = 256 + 1 + 256
ERROR_NOT_FOUND, ERROR_INVALID_PARAMETER, RPC_X_BAD_STUB_DATA = 1168, 87, 1783

NAME = "https%3A//us.posthog.com|https|abcdef|"


class Win32Error(Exception):
    def __init__(self, winerror: int, funcname: str) -> None:
        super().__init__(winerror, funcname)
        self.winerror, self.funcname = winerror, funcname


class CredentialManager(ModuleType):
    """win32cred with the limits of Windows."""

    CRED_TYPE_GENERIC = 1
    CRED_PERSIST_SESSION, CRED_PERSIST_LOCAL_MACHINE, CRED_PERSIST_ENTERPRISE = 1, 2, 3

    def __init__(self) -> None:
        super().__init__("win32ctypes.pywin32.win32cred")
        self.stored: dict[str, dict[str, object]] = {}

    def CredRead(self, *, Type: int, TargetName: str) -> dict[str, object]:  # noqa: N803
        if TargetName not in self.stored:
            raise Win32Error(ERROR_NOT_FOUND, "CredRead")
        return dict(self.stored[TargetName])

    def CredWrite(self, credential: dict[str, object], flags: int) -> None:
        blob = str(credential["CredentialBlob"]).encode("utf-16-le")
        if len(blob) > CRED_MAX_CREDENTIAL_BLOB_SIZE:
            raise Win32Error(RPC_X_BAD_STUB_DATA, "CredWrite")
        if len(str(credential["UserName"]).encode("utf-16-le")) // 2 > CRED_MAX_USERNAME_LENGTH:
            raise Win32Error(ERROR_INVALID_PARAMETER, "CredWrite")
        self.stored[str(credential["TargetName"])] = credential | {"CredentialBlob": blob}

    def CredDelete(self, *, Type: int, TargetName: str) -> None:  # noqa: N803
        if self.stored.pop(TargetName, None) is None:
            raise Win32Error(ERROR_NOT_FOUND, "CredDelete")


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[CredentialManager]:
    """Windows, as far as the vault sees it."""
    fake = CredentialManager()
    errors = ModuleType("win32ctypes.pywin32.pywintypes")
    errors.error = Win32Error  # type: ignore[attr-defined]
    package = ModuleType("win32ctypes.pywin32")
    package.win32cred, package.pywintypes = fake, errors  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "win32ctypes", ModuleType("win32ctypes"))
    for module in (package, fake, errors):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    backend = importlib.reload(importlib.import_module("keyring.backends.Windows"))
    monkeypatch.setattr(sys, "platform", "win32")
    yield fake
    monkeypatch.undo()
    importlib.reload(backend)


def grant(size: int) -> str:
    """The text of a grant whose access token has `size` characters, such as a JWT with many claims."""
    return Grant(TokenSet("x" * size, "r" * 200), "client", "https://us.posthog.com", "1f").encode()


@pytest.mark.parametrize("size", [10, 1_280, 4_000, 30_000])
async def test_a_grant_of_any_size_is_stored_in_windows_credential_manager(
    manager: CredentialManager, size: int
) -> None:
    vault = KeyringVault()
    await vault.write(NAME, grant(size))
    assert await KeyringVault().read(NAME) == grant(size)
    assert (len(manager.stored) > 1) == (size > 1_000)


async def test_a_grant_that_is_replaced_and_deleted_leaves_nothing_in_credential_manager(
    manager: CredentialManager,
) -> None:
    vault = KeyringVault()
    for size in (4_000, 30_000, 10, 4_000):
        await vault.write(NAME, grant(size))
        assert await vault.read(NAME) == grant(size)
    await vault.delete(NAME)
    assert manager.stored == {}


async def test_grants_of_two_names_do_not_displace_each_other(manager: CredentialManager) -> None:
    vault = KeyringVault()
    for turn in range(3):
        for name in ("a", "b"):
            await vault.write(NAME + name, grant(3_000 + turn))
    assert await vault.read(f"{NAME}a") == await vault.read(f"{NAME}b") == grant(3_002)
    await vault.delete(f"{NAME}a")
    assert await vault.read(f"{NAME}b") == grant(3_002)


@pytest.mark.parametrize("length", [499, 500, 501, 513, 514, 3_000])
async def test_a_credential_of_a_server_with_a_long_address_is_stored_too(
    manager: CredentialManager, length: int
) -> None:
    vault = KeyringVault()
    first, second = ("n" * (length - 1) + end for end in "12")
    await vault.write(first, grant(4_000))
    await vault.write(second, grant(10))
    assert await vault.read(first) == grant(4_000)
    assert await vault.read(second) == grant(10)
    await vault.delete(first)
    await vault.delete(second)
    assert manager.stored == {}


async def test_what_is_stored_does_not_roam_to_other_machines(manager: CredentialManager) -> None:
    await KeyringVault().write(NAME, grant(4_000))
    assert {each["Persist"] for each in manager.stored.values()} == {CredentialManager.CRED_PERSIST_LOCAL_MACHINE}


async def test_an_error_of_credential_manager_is_said_and_loses_nothing(
    manager: CredentialManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = KeyringVault()
    await vault.write(NAME, grant(4_000))

    def refuse(credential: dict[str, object], flags: int) -> None:
        raise Win32Error(5, "CredWrite")

    monkeypatch.setattr(manager, "CredWrite", refuse)
    with pytest.raises(VaultFailure) as caught:
        await vault.write(NAME, grant(5_000))
    assert caught.value.state is VaultState.UNREADABLE
    assert await vault.read(NAME) == grant(4_000)


class Keychain(ModuleType):
    """keyring's calls of macOS' Security framework (keyring/backends/macOS/api.py), without the framework."""

    class Error(Exception): ...

    class NotFound(Error): ...

    class KeychainDenied(Error): ...

    def __init__(self) -> None:
        super().__init__("keyring.backends.macOS.api")
        self.stored: dict[tuple[str, str], str] = {}
        self.denied = False

    def find_generic_password(self, keychain: object, service: str, username: str) -> str:
        if self.denied:
            raise self.KeychainDenied(-128)
        if (service, username) not in self.stored:
            raise self.NotFound(-25300)
        return self.stored[service, username]

    def set_generic_password(self, keychain: object, service: str, username: str, password: str) -> None:
        if self.denied:
            raise self.KeychainDenied(-128)
        self.stored[service, username] = password

    def delete_generic_password(self, keychain: object, service: str, username: str) -> None:
        if self.stored.pop((service, username), None) is None:
            raise self.NotFound(-25300)


@pytest.fixture
def keychain(monkeypatch: pytest.MonkeyPatch) -> Keychain:
    """macOS, as far as the vault sees it."""
    fake = Keychain()
    monkeypatch.setattr(importlib.import_module("keyring.backends.macOS"), "api", fake, raising=False)
    monkeypatch.setattr(sys, "platform", "darwin")
    return fake


async def test_a_large_grant_is_one_item_of_the_keychain_of_macos(keychain: Keychain) -> None:
    vault = KeyringVault()
    assert await vault.read(NAME) is None
    await vault.write(NAME, grant(30_000))
    assert await vault.read(NAME) == grant(30_000)
    assert list(keychain.stored) == [("Burrow", NAME)]
    await vault.delete(NAME)
    await vault.delete(NAME)
    assert keychain.stored == {}


async def test_a_keychain_that_the_person_refuses_is_locked_not_absent(keychain: Keychain) -> None:
    keychain.denied = True
    with pytest.raises(VaultFailure) as caught:
        await KeyringVault().read(NAME)
    assert caught.value.state is VaultState.LOCKED
