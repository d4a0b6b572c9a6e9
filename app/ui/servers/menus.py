"""The context menus of the lists of servers, of available servers and of tools."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QPoint
from PySide6.QtGui import QGuiApplication

from app.ui.servers.kinds import kind_of
from app.ui.servers.policy import Policy
from app.ui.servers.wording import is_own, policy_words, server_name, shown_name
from app.ui.widgets.context_menu import ContextMenu

if TYPE_CHECKING:
    from app.ui.context import Navigator
    from app.ui.servers.call_desk import CallDesk
    from app.ui.servers.controller import ServerController
    from app.ui.servers.pages import ServerPages
    from app.ui.servers.server_pane import ServerPane

POLICY_KEYS = {Policy.ALLOW: "A", Policy.ASK: "K", Policy.BLOCK: "B"}


class ServerMenus(QObject):
    """Opens the menu of a row, which acts on what is open or selected."""

    def __init__(
        self,
        navigator: Navigator,
        controller: ServerController,
        desk: CallDesk,
        pane: ServerPane,
        pages: ServerPages,
    ) -> None:
        super().__init__(pages)
        self._navigator, self._controller, self._desk = navigator, controller, desk
        self._pane, self._pages, self._page = pane, pages, pages.server
        pane.servers.menu_wanted.connect(self._open_server)
        pane.templates.menu_wanted.connect(self._open_template)
        self._page.tools.table.menu_wanted.connect(self._open_tool)

    def _open_server(self, server_id: str, at: QPoint) -> None:
        server = self._controller.server(server_id)
        if server is None:
            return
        # The entries act on the server in view, so that is the one of the row.
        self._pane.servers.select_key(server_id)
        kind = kind_of(server)
        menu = ContextMenu(server_name(server), self._pane)
        menu.add(self.tr("Open"), lambda: self._pane.server_opened.emit(server_id), "Return")
        if kind.connect:
            menu.add(kind.connect, self._page.connect_wanted.emit)
        if kind.enabled is not None:
            words = self.tr("Switch off") if kind.enabled else self.tr("Switch on")
            menu.add(words, lambda: self._pane.server_toggled.emit(server_id), "Space")
        menu.add(self.tr("Load the tools again"), self._page.refresh_wanted.emit, "F5")
        menu.addSeparator()
        menu.add(self.tr("Copy name"), lambda: self._copy(server.title))
        menu.add(self.tr("Copy address"), lambda: self._copy(server.url))
        menu.add(self.tr("Copy link for Burrow"), lambda: self._copy(self._controller.link_to(server)))
        if kind.signs_in or kind.removal:
            menu.addSeparator()
        if kind.signs_in and not kind.connect:
            menu.add(self.tr("Sign in to this server again"), self._page.connect_wanted.emit)
        if is_own(server) and kind.signs_in:
            menu.add(self.tr("Disconnect"), lambda: self._controller.sign_out(server_id))
        if kind.removal:
            menu.add(self.tr("Remove…"), self._page.ask_remove)
        menu.open_at(at)

    def _open_template(self, template_id: str, at: QPoint) -> None:
        template = next((each for each in self._controller.templates or () if each.id == template_id), None)
        if template is None:
            return
        menu = ContextMenu(shown_name(template.name or template.url), self._pane)
        menu.add(self.tr("Open"), lambda: self._pane.template_opened.emit(template_id), "Return")
        menu.addSeparator()
        menu.add(self.tr("Copy name"), lambda: self._copy(template.name))
        menu.add(self.tr("Copy address"), lambda: self._copy(template.url))
        menu.open_at(at)

    def _open_tool(self, key: str, at: QPoint) -> None:
        tools, server = self._page.tools, self._page.server
        tool = tools.tool(key)
        if tool is None or server is None:
            return
        selected = tools.table.selected_keys()
        if key not in selected:
            tools.table.select_key(key)
            selected = (key,)
        several = len(selected) > 1
        menu = ContextMenu(self.tr("{0} tools selected").format(len(selected)) if several else tool.label, tools)
        if not several:
            menu.add(self.tr("Open"), lambda: tools.opened.emit(key), "Return")
            session = self._page.tool.session
            if session is not None and session.tool is tool:
                menu.add(self.tr("Run"), self._page.tool.run, "Ctrl+Return", enabled=self._page.tool.can_run)
            menu.addSeparator()
        for policy, keys in POLICY_KEYS.items():
            usable = several or (not tool.locked and tool.problem is None)
            menu.add(policy_words(policy), partial(tools.want_policy, policy), keys, enabled=usable)
            menu.addSeparator()
        names = [each.name for each in map(tools.tool, selected) if each is not None]
        menu.add(self.tr("Copy names") if several else self.tr("Copy name"), lambda: self._copy("\n".join(names)))
        if not several:
            copied = self._desk.command_of(server, tool)
            menu.add(self.tr("Copy as a command"), lambda: self._copy(copied or ""), enabled=copied is not None)
        menu.open_at(at)

    def _copy(self, text: str) -> None:
        QGuiApplication.clipboard().setText(text)
        self._navigator.status(self.tr("Copied"))
