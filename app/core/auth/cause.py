"""Cause: why a grant is refreshed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class CauseKind(Enum):
    """Why a grant is renewed."""

    REFUSED = "refused"
    EXPIRED = "expired"
    AHEAD = "ahead of expiry"
    UNFINISHED = "unfinished renewal"
    ASKED = "asked for"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a grant is renewed; of a refusal also who refused (a target's name) and by which rule of the classifier."""

    kind: CauseKind
    target: str = ""
    rule: str = ""

    def __str__(self) -> str:
        """Such as `refused by PostHog US: envelope-authentication-failed`."""
        if self.kind is not CauseKind.REFUSED:
            return str(self.kind.value)
        return f"refused by {self.target}: {self.rule}" if self.target else f"refused: {self.rule}"


EXPIRED, AHEAD, UNFINISHED, ASKED = map(
    Cause, (CauseKind.EXPIRED, CauseKind.AHEAD, CauseKind.UNFINISHED, CauseKind.ASKED)
)
