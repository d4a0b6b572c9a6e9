"""Where a grant rests, as the rest of Burrow knows it: which kind of place, what it can do, and how it can fail."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from app.core.errors import Facts, VaultTrouble


class StoreKind(Enum):
    """Where a grant is kept."""

    KEYRING = "keyring"
    FILE = "file"
    MEMORY = "memory"


class VaultState(Enum):
    """Why a vault could not be used; `DAMAGED` is a record in it that cannot be understood."""

    ABSENT = "absent"
    LOCKED = "locked"
    UNREADABLE = "unreadable"
    DAMAGED = "damaged"


class VaultFailure(VaultTrouble):
    """The vault could not be used; `state` says how. Nothing in it was changed."""

    def __init__(self, state: VaultState, cause: str) -> None:
        super().__init__(cause, Facts(code=state.value))
        self.state = state


class Vault(Protocol):
    """Named secrets. Every call raises `VaultFailure`."""

    kind: StoreKind

    async def read(self, name: str) -> str | None:
        """The secret, None when there is none."""

    async def write(self, name: str, secret: str) -> None:
        """Keep `secret` durably under `name`."""

    async def delete(self, name: str) -> None:
        """Remove a secret; nothing happens when there is none."""
