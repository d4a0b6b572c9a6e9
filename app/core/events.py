"""A tiny observer: the core tells, whoever listens decides on which thread to hear it."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

log = logging.getLogger(__name__)


class Event(Generic[T]):
    """Values of one kind told to subscribers in the order they subscribed.

    `emit` may be called from any thread and runs the callbacks on it. A callback that raises is logged and does
    not keep the others from hearing the value.
    """

    def __init__(self) -> None:
        self._callbacks: tuple[Callable[[T], None], ...] = ()
        self._lock = threading.Lock()

    def subscribe(self, callback: Callable[[T], None]) -> Callable[[], None]:
        """Call `callback` with every later value; returns what ends the subscription (safe to call twice)."""
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
        """Tell every subscriber."""
        for callback in self._callbacks:
            try:
                callback(value)
            except Exception:
                log.exception("a listener failed")
