"""Which page is shown beside the list: a server, an available one, the form of a new one, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt, Signal

from app.ui.servers.controller import UNUSABLE, installed_for
from app.ui.servers.rows import key_of

if TYPE_CHECKING:
    from app.core.mcp.servers.server import Server
    from app.core.mcp.tools import ToolInfo
    from app.core.posthog.types import ServerTemplate
    from app.ui.servers.controller import ServerController
    from app.ui.servers.pages import ServerPages
    from app.ui.servers.server_pane import ServerPane
    from app.ui.settings import UiSettings

# Followed by the account. The setting has the id of a server.
LAST = "servers.last"


class ServerSelection(QObject):
    """Chooses the page of the right side and keeps it up to date.

    `server_shown(Server)` when a server was shown or its page updated, `tool_wanted(row key)` when a tool that was
    asked for is loaded.
    """

    server_shown = Signal(object)
    tool_wanted = Signal(object)

    def __init__(
        self, controller: ServerController, pane: ServerPane, pages: ServerPages, settings: UiSettings
    ) -> None:
        super().__init__(pages)
        self._settings = settings
        self._controller, self._pane, self._pages = controller, pane, pages
        # A server, and perhaps the name of one of its tools, that was asked for and is not loaded yet.
        self._wanted: tuple[str, str] | None = None
        # What was shown before the form of a new server. It is no longer highlighted meanwhile.
        self._before = ""
        controller.changed.connect(self._update)
        controller.templates_changed.connect(self._update_templates)
        pane.server_picked.connect(self._picked)
        pane.server_opened.connect(self._opened)
        pane.template_picked.connect(self._template_picked)
        pane.template_opened.connect(self._template_opened)
        pane.add_wanted.connect(self.add_server)
        pages.template.open_wanted.connect(self.open_item)
        pages.template.left.connect(lambda: pane.templates.setFocus(Qt.FocusReason.BacktabFocusReason))
        pages.custom.left.connect(self._leave_custom)

    def start(self) -> None:
        """Another account or project: show nothing of the former."""
        self._wanted = None
        self.show_nothing()

    def open_item(self, item: str) -> None:
        """Show a server by its id or its title, or one of its tools: `server/tool`."""
        server_id, _, tool = item.partition("/")
        self.want(server_id, tool)

    def want(self, server_id: str, tool: str = "") -> None:
        """Show a server, and perhaps one of its tools by name, as soon as it is loaded."""
        self._wanted = (server_id, tool)
        self._pane.show_installed()
        self.follow_wanted()

    def add_server(self) -> None:
        """Open the form of a server by its address."""
        if not self._pages.shows_custom:
            shown = self._pane.templates if self._pane.available else self._pane.servers
            self._before = shown.current_key() or ""
            shown.select_key(None, quiet=True)
        self._pages.custom.show_locations(store=self._controller.backend is not None)
        self._pages.turn_to(self._pages.custom)
        self._pages.custom.focus_first()

    def show_offers(self) -> None:
        """Show the list of available servers."""
        self._pane.show_available()
        self._pane.filter.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def follow_wanted(self) -> None:
        """Show what was asked for if it is loaded by now."""
        if self._wanted is None:
            return
        server_id, name = self._wanted
        server = self._controller.server(server_id) or self._controller.titled(server_id)
        if server is None:
            # While a list loads, the server may still come: it may have been installed a moment ago.
            if self._controller.loaded and not self._controller.loading:
                self._wanted = None
                self._show_missing()
            return
        # Quietly: the page is shown below, also where the row was the current one already and nothing is picked.
        self._pane.servers.select_key(server.id, quiet=True)
        if not name:
            self._wanted = None
            self._show_server(server)
            return
        self._show_server(server)
        tools = self._controller.tools.get(server.id)
        if tools is not None:
            self._wanted = None
            tool = next((each for each in tools if each.name == name), None)
            if tool is not None:
                self._show_tool(tool)

    def show_nothing(self) -> None:
        """Say that nothing is selected, unless the list already says why there is nothing."""
        controller, nothing = self._controller, self._pages.nothing
        no_list = not controller.servers and not self._pane.available
        if controller.error is not None or no_list:
            nothing.show_state("")
        else:
            nothing.show_state(self.tr("No server selected"), self.tr("Choose one from the list."), glyph="servers")
        self._pages.turn_to(nothing)

    def _show_missing(self) -> None:
        self._pages.nothing.show_state(
            self.tr("Server not found"),
            self.tr("It may have been removed, or it belongs to another project."),
            glyph="servers",
        )
        self._pages.turn_to(self._pages.nothing)

    def _update(self) -> None:
        """The list changed: update the page."""
        controller, page = self._controller, self._pages.server
        self._pane.show_servers()
        if page.server is not None:
            now = controller.server(page.server.id)
            if now is None:
                page.server = None
                page.close_tool()
                if self._pages.shows_server:
                    self.show_nothing()
            else:
                page.show_server(now, controller)
                self.server_shown.emit(now)
                self._load_tools(now)
        self.follow_wanted()
        # The server of the last time, else the first one, is shown by itself, unless another one was asked for and is
        # still being loaded.
        idle = page.server is None and self._wanted is None
        if idle and not self._pane.available and not self._pages.shows_custom:
            if controller.servers and self._pane.servers.current_key() is None:
                if not self._pane.servers.select_key(self._last()):
                    self._pane.servers.select_first()
            elif self._pages.shows_nothing:
                self.show_nothing()

    def _picked(self, server_id: str) -> None:
        server = self._controller.server(server_id)
        if server is not None:
            self._show_server(server)
        elif not self._pages.shows_custom:
            self.show_nothing()

    def _opened(self, server_id: str) -> None:
        self._picked(server_id)
        self._pages.server.tools.table.setFocus(Qt.FocusReason.TabFocusReason)

    def _show_server(self, server: Server) -> None:
        page = self._pages.server
        page.show_server(server, self._controller)
        self._remember(server)
        self.server_shown.emit(server)
        self._pages.turn_to(page)
        self._load_tools(server)

    def _last(self) -> str:
        """The server that was shown last, at any time."""
        last = self._settings.get(self._last_key)
        return last if isinstance(last, str) else ""

    def _remember(self, server: Server) -> None:
        if self._last() != server.id:
            self._settings.put(self._last_key, server.id)

    @property
    def _last_key(self) -> str:
        backend = self._controller.backend
        scope = None if backend is None else backend.scope
        return LAST if scope is None else f"{LAST}:{scope.host}:{scope.account}"

    def _load_tools(self, server: Server) -> None:
        """Load the tools of the server in view, once, as soon as it can be used."""
        controller = self._controller
        known = server.id in controller.tools or server.id in controller.tool_errors
        if not known and server.id not in controller.loading_tools and server.state not in UNUSABLE:
            controller.load_tools(server.id)

    def _show_tool(self, tool: ToolInfo) -> None:
        tools = self._pages.server.tools
        tools.filter.set_text_quietly("")
        self._pages.server.show_tools(self._controller)
        tools.table.select_key(key_of(tool), quiet=True)
        self.tool_wanted.emit(key_of(tool))

    def _update_templates(self) -> None:
        """The available servers changed: update the page."""
        self._pane.show_templates()
        self._pane.show_servers()
        if self._pane.available:
            self._template_picked(self._pane.templates.current_key() or "")

    def _template_picked(self, template_id: str) -> None:
        template = self._template(template_id)
        if template is None:
            if not self._pages.shows_custom:
                self.show_nothing()
            return
        installed = installed_for(template, self._controller.installations())
        self._pages.template.show_template(template, installed.id if installed is not None else None)
        self._pages.turn_to(self._pages.template)

    def _template_opened(self, template_id: str) -> None:
        self._template_picked(template_id)
        page = self._pages.template
        target = page.key.edit if page.key.isVisible() else page.connect_button
        target.setFocus(Qt.FocusReason.TabFocusReason)

    def _template(self, template_id: str) -> ServerTemplate | None:
        return next((each for each in self._controller.templates or () if each.id == template_id), None)

    def _leave_custom(self) -> None:
        """Esc or Close: go back to the selected row. What was typed stays in the form."""
        pane = self._pane
        self.show_nothing()
        if pane.available:
            pane.templates.select_key(pane.templates.current_key() or self._before, quiet=True)
            self._template_picked(pane.templates.current_key() or "")
            pane.templates.setFocus(Qt.FocusReason.BacktabFocusReason)
        else:
            pane.servers.select_key(pane.servers.current_key() or self._before, quiet=True)
            self._picked(pane.servers.current_key() or "")
            pane.servers.setFocus(Qt.FocusReason.BacktabFocusReason)
