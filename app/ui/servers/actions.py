"""The actions on the selected server and tool, by button, key and palette."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from app.ui.context import Command
from app.ui.servers.kinds import kind_of
from app.ui.servers.result import COPIED_CALLS
from app.ui.servers.wording import is_own, server_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.core.errors import BurrowError
    from app.core.mcp.servers.server import Server
    from app.ui.context import Navigator
    from app.ui.servers.controller import ServerController
    from app.ui.servers.installer import ServerInstaller
    from app.ui.servers.pages import ServerPages
    from app.ui.servers.selection import ServerSelection
    from app.ui.servers.server_pane import ServerPane
    from app.ui.servers.tool_calls import ToolCalls


class ServerActions(QObject):
    """Passes what the person wants of the selected server to the controller."""

    def __init__(
        self,
        navigator: Navigator,
        controller: ServerController,
        installer: ServerInstaller,
        selection: ServerSelection,
        calls: ToolCalls,
        pane: ServerPane,
        pages: ServerPages,
    ) -> None:
        super().__init__(pages)
        self._navigator, self._controller, self._installer = navigator, controller, installer
        self._selection, self._calls, self._pages, self._page = selection, calls, pages, pages.server
        page = self._page
        controller.failed.connect(self.show_failure)
        pane.server_toggled.connect(self._toggle)
        page.enabled_wanted.connect(lambda on: self._with_server(lambda s: controller.set_enabled(s.id, on)))
        page.remove_wanted.connect(lambda: self._with_server(lambda s: controller.remove(s.id)))
        page.refresh_wanted.connect(lambda: self._with_server(lambda s: controller.load_tools(s.id, refresh=True)))
        page.cancel_wanted.connect(lambda: self._with_server(lambda s: controller.cancel_tools(s.id)))
        page.sign_in_wanted.connect(self._sign_in)
        page.tool.sign_in_wanted.connect(self._sign_in)
        page.tool.permission_wanted.connect(self._ask_permission)
        page.connect_wanted.connect(self._reconnect)
        page.tool.reconnect_wanted.connect(self._reconnect)

    def commands(self) -> Sequence[Command]:
        """For the palette and the keys of the place."""
        tr, tool, undo = self.tr, self._page.tool, self._page.page.undo
        group, tool_group = tr("Servers"), tr("Tool")
        select, calls = self._selection, self._calls
        has_tool = lambda: calls.has_tool  # noqa: E731 - the same condition of several commands
        return [
            Command("servers.add", tr("Add server"), select.add_server, "Ctrl+Shift+N", group),
            Command(
                "servers.available", tr("Browse available servers"), select.show_offers, "", group, self._is_connected
            ),
            Command("servers.toggle", tr("Switch server on or off"), self._toggle_shown, "", group, self._can_switch),
            Command("servers.remove", tr("Remove server"), self._ask_remove, "", group, self._can_remove),
            Command("tool.run", tr("Run tool"), self._run, "Ctrl+Return", tool_group, self._can_run),
            Command(
                "tool.again", tr("Run the last call again"), tool.run_again, "Ctrl+Shift+Return", tool_group, has_tool
            ),
            Command(
                "tool.cancel", tr("Cancel the running call"), tool.cancel, "Ctrl+.", tool_group, lambda: calls.busy
            ),
            Command(
                "tool.json",
                tr("Switch between form and JSON"),
                tool.form.toggle_json,
                "Ctrl+Shift+J",
                tool_group,
                has_tool,
            ),
            *(
                Command(f"tool.copy.{form}", tr(words), partial(calls.desk.copy_call, form), "", tool_group, has_tool)
                for form, words in COPIED_CALLS
            ),
            Command(
                "tool.history",
                tr("Show earlier calls of the tool"),
                tool.show_history,
                "Ctrl+Shift+H",
                tool_group,
                lambda: calls.has_tool and tool.result.history.has_calls,
            ),
            Command("tool.undo", tr("Undo the last policy change"), undo.undo, "Ctrl+Z", tool_group, lambda: undo.open),
        ]

    def items(self) -> Sequence[Command]:
        """Every server and every loaded tool, for the palette."""
        servers, server_group, tool_group = self._controller.servers, self.tr("Go to server"), self.tr("Go to tool")
        found = []
        for server in servers:
            title = self.tr("Go to server {0}").format(server_name(server))
            found.append(Command(f"servers.go.{server.id}", title, self._opener(server.id), "", server_group))
        for server in servers:
            for each in self._controller.tools.get(server.id, ()):
                title = self.tr("Go to tool {0} of {1}").format(each.label, server_name(server))
                opener = self._opener(f"{server.id}/{each.name}")
                found.append(Command(f"tool.go.{server.id}.{each.row}", title, opener, "", tool_group))
        return found

    def show_failure(self, words: str, error: BurrowError) -> None:
        """Say that something the person asked for failed."""
        card = self._page.page.card
        card.show_note(words, error.cause, error.advice, [(self.tr("Close"), card.clear)], tone="bad")

    def _with_server(self, act: Callable[[Server], object]) -> None:
        if self._page.server is not None:
            act(self._page.server)

    def _opener(self, item: str) -> Callable[[], None]:
        return lambda: self._navigator.go("servers", item)

    def _reconnect(self) -> None:
        self._with_server(self._installer.reconnect)

    def _sign_in(self) -> None:
        """Sign in to what the server in view needs: to itself if it is the user's own, else to the host."""
        server = self._page.server
        if server is not None and is_own(server):
            self._installer.reconnect(server)
        else:
            self._navigator.sign_in()

    def _ask_permission(self) -> None:
        session = self._page.tool.session
        if session is not None:
            own = is_own(session.server)
            session.permit(self._installer.browser_for(session.server) if own else self._navigator.allow)

    def _toggle(self, server_id: str) -> None:
        server = self._controller.server(server_id)
        enabled = None if server is None else kind_of(server).enabled
        if enabled is not None:
            self._controller.set_enabled(server_id, not enabled)

    def _toggle_shown(self) -> None:
        self._with_server(lambda server: self._toggle(server.id))

    def _ask_remove(self) -> None:
        self._pages.turn_to(self._page)
        self._page.ask_remove()

    def _run(self) -> None:
        if self._pages.shows_custom:
            self._pages.custom.submit()
        else:
            self._page.tool.run()

    def _can_run(self) -> bool:
        return self._pages.shows_custom or (self._calls.has_tool and self._page.tool.can_run)

    def _can_switch(self) -> bool:
        return self._page.server is not None and kind_of(self._page.server).enabled is not None

    def _can_remove(self) -> bool:
        return self._page.server is not None and bool(kind_of(self._page.server).removal)

    def _is_connected(self) -> bool:
        return self._controller.backend is not None
