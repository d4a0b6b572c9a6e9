"""Request limits per caller over sliding windows, in memory."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

from app.workspace.web.errors import throttled

if TYPE_CHECKING:
    from collections.abc import Hashable

MINUTE, HOUR = 60.0, 3600.0


class Throttle:
    """`limits` are pairs of (requests, seconds), and all of them hold. A refused request is not counted."""

    def __init__(self, *limits: tuple[int, float]) -> None:
        self._limits = limits
        self._longest = max(seconds for _, seconds in limits)
        self._seen: defaultdict[Hashable, deque[float]] = defaultdict(deque)

    def check(self, key: Hashable, now: float) -> None:
        """Count a request of `key` at `now` (seconds since the epoch). Raises `ApiError` 429 beyond a limit."""
        seen = self._seen[key]
        while seen and seen[0] <= now - self._longest:
            seen.popleft()
        for allowed, seconds in self._limits:
            # The request that is `allowed` places back still lies in the window: one more would be too many.
            if len(seen) >= allowed and seen[-allowed] > now - seconds:
                raise throttled(seen[-allowed] + seconds - now)
        seen.append(now)

    def reset(self) -> None:
        self._seen.clear()
