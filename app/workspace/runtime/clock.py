"""The workspace's time, and how the REST API writes it."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class AdjustableClock:
    """Wall clock with an offset, which the fault switchboard moves so that tokens expire without waiting."""

    def __init__(self) -> None:
        self.offset = 0.0

    def now(self) -> float:
        """Seconds since the epoch, offset included."""
        return time.time() + self.offset

    def advance(self, seconds: float) -> None:
        self.offset += seconds


def iso(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC with microseconds and a Z; the texts sort like the times."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
