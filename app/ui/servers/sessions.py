"""The tools that were opened, each with its call, and which of the calls wait for the sign-in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from app.ui.servers.rows import key_of
from app.ui.servers.tool_session import ToolSession

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.core.backend import Backend
    from app.core.mcp.types import Server, ToolInfo
    from app.ui.bridge import Bridge

Key = tuple[str, str]


class ToolSessions(QObject):
    """Those of one account. `changed` when a call did, before its page shows it; `waiting_changed` when `waiting` did;
    `resumed` when a call that had waited has been answered. Keys are a server's id and a row of its tools.
    """

    changed = Signal()
    waiting_changed = Signal()
    resumed = Signal()

    def __init__(self, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._sessions: dict[Key, ToolSession] = {}
        self.waiting: frozenset[Key] = frozenset()

    def get(self, server: Server, tool: ToolInfo) -> ToolSession | None:
        """The session of a tool that was opened before."""
        return self._sessions.get((server.id, key_of(tool)))

    def open(self, backend: Backend, server: Server, tool: ToolInfo) -> ToolSession:
        """A new session for a tool."""
        made = self._sessions[server.id, key_of(tool)] = ToolSession(self._bridge, backend, server, tool, self)
        made.changed.connect(self._look)
        made.resumed.connect(self.resumed)
        return made

    def renew(self, server: Server, tools: Iterable[ToolInfo]) -> None:
        """Open tools take over what is newly known of them."""
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
        self._look()

    def waiting_on(self, server_id: str) -> frozenset[str]:
        """The rows of a server whose call waits."""
        return frozenset(key for owner, key in self.waiting if owner == server_id)

    def _look(self) -> None:
        waiting = frozenset(key for key, session in self._sessions.items() if session.waiting)
        told, self.waiting = self.waiting, waiting
        self.changed.emit()
        if waiting != told:
            self.waiting_changed.emit()
