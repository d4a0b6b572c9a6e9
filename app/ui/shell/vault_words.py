"""What the bar says when the vault fails, and where else to store: a table from trouble and phase to words."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

from app.core.auth.status import CredentialState, Trouble
from app.core.auth.vault.base import StoreKind
from app.ui.translation import marked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.core.auth.status import CredentialStatus


class VaultPhase(Enum):
    """How far the sign-in got.

    `CLOSED`: no grant could be read. `HELD`: signed in, and the grant is in memory only. `RENEWED`: a stored grant was
    renewed, and the new one is in memory only.
    """

    CLOSED = "closed"
    HELD = "held"
    RENEWED = "renewed"


NO_KEYRING = marked("Vault", "There is no keyring on this computer. Where should Burrow store your sign-in?")
KEYRING: Mapping[Trouble, Mapping[VaultPhase, str]] = {
    Trouble.VAULT_LOCKED: {
        VaultPhase.CLOSED: marked("Vault", "Unlock your keyring to continue."),
        VaultPhase.HELD: marked(
            "Vault", "Signed in, but the keyring is locked: this sign-in is forgotten when you quit."
        ),
        VaultPhase.RENEWED: marked(
            "Vault", "The keyring is locked, so the renewed sign-in is in memory only. Burrow tries again."
        ),
    },
    Trouble.VAULT_ABSENT: {
        VaultPhase.CLOSED: NO_KEYRING,
        VaultPhase.HELD: NO_KEYRING,
        VaultPhase.RENEWED: marked(
            "Vault", "The keyring is gone, so the renewed sign-in is in memory only. Burrow tries again."
        ),
    },
    Trouble.VAULT_UNREADABLE: {
        VaultPhase.CLOSED: marked("Vault", "The keyring cannot be read. Nothing in it was changed."),
        VaultPhase.HELD: marked(
            "Vault", "Signed in, but the keyring cannot be written: this sign-in is forgotten when you quit."
        ),
        VaultPhase.RENEWED: marked(
            "Vault", "The keyring cannot be written, so the renewed sign-in is in memory only. Burrow tries again."
        ),
    },
}
FILE: Mapping[VaultPhase, str] = {
    VaultPhase.CLOSED: marked("Vault", "The private file with the sign-in cannot be read. Nothing in it was changed."),
    VaultPhase.HELD: marked(
        "Vault", "Signed in, but the private file cannot be written: this sign-in is forgotten when you quit."
    ),
    VaultPhase.RENEWED: marked(
        "Vault", "The private file cannot be written, so the renewed sign-in is in memory only. Burrow tries again."
    ),
}
DAMAGED = marked("Vault", "The stored sign-in is unreadable. Nothing in it was changed.")

# What choosing a store instead of the present one is called.
INSTEAD: Mapping[StoreKind, str] = {
    StoreKind.MEMORY: marked("Vault", "Use for this session only"),
    StoreKind.FILE: marked("Vault", "Keep in a private file"),
    StoreKind.KEYRING: marked("Vault", "Keep in the keyring"),
}


def phase_of(status: CredentialStatus, generation: int) -> VaultPhase:
    """The phase of a status; `generation` is that of its token, 0 without one."""
    if status.state is not CredentialState.SIGNED_IN or status.persistent:
        return VaultPhase.CLOSED
    return VaultPhase.RENEWED if generation > 1 else VaultPhase.HELD


def vault_words(status: CredentialStatus, generation: int) -> str:
    """The sentence for a status whose trouble is the vault's."""
    phase, trouble = phase_of(status, generation), status.trouble or Trouble.VAULT_UNREADABLE
    if trouble is Trouble.VAULT_DAMAGED:
        return _tr(DAMAGED)
    return _tr(FILE[phase] if status.store == StoreKind.FILE.value else KEYRING[trouble][phase])


def other_stores(status: CredentialStatus) -> list[tuple[str, str]]:
    """Where else the sign-in can be stored: each store with the words of its button."""
    return [(store.value, _tr(words)) for store, words in INSTEAD.items() if store.value != status.store]


def _tr(text: str) -> str:
    return QCoreApplication.translate("Vault", text)
