"""Brake: stops a grant that keeps being renewed and refused (faults rows 9, 10 and 53)."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

RENEWALS = 3
WINDOW_SECONDS = 60.0


class Brake:
    """Allows three renewals in sixty seconds whose new token no server accepted; then one probe a window."""

    def __init__(self, *, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._unproven: deque[float] = deque(maxlen=RENEWALS)

    def renewed(self) -> None:
        """A renewal brought a token that has yet to be accepted."""
        self._unproven.append(self._now())

    def accepted(self) -> None:
        """A server accepted the current token: whatever failed before is over."""
        self._unproven.clear()

    @property
    def wait(self) -> float:
        """Seconds until another renewal is allowed; 0 means now."""
        if len(self._unproven) < RENEWALS:
            return 0.0
        return max(0.0, self._unproven[0] + WINDOW_SECONDS - self._now())
