"""ConnectionLine: says in one line above the transcript how it is connected, while that is worth saying."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Literal, NamedTuple

from PySide6.QtCore import QTimer, Signal

from app.ui.widgets.announce import announce
from app.ui.widgets.feedback import Banner
from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from PySide6.QtGui import QHideEvent, QShowEvent
    from PySide6.QtWidgets import QWidget

    from app.ui.widgets.feedback import DisplayableError

ConnectionKind = Literal["connecting", "live", "waiting", "ended", "failed"]
CONNECTIONS: dict[str, ConnectionKind] = {
    "connecting": "connecting",
    "live": "live",
    "waiting": "waiting",
    "ended": "ended",
    "failed": "failed",
}
COUNT_MS = 1000
# A connection that is made sooner is not worth a line, which would move what is read.
SAY_AFTER_MS = 1500


class ConnectionState(NamedTuple):
    """`seconds` until the next try, of `waiting`. `error` says why, of `waiting` and `failed`."""

    kind: ConnectionKind
    seconds: float = 0.0
    error: DisplayableError | None = None


class ConnectionLine(Banner):
    """`again_wanted()`: the person does not want to wait."""

    again_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.state = ConnectionState("live")
        # Whether it was told that the connection is lost, to tell that it is back.
        self._lost = False
        self._until = 0.0
        self._count = QTimer(self, interval=COUNT_MS)
        self._count.timeout.connect(self._say_seconds)
        self._say_soon = QTimer(self, singleShot=True, interval=SAY_AFTER_MS)
        self._say_soon.timeout.connect(self._say_connecting)

    def begin(self) -> None:
        """Another run follows: what was told is not about it."""
        self._lost = False

    def show_state(self, state: ConnectionState) -> None:
        """Show a state. What was said stays while it connects again, so that nothing jumps."""
        former, self.state = self.state, state
        self._until = monotonic() + state.seconds
        if state.kind == "connecting":
            if former.kind == "waiting" and not self.isHidden():
                self.say(self.tr("Connection lost — trying again…"))
            elif self.isHidden():
                self._say_soon.start()
            return
        self._say_soon.stop()
        if state.kind == "waiting":
            again = (self.tr("Try now"), self.again_wanted.emit)
            if former.kind == "waiting" and not self.isHidden():
                self._say_seconds()
            else:
                self.show_message(self._waiting_words(), "attention", secondary=[again], glyph="offline")
            self._tell_lost()
            self._run()
        elif state.kind == "failed":
            error = state.error
            words = self.tr("The transcript could not be loaded.")
            if error is not None:
                words = " ".join(part for part in (error.title, error.advice) if part)
            self.show_message(words, "bad", secondary=[(self.tr("Try again"), self.again_wanted.emit)])
            announce(self, words)
        else:
            self.clear()
            if self._lost and state.kind == "live":
                announce(self, self.tr("Connected again"))
            self._lost = False
        if state.kind != "waiting":
            self._count.stop()

    def _tell_lost(self) -> None:
        """Once, not at each try."""
        if not self._lost and self.isVisible():
            self._lost = True
            announce(self, self.tr("Connection lost"))

    def _waiting_words(self) -> str:
        seconds = max(0, round(self._until - monotonic()))
        if seconds:
            return self.tr("Connection lost — trying again in {0} s").format(seconds)
        return self.tr("Connection lost — trying again…")

    def _say_seconds(self) -> None:
        if self.state.kind == "waiting":
            self.say(self._waiting_words())

    def _say_connecting(self) -> None:
        if self.state.kind == "connecting":
            self.show_message(self.tr("Connecting…"), "info", glyph="refresh")

    def _run(self) -> None:
        if self.isVisible():
            self._count.start()

    @guarded()
    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self.state.kind == "waiting":
            self._count.start()

    @guarded()
    def hideEvent(self, event: QHideEvent) -> None:
        self._count.stop()
        super().hideEvent(event)
