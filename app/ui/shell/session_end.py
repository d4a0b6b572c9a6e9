"""The end of the desktop's session: what is typed is stored, and the desktop hears what would be broken off.

Windows and macOS ask through Qt (`QGuiApplication.commitDataRequest`), and wait for the answer of a slot. Qt's plugin
for X as PySide ships it speaks no XSMP, so on Linux the portal is asked (`app/core/desktop/session_end.py`).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from PySide6.QtCore import QEventLoop, QObject, QTimer
from PySide6.QtGui import QGuiApplication

from app.core.desktop.session_end import SessionEnd

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from PySide6.QtGui import QSessionManager

    from app.core.busy import Busy
    from app.ui.bridge import Bridge
    from app.ui.shell.leaving import Leaving

# Systems end a program that answers later than five seconds.
SAVE_MS = 2_000
# Calls of agents come and go faster than anybody reads.
SETTLE_MS = 300


class DesktopSession(QObject):
    """Begins when it is made, in the loop. `end` is the portal's part, None where there is none."""

    def __init__(self, leaving: Leaving, busy: Busy, bridge: Bridge, parent: QObject, *, portal: bool = True) -> None:
        super().__init__(parent)
        self._leaving, self._busy, self._bridge = leaving, busy, bridge
        self.end: SessionEnd | None = None
        self._tell_soon = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._tell_soon.timeout.connect(self._tell)
        app = QGuiApplication.instance()
        if isinstance(app, QGuiApplication):
            app.commitDataRequest.connect(self.commit)
        if portal and sys.platform.startswith("linux"):
            self.end = SessionEnd(self._leaving.save, lambda: self._leaving.leave(asks=False))
            bridge.listen(self, busy.changed, lambda _nothing: self._tell_soon.start())
            bridge.spawn(self, self.end.run(), key="session")
            self._tell()

    def commit(self, manager: QSessionManager) -> None:
        """The system asks before it ends the session: store what is typed, and ask the user if work would be lost."""
        self._finish(self._leaving.save())
        if self._busy.interrupted() and manager.allowsInteraction():
            if self._leaving.agrees_to_end():
                manager.release()
            else:
                manager.cancel()

    def _finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Let a coroutine end before this returns, in a Qt loop of its own: everything else goes on meanwhile."""
        waiting = QEventLoop()
        try:
            job = self._bridge.spawn(
                self, work, done=lambda _nothing: waiting.quit(), failed=lambda _error: waiting.quit(), key="commit"
            )
        except RuntimeError:
            # The loop has ended, and what was typed is stored.
            return
        QTimer.singleShot(SAVE_MS, waiting.quit)
        if not job.done:
            waiting.exec()

    def _tell(self) -> None:
        """Say to the desktop what would be broken off now."""
        if self.end is not None:
            works = self._busy.interrupted()
            if not works:
                self.end.busy_with("")
            elif len(works) == 1:
                self.end.busy_with(works[0].what)
            else:
                self.end.busy_with(self.tr("{0} and %n more", "", len(works) - 1).format(works[0].what))
