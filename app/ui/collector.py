"""The garbage collector, on the Qt thread only.

A collection destroys QObjects in the thread it runs in, and an automatic collection runs in whichever thread happens to
allocate. QObjects must be destroyed in their own thread. So automatic collection is off, and a timer on the Qt thread
collects instead, by the interpreter's own counters. What exists after the start is frozen: later collections skip it,
which keeps them short.
"""

from __future__ import annotations

import gc
import time

from PySide6.QtCore import QCoreApplication, QObject, Qt, QTimer, Slot
from PySide6.QtGui import QGuiApplication

# Rare, and with a frozen start short: `benchmarks/heartbeat.py` measures the gaps that remain.
THRESHOLDS = (50_000, 20, 50)
BUSY_MS = 50
IDLE_MS = 1000
FULL_EVERY_SECONDS = 60.0


class Collector(QObject):
    """Collects on the Qt thread until `stop`, which turns automatic collection on again."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._thresholds = gc.get_threshold()
        self._full_at = time.monotonic()
        # Before freezing, which would keep garbage for good.
        gc.collect()
        gc.freeze()
        gc.disable()
        gc.set_threshold(*THRESHOLDS)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)
        self._timer.start(IDLE_MS)
        app = QCoreApplication.instance()
        if isinstance(app, QGuiApplication):
            app.applicationStateChanged.connect(self._state_changed)

    def stop(self) -> None:
        """Collect automatically again."""
        self._timer.stop()
        gc.set_threshold(*self._thresholds)
        gc.enable()
        gc.unfreeze()

    @Slot()
    def _look(self) -> None:
        young, middle, old = gc.get_count()
        # Sooner while much is being allocated: the larger the young generation, the longer its collection.
        interval = BUSY_MS if young > THRESHOLDS[0] // 4 else IDLE_MS
        if interval != self._timer.interval():
            self._timer.setInterval(interval)
        # As the interpreter chooses: an older generation is due after so many collections of the one before it.
        if young <= THRESHOLDS[0]:
            return
        if middle <= THRESHOLDS[1]:
            gc.collect(0)
        elif old <= THRESHOLDS[2]:
            gc.collect(1)
        else:
            self._collect_all()

    @Slot(Qt.ApplicationState)
    def _state_changed(self, state: Qt.ApplicationState) -> None:
        """Make the full collection, the longest one, while the window is in the background."""
        # The signal still comes after `stop`, which enables automatic collection.
        away = state != Qt.ApplicationState.ApplicationActive
        if away and time.monotonic() - self._full_at >= FULL_EVERY_SECONDS and not gc.isenabled():
            self._collect_all()

    def _collect_all(self) -> None:
        self._full_at = time.monotonic()
        gc.collect()


def freeze_collector() -> Collector:
    """Start collecting on the Qt thread only. Call it there, after the first paint: it takes one full collection.

    The collector lives as long as the QApplication unless it is stopped.
    """
    return Collector(QCoreApplication.instance())
