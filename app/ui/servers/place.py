"""The Servers place: servers on the left; a server with its tools, one on offer, or a new one on the right."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from app.core.mcp.types import ServerState
from app.ui.context import Command
from app.ui.place import Place
from app.ui.servers.connect_flow import ServerConnectFlow
from app.ui.servers.controller import ServerController, installed_for
from app.ui.servers.drafts import ToolDrafts, not_kept
from app.ui.servers.installer import ServerInstaller
from app.ui.servers.new_server import CustomServerPage, TemplatePage
from app.ui.servers.policies import PolicyActions
from app.ui.servers.rows import key_of
from app.ui.servers.server_page import ServerPage
from app.ui.servers.server_pane import ServerPane
from app.ui.servers.sessions import ToolSessions
from app.ui.theme import theme
from app.ui.widgets.feedback import Banner, EmptyState
from app.ui.widgets.page import RememberedSplitter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.core.errors import BurrowError
    from app.core.mcp.types import Block, Server, ToolInfo
    from app.core.posthog.types import ServerTemplate
    from app.ui.context import Context
    from app.ui.place import Identity
    from app.ui.servers.tool_session import ToolSession

LIST_WIDTH = 232
DETAIL_AT_LEAST = 280
WIDTHS_SETTING = "servers.widths"
GROUP = "Servers"
TOOL_GROUP = "Tool"
NEEDS_PERSON = frozenset({ServerState.SIGN_IN, ServerState.RECONNECT})


class ServersPlace(Place):
    """The servers of one project of one account."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(context, parent)
        self._bridge, self._navigator = context.bridge, context.navigator
        self._wanted: tuple[str, str] | None = None
        self._sessions = ToolSessions(context.bridge, self)
        self.controller = ServerController(context.bridge, self)
        self.connecting = ServerConnectFlow(context.bridge, self)
        self.drafts = ToolDrafts(context.services, context.bridge, self)
        self.pane = ServerPane(self.controller)
        self.page = ServerPage(context.bridge)
        self.policies = PolicyActions(self.controller, self.page, context.bridge, self)
        self.template = TemplatePage()
        self.custom = CustomServerPage()
        self.nothing = EmptyState()
        self.banner = Banner()
        self.stack = QStackedWidget()
        self.installing = ServerInstaller(
            self.controller, self.connecting, (self.template, self.custom), self.banner, self._form_shown, self
        )
        for part in (self.nothing, self.page, self.template, self.custom):
            self.stack.addWidget(part)
        self.right = QWidget()
        self.right.setMinimumWidth(theme().px(DETAIL_AT_LEAST))
        column = QVBoxLayout(self.right)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.banner)
        column.addWidget(self.stack, 1)
        self.splitter = RememberedSplitter(
            Qt.Orientation.Horizontal, [self.pane, self.right], self._widths(), self._remember_widths
        )
        box = QHBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.splitter)
        self._connect()
        self._show_nothing()

    def show_account(self, former: Identity | None) -> None:
        """Show the servers of this account and project."""
        backend = self.backend
        # On the same connection its services still know what belongs to the former project.
        fresh = former is not None and backend is former.backend and former.project is not None
        self._wanted = None
        self.connecting.cancel()
        self.page.close_tool()
        self._sessions.close()
        self.drafts.start(backend.scope if backend is not None else None)
        self.page.server = None
        self.page.tools.clear()
        self.custom.reset()
        self.banner.clear()
        self.pane.reset()
        self._show_nothing()
        self.controller.start(backend, fresh=fresh)

    @property
    def waiting(self) -> int:
        """How many calls wait for the sign-in."""
        return len(self._sessions.waiting)

    def activate(self) -> None:
        """The place came into view."""
        self.controller.load_if_stale()

    def refresh(self) -> None:
        """F5."""
        self.controller.load(refresh=True)
        if self.pane.available:
            self.controller.load_templates(refresh=True)
        if self.page.server is not None:
            self.controller.load_tools(self.page.server.id, refresh=True)

    def focus_filter(self) -> None:
        """`/` and Ctrl+F: the search of what is in view."""
        if self.stack.currentWidget() is self.page and not self.page.tools.isHidden():
            field = self.page.tools.filter
        elif self.pane.available:
            field = self.pane.filter
        elif self.stack.currentWidget() is self.page:
            self.page.back_to_list()
            field = self.page.tools.filter
        else:
            self.pane.servers.setFocus(Qt.FocusReason.ShortcutFocusReason)
            return
        field.setFocus(Qt.FocusReason.ShortcutFocusReason)
        field.selectAll()

    def open_item(self, item: str) -> None:
        """Show a server by its id, or one of its tools: `server/tool`."""
        server_id, _, tool = item.partition("/")
        self._wanted = (server_id, tool)
        self.pane.tabs.setCurrentIndex(0)
        self._follow_wanted()

    def add_server(self) -> None:
        """Open the form of a server by its address."""
        if self.backend is None:
            return
        self.stack.setCurrentWidget(self.custom)
        self.custom.focus_first()

    def commands(self) -> Sequence[Command]:
        has_tool, runs = self._has_tool, lambda: self._running() is not None
        tool = self.page.tool
        return [
            Command("servers.add", self.tr("Add server"), self.add_server, "Ctrl+Shift+N", GROUP, self._connected),
            Command("servers.available", self.tr("See servers on offer"), self._offers, "", GROUP, self._connected),
            Command("servers.toggle", self.tr("Switch server on or off"), self._toggle, "", GROUP, self._has_installed),
            Command("servers.remove", self.tr("Remove server"), self._ask_remove, "", GROUP, self._has_installed),
            Command("tool.run", self.tr("Run tool"), self._run, "Ctrl+Return", TOOL_GROUP, self._can_submit),
            Command(
                "tool.again",
                self.tr("Run the last call again"),
                tool.run_again,
                "Ctrl+Shift+Return",
                TOOL_GROUP,
                has_tool,
            ),
            Command("tool.cancel", self.tr("Cancel the running call"), tool.cancel, "Ctrl+.", TOOL_GROUP, runs),
            Command(
                "tool.json",
                self.tr("Switch between form and JSON"),
                tool.form.toggle_json,
                "Ctrl+Shift+J",
                TOOL_GROUP,
                has_tool,
            ),
            Command(
                "tool.undo",
                self.tr("Undo the last policy change"),
                self.page.page.undo.undo,
                "Ctrl+Z",
                TOOL_GROUP,
                lambda: self.page.page.undo.open,
            ),
        ]

    def items(self) -> Sequence[Command]:
        """Every server and every loaded tool, for the palette."""
        found = [
            Command(
                f"servers.go.{server.id}",
                self.tr("Go to server {0}").format(server.title),
                self._goer(server.id),
                "",
                self.tr("Go to server"),
            )
            for server in self.controller.servers
        ]
        for server in self.controller.servers:
            for each in self.controller.tools.get(server.id, ()):
                title = self.tr("Go to tool {0} of {1}").format(each.label, server.title)
                goer = self._goer(f"{server.id}/{each.name}")
                found.append(Command(f"tool.go.{server.id}.{each.row}", title, goer, "", self.tr("Go to tool")))
        return found

    def panes(self) -> Sequence[QWidget]:
        """For F6."""
        shown = [self.pane]
        if self.stack.currentWidget() is not self.page:
            return [*shown, self.right]
        parts = [self.page.tools, self.page.tool]
        return [*shown, *(part for part in parts if not part.isHidden())]

    async def flush(self) -> None:
        """Keep what is being typed; await it before the app ends."""
        await self.drafts.flush()

    def _connect(self) -> None:
        self.controller.changed.connect(self._show_servers)
        self.controller.tools_changed.connect(self._tools_changed)
        self.controller.templates_changed.connect(self._show_templates)
        self.controller.failed.connect(self._not_done)
        self.policies.said.connect(self._navigator.announce)
        self.policies.failed.connect(self._not_done)
        self.drafts.loaded.connect(self._draft_loaded)
        self._sessions.changed.connect(self._show_waiting)
        self._sessions.waiting_changed.connect(self.waiting_changed)
        self._sessions.resumed.connect(self.call_resumed)
        self.installing.done.connect(self._connected_server)
        pane = self.pane
        pane.server_picked.connect(self._picked)
        pane.server_opened.connect(self._opened)
        pane.server_toggled.connect(self._toggled)
        pane.template_picked.connect(self._template_picked)
        pane.template_opened.connect(self._template_opened)
        pane.add_wanted.connect(self.add_server)
        pane.sign_in_wanted.connect(self._navigator.sign_in)
        page = self.page
        page.enabled_wanted.connect(lambda on: self._about_server(lambda s: self.controller.set_enabled(s.id, on)))
        page.remove_wanted.connect(lambda: self._about_server(lambda s: self.controller.remove(s.id)))
        page.connect_wanted.connect(lambda: self._about_server(self.installing.reconnect))
        page.refresh_wanted.connect(
            lambda: self._about_server(lambda s: self.controller.load_tools(s.id, refresh=True))
        )
        page.sign_in_wanted.connect(self._navigator.sign_in)
        page.tools.opened.connect(lambda key: self._open_tool(key, focus=True))
        page.tools.picked.connect(self._tool_picked)
        tool = page.tool
        tool.left.connect(page.back_to_list)
        tool.reconnect_wanted.connect(lambda: self._about_server(self.installing.reconnect))
        tool.sign_in_wanted.connect(self._navigator.sign_in)
        tool.permission_wanted.connect(self._permit)
        tool.read_wanted.connect(self._read)
        tool.save_wanted.connect(self._save_file)
        tool.drafted.connect(self.drafts.typed)
        tool.said.connect(self._navigator.announce)
        self.template.open_wanted.connect(self.open_item)
        self.template.left.connect(lambda: pane.templates.setFocus(Qt.FocusReason.BacktabFocusReason))
        self.custom.left.connect(self._leave_custom)

    # Servers

    def _show_servers(self) -> None:
        self.pane.show_servers()
        self.count_changed.emit(sum(s.state in NEEDS_PERSON for s in self.controller.servers))
        if self.page.server is not None:
            now = self.controller.server(self.page.server.id)
            if now is None:
                self.page.server = None
                self.page.close_tool()
                if self.stack.currentWidget() is self.page:
                    self._show_nothing()
            else:
                self._renew_sessions(now)
                self.page.show_server(now, self.controller)
        self._follow_wanted()
        if self.page.server is None and self._wanted is None and not self.pane.available:
            if self.controller.servers and self.pane.servers.current_key() is None:
                self.pane.servers.select_first()
            elif self.stack.currentWidget() is self.nothing:
                self._show_nothing()

    def _picked(self, server_id: str) -> None:
        server = self.controller.server(server_id)
        if server is None:
            if not self._form_shown():
                self._show_nothing()
            return
        self._show_server(server)

    def _show_server(self, server: Server) -> None:
        new = self.page.server is None or self.page.server.id != server.id
        self.page.show_server(server, self.controller)
        self._show_waiting()
        self.stack.setCurrentWidget(self.page)
        if new and (server.id not in self.controller.tools):
            self.controller.load_tools(server.id)

    def _opened(self, server_id: str) -> None:
        self._picked(server_id)
        self.page.tools.table.setFocus(Qt.FocusReason.TabFocusReason)

    def _toggled(self, server_id: str) -> None:
        server = self.controller.server(server_id)
        if server is not None and server.installation is not None:
            self.controller.set_enabled(server_id, not server.installation.is_enabled)

    def _toggle(self) -> None:
        self._about_server(lambda server: self._toggled(server.id))

    def _ask_remove(self) -> None:
        self.stack.setCurrentWidget(self.page)
        self.page.ask_remove()

    def _about_server(self, act: Callable[[Server], object]) -> None:
        if self.page.server is not None:
            act(self.page.server)

    def _not_done(self, words: str, error: BurrowError) -> None:
        self.page.page.card.show_note(
            words, error.cause, error.advice, [(self.tr("Close"), self.page.page.card.clear)], tone="bad"
        )

    def _follow_wanted(self) -> None:
        """Show what was asked for as soon as it is known."""
        if self._wanted is None:
            return
        server_id, name = self._wanted
        server = self.controller.server(server_id)
        if server is None:
            if self.controller.loaded and not self.controller.loading:
                self._wanted = None
                self.nothing.show_state(
                    self.tr("This server is not here"),
                    self.tr("It may have been removed, or belongs to another project."),
                    glyph="servers",
                )
                self.stack.setCurrentWidget(self.nothing)
            return
        self.pane.servers.select_key(server_id, quiet=True)
        if not name:
            self._wanted = None
            self._show_server(server)
            return
        self._show_server(server)
        tools = self.controller.tools.get(server_id)
        if tools is None:
            return
        self._wanted = None
        tool = next((each for each in tools if each.name == name), None)
        if tool is not None:
            self.page.tools.filter.set_text_quietly("")
            self.page.show_tools(self.controller)
            self.page.tools.table.select_key(key_of(tool), quiet=True)
            self._open_tool(key_of(tool), focus=False)

    def _show_nothing(self) -> None:
        if (
            self.backend is None
            or self.controller.error is not None
            or (not self.controller.servers and not self.pane.available)
        ):
            self.nothing.show_state("")
        else:
            self.nothing.show_state(
                self.tr("No server selected"), self.tr("Choose one from the list."), glyph="servers"
            )
        self.stack.setCurrentWidget(self.nothing)

    # Tools

    def _tools_changed(self, server_id: str) -> None:
        if self.page.server is None or self.page.server.id != server_id:
            return
        self._renew_sessions(self.page.server)
        self.page.show_tools(self.controller)
        if self.page.tool.session is not None:
            self.page.tool.update_tool()
        self._follow_wanted()

    def _renew_sessions(self, server: Server) -> None:
        self._sessions.renew(server, self.controller.tools.get(server.id, ()))

    def _tool_picked(self, key: str) -> None:
        several = len(self.page.tools.table.selected_keys()) > 1
        if key and self.page.wide and not several and not self.page.tool.isHidden():
            self._open_tool(key, focus=False)

    def _open_tool(self, key: str, *, focus: bool) -> None:
        tool, server = self.page.tools.tool(key), self.page.server
        if tool is None or server is None or self.backend is None:
            return
        session = self._session(server, tool)
        self.page.tool.result.set_waiting(session.waiting)
        self.page.tool.show_session(session)
        self.page.open_tool()
        if focus and not self.page.wide:
            self.page.tool.form.focus_first()

    def _session(self, server: Server, tool: ToolInfo) -> ToolSession:
        assert self.backend is not None
        found = self._sessions.get(server, tool)
        if found is None:
            found = self._sessions.open(self.backend, server, tool)
            self.drafts.load(found)
        return found

    def _show_waiting(self) -> None:
        """Which calls wait for the sign-in: the page shows the card of its own call after this."""
        shown, server = self.page.tool.session, self.page.server
        self.page.tool.result.set_waiting(shown is not None and shown.waiting)
        self.page.tools.set_waiting(self._sessions.waiting_on(server.id) if server is not None else frozenset())
        self.pane.set_waiting(frozenset(server_id for server_id, _ in self._sessions.waiting))

    def _draft_loaded(self, session: ToolSession) -> None:
        if self.page.tool.session is session:
            self.page.tool.show_draft()

    # Calls

    def _run(self) -> None:
        if self._form_shown():
            self.custom.submit()
        else:
            self.page.tool.run()

    def _permit(self) -> None:
        if self.page.tool.session is not None:
            self.page.tool.session.permit(self._navigator.allow)

    def _can_submit(self) -> bool:
        return self._form_shown() or (self._has_tool() and self.page.tool.can_run)

    def _running(self) -> ToolSession | None:
        session = self.page.tool.session
        return session if session is not None and session.busy else None

    def _has_tool(self) -> bool:
        return self.stack.currentWidget() is self.page and self.page.tool.session is not None

    def _has_installed(self) -> bool:
        return self.page.server is not None and self.page.server.installation is not None

    def _form_shown(self) -> bool:
        return self.stack.currentWidget() is self.custom

    def _connected(self) -> bool:
        return self.backend is not None

    def _read(self, uri: str) -> None:
        session, backend, view = self.page.tool.session, self.backend, self.page.tool.result
        if session is None or backend is None:
            return
        shown = session.result

        def done(blocks: tuple[Block, ...]) -> None:
            if self.page.tool.session is session and session.result is shown:
                view.add_blocks(uri, blocks)

        def failed(error: BurrowError) -> None:
            if self.page.tool.session is session and session.result is shown:
                view.add_card(error.title, error.cause, [(self.tr("Try again"), lambda: self._read(uri))])

        self._bridge.spawn(
            session, backend.servers.read_resource(session.server.id, uri), done=done, failed=failed, key=f"read {uri}"
        )

    def _save_file(self, name: str, data: bytes) -> None:
        dialog = QFileDialog(self, self.tr("Save"))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.selectFile("".join(c if c.isalnum() or c in "._- " else "_" for c in name)[:120] or "result")
        dialog.fileSelected.connect(lambda path: self._write(Path(path), data))
        dialog.open()

    def _write(self, path: Path, data: bytes) -> None:
        async def write() -> OSError | None:
            try:
                await asyncio.to_thread(path.write_bytes, data)
            except OSError as refusal:
                return refusal
            return None

        def done(refusal: OSError | None) -> None:
            if refusal is None:
                self._navigator.status(self.tr("Saved {0}").format(path.name))
                return
            self.page.page.card.show_note(
                self.tr("{0} was not saved").format(path.name),
                refusal.strerror or "",
                actions=[(self.tr("Close"), self.page.page.card.clear)],
                tone="bad",
            )

        self._bridge.spawn(self, write(), done=done)

    # New servers

    def _offers(self) -> None:
        self.pane.show_available()
        self.pane.filter.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _show_templates(self) -> None:
        self.pane.show_templates()
        self.pane.show_servers()
        self._template_picked(self.pane.templates.current_key() or "") if self.pane.available else None

    def _template_picked(self, template_id: str) -> None:
        template = self._template(template_id)
        if template is None:
            if not self._form_shown():
                self._show_nothing()
            return
        installed = installed_for(template, self.installing.installations())
        self.template.show_template(template, installed.id if installed is not None else None)
        self.stack.setCurrentWidget(self.template)

    def _template_opened(self, template_id: str) -> None:
        self._template_picked(template_id)
        target = self.template.key.edit if self.template.key.isVisible() else self.template.connect_button
        target.setFocus(Qt.FocusReason.TabFocusReason)

    def _template(self, template_id: str) -> ServerTemplate | None:
        return next((each for each in self.controller.templates or () if each.id == template_id), None)

    def _connected_server(self, installation_id: str, title: str) -> None:
        self._navigator.announce(self.tr("{0} is connected").format(title))
        self._wanted = (installation_id, "")
        self.pane.tabs.setCurrentIndex(0)
        self.controller.load(refresh=True)
        if installation_id in self.controller.tools or installation_id in self.controller.tool_errors:
            self.controller.load_tools(installation_id, refresh=True)

    def _leave_custom(self) -> None:
        """Esc or Close: back to what the list says; what was typed stays in the form."""
        if self.pane.available:
            self._show_nothing()
            self._template_picked(self.pane.templates.current_key() or "")
            self.pane.templates.setFocus(Qt.FocusReason.BacktabFocusReason)
        else:
            self._show_nothing()
            self._picked(self.pane.servers.current_key() or "")
            self.pane.servers.setFocus(Qt.FocusReason.BacktabFocusReason)

    # What is remembered

    def _goer(self, item: str) -> Callable[[], None]:
        return lambda: self._navigator.go("servers", item)

    def _widths(self) -> list[int]:
        found = self.context.services.storage.settings.get(WIDTHS_SETTING)
        if isinstance(found, list) and len(found) == 2 and all(isinstance(w, int) and w > 0 for w in found):
            return found
        return [theme().px(LIST_WIDTH), theme().px(3 * LIST_WIDTH)]

    def _remember_widths(self, widths: list[int]) -> None:
        settings = self.context.services.storage.settings
        self._bridge.spawn(self, settings.set(WIDTHS_SETTING, widths), failed=not_kept, key="widths")
