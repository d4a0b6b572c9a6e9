"""When to open a stream again (docs/wire.md, "Run stream")."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.core.clock import Clock

PAUSES = (0.5, 0.5, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
# Failures in all, however often it went well for a moment in between.
MOST_FAILURES = 30
# A stream that held so long, in seconds, makes what was before it forgotten.
HEALTHY_SECONDS = 60.0
LEAST_SECONDS = 5.0
JITTER = 0.2


class Backoff:
    """Counts failures of a connection. Pauses are in seconds, varied so that many clients do not come at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._in_a_row = self._in_all = self._short = self._offline = 0
        self._since: float | None = None

    def connected(self) -> None:
        self._since = self._clock.boot()
        self._offline = 0

    def ended(self) -> float | None:
        """As `failed`, after a connection that ended as it should: no pause, unless it ends so again and again.

        Only those in a row count for the pause. The run may have ended, which a person wants to see soon.
        """
        self._forgive()
        if self._since is not None and self._clock.boot() - self._since >= LEAST_SECONDS:
            self._short = 0
        self._short += 1
        if self._short == 1:
            return 0.0
        self._in_a_row = self._short - 2
        return self.failed()

    def failed(self, at_least: float = 0.0) -> float | None:
        """The pause before the next attempt, or None when it is no use any more. `at_least` is what the server asks."""
        self._forgive()
        self._since = None
        self._in_a_row += 1
        self._in_all += 1
        if self._in_a_row > len(PAUSES) or self._in_all > MOST_FAILURES:
            return None
        return max(at_least, self._varied(PAUSES[self._in_a_row - 1]))

    def offline(self) -> float:
        """The pause while there is no connection at all. That is no failure: it is no use only until there is one."""
        self._since = None
        self._offline = min(self._offline + 1, len(PAUSES))
        return self._varied(PAUSES[self._offline - 1])

    def reset(self) -> None:
        self._in_a_row = self._in_all = self._short = self._offline = 0
        self._since = None

    def _forgive(self) -> None:
        """After a connection that held for long, earlier failures do not count."""
        if self._since is not None and self._clock.boot() - self._since >= HEALTHY_SECONDS:
            self._in_a_row = self._in_all = 0

    def _varied(self, seconds: float) -> float:
        return seconds * random.uniform(1 - JITTER, 1 + JITTER)
