"""Secrets that work once and not for long: login tickets and pending consents. Kept in memory only."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
MOST = 1000


class OneTime(Generic[T]):
    """Values behind single-use tokens; the oldest go when there are too many."""

    def __init__(self, now: Callable[[], float], seconds: float) -> None:
        self._now = now
        self._seconds = seconds
        self._values: dict[str, tuple[float, T]] = {}

    def put(self, value: T) -> str:
        """Keep `value` and return the token for it."""
        while len(self._values) >= MOST:
            del self._values[next(iter(self._values))]
        token = secrets.token_urlsafe(32)
        self._values[token] = (self._now() + self._seconds, value)
        return token

    def take(self, token: str) -> T | None:
        """The value, once; None when unknown, used or too old."""
        expires_at, value = self._values.pop(token, (0.0, None))
        return value if expires_at > self._now() else None
