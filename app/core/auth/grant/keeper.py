"""Keeper: the grant of one host at rest, and whether another process has changed it since it was last looked at.

Who calls `newest`, `save` or `remove` holds the lock of the grant, unless its holder hangs.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from app.core.auth.grant.grant import Grant
from app.core.auth.grant.stamp import NEVER
from app.core.auth.vault.base import StoreKind, VaultFailure, VaultState
from app.core.errors import StorageTrouble

if TYPE_CHECKING:
    from app.core.auth.grant.stamp import Stamp
    from app.core.auth.settings import CredentialSettings
    from app.core.auth.vault.base import Vault

log = logging.getLogger(__name__)

STORED = "stored"


class Keeper:
    """Reads, writes and forgets one named grant. Every coroutine raises `VaultFailure`."""

    def __init__(self, vault: Vault, name: str, settings: CredentialSettings, stamp: Stamp) -> None:
        self.vault = vault
        self.name = name
        self._settings = settings
        self._stamp = stamp
        self._known = NEVER
        # What was last read or to be written; several tasks of this process look, each must see what the others saw.
        self._last: Grant | None = None
        self._looked = False

    @property
    def kind(self) -> StoreKind:
        return self.vault.kind

    @property
    def persistent(self) -> bool:
        """Whether what is saved outlives the process, and other processes share it."""
        return self.kind is not StoreKind.MEMORY

    @property
    def expects_one(self) -> bool:
        """Whether a grant may be stored here; if not, the keyring is left alone."""
        return self.persistent and self._settings.get(STORED, self._stamp.read() != NEVER) is True

    @property
    def moved(self) -> bool:
        """Whether another process may have changed the stored grant since this one read or wrote it."""
        return self.persistent and self._stamp.read() != self._known

    async def read(self) -> Grant | None:
        """The stored grant, None when there is none; one that cannot be understood is a failure, and left as it is."""
        known = self._stamp.read() if self.persistent else NEVER
        text = await self.vault.read(self.name)
        self._known = known
        try:
            grant = None if text is None else Grant.decode(text)
        except (ValueError, TypeError, RecursionError):
            log.warning("the stored sign-in %s cannot be understood", self.name.partition("|")[0])
            raise VaultFailure(VaultState.DAMAGED, "The stored sign-in cannot be understood.") from None
        self._last, self._looked = grant, True
        return grant

    async def newest(self, grant: Grant) -> Grant | None:
        """What is stored in place of `grant`, which this process took from here; None when it was removed.

        The vault is asked only when another process changed it. A record that cannot be understood changes nothing.
        """
        if self.moved:
            try:
                return await self.read()
            except VaultFailure as failure:
                if failure.state is not VaultState.DAMAGED:
                    raise
        return self._last if self._looked else grant

    async def save(self, grant: Grant) -> None:
        """Keep `grant` durably."""
        self._last, self._looked = grant, True
        self._move()
        await self.vault.write(self.name, grant.encode())
        self._move()
        await self._settings.set(STORED, self.persistent)

    async def remove(self) -> None:
        """Forget whatever is stored."""
        self._last, self._looked = None, True
        self._move()
        await self.vault.delete(self.name)
        self._move()
        await self._settings.set(STORED, False)

    async def expect_none(self) -> None:
        """What is stored could not be removed: it is not to be restored at the next start either."""
        await self._settings.set(STORED, False)

    def skip(self) -> None:
        """Take what is stored for known without asking the vault."""
        self._known = self._stamp.read()

    def _move(self) -> None:
        if not self.persistent:
            self._known = NEVER
            return
        try:
            self._known = self._stamp.move()
        except StorageTrouble as trouble:
            raise VaultFailure(VaultState.UNREADABLE, trouble.cause) from None
