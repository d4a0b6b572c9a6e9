"""Saves what is typed into the forms of tools, and restores it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from app.core.errors import BurrowError
from app.core.mcp.forms.model import FormModel
from app.core.mcp.servers.own_source import THIS_MACHINE
from app.ui.save_soon import SaveSoon
from app.ui.servers import draft_text
from app.ui.servers.rows import key_of
from app.ui.servers.tool_session import CallPhase
from app.ui.servers.wording import is_own

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from app.core.mcp.forms.model import FieldEntry
    from app.core.services import Services
    from app.core.storage import Draft, Scope
    from app.ui.bridge import Bridge
    from app.ui.servers.tool_session import ToolSession


class ToolDrafts(QObject):
    """The drafts of one account. `loaded(ToolSession)` when the draft of a session was restored.

    `other_found(ToolSession)` when it is known whether another window left arguments of that tool behind.
    """

    loaded = Signal(object)
    other_found = Signal(object)

    def __init__(self, services: Services, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._services, self._bridge = services, bridge
        self._scope: Scope | None = None
        self._unsaved: dict[tuple[str, str], ToolSession] = {}
        # What the storage cannot keep lasts as long as the window, and what it could not write yet.
        self._too_long: dict[tuple[str, str], ToolSession] = {}
        # Whose secret arguments are left out of what is stored.
        self._secret: dict[tuple[str, str], ToolSession] = {}
        self._failed: dict[tuple[str, str], ToolSession] = {}
        self._save_soon = SaveSoon(self._save, self)

    def start(self, scope: Scope | None) -> None:
        """Save what is typed for the former account, and use the drafts of `scope` from now on."""
        self._save()
        self._scope = scope
        self._too_long.clear()
        self._secret.clear()

    def typed(self, session: ToolSession) -> None:
        """Save the draft of a session soon."""
        self._unsaved[session.server.id, key_of(session.tool)] = session
        self._save_soon.changed()

    def load(self, session: ToolSession) -> None:
        """Restore the draft of a session, unless the person has typed something by then."""
        scope = self._scope_of(session)
        if scope is None:
            return

        def done(kept: dict[str, str] | None) -> None:
            if kept is None:
                return
            if session.touched or not self._restore(session, kept):
                # What is typed from here on must not replace the stored text, which nobody has seen.
                drafts.release_soon(*draft)
            self._look_for_other(scope, session)

        drafts, draft = self._services.storage.drafts, (scope, draft_text.KIND, _name(session))
        self._bridge.spawn(session, drafts.load(*draft), done=done, failed=_not_saved)

    def show_other(self, session: ToolSession) -> None:
        """Restore what another window left behind. What is in the form stays stored, and is the other one then."""
        scope, other = self._scope_of(session), session.other
        if scope is None or other is None:
            return

        def done(kept: dict[str, str] | None) -> None:
            if kept is not None:
                self._restore(session, kept)
            self._look_for_other(scope, session)

        self._save()
        work = self._services.storage.drafts.change_to(scope, other)
        self._bridge.spawn(session, work, done=done, failed=_not_saved)

    def _restore(self, session: ToolSession, kept: dict[str, str]) -> bool:
        found = draft_text.decode(kept, FormModel(session.tool.input_schema))
        if found is None:
            return False
        session.draft, session.json_text = found
        self.loaded.emit(session)
        return True

    def _look_for_other(self, scope: Scope, session: ToolSession) -> None:
        def done(others: tuple[Draft, ...]) -> None:
            session.other = next(iter(others), None)
            self.other_found.emit(session)

        work = self._services.storage.drafts.others(scope, draft_text.KIND, _name(session))
        self._bridge.spawn(session, work, done=done, failed=_not_saved)

    @property
    def unsaved(self) -> bool:
        """Whether arguments that were typed are not saved yet."""
        return bool(self._unsaved or self._too_long or self._secret)

    def unsaved_text(self) -> str:
        """What is typed and not stored: arguments that are too long, of nobody's account, or refused by the disk."""
        sessions = [*self._too_long.values(), *self._unwritten()]
        parts = [f"{session.tool.label}\n{_text(session)}" for session in sessions]
        # Which of them, not what they are. What a tool was called with is not lost.
        secret = [each for each in self._secret.values() if each.phase is not CallPhase.DONE]
        parts += [self.tr("{0}: secret arguments (not stored)").format(session.tool.label) for session in secret]
        return "\n\n".join(parts)

    async def flush(self) -> None:
        """Save all drafts now; awaited before the app ends. Raises the first failure once all were tried."""
        failures = []
        for work in self._pending_saves():
            try:
                await work
            except BurrowError as failure:
                failures.append(failure)
        if failures:
            raise failures[0]

    def _save(self) -> None:
        for work in self._pending_saves():
            self._bridge.spawn(self, work, failed=_not_saved)

    def _pending_saves(self) -> list[Coroutine[Any, Any, None]]:
        self._save_soon.stop()
        # Taken out before anything is awaited: what is typed from here on is a new draft to save.
        waiting, self._unsaved = self._unsaved, {}
        works: list[Coroutine[Any, Any, None]] = []
        for key, session in waiting.items():
            scope, draft = self._scope_of(session), session.draft
            if draft is None:
                continue
            kept = None if scope is None else draft_text.encode(draft, session.json_text, session.tool.input_schema)
            session.set_storable(kept is not None or scope is None)
            if scope is None or kept is None:
                self._too_long[key] = session
                continue
            self._too_long.pop(key, None)
            if draft_text.leaves_out(draft, session.json_text, session.tool.input_schema):
                self._secret[key] = session
            else:
                self._secret.pop(key, None)
            saving = self._services.storage.drafts.save(scope, draft_text.KIND, _name(session), kept)
            works.append(self._watched(key, session, saving))
        return works

    def _unwritten(self) -> list[ToolSession]:
        """Those that failed and that the storage, which tries again, still has in memory only."""
        if not self._failed:
            return []
        waiting = {(draft.kind, draft.id) for draft in self._services.storage.drafts.unsaved}
        return [each for each in self._failed.values() if (draft_text.KIND, _name(each)) in waiting]

    async def _watched(self, key: tuple[str, str], session: ToolSession, saving: Coroutine[Any, Any, None]) -> None:
        try:
            await saving
        except BurrowError:
            self._failed[key] = session
            raise
        self._failed.pop(key, None)

    def _scope_of(self, session: ToolSession) -> Scope | None:
        """Whose draft it is. A server that the user added belongs to this computer, with and without an account."""
        return THIS_MACHINE if is_own(session.server) else self._scope


def _name(session: ToolSession) -> str:
    return f"{session.server.id}/{session.tool.name}"


def _text(session: ToolSession) -> str:
    """The arguments as they were typed."""
    if session.json_text is not None or session.draft is None:
        return session.json_text or ""
    entries = session.draft.entries.items()
    lines = [f"{name}: {entry.text or ', '.join(entry.items)}" for name, entry in entries if _typed(entry)]
    # The arguments of a tool without a form.
    return "\n".join([*lines, *([] if session.draft.whole == "{}" else [session.draft.whole])])


def _typed(entry: FieldEntry) -> bool:
    return bool(entry.text or entry.items)


def _not_saved(_error: BurrowError) -> None:
    """A draft that could not be saved or loaded stays in memory. The storage asks about it when the window closes."""
