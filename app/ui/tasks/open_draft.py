"""The draft that the composer writes: saved while typing, loaded when it is opened, given up when another one is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from app.ui.bridge import Generation
from app.ui.save_soon import SaveSoon

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from app.core.errors import BurrowError
    from app.core.services import Services
    from app.core.storage import Draft, Scope
    from app.ui.bridge import Bridge, Job

KIND = "task"


class OpenDraft(QObject):
    """One draft of one account at a time. `read` returns what is typed, by the names of the fields.

    `loaded(fields)` when a draft that was opened has been read, `missing` when another window has it or it is gone;
    `saved` and `failed(BurrowError)` tell of saving; `stored` when what is stored may have changed.
    """

    loaded = Signal(object)
    missing = Signal()
    saved = Signal()
    failed = Signal(object)
    stored = Signal()

    def __init__(
        self, services: Services, bridge: Bridge, read: Callable[[], dict[str, str]], parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._drafts, self._bridge, self._read = services.storage.drafts, bridge, read
        self._generation = Generation(bridge, self)
        self._scope: Scope | None = None
        self._dirty = False
        self._loading = False
        # The draft of the list that is being read.
        self._opening: Draft | None = None
        self.id = new_id()
        # What was open in this window for each account, to be opened again when that account is back.
        self._left: dict[Scope, str] = {}
        self._save_soon = SaveSoon(self.save_now, self)

    @property
    def scope(self) -> Scope | None:
        """The account that the draft belongs to."""
        return self._scope

    @property
    def dirty(self) -> bool:
        """Whether it changed since it was last saved."""
        return self._dirty

    def start(self, scope: Scope | None) -> None:
        """Save what is typed for the former account, and open what was open for this one."""
        if self._scope is not None:
            self._left[self._scope] = self.id
        self._leave()
        self._scope = scope
        if scope is not None and scope in self._left:
            self._load(self._left.pop(scope))

    def typed(self) -> None:
        """The user changed something: save it soon."""
        self._dirty = True
        self._save_soon.changed()

    def begin(self) -> None:
        """Save what is typed, and begin another draft."""
        self._leave()

    def open(self, draft: Draft) -> None:
        """Save what is typed, and load a draft that is stored."""
        self._leave()
        self._opening = draft
        self._load(draft.id, draft.copy)

    def discard(self) -> None:
        """Delete the draft, and begin another one."""
        self._save_soon.stop()
        self._dirty = False
        self._generation.renew()
        opening, self._loading, self._opening = self._opening, False, None
        if self._scope is not None:
            work: Coroutine[Any, Any, object]
            if opening is not None:
                # It is not held yet.
                work = self._drafts.remove(self._scope, opening)
            else:
                work = self._drafts.discard(self._scope, KIND, self.id)
            self._bridge.spawn(self, work, done=lambda _nothing: self.stored.emit(), failed=self.failed.emit)
        self.id = new_id()

    @property
    def loading(self) -> bool:
        """Whether the draft is still being read."""
        return self._loading

    def set_aside(self) -> None:
        """Begin another draft. This one stays stored, and this process keeps it."""
        self.save_now()
        self._another()

    def resume(self, draft_id: str) -> None:
        """Go on with a draft that was set aside. What is typed is saved."""
        self._leave()
        self.id = draft_id

    def save_now(self) -> Job | None:
        """Save the draft now, if it changed since it was last saved."""
        self._save_soon.stop()
        if not self._dirty or self._scope is None or self._loading:
            return None
        self._dirty = False
        fields = self._read()
        if any(fields.values()):
            work = self._drafts.save(self._scope, KIND, self.id, fields)
        else:
            work = self._drafts.discard(self._scope, KIND, self.id)
        # Not in the generation: a draft that is saved while the account changes must still be written.
        return self._bridge.spawn(self, work, done=self._saved, failed=self._not_saved)

    def _leave(self) -> None:
        """Give the draft up, so that any window may open it, and begin another one."""
        self.save_now()
        if self._scope is not None:
            self._drafts.release_soon(self._scope, KIND, self.id)
        self._another()

    def _another(self) -> None:
        self._generation.renew()
        self._loading = self._dirty = False
        self._opening = None
        self.id = new_id()

    def _load(self, draft_id: str, copy: str | None = None) -> None:
        if self._scope is None:
            return
        self.id, self._loading = draft_id, True
        work = self._drafts.load(self._scope, KIND, draft_id, copy)
        self._generation.spawn(work, done=self._loaded, failed=self._not_loaded)

    def _loaded(self, fields: dict[str, str] | None) -> None:
        self._loading, self._opening = False, None
        if fields is not None and not self._dirty:
            self.loaded.emit(fields)
            return
        # Typed while it was being read: a draft of its own, beside the stored one.
        if fields is not None and self._scope is not None:
            self._drafts.release_soon(self._scope, KIND, self.id)
        self.id = new_id()
        if self._dirty:
            self.save_now()
        elif fields is None:
            self.missing.emit()

    def _not_loaded(self, error: BurrowError) -> None:
        self._loading, self._opening = False, None
        self.id = new_id()
        self.failed.emit(error)

    def _saved(self, _nothing: None) -> None:
        self.saved.emit()
        self.stored.emit()

    def _not_saved(self, error: BurrowError) -> None:
        self.failed.emit(error)


def new_id() -> str:
    """The id of another draft."""
    return os.urandom(16).hex()
