"""The Servers place: servers on the left; on the right a server with its tools, an available one, or a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.core.mcp.servers.server import ServerState
from app.ui.place import Place
from app.ui.servers.actions import ServerActions
from app.ui.servers.connect_flow import ServerConnectFlow
from app.ui.servers.controller import ServerController
from app.ui.servers.drafts import ToolDrafts
from app.ui.servers.installer import ServerInstaller
from app.ui.servers.menus import ServerMenus
from app.ui.servers.new_server_draft import NewServerDraft
from app.ui.servers.pages import ServerPages
from app.ui.servers.policies import PolicyActions
from app.ui.servers.selection import ServerSelection
from app.ui.servers.server_pane import ServerPane
from app.ui.servers.still_allowed import StillAllowed
from app.ui.servers.tool_calls import ToolCalls
from app.ui.settings import UiSettings
from app.ui.theme import theme, tokens
from app.ui.widgets.guard import guarded
from app.ui.widgets.page import RememberedSplitter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QKeyEvent

    from app.ui.context import Command, Context
    from app.ui.place import Identity
    from app.ui.servers.server_page import ServerPage

WIDTHS = "servers.widths"
NEEDS_PERSON = frozenset({ServerState.SIGN_IN, ServerState.RECONNECT})


class ServersPlace(Place):
    """The servers of one project of one account."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(context, parent)
        services, bridge, navigator = context.services, context.bridge, context.navigator
        settings = UiSettings(services.storage.settings, bridge, self)
        self.controller = ServerController(services, bridge, self)
        self.connecting = ServerConnectFlow(bridge, self)
        self.drafts = ToolDrafts(services, bridge, self)
        width = theme().px(tokens.LIST)
        self.splitter = RememberedSplitter(
            Qt.Orientation.Horizontal,
            [],
            settings.sizes(WIDTHS) or [width, 3 * width],
            lambda widths: settings.put(WIDTHS, widths),
            self,
            share=0 if settings.sizes(WIDTHS) else tokens.LIST_SHARE,
        )
        self.pane = ServerPane(self.controller, self.splitter)
        self.pages = ServerPages(bridge, self.splitter)
        self.splitter.hold([self.pane, self.pages])
        self.new_server_draft = NewServerDraft(services, bridge, self.pages.custom, self.pages.template, self)
        self.selection = ServerSelection(self.controller, self.pane, self.pages, settings)
        self.calls = ToolCalls(context, self.controller, self.drafts, self.selection, self.pane, self.pages)
        self.policies = PolicyActions(self.controller, self.page, bridge, self)
        self.installer = ServerInstaller(
            lambda: services.own_servers, bridge, self.controller, self.connecting, self.pages
        )
        self.still_allowed = StillAllowed(self.controller, self.pages.allowed_banner, navigator, bridge)
        self.server_actions = ServerActions(
            navigator, self.controller, self.installer, self.selection, self.calls, self.pane, self.pages
        )
        self.menus = ServerMenus(navigator, self.controller, self.calls.desk, self.pane, self.pages)
        box = QHBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.splitter)
        self.follow_titles(self.pages.stack)
        self.controller.changed.connect(self._count)
        self.policies.said.connect(navigator.announce)
        self.policies.failed.connect(self.server_actions.show_failure)
        self.calls.sessions.waiting_changed.connect(self.waiting_changed)
        self.calls.sessions.resumed.connect(self.call_resumed)
        self.calls.sessions.silent.connect(self.call_silent)
        self.installer.done.connect(self._show_connected)
        self.installer.added.connect(self._show_added)
        self.pane.sign_in_wanted.connect(navigator.sign_in)
        self.selection.show_nothing()

    @property
    def page(self) -> ServerPage:
        """The page of an installed server."""
        return self.pages.server

    @property
    def waiting(self) -> int:
        """How many calls wait for the sign-in."""
        return len(self.calls.sessions.waiting)

    def waiting_for(self, key: str) -> int:
        """How many calls wait for the sign-in of a credential, by the text of its key."""
        return self.calls.sessions.waiting_for(key)

    def show_account(self, former: Identity | None) -> None:
        """Show the servers of this account and project."""
        backend = self.backend
        # On the same connection the services still have the former project cached.
        fresh = former is not None and backend is former.backend and former.project is not None
        self.connecting.cancel()
        self.pages.start()
        # Undone here, a change of the former account would set the policies of this one.
        self.page.page.undo.drop()
        self.calls.sessions.close()
        # Saves what was typed in the former sessions first, for the former account.
        scope = backend.scope if backend is not None else None
        self.drafts.start(scope)
        self.new_server_draft.start(scope)
        self.pane.reset()
        self.selection.start()
        self.still_allowed.start(backend)
        self.controller.start(backend, fresh=fresh)

    def activate(self) -> None:
        """Load the list again if it is outdated."""
        self.controller.load_if_stale()

    def refresh(self) -> None:
        """Load the list again, the available servers if they are in view, and the tools of the server in view."""
        self.controller.load(refresh=True)
        if self.pane.available:
            self.controller.load_templates(refresh=True)
        if self.page.server is not None:
            self.controller.load_tools(self.page.server.id, refresh=True)

    def focus_filter(self) -> None:
        """Focus the search of what is in view."""
        if self.pages.shows_server and not self.page.tools.isHidden():
            field = self.page.tools.filter
        elif self.pane.available:
            field = self.pane.filter
        elif self.pages.shows_server:
            self.page.back_to_list()
            field = self.page.tools.filter
        else:
            self.pane.servers.setFocus(Qt.FocusReason.ShortcutFocusReason)
            return
        field.setFocus(Qt.FocusReason.ShortcutFocusReason)
        field.selectAll()

    def open_item(self, item: str) -> None:
        """Show a server by its id, or one of its tools: `server/tool`."""
        self.selection.open_item(item)

    def commands(self) -> Sequence[Command]:
        return self.server_actions.commands()

    def items(self) -> Sequence[Command]:
        """Every server and every loaded tool."""
        return self.server_actions.items()

    def panes(self) -> Sequence[QWidget]:
        if not self.pages.shows_server:
            return [self.pane, self.pages]
        return [self.pane, *(part for part in (self.page.tools, self.page.tool) if not part.isHidden())]

    @property
    def unsaved(self) -> bool:
        return self.drafts.unsaved or self.new_server_draft.unsaved

    def unsaved_text(self) -> str:
        return "\n\n".join(filter(None, (self.drafts.unsaved_text(), self.new_server_draft.unsaved_text())))

    async def save_typed(self) -> None:
        """Save what is being typed."""
        try:
            await self.drafts.flush()
        finally:
            await self.new_server_draft.flush()

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        # Esc that nothing nearer takes, such as in the list beside the tool.
        plain = event.modifiers() == Qt.KeyboardModifier.NoModifier
        if plain and event.key() == Qt.Key.Key_Escape and self.calls.busy:
            self.page.tool.cancel()
        else:
            super().keyPressEvent(event)

    def _count(self) -> None:
        self.count_changed.emit(sum(server.state in NEEDS_PERSON for server in self.controller.servers))

    def _show_added(self, server_id: str) -> None:
        """Show one of the user's own servers that was just added."""
        # Loading first, as in `_show_connected`.
        self.controller.load(refresh=True)
        self.selection.want(server_id)

    def _show_connected(self, server_id: str, title: str) -> None:
        """Show a server that was just connected, with its tools."""
        self.context.navigator.announce(self.tr("{0} is connected").format(title))
        # Loading first: a server that is not in the list then counts as not loaded yet, not as missing.
        self.controller.load_with_tools(server_id)
        self.selection.want(server_id)
