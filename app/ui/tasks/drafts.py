"""The drafts of an account, for the list: those of this window and those that another window has open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication

from app.ui.bridge import Generation
from app.ui.tasks.open_draft import KIND

if TYPE_CHECKING:
    from app.core.errors import BurrowError
    from app.core.services import Services
    from app.core.storage import Draft, Scope
    from app.ui.bridge import Bridge

# How often to look what became of a draft that another window has open.
WATCH_MS = 2000


class TaskDrafts(QObject):
    """`changed` when `all` changed."""

    changed = Signal()

    def __init__(self, services: Services, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._drafts = services.storage.drafts
        self._generation = Generation(bridge, self)
        self._scope: Scope | None = None
        self._watch = QTimer(self, interval=WATCH_MS)
        self._watch.timeout.connect(self.refresh)
        self.all: tuple[Draft, ...] = ()
        # Whoever comes back from another window may have typed there.
        app = QGuiApplication.instance()
        if isinstance(app, QGuiApplication):
            app.applicationStateChanged.connect(self._look_when_active)

    def start(self, scope: Scope | None) -> None:
        """Another account: show its drafts."""
        self._generation.renew()
        self._scope = scope
        self._show(())
        self.refresh()

    def refresh(self) -> None:
        """Read again what is stored."""
        if self._scope is not None:
            work = self._drafts.list(self._scope, KIND)
            self._generation.spawn(work, done=self._show, failed=_ignore, key="list")

    def get(self, draft_id: str, copy: str) -> Draft | None:
        """A draft by its id and copy; None if there is none."""
        return next((each for each in self.all if (each.id, each.copy) == (draft_id, copy)), None)

    def _look_when_active(self, state: Qt.ApplicationState) -> None:
        if state == Qt.ApplicationState.ApplicationActive:
            self.refresh()

    def _show(self, found: tuple[Draft, ...]) -> None:
        found = tuple(draft for draft in found if any(draft.fields.values()))
        if any(draft.held_elsewhere for draft in found):
            self._watch.start()
        else:
            self._watch.stop()
        if found != self.all:
            self.all = found
            self.changed.emit()


def _ignore(_error: BurrowError) -> None:
    """The next look tries again."""
