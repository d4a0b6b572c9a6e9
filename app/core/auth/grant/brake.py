"""Brake: limits how often a grant is refreshed whose new tokens keep being refused (faults rows 9, 10 and 53).

It counts events of the journal, which all processes share. So it stops a loop of short-lived commands as it stops a
loop in one window.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from app.core.auth.cause import CauseKind
from app.core.auth.grant.journal import REFRESHED, UNSTORED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.core.storage.values import GrantEvent

WINDOW_SECONDS = 60.0
# Refreshes in a row whose token no server has accepted. After that many, one a minute until a server accepts one.
MAX_UNACCEPTED = 3
# Refreshes within a minute, accepted or not: one broken server behind a load balancer may refuse tokens that the
# others accept.
MAX_IN_WINDOW = 10


def wait_seconds(refreshes: Sequence[GrantEvent], boot: float) -> float:
    """Seconds until the next refresh after a refusal is allowed; 0 means now.

    `refreshes` are those since the last sign-in, the newest first. `boot` is the current time since boot.
    """
    # Proactive refreshes do not count: only a refusal can start a loop.
    unaccepted = _after_refusals(takewhile(lambda event: not event.accepted, refreshes))
    if len(unaccepted) >= MAX_UNACCEPTED:
        return _left_in_window(unaccepted[0], boot)
    refused = _after_refusals(refreshes)
    return _left_in_window(refused[MAX_IN_WINDOW - 1], boot) if len(refused) >= MAX_IN_WINDOW else 0.0


def _after_refusals(refreshes: Iterable[GrantEvent]) -> list[GrantEvent]:
    """The successful refreshes that a refusal caused."""
    return [
        event
        for event in refreshes
        if event.cause == CauseKind.REFUSED.value and event.outcome in {REFRESHED, UNSTORED}
    ]


def _left_in_window(event: GrantEvent, boot: float) -> float:
    """Seconds until `event` is a minute old."""
    age = boot - event.boot
    # A negative age means an event of an earlier boot, which says nothing about the last minute.
    return max(0.0, WINDOW_SECONDS - age) if age >= 0 else 0.0
