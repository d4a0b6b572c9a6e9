"""What a session tells of itself: its state with what troubles it, and each thing that happened to its grant."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from app.core.auth.vault.base import StoreKind

OFFLINE, SERVER, REFUSED = "offline", "server", "refused"
VAULT = "vault-"
# Why somebody is signed in now, where another process did it.
ELSEWHERE = "another window"
# The code of the error that a sign-in ends with when the person cancels it here.
CANCELLED = "cancelled"
# The code of the error that a renewal ends with when somebody has signed in meanwhile.
REPLACED = "replaced"


class CredentialState(Enum):
    """`RESTORING` is "not known yet", never "signed out"."""

    SIGNED_OUT = "signed_out"
    RESTORING = "restoring"
    SIGNED_IN = "signed_in"
    NEEDS_SIGN_IN = "needs_sign_in"


@dataclass(frozen=True, slots=True)
class CredentialStatus:
    """What a window shows of a session.

    `renewing_since` is `time.monotonic()` of a renewal under way. `trouble` is `offline`, `server`, `refused` (the
    server keeps refusing tokens that it issued a moment ago), `vault-absent`, `vault-locked`, `vault-unreadable` or
    `vault-damaged`. `persistent` tells whether the grant outlives the process.
    """

    state: CredentialState = CredentialState.RESTORING
    reason: str | None = None
    renewing_since: float | None = None
    trouble: str | None = None
    store: str = StoreKind.KEYRING.value
    persistent: bool = True

    @property
    def vault_troubled(self) -> bool:
        """Whether the vault is what troubles it."""
        return self.trouble is not None and self.trouble.startswith(VAULT)


@dataclass(frozen=True, slots=True)
class AuthEvent:
    """One thing that happened to the grant, for the activity record. Holds fingerprints, never tokens."""

    what: str
    why: str
    outcome: str
    generation: int = 0
    token: str = ""
    milliseconds: float | None = None
