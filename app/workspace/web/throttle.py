"""Request budgets per caller over sliding windows, in memory."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable


class Throttle:
    """`limits` are pairs of (requests, seconds); all must hold."""

    def __init__(self, *limits: tuple[int, float]) -> None:
        self._limits = limits
        self._longest = max(seconds for _, seconds in limits)
        self._seen: dict[Hashable, deque[float]] = defaultdict(deque)

    def wait(self, key: Hashable, now: float) -> float:
        """Count a request of `key`; 0.0 when it may pass, else the seconds until one may (and it is not counted)."""
        seen = self._seen[key]
        while seen and seen[0] <= now - self._longest:
            seen.popleft()
        for allowed, seconds in self._limits:
            if len(seen) >= allowed and seen[-allowed] > now - seconds:
                return max(0.001, seen[-allowed] + seconds - now)
        seen.append(now)
        return 0.0

    def reset(self) -> None:
        self._seen.clear()
