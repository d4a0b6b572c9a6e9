"""The settings of one credential. They survive a restart and contain no secrets."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from app.core.errors import StorageTrouble

if TYPE_CHECKING:
    from app.core.auth.key import CredentialKey

log = logging.getLogger(__name__)


class SettingsStore(Protocol):
    """Where settings are stored (`storage.settings`)."""

    def get(self, key: str, default: object = None) -> object: ...

    async def set(self, key: str, value: object) -> None: ...

    async def refresh(self, key: str) -> None: ...


class CredentialSettings:
    """The settings under `auth:{key}:`."""

    def __init__(self, store: SettingsStore, key: CredentialKey) -> None:
        self._store = store
        self._prefix = f"auth:{key.text}:"

    def get(self, name: str, default: object = None) -> object:
        """The value as it was when this process last read or set it. Never waits."""
        return self._store.get(f"{self._prefix}{name}", default)

    async def set(self, name: str, value: object) -> None:
        """Store a value. Raises nothing: a full disk must cost the setting, not the sign-in."""
        try:
            await self._store.set(f"{self._prefix}{name}", value)
        except StorageTrouble as trouble:
            log.warning("the setting %s could not be stored: %s", name, trouble.cause)

    async def refresh(self, name: str) -> None:
        """Read the value that another process may have set. Raises nothing."""
        try:
            await self._store.refresh(f"{self._prefix}{name}")
        except StorageTrouble as trouble:
            log.warning("the setting %s could not be read again: %s", name, trouble.cause)
