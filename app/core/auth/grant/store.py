"""GrantStore: stores, replaces and deletes the grant of one credential, and notices what other processes do to it.

Callers of `newest`, `save` and `remove` hold the lock of the grant, except when its holder hangs. What a change means
for the current grant and for the status is decided in `lifecycle.py`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from app.core.auth.grant.files import NO_STAMP
from app.core.auth.grant.grant import Grant
from app.core.auth.vault.base import StoreKind, VaultFailure, VaultState
from app.core.auth.vault.vaults import FileVault, open_vault
from app.core.errors import StorageTrouble

if TYPE_CHECKING:
    from pathlib import Path

    from app.core.auth.grant.files import GrantFiles
    from app.core.auth.settings import CredentialSettings
    from app.core.auth.vault.base import Vault

log = logging.getLogger(__name__)

# Names of settings: the kind of vault that the user chose, whether a grant is stored there, and the kind used before.
STORE = "store"
STORED = "stored"
FORMER = "former-store"


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
        """`name` is the grant's name in the vault. `kind` replaces the kind that the user chose before.

        `vault` replaces the vault that would be opened.
        """
        self.name = name
        self._folder = folder
        self._settings = settings
        self._files = files
        self._private_file = FileVault(folder)
        self._vault = vault or open_vault(kind or self._chosen_kind(), folder)
        # The stamp of what `_last` reflects. While the file has the same stamp, no other process has changed anything.
        self._seen_stamp = NO_STAMP
        # The last grant that this process read, or began to write. Tasks compare with this and not with the grant that
        # they started from: another task may have read a newer one, after which the stamp no longer differs.
        self._last: Grant | None = None
        self._has_last = False
        # A switch that had no grant to move: the next one that is saved replaces what is stored in the former vault.
        self._former_replaced = False
        if self._leftovers:
            with files.lock.hold_if_free() as held:
                if held:
                    self.sweep()

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
        """The kind of vault."""
        return self._vault.kind

    @property
    def persistent(self) -> bool:
        """Whether what is saved survives this process and is shared with others."""
        return self.kind is not StoreKind.MEMORY

    @property
    def may_hold_grant(self) -> bool:
        """Whether a grant may be stored here. If not, the keyring need not be asked, which could show a prompt."""
        if not self.persistent:
            return False
        stored = self._settings.get(STORED)
        if isinstance(stored, bool):
            return stored
        # The settings may be lost. The files of the data folder say it too.
        return self._files.stamp() != NO_STAMP or self._private_file.holds(self.name)

    @property
    def changed_elsewhere(self) -> bool:
        """Whether another process may have changed the stored grant since this one read or wrote it."""
        return self.persistent and self._files.stamp() != self._seen_stamp

    async def read(self) -> Grant | None:
        """The stored grant, None when there is none.

        A record that cannot be decoded raises `VaultFailure` (damaged) and stays as it is.
        """
        # The stamp is taken before the vault is read. If the grant changes in between, the stamp differs afterwards and
        # the grant is read once too often. The other order would miss the change.
        stamp = self._files.stamp() if self.persistent else NO_STAMP
        text = await self._vault.read(self.name)
        # A switch to the keyring may have been interrupted: before the grant was saved, or before the file was deleted.
        switched = self.kind is StoreKind.KEYRING and self._private_file.holds(self.name)
        if switched and text is None:
            text = await self._private_file.read(self.name)
            switched = False
        self._seen_stamp = stamp
        try:
            grant = None if text is None else Grant.decode(text)
        except (ValueError, TypeError, RecursionError):
            log.warning("the stored sign-in %s cannot be decoded", self.name.partition("|")[0])
            raise VaultFailure(VaultState.DAMAGED, "The stored sign-in cannot be read.") from None
        if switched:
            await self._remove_from(self._private_file)
        self._last, self._has_last = grant, True
        return grant

    async def newest(self, grant: Grant) -> Grant | None:
        """The grant in the vault: `grant` itself unless another process replaced it, None if it was deleted.

        The vault is read only if another process changed the grant. A damaged record counts as no change.
        """
        if self.changed_elsewhere:
            try:
                return await self.read()
            except VaultFailure as failure:
                if failure.state is not VaultState.DAMAGED:
                    raise
        return self._last if self._has_last else grant

    async def read_readable(self) -> Grant | None:
        """The stored grant; None when there is none or when it cannot be decoded."""
        try:
            return await self.read()
        except VaultFailure as failure:
            if failure.state is VaultState.DAMAGED:
                return None
            raise

    async def reserve(self, grant: Grant) -> None:
        """Make sure that a successor of `grant` can be stored. Raises `VaultFailure` if not."""
        await self._vault.reserve(self.name, grant.encode())

    async def save(self, grant: Grant) -> None:
        """Store `grant` durably."""
        # Set before the vault is asked: if the write fails, the refreshed grant in memory is still newer than what is
        # stored, and `newest` must not answer with the spent one.
        self._last, self._has_last = grant, True
        self._change_stamp()
        await self._vault.write(self.name, grant.encode())
        self._change_stamp()
        await self._settings.set(STORED, self.persistent)
        if self._former_replaced:
            self._former_replaced = False
            await self._remove_former()

    async def remove(self) -> None:
        """Delete whatever is stored."""
        self._last, self._has_last = None, True
        self._change_stamp()
        self.sweep()
        await self._remove_former()
        await self._vault.delete(self.name)
        self._change_stamp()
        await self._settings.set(STORED, False)

    def sweep(self) -> None:
        """Delete what processes that were killed while they stored this grant left behind. Raises nothing.

        The caller holds the lock of the grant.
        """
        for path in self._leftovers:
            try:
                path.unlink(missing_ok=True)
            except OSError as failure:
                log.warning("%s, which may have tokens, cannot be removed: %s", path, failure)

    async def abandon(self, failure: VaultFailure) -> None:
        """The stored grant could not be deleted: make sure that no later start restores it. Raises nothing."""
        log.warning("the stored sign-in could not be deleted: %s", failure.state.value)
        await self._settings.set(STORED, False)

    def mark_seen(self) -> None:
        """Treat the stored grant as seen, without reading the vault."""
        self._seen_stamp = self._files.stamp()

    async def switch_to(self, kind: StoreKind) -> tuple[Vault, bool]:
        """Store elsewhere from now on. Returns the former vault and whether its kind differs. Raises nothing.

        The former copy stays: the caller deletes it after the grant is saved in the new place.
        """
        former = self._vault
        # The kind in use and the kind chosen before differ where the command line named one.
        if StoreKind.KEYRING in {former.kind, self._chosen_kind()} - {kind} and self.may_hold_grant:
            await self._settings.set(FORMER, StoreKind.KEYRING.value)
        self._former_replaced = self._last is None
        self._use(open_vault(kind, self._folder))
        await self._settings.set(STORE, kind.value)
        return former, former.kind is not kind

    async def follow_switch(self) -> bool:
        """Use the vault that the user chose in another process; returns whether it differs. Raises nothing.

        A grant in memory is this process's own, so neither side of a switch to or from memory is followed.
        """
        before = self._chosen_kind()
        await self._settings.refresh(STORE)
        kind = self._chosen_kind()
        if kind is before or StoreKind.MEMORY in {kind, self.kind}:
            return False
        self._use(open_vault(kind, self._folder))
        return True

    @property
    def _leftovers(self) -> list[Path]:
        return self._private_file.unfinished(self.name, self.client_name)

    async def _remove_former(self) -> None:
        """Delete the copy in the vault that was used before, which a switch may have left. Raises nothing."""
        if self.kind is not StoreKind.FILE and self._private_file.holds(self.name):
            await self._remove_from(self._private_file)
        if self._settings.get(FORMER) == StoreKind.KEYRING.value and self.kind is not StoreKind.KEYRING:
            await self._remove_from(open_vault(StoreKind.KEYRING, self._folder))

    async def _remove_from(self, former: Vault) -> None:
        try:
            await former.delete(self.name)
        except VaultFailure as failure:
            log.warning("a former copy of the sign-in stays in the %s: %s", former.kind.value, failure.state.value)
            if failure.state is not VaultState.ABSENT:
                return
        await self._settings.set(FORMER, None)

    def _use(self, vault: Vault) -> None:
        # Nothing that was read from the former vault says anything about this one.
        self._vault = vault
        self._seen_stamp, self._last, self._has_last = NO_STAMP, None, False

    def _chosen_kind(self) -> StoreKind:
        """What the user chose. Where the settings do not say, a private file is there only if it was that."""
        try:
            return StoreKind(self._settings.get(STORE))
        except ValueError:
            return StoreKind.FILE if self._private_file.holds(self.name) else StoreKind.KEYRING

    def _change_stamp(self) -> None:
        if not self.persistent:
            self._seen_stamp = NO_STAMP
            return
        try:
            self._seen_stamp = self._files.change_stamp()
        except StorageTrouble as trouble:
            raise VaultFailure(VaultState.UNREADABLE, trouble.cause) from None
