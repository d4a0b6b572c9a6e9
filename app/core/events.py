"""Event: the observer pattern for the core. Callbacks run on the thread that emits."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

log = logging.getLogger(__name__)


class Event(Generic[T]):
    """Emits values to its subscribers, in the order in which they subscribed.

    `emit` may be called on any thread and runs the callbacks on it. An exception of a callback is logged, and the
    others are called all the same.
    """

    def __init__(self) -> None:
        # An immutable tuple, replaced under the lock. So `emit` needs no lock, and a callback may (un)subscribe.
        self._callbacks: tuple[Callable[[T], None], ...] = ()
        self._lock = threading.Lock()

    def subscribe(self, callback: Callable[[T], None]) -> Callable[[], None]:
        """Call `callback` with every later value. Returns a function that ends the subscription; safe to call twice."""
        with self._lock:
            self._callbacks = (*self._callbacks, callback)

        def unsubscribe() -> None:
            with self._lock:
                remaining = list(self._callbacks)
                if callback in remaining:
                    remaining.remove(callback)
                self._callbacks = tuple(remaining)

        return unsubscribe

    def emit(self, value: T) -> None:
        """Call every subscriber with `value`."""
        for callback in self._callbacks:
            try:
                callback(value)
            except Exception:
                log.exception("a subscriber failed")
