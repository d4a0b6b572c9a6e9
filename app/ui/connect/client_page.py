"""The page of a client: how it is set up, its servers, its rules for tools, what it used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from app.ui.connect.rename_bar import RenameBar
from app.ui.connect.server_checks import ServerChecks
from app.ui.connect.setup_pane import SetupPane
from app.ui.connect.tools_pane import ClientTools
from app.ui.connect.use_pane import UsePane
from app.ui.connect.wording import client_state, shown_name, state_of_client
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.choices import TabStrip
from app.ui.widgets.column import ScrollColumn
from app.ui.widgets.page import TitledPage
from app.ui.widgets.question import InlineQuestion
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from app.ui.connect.controller import ConnectController
    from app.ui.connect.facts import ClientFacts

SETUP, SERVERS, TOOLS, USE = range(4)


class ClientPage(QWidget):
    """Emits `revoke_wanted(client id)` and `key_wanted(client id)` once the user has said yes, `renamed(client id,
    name)`, `servers_chosen(client id, frozenset | None)`, `rules_wanted(client id, server id, {tool: RuleChoice})`."""

    revoke_wanted = Signal(str)
    key_wanted = Signal(str)
    renamed = Signal(str, str)
    servers_chosen = Signal(str, object)
    rules_wanted = Signal(str, str, object)

    def __init__(self, controller: ConnectController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._controller = controller
        self.client: ClientFacts | None = None
        self.page = TitledPage()
        self.page.windowTitleChanged.connect(self.setWindowTitle)
        self.revoke_button = QuietButton(
            self.tr("Revoke…"), "block", kind="danger", keys="Del", clicked=self.ask_revoke
        )
        self.page.add_action(self.revoke_button)
        self.tabs = TabStrip(
            [self.tr("Set up"), self.tr("Servers"), self.tr("Tools"), self.tr("Use")],
            self.tr("Sections of the page of the client"),
        )
        self.tabs.currentChanged.connect(self._show_tab)
        self.page.set_head(self.tabs)
        self.setup = SetupPane(controller)
        self.setup.key_wanted.connect(self.ask_key)
        self.checks = ServerChecks()
        self.checks.chosen.connect(self._servers_chosen)
        self.tools = ClientTools(controller)
        self.tools.rules_wanted.connect(self._rules_wanted)
        self.use = UsePane()
        self.stack = QStackedWidget()
        self.servers = self._build_servers()
        for part in (self.setup, self.servers, self.tools, self.use):
            self.stack.addWidget(part)
        # Its parts scroll, so that a question has its room in a low window.
        self.stack.setMinimumHeight(1)
        self.question = InlineQuestion()
        self.rename = RenameBar()
        self.rename.renamed.connect(self._renamed)
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.question)
        column.addWidget(self.rename)
        column.addWidget(self.stack, 1)
        self.page.set_body(body)
        self.page.edge.follow(self.setup.area)
        self.page.edge.follow(self.servers)
        self.page.edge.follow(self.use)
        box = QHBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.page)

    def show_client(self, client: ClientFacts) -> None:
        """Show a client as it is now. Another one starts with how it is set up."""
        controller = self._controller
        if self.client is None or self.client.id != client.id:
            self.page.card.clear()
            # What can be undone belongs to the former client, and is named nowhere else.
            self.page.undo.settle()
            self.question.withdraw()
            self.rename.leave()
            self.setup.stop()
            self.tabs.setCurrentIndex(USE if client.revoked else SETUP)
        self.client = client
        state = client_state(client, controller.proxy, controller.servers)
        self.page.set_title(shown_name(client.name))
        self.page.status.set_state(state_of_client(state))
        self.revoke_button.setVisible(not client.revoked)
        # There is nothing to set up, and nothing that could be changed.
        self.tabs.setVisible(not client.revoked)
        if client.revoked:
            self.tabs.setCurrentIndex(USE)
        self.setup.show_client(client, state)
        self.checks.show_value(controller.servers, client.servers)
        self.tools.show_client(client)
        self.use.show_client(client, controller, state)

    def ask_revoke(self) -> None:
        """Ask on the page whether to revoke the client."""
        client = self.client
        if client is None or client.revoked:
            return
        words = self.tr("Revoke {0}? Its key is refused from then on, and its connections end.").format(
            shown_name(client.name)
        )
        self.question.ask(words, self.tr("Revoke"), lambda: self.revoke_wanted.emit(client.id))

    def ask_key(self) -> None:
        """Ask on the page whether to make a new key."""
        client = self.client
        if client is None or client.revoked:
            return
        words = self.tr("Make a new key for {0}? The former one is refused at once: set the program up again.").format(
            shown_name(client.name)
        )
        self.question.ask(words, self.tr("Make a new key"), lambda: self._key_wanted(client.id))

    def begin_rename(self) -> None:
        """Ask for another name."""
        if self.client is not None and not self.client.revoked:
            self.rename.begin(self.client.name)

    def _key_wanted(self, client_id: str) -> None:
        self.tabs.setCurrentIndex(SETUP)
        self.key_wanted.emit(client_id)

    def _build_servers(self) -> ScrollColumn:
        area = ScrollColumn(self.tr("Servers of the client"), side=tokens.SPACE_4, top=tokens.SPACE_2)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.box.setSpacing(theme().px(tokens.SPACE_3))
        words = self.tr("Which servers the client may use. Those that are not chosen are refused at once.")
        area.box.addWidget(Text(words, wrap=True))
        area.box.addWidget(self.checks)
        area.box.addStretch(1)
        return area

    def _servers_chosen(self, servers: frozenset[str] | None) -> None:
        if self.client is not None:
            self.servers_chosen.emit(self.client.id, servers)

    def _rules_wanted(self, server_id: str, rules: object) -> None:
        if self.client is not None:
            self.rules_wanted.emit(self.client.id, server_id, rules)

    def _renamed(self, name: str) -> None:
        if self.client is not None:
            self.renamed.emit(self.client.id, name)

    def _show_tab(self, tab: int) -> None:
        self.stack.setCurrentIndex(max(tab, 0))
