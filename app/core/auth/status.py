"""The status of a credential, what is wrong with it, and the events of its grant."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

from app.core.auth.vault.base import StoreKind, VaultState

# Why a grant became the current one (`AuthEvent.why`), if another process signed in.
ELSEWHERE = "another window"
# Codes of errors (`Facts.code`): the user cancelled a sign-in here; another sign-in replaced the grant that was being
# refreshed.
CANCELLED = "cancelled"
REPLACED = "replaced"


class Trouble(StrEnum):
    """What keeps a credential from working. The values appear on the command line and in records.

    `OFFLINE`: the host cannot be reached. `SERVER`: it fails. `REFUSED`: it keeps refusing tokens that were issued a
    moment ago. The others say how the vault fails (`VaultState`).
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
        """The trouble for a state of the vault."""
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

    `refreshing_since` is the `time.monotonic()` at which the refresh in flight began, None without one. `store` is the
    value of a `StoreKind`. `persistent` says whether the grant survives this process. `works_until` is set once the
    grant can no longer be refreshed: the Unix time, by this machine's clock, at which its access token expires;
    infinity if that is unknown.
    """

    state: CredentialState = CredentialState.RESTORING
    reason: str | None = None
    refreshing_since: float | None = None
    trouble: Trouble | None = None
    store: str = StoreKind.KEYRING.value
    persistent: bool = True
    works_until: float | None = None

    @property
    def vault_failing(self) -> bool:
        """Whether the vault fails."""
        return self.trouble is not None and self.trouble not in SERVER_TROUBLES

    @property
    def needs_user(self) -> bool:
        """Whether only the user can help: the grant has ended, or the vault fails."""
        return self.state is CredentialState.NEEDS_SIGN_IN or self.vault_failing

    @property
    def unreachable(self) -> bool:
        """Whether the host cannot be reached or fails."""
        return self.trouble in UNREACHABLE

    @property
    def healthy(self) -> bool:
        """Whether requests can succeed: signed in, and nothing wrong with the host."""
        return self.state is CredentialState.SIGNED_IN and self.trouble not in SERVER_TROUBLES


@dataclass(frozen=True, slots=True)
class AuthEvent:
    """One thing that happened to a grant, for the activity record.

    `what` and `outcome` are the journal's words. `token` is a fingerprint, never the token.
    """

    what: str
    why: str
    outcome: str
    generation: int = 0
    token: str = ""
    milliseconds: float | None = None
