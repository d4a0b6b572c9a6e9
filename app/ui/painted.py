"""Waits until a window has been painted for the first time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, QEvent, QEventLoop, QObject, QTimer

from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget


DEADLINE_MS = 3000


class FirstPaint(QObject):
    """`seen` becomes True when `window` paints for the first time."""

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self.seen = False
        self._window = window
        window.installEventFilter(self)

    @guarded(False)
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if not self.seen and event.type() == QEvent.Type.Paint:
            self.seen = True
            self._window.removeEventFilter(self)
        return False

    def wait(self) -> None:
        """Process Qt events until the window has been painted, at most for three seconds. Only before the loop runs.

        What the caller imports after that does not delay the first paint.
        """
        # It also wakes `processEvents`, which sleeps until there is an event.
        late = QTimer(self, singleShot=True, interval=DEADLINE_MS)
        late.start()
        while not self.seen and late.isActive():
            QCoreApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
        late.stop()
