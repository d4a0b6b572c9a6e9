"""Saves what is typed into the forms of tools, and restores it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer, Signal

from app.core.mcp.forms.model import FormModel
from app.ui.servers import draft_text
from app.ui.servers.rows import key_of

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from app.core.errors import BurrowError
    from app.core.services import Services
    from app.core.storage import Scope
    from app.ui.bridge import Bridge
    from app.ui.servers.tool_session import ToolSession

SAVE_AFTER_MS = 500


class ToolDrafts(QObject):
    """The drafts of one account. `loaded(ToolSession)` when the draft of a session was restored."""

    loaded = Signal(object)

    def __init__(self, services: Services, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._services, self._bridge = services, bridge
        self._scope: Scope | None = None
        self._unsaved: dict[tuple[str, str], ToolSession] = {}
        self._save_soon = QTimer(self, singleShot=True, interval=SAVE_AFTER_MS)
        self._save_soon.timeout.connect(self._save)

    def start(self, scope: Scope | None) -> None:
        """Save what is typed for the former account, and use the drafts of `scope` from now on."""
        self._save()
        self._scope = scope

    def typed(self, session: ToolSession) -> None:
        """Save the draft of a session soon."""
        self._unsaved[session.server.id, key_of(session.tool)] = session
        self._save_soon.start()

    def load(self, session: ToolSession) -> None:
        """Restore the draft of a session, unless the person has typed something by then."""
        if self._scope is None:
            return

        def done(kept: dict[str, str] | None) -> None:
            if kept is None:
                return
            found = draft_text.decode(kept, FormModel(session.tool.input_schema))
            if found is None or session.touched:
                # What is typed from here on must not replace the stored text, which nobody has seen.
                drafts.release_soon(*draft)
                return
            session.draft, session.json_text = found
            self.loaded.emit(session)

        drafts, draft = self._services.storage.drafts, (self._scope, draft_text.KIND, _name(session))
        self._bridge.spawn(session, drafts.load(*draft), done=done, failed=_not_saved)

    @property
    def unsaved(self) -> bool:
        """Whether arguments that were typed are not saved yet."""
        return bool(self._unsaved) and self._scope is not None

    async def flush(self) -> None:
        """Save all drafts now; awaited before the app ends."""
        for work in self._pending_saves():
            await work

    def _save(self) -> None:
        for work in self._pending_saves():
            self._bridge.spawn(self, work, failed=_not_saved)

    def _pending_saves(self) -> list[Coroutine[Any, Any, None]]:
        self._save_soon.stop()
        # Taken out before anything is awaited: what is typed from here on is a new draft to save.
        waiting, self._unsaved = self._unsaved, {}
        works: list[Coroutine[Any, Any, None]] = []
        for session in waiting.values():
            if self._scope is None or session.draft is None:
                continue
            kept = draft_text.encode(session.draft, session.json_text)
            if kept is not None:
                works.append(self._services.storage.drafts.save(self._scope, draft_text.KIND, _name(session), kept))
        return works


def _name(session: ToolSession) -> str:
    return f"{session.server.id}/{session.tool.name}"


def _not_saved(_error: BurrowError) -> None:
    """A draft that could not be saved or loaded stays in memory only."""
