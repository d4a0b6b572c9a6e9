"""Vault: the interface of every store of secrets, its kinds, and the ways in which it fails."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from app.core.errors import Facts, VaultTrouble


class StoreKind(Enum):
    """Where secrets are stored. The values are stored in the settings and shown on the command line."""

    KEYRING = "keyring"
    FILE = "file"
    MEMORY = "memory"


class VaultState(Enum):
    """Why a vault could not be used.

    `ABSENT`: the machine has none. `LOCKED`: it waits for the user. `UNREADABLE`: it failed. `DAMAGED`: a secret in it
    cannot be read.
    """

    ABSENT = "absent"
    LOCKED = "locked"
    UNREADABLE = "unreadable"
    DAMAGED = "damaged"


class VaultFailure(VaultTrouble):
    """The vault could not be used; `state` says why. Nothing in it was changed."""

    def __init__(self, state: VaultState, cause: str) -> None:
        super().__init__(cause, Facts(code=state.value))
        self.state = state


class Vault(Protocol):
    """Secrets by name. Every call raises `VaultFailure`."""

    kind: StoreKind

    async def read(self, name: str) -> str | None:
        """The secret; None when there is none."""

    async def write(self, name: str, secret: str) -> None:
        """Store `secret` under `name`. It is durable when this returns."""

    async def reserve(self, name: str, present: str) -> None:
        """Make sure that the next `write` under `name` succeeds. `present` is what is stored now, about as long."""

    async def delete(self, name: str) -> None:
        """Delete a secret, if there is one."""


class KeyringItems(Protocol):
    """Burrow's secrets in an open keyring. Blocks, and raises what the backend raises."""

    def get(self, name: str) -> str | None: ...

    def set(self, name: str, secret: str) -> None: ...

    def delete(self, name: str) -> None: ...
