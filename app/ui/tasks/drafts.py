"""The drafts of an account, for the list: those of this window and those that another window has open."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication

from app.ui.bridge import Generation
from app.ui.tasks.open_draft import KIND, new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from app.core.errors import BurrowError
    from app.core.services import Services
    from app.core.storage import Draft, Scope
    from app.ui.bridge import Bridge, Job

# How often to look what became of a draft that another window has open.
WATCH_MS = 2000


class TaskDrafts(QObject):
    """`changed` when `all` changed."""

    changed = Signal()

    def __init__(self, services: Services, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._drafts, self._bridge = services.storage.drafts, bridge
        self._generation = Generation(bridge, self)
        self._scope: Scope | None = None
        self._watch = QTimer(self, interval=WATCH_MS)
        self._watch.timeout.connect(self.refresh)
        self.all: tuple[Draft, ...] = ()
        # Discarded, and still to be brought back with undo. If this process dies before that is over, they are listed
        # again at the next start.
        self._aside: set[str] = set()
        self._jobs: list[Job] = []
        # Whoever comes back from another window may have typed there.
        app = QGuiApplication.instance()
        if isinstance(app, QGuiApplication):
            app.applicationStateChanged.connect(self._look_when_active)

    def start(self, scope: Scope | None) -> None:
        """Another account: show its drafts. What was discarded for the former one is deleted."""
        for draft_id in tuple(self._aside):
            self.forget(draft_id)
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

    def set_aside(self, draft_id: str) -> None:
        """Leave a draft out of `all`. It stays stored until `forget`."""
        self._aside.add(draft_id)
        self._show(self.all)

    def hold(self, draft: Draft) -> None:
        """Take hold of a draft that is not open, so that no other window opens it."""
        if self._scope is not None:
            work = self._drafts.load(self._scope, KIND, draft.id, draft.copy)
            self._bridge.spawn(self, work, failed=_ignore)

    def keep_aside(self, fields: Mapping[str, str]) -> str:
        """Store a text as a draft that is set aside. Returns its id."""
        draft_id = new_id()
        if self._scope is not None:
            self._aside.add(draft_id)
            self._spawn(self._drafts.save(self._scope, KIND, draft_id, dict(fields)))
        return draft_id

    def take_back(self, draft_id: str) -> None:
        """List a draft again that was set aside."""
        self._aside.discard(draft_id)
        self.refresh()

    def forget(self, draft_id: str) -> None:
        """Delete a draft that was set aside."""
        if draft_id in self._aside and self._scope is not None:
            scope = self._scope
            self._spawn(self._drafts.discard(scope, KIND, draft_id), lambda: self._aside.discard(draft_id))

    async def flush(self) -> None:
        """Wait until what was asked for is stored; awaited before the app ends."""
        for job in tuple(self._jobs):
            await job.wait()

    def _spawn(self, work: Coroutine[Any, Any, object], done: Callable[[], object] = lambda: None) -> None:
        self._jobs = [job for job in self._jobs if not job.done]
        self._jobs.append(self._bridge.spawn(self, work, done=lambda _nothing: done(), failed=_ignore))

    def _look_when_active(self, state: Qt.ApplicationState) -> None:
        if state == Qt.ApplicationState.ApplicationActive:
            # Qt tells of it after the loop has ended, too.
            with contextlib.suppress(RuntimeError):
                self.refresh()

    def _show(self, found: tuple[Draft, ...]) -> None:
        found = tuple(draft for draft in found if any(draft.fields.values()) and not self._hides(draft))
        if any(draft.held_elsewhere for draft in found):
            self._watch.start()
        else:
            self._watch.stop()
        if found != self.all:
            self.all = found
            self.changed.emit()

    def _hides(self, draft: Draft) -> bool:
        return draft.id in self._aside and not draft.held_elsewhere


def _ignore(_error: BurrowError) -> None:
    """The next look tries again."""
