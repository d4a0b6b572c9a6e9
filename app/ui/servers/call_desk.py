"""What surrounds the calls of the tool in view: its history, copying a call, and how texts are shown."""

from __future__ import annotations

import asyncio
import time
from time import monotonic
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject
from PySide6.QtGui import QGuiApplication

from app.core.mcp.call_history import kept_failure, kept_result
from app.core.mcp.copied_calls import FORMS, CopiedCall, NotCopied
from app.core.mcp.json_text import NotJson, parse_json
from app.core.mcp.secret_arguments import without_secrets
from app.core.storage import Scope
from app.ui.servers.tool_session import CallPhase
from app.ui.servers.wording import is_own, shown_name
from app.ui.widgets.undo import Undoable, UndoKind

if TYPE_CHECKING:
    from app.core.errors import BurrowError
    from app.core.mcp.servers.server import Server
    from app.core.mcp.tools import ToolInfo
    from app.core.storage.calls import StoredCall
    from app.ui.context import Context
    from app.ui.servers.server_page import ServerPage
    from app.ui.servers.tool_session import ToolSession

FORMATTED = "results.formatted"
# The servers of this machine belong to no account.
OWN_SERVERS = "own"
LONGEST_NAMES = 300


class CallDesk(QObject):
    """Keeps a history of the calls of each tool, and shows that of the tool in view."""

    def __init__(self, context: Context, page: ServerPage, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._services, self._bridge, self._navigator = context.services, context.bridge, context.navigator
        self._page, self._tool, self._view = page, page.tool, page.tool.result
        self._shown: ToolSession | None = None
        self._set_formatted(self._services.storage.settings.get(FORMATTED, False) is True)
        self._view.formatted_changed.connect(self._keep_formatted)
        self._tool.description.formatted_changed.connect(self._keep_formatted)
        self._view.copy_wanted.connect(self.copy_call)
        self._view.data.copied.connect(lambda _text: self._navigator.status(self.tr("Copied")))
        self._view.history.use_wanted.connect(self._use)
        self._view.history.again_wanted.connect(self._run_again)
        self._view.history.clear_wanted.connect(self._clear)

    def follow(self, session: ToolSession) -> None:
        """Record the calls of a session that was opened."""
        recorded = {session.started}

        def changed() -> None:
            ended = session.phase in {CallPhase.DONE, CallPhase.CANCELLED, CallPhase.FAILED}
            if ended and session.arguments is not None and session.started not in recorded:
                recorded.add(session.started)
                self._record(session, session.arguments)

        session.changed.connect(changed)

    def turn_to(self, session: ToolSession) -> None:
        """Show the history of another tool. Called before its page shows it."""
        self._shown = session
        self._view.history.show_calls(())
        self._load(session)

    def _record(self, session: ToolSession, arguments: dict[str, Any]) -> None:
        at = time.time() - (monotonic() - session.started)
        schema = session.tool.input_schema
        result, error, seconds = session.result, session.error, session.seconds

        def make() -> StoredCall:
            if result is not None:
                return kept_result(at, arguments, schema, result)
            return kept_failure(at, seconds, arguments, schema, error)

        async def keep() -> None:
            # Looking for secrets in a long answer takes time.
            call = await asyncio.to_thread(make)
            await self._services.storage.calls.add(_scope_of(session), session.server.id, session.tool.name, call)

        self._bridge.spawn(self, keep(), done=lambda _nothing: self._load(session), failed=_not_kept)

    def _load(self, session: ToolSession) -> None:
        def done(calls: tuple[StoredCall, ...]) -> None:
            # Another tool may be in view by now.
            if session is self._shown:
                self._view.history.show_calls(calls)
                self._tool.show_history_button()

        work = self._services.storage.calls.list(_scope_of(session), session.server.id, session.tool.name)
        self._bridge.spawn(self, work, done=done, failed=_not_kept)

    def _clear(self) -> None:
        session = self._shown
        if session is None:
            return
        work = self._services.storage.calls.clear(_scope_of(session), session.server.id, session.tool.name)
        self._bridge.spawn(self, work, done=lambda _nothing: self._load(session), failed=_not_kept)

    def _use(self, call: StoredCall) -> bool:
        """Fill the form with the arguments of an earlier call. What was typed before comes back by Undo."""
        session = self._shown
        try:
            arguments = parse_json(call.arguments)
        except NotJson:
            return False
        if session is None or session is not self._tool.session or not isinstance(arguments, dict):
            return False
        former = self._tool.use_arguments(arguments)

        def undo() -> None:
            if session is self._tool.session:
                self._tool.restore(former)

        kind = UndoKind(self.tr("The arguments of {0} were replaced"), self.tr("The arguments were replaced {0} times"))
        self._page.page.undo.add(Undoable(kind, {session.tool.name: session.tool.label}, undo))
        if call.omitted:
            self._navigator.announce(self.tr("Fill in what is secret: {0}").format(", ".join(call.omitted)))
        self._tool.focus_first()
        return True

    def _run_again(self, call: StoredCall) -> None:
        # What is secret was not kept, so the person fills it in first.
        if self._use(call) and not call.omitted:
            self._tool.run()

    def command_of(self, server: Server, tool: ToolInfo) -> str | None:
        """The command that calls a tool, with the arguments of its last call; None if it cannot be written as one."""
        session = self._tool.session
        called = session is not None and session.server.id == server.id and session.tool.name == tool.name
        arguments = session.arguments or {} if session is not None and called else {}
        kept, _omitted = without_secrets(arguments, tool.input_schema)
        try:
            return FORMS["command"](CopiedCall(server, self._services.servers.address_of(server), tool.name, kept))
        except NotCopied:
            return None

    def copy_call(self, form: str) -> None:
        """Put the last call of the tool in view on the clipboard, else the one that the form makes. `form`: a key of
        `FORMS`."""
        session = self._shown
        if session is None:
            return
        arguments = session.arguments if session.arguments is not None else self._tool.form.arguments() or {}
        kept, omitted = without_secrets(arguments, session.tool.input_schema)
        address = self._services.servers.address_of(session.server)
        try:
            text = FORMS[form](CopiedCall(session.server, address, session.tool.name, kept))
        except NotCopied as problem:
            self._navigator.status(self.tr("Not copied. {0}").format(problem))
            self._navigator.announce(self.tr("Not copied. {0}").format(problem))
            return
        QGuiApplication.clipboard().setText(text)
        if omitted:
            names = shown_name(", ".join(omitted)[:LONGEST_NAMES])
            words = self.tr("Copied without what is secret: {0}.").format(names)
        else:
            words = self.tr("Copied. It has no token: set BURROW_TOKEN where the server asks for one.")
        self._navigator.status(words)
        if omitted:
            self._navigator.announce(words)

    def _set_formatted(self, on: bool) -> None:
        self._view.set_formatted(on)
        self._tool.description.set_formatted(on)

    def _keep_formatted(self, on: bool) -> None:
        """Results and descriptions are shown in one way, in this window and after the next start."""
        self._set_formatted(on)
        self._bridge.spawn(self, self._services.storage.settings.set(FORMATTED, on), failed=_not_kept)


def _scope_of(session: ToolSession) -> Scope:
    """The account whose history the calls of a session belong to."""
    if is_own(session.server):
        known = session.server.definition
        authorization = getattr(known, "authorization", None)
        return Scope(OWN_SERVERS, authorization.key.text if authorization is not None else "")
    return session.scope or Scope("", "")


def _not_kept(_error: BurrowError) -> None:
    """A call that could not be kept is missing in the history. Nothing else is lost."""
