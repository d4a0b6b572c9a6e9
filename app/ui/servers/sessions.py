"""The sessions of the tools that were opened, and which of their calls wait for the sign-in."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from app.core.busy import Work, WorkKind
from app.ui.busy_source import register_work
from app.ui.servers.rows import key_of
from app.ui.servers.tool_session import CallPhase, ToolSession
from app.ui.servers.wording import server_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.core.mcp.servers.server import Server
    from app.core.mcp.tools import ToolInfo
    from app.core.services import Services
    from app.ui.bridge import Bridge

Key = tuple[str, str]


class ToolSessions(QObject):
    """The sessions of one account. A key is a server's id and the key of a tool's row.

    `changed` when a call changed, before its page shows that; `waiting_changed` when `waiting` changed; `resumed` when
    a call that had waited was answered; `silent(tool, server)` when one has not been answered for long.
    """

    changed = Signal()
    waiting_changed = Signal()
    resumed = Signal()
    silent = Signal(str, str)

    def __init__(self, services: Services, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._services = services
        self._bridge = bridge
        self._sessions: dict[Key, ToolSession] = {}
        self.waiting: frozenset[Key] = frozenset()
        register_work(self, services.busy, self.works, self.changed)

    def works(self) -> list[Work]:
        """The calls that run, and those that wait for a permission, for `Busy`."""
        found: list[Work] = []
        for session in self._sessions.values():
            what = self.tr("{0} on {1}").format(session.tool.label, server_name(session.server))
            if session.running:
                words = self.tr("It is broken off. The server may have carried it out already.")
                found.append(Work(WorkKind.CALL, what, words))
            elif session.busy:
                words = self.tr("The permission that the browser asks for does not arrive.")
                found.append(Work(WorkKind.CALL, what, words))
        return found

    def get(self, server: Server, tool: ToolInfo) -> ToolSession | None:
        """The session of a tool, None if it was not opened yet."""
        return self._sessions.get((server.id, key_of(tool)))

    def open(self, server: Server, tool: ToolInfo) -> ToolSession:
        """A new session for a tool."""
        made = self._sessions[server.id, key_of(tool)] = ToolSession(self._bridge, self._services, server, tool, self)
        # Connected before the page of the tool connects: `waiting` is up to date when the page shows the change.
        made.changed.connect(self._update_waiting)
        made.resumed.connect(self.resumed)
        made.changed.connect(partial(self._tell_silence, made))
        return made

    def update(self, server: Server, tools: Iterable[ToolInfo]) -> None:
        """Update the sessions of a server from what was loaded."""
        known = {key_of(tool): tool for tool in tools}
        for (owner, key), session in self._sessions.items():
            if owner == server.id:
                session.server = server
                session.tool = known.get(key, session.tool)

    def close(self) -> None:
        """End every call and forget everything."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()
        self._update_waiting()

    def waiting_for(self, key: str) -> int:
        """How many calls wait for the sign-in of a credential, by the text of its key."""
        awaited = (session.waits_for for session in self._sessions.values())
        return sum(sign_in is not None and sign_in.key == key for sign_in in awaited)

    def waiting_on(self, server_id: str) -> frozenset[str]:
        """The rows of a server's tools whose call waits."""
        return frozenset(key for owner, key in self.waiting if owner == server_id)

    def _tell_silence(self, session: ToolSession) -> None:
        if session.phase is CallPhase.QUIET:
            self.silent.emit(session.tool.label, server_name(session.server))

    def _update_waiting(self) -> None:
        waiting = frozenset(key for key, session in self._sessions.items() if session.waiting)
        former, self.waiting = self.waiting, waiting
        self.changed.emit()
        if waiting != former:
            self.waiting_changed.emit()
