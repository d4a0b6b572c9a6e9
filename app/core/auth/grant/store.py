"""GrantStore: stores, replaces and deletes the grant of one credential, and notices what other processes do to it.

Whoever calls `newest`, `save` or `remove` holds the lock of the grant, unless its holder hangs. What becomes of the
grant in force, and what the status shows, is decided in `lifecycle.py`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from app.core.auth.grant.files import NEVER
from app.core.auth.grant.grant import Grant
from app.core.auth.vault.base import StoreKind, VaultFailure, VaultState
from app.core.auth.vault.vaults import open_vault
from app.core.errors import StorageTrouble

if TYPE_CHECKING:
    from pathlib import Path

    from app.core.auth.grant.files import GrantFiles
    from app.core.auth.settings import CredentialSettings
    from app.core.auth.vault.base import Vault

log = logging.getLogger(__name__)

STORE = "store"
STORED = "stored"


class GrantStore:
    """The stored copy of one grant. Every coroutine raises `VaultFailure` unless it says otherwise."""

    def __init__(
        self,
        name: str,
        folder: Path,
        settings: CredentialSettings,
        files: GrantFiles,
        *,
        kind: StoreKind | None = None,
        vault: Vault | None = None,
    ) -> None:
        """`name` is the grant's name in the vault. `kind` is used instead of the one that was chosen before.

        `vault` is used instead of the one that would be opened.
        """
        self.name = name
        self._folder = folder
        self._settings = settings
        self._files = files
        self._vault = vault or open_vault(kind or self._chosen(), folder)
        self._known = NEVER
        # What was last read, or was to be written: several tasks of this process read, and each must see what the
        # others saw, although the vault is asked only after the stamp has moved.
        self._last: Grant | None = None
        self._looked = False

    @property
    def vault(self) -> Vault:
        """Where the grant is stored, and the client's secret beside it."""
        return self._vault

    @property
    def client_name(self) -> str:
        """The name of the client's secret in the vault."""
        return f"{self.name}|client"

    @property
    def kind(self) -> StoreKind:
        """Where the grant is stored."""
        return self._vault.kind

    @property
    def persistent(self) -> bool:
        """Whether what is saved is kept after this process has ended, and is shared with other processes."""
        return self.kind is not StoreKind.MEMORY

    @property
    def expects_grant(self) -> bool:
        """Whether a grant may be stored here; if not, the keyring is not asked."""
        return self.persistent and self._settings.get(STORED, self._files.stamp() != NEVER) is True

    @property
    def moved(self) -> bool:
        """Whether another process may have changed the stored grant since this one read or wrote it."""
        return self.persistent and self._files.stamp() != self._known

    async def read(self) -> Grant | None:
        """The stored grant, None when there is none. One that cannot be decoded is a failure, and is left as it is."""
        # The stamp is read before the vault: a change in between is then noticed at the next look, never missed.
        known = self._files.stamp() if self.persistent else NEVER
        text = await self._vault.read(self.name)
        self._known = known
        try:
            grant = None if text is None else Grant.decode(text)
        except (ValueError, TypeError, RecursionError):
            log.warning("the stored sign-in %s cannot be decoded", self.name.partition("|")[0])
            raise VaultFailure(VaultState.DAMAGED, "The stored sign-in cannot be read.") from None
        self._last, self._looked = grant, True
        return grant

    async def newest(self, grant: Grant) -> Grant | None:
        """What is stored in place of `grant`, which this process read or wrote; None when it was deleted.

        The vault is asked only when another process changed it. A record that cannot be decoded changes nothing.
        """
        if self.moved:
            try:
                return await self.read()
            except VaultFailure as failure:
                if failure.state is not VaultState.DAMAGED:
                    raise
        return self._last if self._looked else grant

    async def current(self) -> Grant | None:
        """The stored grant, None when there is none or it cannot be decoded."""
        try:
            return await self.read()
        except VaultFailure as failure:
            if failure.state is VaultState.DAMAGED:
                return None
            raise

    async def save(self, grant: Grant) -> None:
        """Store `grant` durably."""
        self._last, self._looked = grant, True
        self._move_stamp()
        await self._vault.write(self.name, grant.encode())
        self._move_stamp()
        await self._settings.set(STORED, self.persistent)

    async def remove(self) -> None:
        """Delete whatever is stored."""
        self._last, self._looked = None, True
        self._move_stamp()
        await self._vault.delete(self.name)
        self._move_stamp()
        await self._settings.set(STORED, False)

    async def expect_none(self, failure: VaultFailure) -> None:
        """What is stored could not be deleted: no later start is to restore it. Raises nothing."""
        log.warning("the stored sign-in could not be deleted: %s", failure.state.value)
        await self._settings.set(STORED, False)

    def skip(self) -> None:
        """Treat what is stored as known, without asking the vault."""
        self._known = self._files.stamp()

    async def choose(self, kind: StoreKind) -> tuple[Vault, bool]:
        """Store elsewhere from now on; the former vault, and whether its kind is another one. Raises nothing.

        The former copy stays until the caller has saved the grant in the new place.
        """
        former = self._vault
        self._open(open_vault(kind, self._folder))
        await self._settings.set(STORE, kind.value)
        return former, former.kind is not kind

    async def follow_choice(self) -> bool:
        """Another process may have been told to store the grant elsewhere; whether it was. Raises nothing."""
        before = self._chosen()
        await self._settings.refresh(STORE)
        kind = self._chosen()
        if kind is before or StoreKind.MEMORY in {kind, self.kind}:
            return False
        self._open(open_vault(kind, self._folder))
        return True

    def _open(self, vault: Vault) -> None:
        """Nothing that was read from the former vault says anything about this one."""
        self._vault = vault
        self._known, self._last, self._looked = NEVER, None, False

    def _chosen(self) -> StoreKind:
        try:
            return StoreKind(self._settings.get(STORE, StoreKind.KEYRING.value))
        except ValueError:
            return StoreKind.KEYRING

    def _move_stamp(self) -> None:
        if not self.persistent:
            self._known = NEVER
            return
        try:
            self._known = self._files.move_stamp()
        except StorageTrouble as trouble:
            raise VaultFailure(VaultState.UNREADABLE, trouble.cause) from None
