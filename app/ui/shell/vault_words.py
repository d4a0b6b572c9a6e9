"""What the bar says of a sign-in that cannot be kept, and the ways out: a table from trouble and phase to words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

from app.ui.translation import marked

if TYPE_CHECKING:
    from app.core.auth.status import CredentialStatus

# Nothing can be read; signed in, and it ends with Burrow; renewed in memory, and storing is tried again.
CLOSED, HELD, RENEWED = "closed", "held", "renewed"

KEYRING: dict[tuple[str, str], str] = {
    ("vault-locked", CLOSED): marked("Vault", "Unlock your keyring to continue."),
    ("vault-locked", HELD): marked("Vault", "Signed in, but the keyring is locked: this sign-in ends with Burrow."),
    ("vault-locked", RENEWED): marked(
        "Vault", "The keyring is locked, so the renewed sign-in is in memory only. Burrow tries again."
    ),
    ("vault-absent", CLOSED): marked("Vault", "There is no keyring on this computer. Where shall the sign-in be kept?"),
    ("vault-absent", HELD): marked("Vault", "There is no keyring on this computer. Where shall the sign-in be kept?"),
    ("vault-absent", RENEWED): marked(
        "Vault", "The keyring is gone, so the renewed sign-in is in memory only. Burrow tries again."
    ),
    ("vault-unreadable", CLOSED): marked("Vault", "The keyring cannot be read. Nothing in it was changed."),
    ("vault-unreadable", HELD): marked(
        "Vault", "Signed in, but the keyring cannot be written: this sign-in ends with Burrow."
    ),
    ("vault-unreadable", RENEWED): marked(
        "Vault", "The keyring cannot be written, so the renewed sign-in is in memory only. Burrow tries again."
    ),
}
FILE: dict[str, str] = {
    CLOSED: marked("Vault", "The private file with the sign-in cannot be read. Nothing in it was changed."),
    HELD: marked("Vault", "Signed in, but the private file cannot be written: this sign-in ends with Burrow."),
    RENEWED: marked(
        "Vault", "The private file cannot be written, so the renewed sign-in is in memory only. Burrow tries again."
    ),
}
DAMAGED = marked("Vault", "The stored sign-in is unreadable. Nothing in it was changed.")

# Each store and what choosing it instead of the present one is called.
INSTEAD: dict[str, str] = {
    "memory": marked("Vault", "Use for this session only"),
    "file": marked("Vault", "Keep in a private file"),
    "keyring": marked("Vault", "Keep in the keyring"),
}


def phase_of(status: CredentialStatus, generation: int) -> str:
    """How far the sign-in got; `generation` is that of its token, 0 without one."""
    if status.state.value != "signed_in" or status.persistent:
        return CLOSED
    return RENEWED if generation > 1 else HELD


def vault_words(status: CredentialStatus, generation: int) -> str:
    """The sentence for a status whose trouble is the vault's."""
    phase = phase_of(status, generation)
    if status.trouble == "vault-damaged":
        return _tr(DAMAGED)
    if status.store == "file":
        return _tr(FILE[phase])
    return _tr(KEYRING.get((status.trouble or "", phase), KEYRING["vault-unreadable", phase]))


def other_stores(status: CredentialStatus) -> list[tuple[str, str]]:
    """Where else the sign-in can be kept: a store, and the words of its button."""
    return [(store, _tr(words)) for store, words in INSTEAD.items() if store != status.store]


def _tr(text: str) -> str:
    return QCoreApplication.translate("Vault", text)
