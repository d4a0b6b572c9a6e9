"""Target: where a request goes, which credential it carries, and whose credential its response can complain about."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.core.auth.key import CredentialKey

# Keys of a request's extensions. `BearerAuth` puts there why a refresh failed, and the rule that judged the response.
REFRESH_FAILURE = "burrow.refresh_failure"
RULE = "burrow.rule"
# Set by whoever sends: how many seconds the whole answer may take, each time that the request is sent. Without it an
# answer may last, and only its silence is limited.
ANSWER_DEADLINE = "burrow.answer_seconds"


class CredentialAtStake(Enum):
    """Whose credential a response can complain about.

    `CARRIED`: only the one that the request carried. `VENDOR_BEHIND`: that one, or the vendor's credential behind an
    installation's proxy. `UNMANAGED`: none that Burrow refreshes; the request carried a fixed key or none.
    """

    CARRIED = "carried"
    VENDOR_BEHIND = "vendor-behind"
    UNMANAGED = "unmanaged"


@dataclass(frozen=True, slots=True)
class Target:
    """`origins` are the only ones that receive the token. `name` is the target's name in records.

    `credential` is the key of the credential that requests carry. A `jsonrpc` target may report a dead token inside a
    200. With `reports_own_auth` it may do so in a tool result too (docs/wire.md, "Dead tokens").
    """

    origins: frozenset[str]
    at_stake: CredentialAtStake = CredentialAtStake.CARRIED
    jsonrpc: bool = False
    reports_own_auth: bool = False
    name: str = ""
    credential: CredentialKey | None = None
