"""The Connect place: the proxy and its clients on the left; on the right one of them, or the form of a new client."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.ui.connect.actions import ConnectActions
from app.ui.connect.client_pane import ClientPane
from app.ui.connect.controller import ConnectController
from app.ui.connect.menus import ConnectMenus
from app.ui.connect.pages import ConnectPages
from app.ui.connect.wording import ClientState, client_state
from app.ui.form_draft import NewItemDraft
from app.ui.place import Place
from app.ui.settings import UiSettings
from app.ui.theme import theme, tokens
from app.ui.widgets.guard import guarded
from app.ui.widgets.page import RememberedSplitter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QHideEvent, QShowEvent

    from app.ui.connect.facts import ConnectDoor
    from app.ui.context import Command, Context
    from app.ui.place import Identity

WIDTHS = "connect.widths"


class ConnectPlace(Place):
    """The local proxy of this computer. `door` is where its data come from, that of the services by default."""

    def __init__(self, context: Context, parent: QWidget | None = None, *, door: ConnectDoor | None = None) -> None:
        super().__init__(context, parent)
        services, bridge, navigator = context.services, context.bridge, context.navigator
        settings = UiSettings(services.storage.settings, bridge, self)
        if door is None:
            from app.ui.connect.door import ServicesDoor

            door = ServicesDoor(services)
        self.controller = ConnectController(door, bridge, self)
        self.pane = ClientPane(self.controller)
        self.pages = ConnectPages(self.controller, self.pane)
        self.connect_actions = ConnectActions(navigator, self.controller, self.pane, self.pages)
        other = self.tr("Another client was typed in another window")
        self.draft = NewItemDraft(services, bridge, self.pages.new, "client", other, self)
        self.menus = ConnectMenus(navigator, self.controller, self.connect_actions, self.pane, self.pages)
        width = theme().px(tokens.LIST)
        self.splitter = RememberedSplitter(
            Qt.Orientation.Horizontal,
            [self.pane, self.pages],
            settings.sizes(WIDTHS) or [width, 3 * width],
            lambda widths: settings.put(WIDTHS, widths),
            share=0 if settings.sizes(WIDTHS) else tokens.LIST_SHARE,
        )
        self._drafted = False
        box = QHBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.splitter)
        self.follow_titles(self.pages.stack)
        self.controller.changed.connect(self._count)
        self.pages.update_pages()

    def show_account(self, former: Identity | None) -> None:
        """The servers of another account are offered; the clients stay."""
        self.pages.client.page.undo.drop()
        # Clients belong to this computer, whoever is signed in.
        if not self._drafted:
            self._drafted = True
            self.draft.start(None)
        self.controller.forget_tools()
        self.controller.load()

    def activate(self) -> None:
        """Look at what other processes changed."""
        self.controller.load()

    def refresh(self) -> None:
        """Look again, also at the tools of the server in view."""
        self.controller.load()
        tools = self.pages.client.tools
        if self.pages.shows_client and tools.isVisible():
            tools.load(refresh=True)

    def focus_filter(self) -> None:
        """Focus the search of tools where it is in view, else the list of clients."""
        tools = self.pages.client.tools
        if tools.filter.isVisible():
            tools.filter.setFocus(Qt.FocusReason.ShortcutFocusReason)
            tools.filter.selectAll()
        else:
            self.pane.list.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def open_item(self, item: str) -> None:
        """Show a client by its id, or the proxy."""
        self.pages.open_item(item)

    def commands(self) -> Sequence[Command]:
        return self.connect_actions.commands()

    def items(self) -> Sequence[Command]:
        """The proxy and every client."""
        return self.connect_actions.items()

    def panes(self) -> Sequence[QWidget]:
        return [self.pane, self.pages]

    @property
    def unsaved(self) -> bool:
        return super().unsaved or self.draft.unsaved

    async def save_typed(self) -> None:
        """Save what is being typed."""
        await self.draft.flush()

    def unsaved_text(self) -> str:
        """A name or a port that was typed and not put in force."""
        pages = self.pages
        typed = (
            (self.tr("Rename the client: {0}"), pages.client.rename.typed),
            (self.tr("Port of the proxy: {0}"), pages.overview.port.typed),
        )
        return "\n\n".join(words.format(text) for words, text in typed if text)

    @guarded()
    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._watch(True)

    @guarded()
    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._watch(False)
        # Another place is shown. What merely covers this one, or a window that is minimised, hides no key.
        if self.isHidden():
            self.controller.hide_keys()

    def _watch(self, watching: bool) -> None:
        # Before the loop runs, and after it has ended, there is nothing to follow.
        with suppress(RuntimeError):
            self.controller.watch(watching)

    def _count(self) -> None:
        controller = self.controller
        states = [client_state(each, controller.proxy, controller.servers) for each in controller.clients]
        self.count_changed.emit(sum(state is ClientState.WAITS for state in states))
