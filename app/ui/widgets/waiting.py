"""WaitClock: for how many seconds somebody has been waiting, told each second once it is worth a word."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

if TYPE_CHECKING:
    from collections.abc import Callable

# In seconds: from when on what is waited for is named, and from when on waiting can be given up.
WORDS_AFTER = 2
CANCEL_AFTER = 5
TICK_MS = 250


class WaitClock(QObject):
    """`ticked()` for each full second, from `WORDS_AFTER` on. It stands still until `set_since`."""

    ticked = Signal()

    def __init__(self, parent: QObject | None = None, *, now: Callable[[], float] = monotonic) -> None:
        super().__init__(parent)
        self._now = now
        self._since: float | None = None
        self._told = 0
        self._timer = QTimer(self, interval=TICK_MS)
        self._timer.timeout.connect(self.check)

    @property
    def seconds(self) -> int:
        """Full seconds since the wait began; 0 while nothing is waited for."""
        return 0 if self._since is None else max(0, int(self._now() - self._since))

    def set_since(self, since: float | None) -> None:
        """The wait began at `since` (`time.monotonic`); None: nothing is waited for."""
        if since == self._since:
            return
        self._since, self._told = since, 0
        if since is None:
            self._timer.stop()
        else:
            self._timer.start()

    def check(self) -> None:
        """Tell the seconds if there is a new one."""
        seconds = self.seconds
        if seconds >= WORDS_AFTER and seconds != self._told:
            self._told = seconds
            self.ticked.emit()
