"""Cause: why a grant is refreshed. The values are stored in the journal and shown to people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class CauseKind(Enum):
    """Why a grant is refreshed.

    `REFUSED`: a server refused the access token. `EXPIRED`: it has expired. `AHEAD`: it will soon. `UNFINISHED`: a
    process died during the previous refresh. `ASKED`: the user asked for it.
    """

    REFUSED = "refused"
    EXPIRED = "expired"
    AHEAD = "ahead of expiry"
    UNFINISHED = "unfinished renewal"
    ASKED = "asked for"


@dataclass(frozen=True, slots=True)
class Cause:
    """A kind. For `REFUSED` also the name of the target that refused and the classifier's rule that matched."""

    kind: CauseKind
    target: str = ""
    rule: str = ""

    def __str__(self) -> str:
        """For example `refused by PostHog US: envelope-authentication-failed`."""
        if self.kind is not CauseKind.REFUSED:
            return str(self.kind.value)
        return f"refused by {self.target}: {self.rule}" if self.target else f"refused: {self.rule}"


EXPIRED, AHEAD, UNFINISHED, ASKED = map(
    Cause, (CauseKind.EXPIRED, CauseKind.AHEAD, CauseKind.UNFINISHED, CauseKind.ASKED)
)
