"""ReplyDraft: keeps what is typed to an agent, for each task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject

from app.core.storage.attachments import FIELD as FILES
from app.ui.save_soon import SaveSoon

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from app.core.errors import BurrowError
    from app.core.services import Services
    from app.core.storage import Scope
    from app.ui.bridge import Bridge
    from app.ui.transcript.reply import ReplyField

KIND, FIELD = "reply", "text"


class ReplyDraft(QObject):
    """The draft behind a `ReplyField`. Call `open` with whom and which task it is for."""

    def __init__(self, services: Services, bridge: Bridge, reply: ReplyField, parent: QObject) -> None:
        super().__init__(parent)
        self._services, self._bridge, self._reply = services, bridge, reply
        self._key: tuple[Scope, str] | None = None
        self._pending = self._touched = False
        self._save_soon = SaveSoon(self._save, self)
        reply.edited.connect(self._edited)

    def open(self, scope: Scope | None, id: str) -> None:  # noqa: A002
        """Keep what was typed for the former task, and show what was typed for this one."""
        key = (scope, id) if scope is not None and id else None
        if key == self._key:
            return
        self._save()
        self._key, self._touched = key, False
        self._reply.set_text("")
        self._reply.set_files("")
        self._bridge.cancel(self, "load")
        if key is not None:
            work = self._services.storage.drafts.load(key[0], KIND, key[1])
            self._bridge.spawn(self, work, done=self._loaded, failed=_only_in_memory, key="load")

    def discard(self, scope: Scope, id: str) -> None:  # noqa: A002
        """A message of a task that is not in view was sent."""
        if (scope, id) != self._key:
            work = self._services.storage.drafts.discard(scope, KIND, id)
            self._bridge.spawn(self, work, failed=_only_in_memory)

    @property
    def unsaved(self) -> bool:
        """Whether something is not saved yet."""
        return self._pending

    async def flush(self) -> None:
        """Save what is typed."""
        self._save_soon.stop()
        if self._pending:
            self._pending = False
            await self._stored()

    def _edited(self) -> None:
        if self._key is not None:
            self._touched = self._pending = True
            self._save_soon.changed()

    def _save(self) -> None:
        self._save_soon.stop()
        if self._pending:
            self._pending = False
            self._bridge.spawn(self, self._stored(), failed=_only_in_memory)

    def _stored(self) -> Coroutine[Any, Any, None]:
        """Stores what is typed now, for whom it is typed now, whenever it is awaited."""
        assert self._key is not None
        drafts, (scope, id_) = self._services.storage.drafts, self._key
        fields = {FIELD: self._reply.text, FILES: self._reply.stored_files}
        if any(fields.values()):
            return drafts.save(scope, KIND, id_, fields)
        return drafts.discard(scope, KIND, id_)

    def _loaded(self, fields: dict[str, str] | None) -> None:
        if fields is None or self._key is None:
            return
        if self._touched:
            # What is typed from here on must not replace the stored text, which nobody has seen.
            self._services.storage.drafts.release_soon(self._key[0], KIND, self._key[1])
        else:
            self._reply.set_text(fields.get(FIELD, ""))
            self._reply.set_files(fields.get(FILES, ""))


def _only_in_memory(_error: BurrowError) -> None:
    """A draft that could not be saved stays in memory. The storage asks about it when the window closes."""
