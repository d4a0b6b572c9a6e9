"""Registers what a part of the window has under way with `Busy`, for as long as that part lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from PySide6.QtCore import QObject, SignalInstance

    from app.core.busy import Busy, Work


def register_work(
    owner: QObject, busy: Busy, source: Callable[[], Iterable[Work]], *changes: SignalInstance
) -> Callable[[], None]:
    """Ask `source` until `owner` is destroyed. Each signal of `changes` says that the answer may be another one.

    Returns what ends it sooner.
    """
    unregister = busy.register(source)
    # The connections must not refer to the owner: that would keep its wrapper alive.
    owner.destroyed.connect(unregister)
    for change in changes:
        change.connect(lambda *_: busy.changed.emit(None))
    return unregister
