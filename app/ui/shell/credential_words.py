"""The state of a credential as one word, and as a sentence beside it."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

from app.core.auth.status import CredentialState, Trouble
from app.core.auth.vault.base import StoreKind
from app.ui.theme.state import State, translated
from app.ui.translation import marked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.core.auth.status import CredentialStatus

RENEWING_SHOWN_AFTER = 2.0

STATES: Mapping[CredentialState, State] = {
    CredentialState.SIGNED_IN: State("dot", marked("State", "Signed in"), "good"),
    CredentialState.RESTORING: State("clock", marked("State", "Opening"), "muted"),
    CredentialState.NEEDS_SIGN_IN: State("key", marked("State", "Sign in"), "attention"),
    CredentialState.SIGNED_OUT: State("ring", marked("State", "Signed out"), "muted"),
}
KEYRING_NEEDED = State("lock", marked("State", "Keyring needed"), "attention")
TROUBLES: Mapping[Trouble, State] = {
    Trouble.OFFLINE: State("offline", marked("State", "Offline"), "attention"),
    Trouble.SERVER: State("warning", marked("State", "Server error"), "attention"),
    Trouble.REFUSED: State("block", marked("State", "Refused by server"), "attention"),
    Trouble.VAULT_ABSENT: KEYRING_NEEDED,
    Trouble.VAULT_LOCKED: KEYRING_NEEDED,
    Trouble.VAULT_UNREADABLE: KEYRING_NEEDED,
    Trouble.VAULT_DAMAGED: State("warning", marked("State", "Sign-in unreadable"), "attention"),
}
# Instead of `KEYRING_NEEDED` where the sign-in is kept in a private file.
NOT_STORED = State("lock", marked("State", "Sign-in not stored"), "attention")
RENEWING = State("clock", marked("State", "Renewing sign-in…"), "info")

# The sentence beside the word, where it is not just the reason (`{0}`) of the status.
NOTES: Mapping[Trouble, str] = {
    Trouble.OFFLINE: marked("Credential", "Offline — showing saved data"),
    Trouble.SERVER: marked("Credential", "The server has an error — showing saved data"),
    Trouble.REFUSED: marked("Credential", "{0} Burrow tries once a minute; signing in again may help."),
}


def credential_state(status: CredentialStatus) -> State:
    """The word for a status. A renewal has its own only after two seconds (`renewing_in`)."""
    return translated(_state(status))


def credential_note(status: CredentialStatus) -> str:
    """The sentence beside the word; empty where the word says everything."""
    reason = status.reason or ""
    if status.state is CredentialState.NEEDS_SIGN_IN:
        return reason
    if status.trouble is not None:
        note = NOTES.get(status.trouble)
        return reason if note is None else QCoreApplication.translate("Credential", note).format(reason).strip()
    state = _state(status)
    return translated(state).word if state is RENEWING else ""


def renewing_in(status: CredentialStatus) -> float | None:
    """In how many seconds a renewal in progress is to be shown; None when there is none."""
    if status.refreshing_since is None:
        return None
    return max(0.0, status.refreshing_since + RENEWING_SHOWN_AFTER - monotonic())


def _state(status: CredentialStatus) -> State:
    if status.state is CredentialState.NEEDS_SIGN_IN:
        return STATES[status.state]
    if status.trouble is not None:
        found = TROUBLES[status.trouble]
        return NOT_STORED if found is KEYRING_NEEDED and status.store == StoreKind.FILE.value else found
    return RENEWING if renewing_in(status) == 0 else STATES[status.state]
