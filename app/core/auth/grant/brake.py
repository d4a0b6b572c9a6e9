"""Brake: limits how often a grant is refreshed, whatever the cause (faults rows 9, 10, 53, 77 and 80).

It counts events of the journal, which all processes share. So it stops a loop of short-lived commands as it stops a
loop in one window.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from app.core.auth.cause import CauseKind
from app.core.auth.grant.journal import REFRESHED, UNSTORED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.core.auth.cause import Cause
    from app.core.storage.values import GrantEvent

WINDOW_SECONDS = 60.0
# Refreshes in a row that one target asked for, and whose token it has not accepted. After that many, one a minute until
# it accepts one.
MAX_UNACCEPTED = 3
# Refreshes within a minute, whatever asked for them: a server may issue tokens that live for a moment only, and one of
# several behind a load balancer may refuse tokens that the others accept.
MAX_IN_WINDOW = 10


def wait_seconds(refreshes: Sequence[GrantEvent], boot: float, cause: Cause) -> float:
    """Seconds until the next refresh for `cause` is allowed; 0 means now.

    `refreshes` are those since the last sign-in, the newest first. `boot` is the current time since boot.
    """
    made = [event for event in refreshes if event.outcome in {REFRESHED, UNSTORED}]
    if cause.kind is CauseKind.REFUSED:
        # By target: one that refuses every token must not stop the healing of the others. A refresh that no refusal
        # asked for counts for every target: if one accepted its token, what was refused before is over.
        about = [event for event in refreshes if not _refused(event) or event.target == cause.target]
        unaccepted = takewhile(lambda event: not event.accepted, about)
        asked_for = [event for event in unaccepted if _refused(event) and event in made]
        if len(asked_for) >= MAX_UNACCEPTED:
            return _left_in_window(asked_for[0], boot)
    return _left_in_window(made[MAX_IN_WINDOW - 1], boot) if len(made) >= MAX_IN_WINDOW else 0.0


def _refused(event: GrantEvent) -> bool:
    """Whether a refusal asked for this refresh."""
    return event.cause == CauseKind.REFUSED.value


def _left_in_window(event: GrantEvent, boot: float) -> float:
    """Seconds until `event` is a minute old."""
    age = boot - event.boot
    # A negative age means an event of an earlier boot, which says nothing about the last minute.
    return max(0.0, WINDOW_SECONDS - age) if age >= 0 else 0.0
