"""Keeper: the grant of one host at rest. Who calls `newest`, `save` or `forget` holds the lock of the grant."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from app.core.auth.grant import Grant
from app.core.auth.vault import StoreKind

if TYPE_CHECKING:
    from app.core.auth.settings import HostSettings
    from app.core.auth.vault import Vault

log = logging.getLogger(__name__)

STORED = "stored"


class Keeper:
    """Reads, writes and forgets one named grant. Every coroutine raises `VaultFailure`."""

    def __init__(self, vault: Vault, name: str, settings: HostSettings) -> None:
        self.vault = vault
        self.name = name
        self._settings = settings
        self._seen = False

    @property
    def kind(self) -> StoreKind:
        return self.vault.kind

    @property
    def persistent(self) -> bool:
        """Whether what is saved outlives the process."""
        return self.kind is not StoreKind.MEMORY

    @property
    def expects_one(self) -> bool:
        """Whether a grant was stored here at some start; if not, the keyring is left alone."""
        return self._settings.get(STORED) is True

    @property
    def has_one(self) -> bool:
        """Whether this process has read or written the stored grant."""
        return self._seen

    async def read(self) -> Grant | None:
        """The stored grant; None when there is none or it cannot be understood (it is left as it is, faults row 21)."""
        text = await self.vault.read(self.name)
        if text is None:
            return None
        try:
            grant = Grant.decode(text)
        except (ValueError, TypeError, RecursionError):
            log.warning("the stored sign-in %s is unreadable", self.name.partition("|")[0])
            return None
        self._seen = True
        return grant

    async def save(self, grant: Grant) -> None:
        """Keep `grant` durably."""
        await self.vault.write(self.name, grant.encode())
        self._seen = True
        await self._settings.set(STORED, self.persistent)

    async def forget(self, grant: Grant | None) -> None:
        """Compare and delete: a grant that somebody else stored meanwhile stays (faults row 18)."""
        stored = await self.read()
        if stored is not None and grant is not None and stored.digest != grant.digest:
            return
        await self.vault.delete(self.name)
        self._seen = False
        await self._settings.set(STORED, False)
