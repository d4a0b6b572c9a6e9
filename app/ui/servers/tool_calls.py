"""Opens tools beside the list, and carries out what their page asks for: calls, permissions, reading, saving."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QFileDialog

from app.core.busy import Work, WorkKind
from app.ui.servers.call_desk import CallDesk
from app.ui.servers.sessions import ToolSessions

if TYPE_CHECKING:
    from app.core.errors import BurrowError
    from app.core.mcp.results.blocks import Block
    from app.core.mcp.servers.server import Server
    from app.core.mcp.tools import ToolInfo
    from app.ui.context import Context
    from app.ui.servers.controller import ServerController
    from app.ui.servers.drafts import ToolDrafts
    from app.ui.servers.pages import ServerPages
    from app.ui.servers.selection import ServerSelection
    from app.ui.servers.server_pane import ServerPane
    from app.ui.servers.tool_session import ToolSession


class ToolCalls(QObject):
    """Keeps a session for each tool that was opened, and shows which calls wait."""

    def __init__(
        self,
        context: Context,
        controller: ServerController,
        drafts: ToolDrafts,
        selection: ServerSelection,
        pane: ServerPane,
        pages: ServerPages,
    ) -> None:
        super().__init__(pages)
        self._services, self._bridge, self._navigator = context.services, context.bridge, context.navigator
        self._controller, self._drafts, self._selection = controller, drafts, selection
        self._pane, self._pages, self._page, self._tool = pane, pages, pages.server, pages.server.tool
        self.sessions = ToolSessions(context.services, context.bridge, self)
        self.desk = CallDesk(context, pages.server, self)
        self.sessions.changed.connect(self._show_waiting)
        controller.tools_changed.connect(self._tools_changed)
        selection.server_shown.connect(self._server_shown)
        selection.tool_wanted.connect(lambda key: self._open(key, focus=False))
        drafts.loaded.connect(self._draft_loaded)
        drafts.other_found.connect(self._other_found)
        self._tool.other_wanted.connect(drafts.show_other)
        self._page.tools.opened.connect(lambda key: self._open(key, focus=True))
        self._page.tools.picked.connect(self._picked)
        self._tool.left.connect(self._page.back_to_list)
        self._tool.read_wanted.connect(self._read)
        self._tool.save_wanted.connect(self._choose_file)
        self._tool.drafted.connect(drafts.typed)
        self._tool.said.connect(self._navigator.announce)

    @property
    def has_tool(self) -> bool:
        """Whether a tool is in view."""
        return self._pages.shows_server and self._tool.session is not None

    @property
    def busy(self) -> bool:
        """Whether the tool in view is being called."""
        return self._tool.session is not None and self._tool.session.busy

    def _server_shown(self, server: Server) -> None:
        """Update the sessions of the server."""
        self.sessions.update(server, self._controller.tools.get(server.id, ()))
        self._show_waiting()

    def _tools_changed(self, server_id: str) -> None:
        server = self._page.server
        if server is None or server.id != server_id:
            return
        self.sessions.update(server, self._controller.tools.get(server.id, ()))
        self._page.show_tools(self._controller)
        if self._tool.session is not None:
            self._tool.update_tool()
        self._selection.follow_wanted()

    def _picked(self, key: str) -> None:
        """Follow the current row of the list, if a tool is open beside it.

        Not while several are selected: extending a selection must not open each tool that it passes.
        """
        several = len(self._page.tools.table.selected_keys()) > 1
        if key and self._page.wide and not several and not self._tool.isHidden():
            self._open(key, focus=False)

    def _open(self, key: str, *, focus: bool) -> None:
        tool, server = self._page.tools.tool(key), self._page.server
        if tool is None or server is None:
            return
        session = self._session(server, tool)
        self._tool.result.set_waiting(session.waiting)
        self.desk.turn_to(session)
        self._tool.show_session(session)
        self._page.open_tool()
        if focus and not self._page.wide:
            self._tool.focus_first()

    def _session(self, server: Server, tool: ToolInfo) -> ToolSession:
        found = self.sessions.get(server, tool)
        if found is None:
            found = self.sessions.open(server, tool)
            self.desk.follow(found)
            self._drafts.load(found)
        return found

    def _show_waiting(self) -> None:
        """Mark the tools and servers whose call waits. The page shows the card of its own call after this."""
        shown, server = self._tool.session, self._page.server
        self._tool.result.set_waiting(shown is not None and shown.waiting)
        self._page.tools.set_waiting(self.sessions.waiting_on(server.id) if server is not None else frozenset())
        self._pane.set_waiting(frozenset(server_id for server_id, _ in self.sessions.waiting))

    def _draft_loaded(self, session: ToolSession) -> None:
        if self._tool.session is session:
            self._tool.show_draft()

    def _other_found(self, session: ToolSession) -> None:
        if self._tool.session is session:
            self._tool.show_other()

    def _read(self, uri: str) -> None:
        """Read a resource that the result links to, and show it below the result."""
        session, view = self._tool.session, self._tool.result
        if session is None:
            return
        result = session.result

        def still_shown() -> bool:
            # The resource belongs below the result that links to it, and below no other.
            return self._tool.session is session and session.result is result

        def done(blocks: tuple[Block, ...]) -> None:
            if still_shown():
                view.add_blocks(uri, blocks)

        def failed(error: BurrowError) -> None:
            if still_shown():
                view.add_card(error.title, error.cause, [(self.tr("Try again"), lambda: self._read(uri))])

        work = self._services.servers.read_resource(session.server.id, uri)
        self._bridge.spawn(session, work, done=done, failed=failed, key=f"read {uri}")

    def _choose_file(self, name: str, data: bytes) -> None:
        dialog = QFileDialog(self._pages, self.tr("Save"))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.selectFile("".join(c if c.isalnum() or c in "._- " else "_" for c in name)[:120] or "result")
        dialog.fileSelected.connect(lambda path: self._write(Path(path), data))
        dialog.open()

    def _write(self, path: Path, data: bytes) -> None:
        async def write() -> OSError | None:
            work = Work(WorkKind.FILE, path.name, self.tr("The file stays incomplete."))
            try:
                with self._services.busy.during(work):
                    await asyncio.to_thread(path.write_bytes, data)
            except OSError as refusal:
                return refusal
            return None

        def done(refusal: OSError | None) -> None:
            if refusal is None:
                self._navigator.status(self.tr("Saved {0}").format(path.name))
                return
            card = self._page.page.card
            card.show_note(
                self.tr("{0} was not saved").format(path.name),
                refusal.strerror or "",
                actions=[(self.tr("Close"), card.clear)],
                tone="bad",
            )

        self._bridge.spawn(self, write(), done=done)
