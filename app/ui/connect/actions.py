"""What can be done in the place, by button, key, menu and palette; what can be undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtGui import QGuiApplication

from app.ui.connect.facts import ProxyPhase
from app.ui.connect.rows import PROXY_ROW
from app.ui.connect.wording import shown_name, state_of_rule
from app.ui.context import Command
from app.ui.widgets.undo import Undoable, UndoKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from app.core.errors import BurrowError
    from app.ui.connect.client_pane import ClientPane
    from app.ui.connect.controller import ConnectController
    from app.ui.connect.facts import ClientFacts
    from app.ui.connect.pages import ConnectPages
    from app.ui.connect.wording import RuleChoice
    from app.ui.context import Navigator


class ConnectActions(QObject):
    """Passes what the user wants of the proxy and of the client in view to the controller."""

    def __init__(
        self, navigator: Navigator, controller: ConnectController, pane: ClientPane, pages: ConnectPages
    ) -> None:
        super().__init__(pages)
        self._navigator, self._controller, self._pane, self._pages = navigator, controller, pane, pages
        overview, client = pages.overview, pages.client
        overview.switched.connect(controller.set_on)
        overview.port_wanted.connect(controller.set_port)
        overview.retry_wanted.connect(controller.retry)
        overview.add_wanted.connect(pages.add_client)
        overview.copied.connect(self.copy)
        overview.server_opened.connect(lambda server_id: navigator.go("servers", server_id))
        overview.sign_in_wanted.connect(navigator.sign_in)
        client.setup.copied.connect(self.copy)
        client.revoke_wanted.connect(controller.revoke)
        client.key_wanted.connect(controller.renew_key)
        client.renamed.connect(controller.rename)
        client.servers_chosen.connect(self._choose_servers)
        client.rules_wanted.connect(self._set_rules)
        pages.new.add_wanted.connect(controller.create)
        pane.revoke_wanted.connect(self.revoke)
        pane.switched.connect(self.switch)
        controller.failed.connect(self._show_failure)

    def commands(self) -> Sequence[Command]:
        """For the palette and the keys of the place."""
        tr, group, pages = self.tr, self.tr("Connect"), self._pages
        undo = pages.client.page.undo
        return [
            Command("connect.add", tr("Add client"), pages.add_client, "Ctrl+Shift+L", group),
            Command("connect.rename", tr("Rename client"), self.rename, "F2", group, self._has_client),
            Command("connect.revoke", tr("Revoke client"), self.revoke, "", group, self._has_client),
            Command(
                "connect.key", tr("Make a new key for the client"), pages.client.ask_key, "", group, self._has_client
            ),
            Command("connect.copy", tr("Copy the snippet"), self._copy_snippet, "Ctrl+Shift+C", group, self._can_copy),
            Command("connect.test", tr("Test the client"), self.test, "Ctrl+Return", group, self._can_run),
            Command(
                "connect.address", tr("Copy the address of the proxy"), self.copy_address, "", group, self._has_address
            ),
            Command("connect.on", tr("Switch the local proxy on"), self.switch, "", group, lambda: not self._is_on()),
            Command("connect.off", tr("Switch the local proxy off"), self.switch, "", group, self._is_on),
            Command("connect.port", tr("Change the port of the proxy"), self.change_port, "", group),
            Command(
                "connect.undo", tr("Undo the last change of a client"), undo.undo, "Ctrl+Z", group, lambda: undo.open
            ),
        ]

    def items(self) -> Sequence[Command]:
        """The proxy and every client, for the palette."""
        group = self.tr("Go to client")
        found = [Command("connect.go.proxy", self.tr("Go to the local proxy"), self._opener(PROXY_ROW), "", group)]
        for each in self._controller.clients:
            title = self.tr("Go to client {0}").format(shown_name(each.name))
            found.append(Command(f"connect.go.{each.id}", title, self._opener(each.id), "", group))
        return found

    def switch(self) -> None:
        """Switch the proxy on or off."""
        self._controller.set_on(not self._is_on())

    def change_port(self) -> None:
        """Put the focus on the port."""
        self._pages.open_item(PROXY_ROW)
        self._pages.overview.choose_port()

    def rename(self) -> None:
        """Ask for another name of the client in view."""
        if self._pages.shows_client:
            self._pages.client.begin_rename()

    def revoke(self) -> None:
        """Ask whether to revoke the client in view."""
        if self._pages.shows_client:
            self._pages.client.ask_revoke()

    def test(self) -> None:
        """Test the client in view; add the one whose form is in view; write the file that is shown."""
        pages = self._pages
        if pages.shows_new:
            pages.new.submit()
        elif pages.shows_client:
            setup = pages.client.setup
            if setup.currentWidget() is setup.file and setup.isVisible():
                setup.file.write()
            else:
                pages.client.tabs.setCurrentIndex(0)
                setup.run_test()

    def copy_address(self) -> None:
        """Copy the address of the proxy."""
        self.copy(self._controller.proxy.address)

    def copy(self, text: str) -> None:
        """Put a text on the clipboard."""
        if text:
            QGuiApplication.clipboard().setText(text)
            self._navigator.status(self.tr("Copied"))

    def _choose_servers(self, client_id: str, servers: frozenset[str] | None) -> None:
        controller = self._controller
        client = controller.client(client_id)
        if client is None or client.servers == servers:
            return
        before, name = client.servers, shown_name(client.name)
        kind = UndoKind(self.tr("Servers of {0} changed"), self.tr("Servers of {0} clients changed"))
        self._undoable(
            client_id, Undoable(kind, {client_id: name}, lambda: controller.choose_servers(client_id, before))
        )
        controller.choose_servers(client_id, servers)

    def _set_rules(self, client_id: str, server_id: str, rules: Mapping[str, RuleChoice]) -> None:
        controller = self._controller
        before = [(tool, controller.door.rule_of(client_id, server_id, tool)) for tool in rules]
        word = state_of_rule(next(iter(rules.values()))).word
        kind = UndoKind(f"{{0}}: {word}", self.tr("{0} tools set to {1}").format("{0}", word))
        labels = {tool.name: tool.label for tool in controller.tools.get(server_id, ())}
        subjects = {f"{server_id}/{tool}": labels.get(tool, tool) for tool in rules}
        self._undoable(client_id, Undoable(kind, subjects, lambda: controller.set_rules(client_id, server_id, before)))
        controller.set_rules(client_id, server_id, [(tool, choice.rule) for tool, choice in rules.items()])
        self._navigator.announce(
            kind.many.format(len(rules)) if len(rules) > 1 else f"{next(iter(subjects.values()))}: {word}"
        )

    def _undoable(self, client_id: str, action: Undoable) -> None:
        shown = self._pages.client.client
        if shown is not None and shown.id == client_id:
            self._pages.client.page.undo.add(action)

    def _show_failure(self, words: str, error: BurrowError) -> None:
        pages = self._pages
        if pages.shows_new:
            pages.new.show_failure(words, error)
            return
        card = pages.client.page.card if pages.shows_client else pages.overview.page.card
        card.show_note(words, error.cause, error.advice, [(self.tr("Close"), card.clear)], tone="bad")

    def _copy_snippet(self) -> None:
        self._pages.client.setup.copy()

    def _opener(self, item: str) -> Callable[[], None]:
        return lambda: self._navigator.go("connect", item)

    @property
    def _client(self) -> ClientFacts | None:
        return self._pages.client.client if self._pages.shows_client else None

    def _has_client(self) -> bool:
        return self._client is not None and not self._client.revoked

    def _can_copy(self) -> bool:
        setup = self._pages.client.setup
        return self._has_client() and setup.isVisible() and setup.copy_button.isEnabled()

    def _can_run(self) -> bool:
        return self._pages.shows_new or self._has_client()

    def _has_address(self) -> bool:
        return bool(self._controller.proxy.address)

    def _is_on(self) -> bool:
        return self._controller.proxy.phase is not ProxyPhase.OFF
