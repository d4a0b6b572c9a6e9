"""How the following of a run stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from app.core.errors import BurrowError

CONNECTING, LIVE, WAITING, ENDED, FAILED = "connecting", "live", "waiting", "ended", "failed"


class FollowStatus(NamedTuple):
    """How it stands: `connecting`, `live`, `waiting` for `seconds` until the next attempt, `ended`, or `failed`.

    `error` is why it waits or failed.
    """

    kind: str
    seconds: float = 0.0
    error: BurrowError | None = None
