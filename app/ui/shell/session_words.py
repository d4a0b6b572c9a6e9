"""How a session stands in one word: from its status to a key of `theme.state.SESSION`, and to a sentence beside it."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

if TYPE_CHECKING:
    from app.core.auth.status import CredentialStatus

RENEWING_SHOWN_AFTER = 2.0

STATES = {"signed_in": "fresh", "restoring": "restoring", "needs_sign_in": "needs_sign_in", "signed_out": "signed_out"}
TROUBLES = {"offline": "offline", "server": "server", "refused": "refused", "vault-damaged": "damaged"}


def session_key(status: CredentialStatus) -> str:
    """The word for a status now. A renewal has none until it has taken two seconds (`renewing_in`)."""
    trouble = status.trouble or ""
    if status.state.value == "needs_sign_in":
        return "needs_sign_in"
    if trouble in TROUBLES:
        return TROUBLES[trouble]
    if trouble.startswith("vault"):
        return "file" if status.store == "file" else "vault"
    if renewing_in(status) == 0:
        return "renewing"
    return STATES.get(status.state.value, "signed_out")


def renewing_in(status: CredentialStatus) -> float | None:
    """In how many seconds a renewal under way is to be shown; None when there is none."""
    if status.refreshing_since is None:
        return None
    return max(0.0, status.refreshing_since + RENEWING_SHOWN_AFTER - monotonic())


def session_note(key: str, reason: str | None) -> str:
    """What is said of a state besides its word; empty where the word says it all."""
    notes = {
        "offline": _tr("Offline — showing saved data"),
        "server": _tr("The server is in trouble — showing saved data"),
        "renewing": _tr("Renewing sign-in…"),
        "refused": _tr("{0} Burrow tries once a minute; signing in again may help."),
        "vault": "{0}",
        "file": "{0}",
        "damaged": "{0}",
        "needs_sign_in": "{0}",
    }
    return notes.get(key, "").format(reason or "").strip()


def _tr(text: str) -> str:
    return QCoreApplication.translate("Session", text)
