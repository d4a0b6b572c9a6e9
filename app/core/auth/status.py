"""What a credential tells about itself: its state, its trouble, and each thing that happened to its grant."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

from app.core.auth.vault.base import StoreKind, VaultState

# Why somebody is signed in now, where another process did it.
ELSEWHERE = "another window"
# The code of the error that a sign-in ends with when the person cancels it here.
CANCELLED = "cancelled"
# The code of the error that a renewal ends with when somebody has signed in meanwhile.
REPLACED = "replaced"


class Trouble(StrEnum):
    """What keeps a credential from working as usual. The values are what the command line and records say.

    `OFFLINE`: the host cannot be reached. `SERVER`: it fails. `REFUSED`: it keeps refusing tokens that were issued a
    moment ago. The others say how the vault fails.
    """

    OFFLINE = "offline"
    SERVER = "server"
    REFUSED = "refused"
    VAULT_ABSENT = "vault-absent"
    VAULT_LOCKED = "vault-locked"
    VAULT_UNREADABLE = "vault-unreadable"
    VAULT_DAMAGED = "vault-damaged"

    @staticmethod
    def of_vault(state: VaultState) -> Trouble:
        """The trouble that a vault's state is."""
        return Trouble(f"vault-{state.value}")


UNREACHABLE = frozenset({Trouble.OFFLINE, Trouble.SERVER})
SERVER_TROUBLES = UNREACHABLE | {Trouble.REFUSED}


class CredentialState(Enum):
    """`RESTORING` is "not known yet", never "signed out"."""

    SIGNED_OUT = "signed_out"
    RESTORING = "restoring"
    SIGNED_IN = "signed_in"
    NEEDS_SIGN_IN = "needs_sign_in"


@dataclass(frozen=True, slots=True)
class CredentialStatus:
    """What a window shows of a credential.

    `renewing_since` is `time.monotonic()` when a refresh under way began. `persistent` says whether the grant is kept
    after this process has ended.
    """

    state: CredentialState = CredentialState.RESTORING
    reason: str | None = None
    renewing_since: float | None = None
    trouble: Trouble | None = None
    store: str = StoreKind.KEYRING.value
    persistent: bool = True

    @property
    def vault_troubled(self) -> bool:
        """Whether the vault fails."""
        return self.trouble is not None and self.trouble not in SERVER_TROUBLES

    @property
    def needs_user(self) -> bool:
        """Whether only the user can help: the grant has ended, or the vault fails."""
        return self.state is CredentialState.NEEDS_SIGN_IN or self.vault_troubled

    @property
    def unreachable(self) -> bool:
        """Whether the host cannot be reached, or fails."""
        return self.trouble in UNREACHABLE

    @property
    def well(self) -> bool:
        """Whether requests can be answered: signed in, and nothing wrong with the host."""
        return self.state is CredentialState.SIGNED_IN and self.trouble not in SERVER_TROUBLES


@dataclass(frozen=True, slots=True)
class AuthEvent:
    """One thing that happened to the grant, for the activity record. Holds fingerprints, never tokens."""

    what: str
    why: str
    outcome: str
    generation: int = 0
    token: str = ""
    milliseconds: float | None = None
