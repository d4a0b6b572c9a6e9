"""Target: where a request goes, which credential it carries, and what its answer can complain about."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.core.auth.key import CredentialKey

# Where `BearerAuth` leaves, in a request's extensions, why the refresh failed and which rule judged the answer.
RENEWAL_FAILURE = "burrow.renewal_failure"
RULE = "burrow.rule"


class CredentialAtStake(Enum):
    """Whose credential an answer can complain about.

    `CARRIED`: only the one that the request carried. `VENDOR_BEHIND`: the carried one opens an installation's proxy,
    and behind it stands a vendor's. `UNMANAGED`: none that Burrow refreshes; the request carried a fixed key or none.
    """

    CARRIED = "carried"
    VENDOR_BEHIND = "vendor-behind"
    UNMANAGED = "unmanaged"


@dataclass(frozen=True, slots=True)
class Target:
    """`origins` are the only ones that see the token. `name` is what records call it.

    `credential` is the key of the credential that requests carry. `jsonrpc` targets may report a dead token inside a
    200; `reports_own_auth` says that they may do so in a tool result too (docs/wire.md, "Dead tokens").
    """

    origins: frozenset[str]
    at_stake: CredentialAtStake = CredentialAtStake.CARRIED
    jsonrpc: bool = False
    reports_own_auth: bool = False
    name: str = ""
    credential: CredentialKey | None = None
