"""Sets the policies of tools: of one, of several, or of the one that a call asks about. Each can be undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from app.ui.servers.wording import policy_words
from app.ui.widgets.undo import Undoable, UndoKind, undo_words

if TYPE_CHECKING:
    from app.core.errors import BurrowError
    from app.ui.bridge import Bridge
    from app.ui.servers.controller import PolicyOutcome, ServerController
    from app.ui.servers.server_page import ServerPage


class PolicyActions(QObject):
    """Sets the policies that a server's page asks for, and shows the result there.

    `said(words)` is to be announced; `failed(words, BurrowError)` when a policy could not be set.
    """

    said = Signal(str)
    failed = Signal(str, object)

    def __init__(
        self, controller: ServerController, page: ServerPage, bridge: Bridge, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._controller, self._page, self._bridge = controller, page, bridge
        page.tools.policies_wanted.connect(self._set_several)
        page.tool.policy_wanted.connect(self._set)
        page.tool.allow_wanted.connect(self._allow)
        controller.policies_set.connect(self._show_outcome)

    def _set(self, state: str) -> None:
        session = self._page.tool.session
        if session is not None:
            self._controller.set_policies(session.server.id, [session.tool.name], state)

    def _set_several(self, keys: list[str], state: str) -> None:
        server = self._page.server
        tools = [self._page.tools.tool(key) for key in keys]
        if server is not None:
            self._controller.set_policies(server.id, [tool.name for tool in tools if tool is not None], state)

    def _allow(self) -> None:
        """Allow the tool, then continue the call that asked."""
        session = self._page.tool.session
        if session is None:
            return

        def failed(error: BurrowError) -> None:
            session.error = error
            self.failed.emit(self.tr("{0} could not be allowed").format(session.tool.label), error)

        self._bridge.spawn(
            session,
            self._controller.allow(session.server.id, session.tool.name),
            done=lambda _row: session.allowed(),
            failed=failed,
            key="allow",
        )

    def _show_outcome(self, outcome: PolicyOutcome) -> None:
        word, count = policy_words(outcome.state), len(outcome.before)
        page = self._page.page
        if outcome.failed and outcome.error is not None:
            names = list(outcome.failed)

            def retry() -> None:
                page.card.clear()
                self._controller.set_policies(outcome.server_id, names, outcome.state)

            words = self.tr("{0} of {1} could not be set to {2}").format(len(names), len(names) + count, word)
            server = self._controller.server(outcome.server_id)
            if server is not None and server.id != self._shown_id():
                # Another server is in view by now.
                words = f"{server.title}: {words}"
            page.card.show_note(
                words,
                outcome.error.facts.detail or outcome.error.cause,
                ", ".join(names[:8]) + ("…" if len(names) > 8 else ""),
                [(self.tr("Try again"), retry), (self.tr("Close"), page.card.clear)],
                tone="bad",
            )
            if self._page.tool.session is not None:
                self._page.tool.update_tool()
        if count:
            kind = UndoKind(
                self.tr("{0} set to {1}").format("{0}", word), self.tr("{0} tools set to {1}").format("{0}", word)
            )
            done = Undoable(
                kind,
                {f"{outcome.server_id}/{name}": name for name, _ in outcome.before},
                lambda: self._restore(outcome),
            )
            page.undo.add(done)
            self.said.emit(undo_words([done]))

    def _shown_id(self) -> str | None:
        return None if self._page.server is None else self._page.server.id

    def _restore(self, outcome: PolicyOutcome) -> None:
        """Set each tool back to what it was. The tools may have had different policies, and a change sets one."""
        by_state: dict[str, list[str]] = {}
        for name, state in outcome.before:
            by_state.setdefault(state, []).append(name)
        for state, names in by_state.items():
            self._controller.set_policies(outcome.server_id, names, state)
