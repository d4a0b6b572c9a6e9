"""Values behind single-use tokens: login tickets and authorization requests that wait for consent. In memory only."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class OneTimeValues(Generic[T]):
    """Each token returns its value once, for `seconds`. At most `most` values wait; the oldest go first."""

    def __init__(self, seconds: float, most: int = 1000, *, make: Callable[[], str] | None = None) -> None:
        """`make` makes the tokens, which must be hard to guess; without it they have 256 random bits."""
        self._seconds = seconds
        self._most = most
        self._make = make or (lambda: secrets.token_urlsafe(32))
        self._values: dict[str, tuple[float, T]] = {}

    def put(self, value: T, now: float) -> str:
        """Keep `value` and return the token for it. `now` in seconds since the epoch."""
        # Anybody can open a page that keeps one, so their number is bounded. A dict is in the order of insertion.
        while len(self._values) >= self._most:
            del self._values[next(iter(self._values))]
        token = self._make()
        self._values[token] = (now + self._seconds, value)
        return token

    def take(self, token: str, now: float) -> T | None:
        """The value; None when the token is unknown, used or expired."""
        expires_at, value = self._values.pop(token, (0.0, None))
        return value if expires_at > now else None
