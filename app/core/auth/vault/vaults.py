"""The vaults: the platform's keyring, a private file, and memory.

A call to the keyring blocks for 16 to 20 ms and may wait for a prompt that nobody sees. So it runs in a thread of its
own, with a deadline. A keyring that is absent, locked or failing is never replaced by another vault silently.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import sys
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from app.core.auth.vault.base import StoreKind, VaultFailure, VaultState
from app.core.auth.vault.identity import UNENCRYPTED_FOLDER, FolderIdentity
from app.core.auth.vault.moved import MovedItems
from app.core.private import fill_and_replace, make_private_folder, replace_private
from app.daemon_thread import in_daemon_thread

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from keyring.backend import KeyringBackend

    from app.core.auth.vault.base import KeyringItems, Vault

T = TypeVar("T")

SERVICE = "Burrow"
DEADLINE_SECONDS = 5.0
# Below the limit of 1,280 (CRED_MAX_CREDENTIAL_BLOB_SIZE, 2,560 bytes of UTF-16), with a margin.
WINDOWS_ITEM_UNITS = 1_200
NO_COLLECTION = "The keyring service has no keyring to store in."
# How much longer than the present secret the next one may be and still fit into the file that is reserved for it.
RESERVED_BYTES = 4096
# The beginning of the name of a private file that is not complete yet.
UNFINISHED = ".new-"


class MemoryVault:
    """Secrets that live as long as the process."""

    kind = StoreKind.MEMORY

    def __init__(self) -> None:
        self._secrets: dict[str, str] = {}

    async def read(self, name: str) -> str | None:
        return self._secrets.get(name)

    async def write(self, name: str, secret: str) -> None:
        self._secrets[name] = secret

    async def reserve(self, name: str, present: str) -> None:
        return None

    async def delete(self, name: str) -> None:
        self._secrets.pop(name, None)


class FileVault:
    """One private file for each secret, in a folder whose name says that it is unencrypted.

    It is used only if the user chose it. The name of a file does not depend on the id of the data folder, which may be
    lost.
    """

    kind = StoreKind.FILE

    def __init__(self, folder: Path) -> None:
        """`folder` is the data folder."""
        self._data_folder = folder
        self._folder = folder / UNENCRYPTED_FOLDER

    async def read(self, name: str) -> str | None:
        return await asyncio.to_thread(lambda: self._read(self._path(name)))

    async def write(self, name: str, secret: str) -> None:
        await asyncio.to_thread(lambda: self._write(self._path(name), secret))

    async def reserve(self, name: str, present: str) -> None:
        await asyncio.to_thread(self._reserve, self._path(name), len(present) + RESERVED_BYTES)

    async def delete(self, name: str) -> None:
        await asyncio.to_thread(lambda: self._delete(self._path(name)))

    def holds(self, name: str) -> bool:
        """Whether there is a file for `name`. Looks at the folder only."""
        return any(path.exists() for path in (self._path_of(name), *self._former_paths(name)))

    def unfinished(self, *names: str) -> list[Path]:
        """What a process that was killed while it wrote these secrets left behind: each may have a whole secret.

        A file that is being written at this moment is among them, so the caller holds the lock of the grant. Versions
        that did not name the secret in such a file left files that are among them too.
        """
        stems = {self._path_of(name).stem for name in names}
        found = self._folder.glob(f"{UNFINISHED}*") if self._folder.is_dir() else ()
        return [path for path in found if _secret_of(path.name) in {None, *stems}]

    @cached_property
    def _identity(self) -> FolderIdentity:
        return FolderIdentity(self._data_folder)

    def _path(self, name: str) -> Path:
        """The file of a secret, renamed first if a version without folder ids wrote it."""
        path = self._path_of(name)
        for former in self._former_paths(name):
            # No lock: whoever writes the file renames the former one first, so a second rename finds nothing.
            with contextlib.suppress(OSError):
                if not path.exists():
                    former.rename(path)
                else:
                    former.unlink()
        return path

    def _path_of(self, name: str) -> Path:
        return self._folder / f"{_stem_of(self._identity.local_name(name))}.json"

    def _former_paths(self, name: str) -> list[Path]:
        return [self._folder / f"{_stem_of(former)}.json" for former in self._identity.former_names(name)]

    def _read(self, path: Path) -> str | None:
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as failure:
            raise VaultFailure(VaultState.UNREADABLE, f"{path} cannot be read: {failure}.") from None

    def _delete(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as failure:
            raise VaultFailure(VaultState.UNREADABLE, f"{path} cannot be removed: {failure}.") from None

    def _reserved(self, path: Path) -> Path:
        """The file that the next secret for `path` is written into. It holds blanks, never a secret, until then."""
        return path.with_name(f"{UNFINISHED}{path.stem}-reserved")

    def _reserve(self, path: Path, size: int) -> None:
        reserved = self._reserved(path)
        try:
            make_private_folder(path.parent)
            # Written, not only given a length: a sparse file has no blocks of its own yet.
            handle = os.open(reserved, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(b" " * size)
                file.flush()
                os.fsync(file.fileno())
        except OSError as failure:
            with contextlib.suppress(OSError):
                os.unlink(reserved)
            raise VaultFailure(VaultState.UNREADABLE, f"{path} could not be replaced: {failure}.") from None

    def _write_reserved(self, path: Path, secret: str) -> bool:
        """Write into the file that was reserved for `path`, which works on a full disk; False if there is none."""
        reserved = self._reserved(path)
        try:
            handle = os.open(reserved, os.O_WRONLY)
        except FileNotFoundError:
            return False
        fill_and_replace(handle, reserved, path, secret)
        return True

    def _write(self, path: Path, secret: str) -> None:
        prefix = f"{UNFINISHED}{path.stem}-"
        try:
            make_private_folder(path.parent)
            if self._write_reserved(path, secret):
                return
            try:
                replace_private(path, secret, prefix=prefix)
            except FileNotFoundError:
                # Another process took the unfinished file for one that was left behind.
                replace_private(path, secret, prefix=prefix)
        except OSError as failure:
            raise VaultFailure(VaultState.UNREADABLE, f"{path} cannot be written: {failure}.") from None


def _stem_of(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def _secret_of(unfinished: str) -> str | None:
    """The stem of the file that an unfinished one was to replace; None where its name does not say."""
    stem, dash, _ = unfinished.removeprefix(UNFINISHED).partition("-")
    return stem if dash else None


class SingleItems:
    """One item for each secret."""

    def __init__(self, keyring: KeyringBackend) -> None:
        self._keyring = keyring

    def get(self, name: str) -> str | None:
        return self._keyring.get_password(SERVICE, name)

    def set(self, name: str, secret: str) -> None:
        self._keyring.set_password(SERVICE, name, secret)

    def delete(self, name: str) -> None:
        from keyring.errors import PasswordDeleteError

        with contextlib.suppress(PasswordDeleteError):
            self._keyring.delete_password(SERVICE, name)


class NoCollection(Exception):
    """The Secret Service has no default collection, and the user did not make one when asked."""


class SecretServiceItems(SingleItems):
    """Items of the Secret Service, which may have no default collection yet.

    keyring would ask the user to make one for every call. Reading and deleting need none, and storing asks once.
    """

    def __init__(self, keyring: KeyringBackend) -> None:
        super().__init__(keyring)
        self.asks = False
        self._declined = False

    def get(self, name: str) -> str | None:
        return super().get(name) if has_default_collection() else None

    def set(self, name: str, secret: str) -> None:
        from keyring.errors import InitError

        if has_default_collection():
            super().set(name, secret)
            return
        if self._declined:
            raise NoCollection
        self.asks = True
        try:
            super().set(name, secret)
        except InitError:
            self._declined = True
            raise NoCollection from None
        finally:
            self.asks = False

    def delete(self, name: str) -> None:
        if has_default_collection():
            super().delete(name)


def has_default_collection() -> bool:
    """Whether the Secret Service has a collection to store in. Blocks; raises what the bus raises."""
    import secretstorage

    with contextlib.closing(secretstorage.dbus_init()) as bus:
        try:
            secretstorage.Collection(bus)
        except secretstorage.ItemNotFoundException:
            return False
    return True


class KeyringVault:
    """The platform's keyring."""

    kind = StoreKind.KEYRING

    def __init__(self, *, deadline: float = DEADLINE_SECONDS, opened: Callable[[], KeyringItems] | None = None) -> None:
        """`deadline` is in seconds. `opened` opens the keyring, in the thread of the first call."""
        self._deadline = deadline
        self._open = opened or platform_items
        self._items: KeyringItems | None = None
        # One call at a time: backends are not thread-safe.
        self._lock = asyncio.Lock()
        self._hung: threading.Thread | None = None

    async def read(self, name: str) -> str | None:
        return await self._call(lambda items: items.get(name))

    async def write(self, name: str, secret: str) -> None:
        await self._call(lambda items: items.set(name, secret))

    async def reserve(self, name: str, present: str) -> None:
        # Writing what is there already is the only proof that the keyring is unlocked and takes a write.
        await self.write(name, present)

    async def delete(self, name: str) -> None:
        await self._call(lambda items: items.delete(name))

    async def _call(self, action: Callable[[KeyringItems], T]) -> T:
        async with self._lock:
            # No second prompt while the first one waits, and not one more thread for each call.
            if self._hung is not None and self._hung.is_alive():
                raise self._waiting("The keyring still waits to be unlocked.")

            def work() -> T:
                if self._items is None:
                    self._items = self._open()
                return action(self._items)

            # A prompt that nobody answers must not keep the process from ending.
            outcome, thread = in_daemon_thread(work, "keyring")
            try:
                async with asyncio.timeout(self._deadline):
                    return await outcome
            except TimeoutError:
                self._hung = thread
                raise self._waiting("The keyring did not answer; it may wait to be unlocked.") from None
            except VaultFailure:
                raise
            except Exception as failure:
                # Opened again by the next call: the keyring's service may have been restarted. Not after the user
                # declined to make a collection, which would ask once more.
                if not isinstance(failure, NoCollection):
                    self._items = None
                raise vault_failure(failure) from failure

    def _waiting(self, words: str) -> VaultFailure:
        """The failure while a call waits for the user; `words` are those for a locked keyring."""
        if isinstance(self._items, SecretServiceItems) and self._items.asks:
            return VaultFailure(VaultState.ABSENT, f"{NO_COLLECTION} It asks for the password of a new one.")
        return VaultFailure(VaultState.LOCKED, words)


def platform_items() -> KeyringItems:
    """The platform's keyring; on Windows, whose items are small, with secrets in chunks."""
    if sys.platform == "win32":
        from app.core.auth.vault.chunks import ChunkedItems

        return ChunkedItems(platform_backend(), SERVICE, WINDOWS_ITEM_UNITS)
    backend = platform_backend()
    return SingleItems(backend) if sys.platform == "darwin" else SecretServiceItems(backend)


def vault_failure(failure: Exception) -> VaultFailure:
    """The failure for an exception of a keyring backend."""
    from keyring.errors import InitError, KeyringLocked, NoKeyringError

    # FileNotFoundError and ConnectionRefusedError mean that the session bus has no socket, hence no keyring.
    if isinstance(failure, NoKeyringError | FileNotFoundError | ConnectionError):
        return VaultFailure(VaultState.ABSENT, "This machine has no keyring.")
    if isinstance(failure, NoCollection):
        return VaultFailure(VaultState.ABSENT, f"{NO_COLLECTION} None was made.")
    if isinstance(failure, KeyringLocked | InitError):
        return VaultFailure(VaultState.LOCKED, "The keyring is locked.")
    return VaultFailure(VaultState.UNREADABLE, f"The keyring answered with an error ({type(failure).__name__}).")


def platform_backend() -> KeyringBackend:
    """The platform's own backend, without keyring's scan of every installed package (100 to 160 ms).

    Raises keyring's `NoKeyringError` when there is none.
    """
    from keyring.errors import NoKeyringError

    if sys.platform == "darwin":
        from keyring.backends import macOS

        return macOS.Keyring()
    if sys.platform == "win32":
        from keyring.backends import Windows

        backend = Windows.WinVaultKeyring()
        # By default items roam to the user's other machines, which would share one refresh token without a lock.
        backend.persist = "local machine"
        return backend
    from keyring.backends import SecretService

    if not os.environ.get("DBUS_SESSION_BUS_ADDRESS") and not os.path.exists(f"/run/user/{os.getuid()}/bus"):
        raise NoKeyringError("no session bus")
    try:
        # Reading the property asks the bus whether a secret service answers.
        SecretService.Keyring.priority  # noqa: B018
    except RuntimeError as failure:
        raise NoKeyringError(str(failure)) from failure
    return SecretService.Keyring()  # type: ignore[no-untyped-call]


def open_vault(kind: StoreKind, folder: Path) -> Vault:
    """The vault of a kind, for the data folder `folder`: the file vault is in it, the keyring has items of its id."""
    if kind is StoreKind.MEMORY:
        return MemoryVault()
    if kind is StoreKind.FILE:
        return FileVault(folder)
    return KeyringVault(opened=lambda: MovedItems(platform_items(), FolderIdentity(folder)))
