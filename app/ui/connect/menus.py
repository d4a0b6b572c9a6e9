"""The context menus of the lists: of the proxy and the clients, of servers, of tools."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QPoint

from app.ui.connect.facts import ProxyPhase
from app.ui.connect.rows import PROXY_ROW
from app.ui.connect.wording import RuleChoice, shown_name, state_of_rule, tr
from app.ui.widgets.context_menu import ContextMenu

if TYPE_CHECKING:
    from app.ui.connect.actions import ConnectActions
    from app.ui.connect.client_pane import ClientPane
    from app.ui.connect.controller import ConnectController
    from app.ui.connect.pages import ConnectPages
    from app.ui.context import Navigator

RULE_KEYS = {RuleChoice.AS_SET: "S", RuleChoice.ALLOW: "A", RuleChoice.ASK: "K", RuleChoice.BLOCK: "B"}


class ConnectMenus(QObject):
    """Opens the menu of a row, which acts on what is open or selected."""

    def __init__(
        self,
        navigator: Navigator,
        controller: ConnectController,
        actions: ConnectActions,
        pane: ClientPane,
        pages: ConnectPages,
    ) -> None:
        super().__init__(pages)
        self._navigator, self._controller, self._actions = navigator, controller, actions
        self._pane, self._pages = pane, pages
        pane.list.menu_wanted.connect(self._open_row)
        pages.overview.list.menu_wanted.connect(self._open_server)
        pages.client.tools.table.menu_wanted.connect(self._open_tool)

    def _open_row(self, key: str, at: QPoint) -> None:
        # The entries act on what is in view, so that is what the row stands for.
        self._pane.list.select_key(key)
        if key == PROXY_ROW:
            self._open_proxy(at)
            return
        client = self._controller.client(key)
        if client is None:
            return
        page = self._pages.client
        menu = ContextMenu(shown_name(client.name), self._pane)
        menu.add(self.tr("Open"), partial(self._pages.open_item, key), "Return")
        if not client.revoked:
            menu.add(self.tr("Test"), self._actions.test, "Ctrl+Return")
            menu.addSeparator()
            menu.add(self.tr("Rename"), self._actions.rename, "F2")
            menu.add(self.tr("Make a new key…"), page.ask_key)
            menu.addSeparator()
        menu.add(self.tr("Copy name"), lambda: self._actions.copy(client.name))
        if not client.revoked:
            menu.addSeparator()
            menu.add(self.tr("Revoke…"), page.ask_revoke, "Del")
        menu.open_at(at)

    def _open_proxy(self, at: QPoint) -> None:
        proxy = self._controller.proxy
        menu = ContextMenu(self.tr("Local proxy"), self._pane)
        menu.add(self.tr("Open"), partial(self._pages.open_item, PROXY_ROW), "Return")
        off = proxy.phase is ProxyPhase.OFF
        menu.add(self.tr("Switch on") if off else self.tr("Switch off"), self._actions.switch, "Space")
        menu.addSeparator()
        menu.add(self.tr("Copy address"), self._actions.copy_address, enabled=bool(proxy.address))
        menu.add(self.tr("Change the port…"), self._actions.change_port)
        menu.open_at(at)

    def _open_server(self, server_id: str, at: QPoint) -> None:
        server = self._controller.server(server_id)
        overview = self._pages.overview
        if server is None:
            return
        overview.list.select_key(server_id)
        menu = ContextMenu(shown_name(server.server.title), overview)
        menu.add(self.tr("Open in Servers"), lambda: self._navigator.go("servers", server_id), "Return")
        menu.addSeparator()
        menu.add(self.tr("Copy name"), lambda: self._actions.copy(server.server.title))
        menu.add(
            self.tr("Copy address"), lambda: self._actions.copy(server.address), "Ctrl+C", enabled=bool(server.address)
        )
        menu.open_at(at)

    def _open_tool(self, key: str, at: QPoint) -> None:
        tools = self._pages.client.tools
        tools.select_if((key,))
        names = tools.names()
        if not names:
            return
        several = len(names) > 1
        menu = ContextMenu(tr("{0} tools selected").format(len(names)) if several else shown_name(names[0]), tools)
        for choice, keys in RULE_KEYS.items():
            menu.add(state_of_rule(choice).word, partial(tools.want_rule, choice), keys)
        menu.addSeparator()
        words = self.tr("Copy names") if several else self.tr("Copy name")
        menu.add(words, lambda: self._actions.copy("\n".join(names)))
        menu.open_at(at)
