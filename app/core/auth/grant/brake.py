"""Brake: stops a grant that keeps being renewed and refused, whoever asks for it (faults rows 9, 10 and 53).

It counts in the journal that all processes share, so a loop of short-lived commands is stopped like a loop in a window.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from app.core.auth.cause import CauseKind
from app.core.auth.grant.journal import RENEWED, UNSTORED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.core.storage.values import GrantEvent

WINDOW_SECONDS = 60.0
# In a row, without a server having taken the new token; then one probe a window until one does.
UNACCEPTED = 3
# At all: one bad server behind a balancer refuses what the others take.
AT_ALL = 10


def wait(events: Sequence[GrantEvent], boot: float) -> float:
    """Seconds until another renewal because of a refusal is allowed; 0 means now.

    `events` are the renewals since somebody signed in, the newest first, `boot` is the time since boot. An event of an
    earlier boot lies in the future or far back, and does not count then.
    """
    unaccepted = _refusals(takewhile(lambda event: not event.accepted, events))
    if len(unaccepted) >= UNACCEPTED:
        return _left(unaccepted[0], boot)
    refusals = _refusals(events)
    return _left(refusals[AT_ALL - 1], boot) if len(refusals) >= AT_ALL else 0.0


def _refusals(events: Iterable[GrantEvent]) -> list[GrantEvent]:
    return [
        event for event in events if event.cause == CauseKind.REFUSED.value and event.outcome in {RENEWED, UNSTORED}
    ]


def _left(event: GrantEvent, boot: float) -> float:
    since = boot - event.boot
    return max(0.0, WINDOW_SECONDS - since) if since >= 0 else 0.0
