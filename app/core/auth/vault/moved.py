"""MovedItems: items of a keyring that a version without folder ids named by the folder's path. Each is moved once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.auth.vault.base import VaultFailure, VaultState
from app.core.auth.vault.identity import IdentityBusy

if TYPE_CHECKING:
    from app.core.auth.vault.base import KeyringItems
    from app.core.auth.vault.identity import FolderIdentity


class MovedItems:
    """The items under the names of a data folder's identity. Blocks, and raises what the backend raises."""

    def __init__(self, items: KeyringItems, identity: FolderIdentity) -> None:
        self._items = items
        self._identity = identity

    def get(self, name: str) -> str | None:
        self._move(name)
        return self._items.get(name)

    def set(self, name: str, secret: str) -> None:
        # Moved first: a former item that is found later would be taken for a sign-in.
        self._move(name)
        self._items.set(name, secret)

    def delete(self, name: str) -> None:
        self._items.delete(name)
        for former in self._identity.unknown_names(name):
            self._items.delete(former)

    def _move(self, name: str) -> None:
        """Give the items of the former names this name, unless it has an item. Dying anywhere in this loses nothing."""
        if not self._identity.unknown_names(name):
            return
        try:
            # Without the lock a process that read the former item could write it over what another one has renewed.
            with self._identity.hold():
                unknown = self._identity.unknown_names(name)
                for former in unknown:
                    secret = self._items.get(former)
                    if secret is not None:
                        if self._items.get(name) is None:
                            self._items.set(name, secret)
                        self._items.delete(former)
                self._identity.mark_looked_up(unknown)
        except IdentityBusy as busy:
            raise VaultFailure(VaultState.UNREADABLE, f"{busy}.") from None
