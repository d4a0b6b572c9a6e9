"""The settings of one credential. They survive a restart and hold no secret."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from app.core.errors import StorageTrouble

if TYPE_CHECKING:
    from app.core.auth.key import CredentialKey

log = logging.getLogger(__name__)


class SettingsStore(Protocol):
    """Where settings are kept (`storage.settings`)."""

    def get(self, key: str, default: object = None) -> object: ...

    async def set(self, key: str, value: object) -> None: ...

    async def refresh(self, key: str) -> None: ...


class CredentialSettings:
    """The settings under `auth:{key}:`."""

    def __init__(self, remembered: SettingsStore, key: CredentialKey) -> None:
        self._remembered = remembered
        self._prefix = f"auth:{key.text}:"

    def get(self, name: str, default: object = None) -> object:
        return self._remembered.get(f"{self._prefix}{name}", default)

    async def set(self, name: str, value: object) -> None:
        """Keep a setting; a full disk costs the setting, not the sign-in."""
        try:
            await self._remembered.set(f"{self._prefix}{name}", value)
        except StorageTrouble as trouble:
            log.warning("the setting %s could not be kept: %s", name, trouble.cause)

    async def refresh(self, name: str) -> None:
        """Take over what another process set."""
        try:
            await self._remembered.refresh(f"{self._prefix}{name}")
        except StorageTrouble as trouble:
            log.warning("the setting %s could not be read again: %s", name, trouble.cause)
