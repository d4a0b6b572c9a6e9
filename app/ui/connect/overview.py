"""The page of the local proxy: its state and address, and the servers that it offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QStackedWidget, QVBoxLayout, QWidget

from app.ui.connect.facts import ProxyPhase
from app.ui.connect.port_form import PortForm
from app.ui.connect.rows import server_row
from app.ui.connect.wording import proxy_sentence, state_of_proxy
from app.ui.theme import theme, tokens
from app.ui.widgets.announce import announce
from app.ui.widgets.buttons import IconButton, PrimaryButton, QuietButton
from app.ui.widgets.choices import CheckBox, TabStrip
from app.ui.widgets.column import ScrollColumn
from app.ui.widgets.feedback import EmptyState, InlineCard
from app.ui.widgets.lists import ListTable
from app.ui.widgets.page import TitledPage
from app.ui.widgets.question import InlineQuestion
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from app.ui.connect.controller import ConnectController
    from app.ui.widgets.feedback import Action, BoxTone

ABOUT, SERVERS = range(2)


class AddressField(QLineEdit):
    """An address that can be selected and not changed."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setReadOnly(True)
        self.setAccessibleName(name)
        self._fit()
        theme().changed.connect(self._fit)

    def _fit(self) -> None:
        self.setFont(theme().font("mono"))


class OverviewPage(QWidget):
    """Emits `switched(bool)`, `port_wanted(int)`, `retry_wanted()`, `add_wanted()`, `copied(text)`,
    `server_opened(server id)` and `sign_in_wanted()`."""

    switched = Signal(bool)
    port_wanted = Signal(int)
    retry_wanted = Signal()
    add_wanted = Signal()
    copied = Signal(str)
    server_opened = Signal(object)
    sign_in_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.page = TitledPage(self.tr("Local proxy"))
        self.setWindowTitle(self.page.windowTitle())
        self.on = CheckBox(self.tr("On"))
        self.on.setAccessibleName(self.tr("The local proxy is switched on"))
        self.on.setToolTip(self.tr("Switch the proxy on or off, also for later starts"))
        self.on.switched.connect(self._toggle)
        self._busy = False
        self._said: tuple[object, ...] = ()
        self.page.add_action(self.on)
        self.tabs = TabStrip([self.tr("About"), self.tr("Servers")], self.tr("Sections of the page of the proxy"))
        self.question = InlineQuestion()
        self.stack = QStackedWidget()
        self.stack.setMinimumHeight(1)
        self.tabs.currentChanged.connect(lambda tab: self.stack.setCurrentIndex(max(tab, 0)))
        self.page.set_head(self.tabs)
        self.about = self._build_about()
        self.stack.addWidget(self.about)
        self.stack.addWidget(self._build_servers())
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.question)
        column.addWidget(self.stack, 1)
        self.page.set_body(body)
        self.page.edge.follow(self.about)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.page)

    def show_proxy(self, controller: ConnectController) -> None:
        """Show the proxy as it is now."""
        proxy = controller.proxy
        self._busy = controller.switching
        if self._busy or proxy.phase is ProxyPhase.STARTING:
            self.page.progress.start()
        else:
            self.page.progress.stop()
        self.page.status.set_state(state_of_proxy(proxy))
        self.on.setChecked(proxy.phase is not ProxyPhase.OFF)
        self.address.setText(proxy.address or self.tr("Not served now"))
        self.address.setEnabled(bool(proxy.address))
        self.copy_button.setEnabled(bool(proxy.address))
        account = controller.door.account
        self.account.setText(
            self.tr("Signed in as {0}. The sign-in stays in Burrow: clients never see a token.").format(account)
            if account
            else self.tr("Nobody is signed in. Clients can use your own servers; those of PostHog need a sign-in.")
        )
        self.sign_in_button.setVisible(not account)
        self.port.show_port(proxy.port)
        # With clients it is in the list only.
        self.add_button.setVisible(not controller.clients)
        self._show_trouble(controller)
        self._show_servers(controller)

    def _show_trouble(self, controller: ConnectController) -> None:
        proxy = controller.proxy
        title, text = proxy_sentence(proxy)
        self.note.setText(text if not title else "")
        self.note.setVisible(bool(text) and not title)
        said = (title, text, proxy.phase)
        # Said again, it keeps its buttons, and the focus that one of them may have.
        if said == self._said:
            return
        self._said = said
        if not title:
            self.trouble.clear()
            return
        again: Action = (self.tr("Try again"), self.retry_wanted.emit)
        port: Action = (self.tr("Choose another port"), self.choose_port)
        tone: BoxTone = "bad" if proxy.phase is ProxyPhase.FAILED else "attention"
        self.trouble.show_note(title, text, actions=[again, port], tone=tone)
        announce(self, f"{title}. {text}")

    def choose_port(self) -> None:
        """Put the focus on the port."""
        self.tabs.setCurrentIndex(ABOUT)
        self.about.ensureWidgetVisible(self.port)
        self.port.take_focus()

    def copy_address(self) -> None:
        """Copy the address of the proxy, or of the selected server while those are in view."""
        if self.stack.currentIndex() == SERVERS:
            self.copy_server(self.list.current_key() or "")
        elif self.address.isEnabled():
            self.copied.emit(self.address.text())

    def copy_server(self, server_id: str) -> None:
        """Copy the address of a server."""
        row = self.list.rows.row(server_id) if server_id else None
        if row is not None and row.detail:
            self.copied.emit(row.detail)

    def _build_about(self) -> ScrollColumn:
        area = ScrollColumn(self.tr("About the proxy"), side=tokens.SPACE_4, top=tokens.SPACE_2)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.box.setSpacing(theme().px(tokens.SPACE_4))
        self.trouble = InlineCard()
        area.box.addWidget(self.trouble)
        words = self.tr(
            "Programs on this computer, such as Claude Code, Cursor or VS Code, use your MCP servers through this "
            "address. Burrow signs in for them, renews the sign-in, and asks you before a tool that is set to Ask."
        )
        area.box.addWidget(Text(words, wrap=True))
        self.note = Text("", tone="muted", wrap=True)
        area.box.addWidget(self.note)
        self.address = AddressField(self.tr("Address of the proxy"))
        self.copy_button = IconButton(self.tr("Copy address"), "copy", clicked=self.copy_address)
        line = QHBoxLayout()
        line.setSpacing(theme().px(tokens.SPACE_1))
        line.addWidget(self.address, 1)
        line.addWidget(self.copy_button)
        area.box.addLayout(_captioned(self.tr("Address"), self.address, line))
        self.account = Text("", wrap=True)
        self.sign_in_button = QuietButton(self.tr("Sign in"), clicked=self.sign_in_wanted.emit)
        account = QWidget()
        lines = QVBoxLayout(account)
        lines.setContentsMargins(0, 0, 0, 0)
        lines.setSpacing(theme().px(tokens.SPACE_1))
        for part in (Text(self.tr("Account"), "strong"), self.account, self.sign_in_button):
            lines.addWidget(part)
        area.box.addWidget(account)
        self.port = PortForm(self.question)
        self.port.port_wanted.connect(self.port_wanted)
        area.box.addWidget(self.port)
        self.add_button = PrimaryButton(self.tr("Add client"), "plus", clicked=self.add_wanted.emit)
        area.box.addWidget(self.add_button)
        area.box.addStretch(1)
        return area

    def _build_servers(self) -> QWidget:
        whole = QWidget()
        current = theme()
        wide, gap = current.px(tokens.SPACE_4), current.px(tokens.SPACE_2)
        self.list = ListTable(self.tr("Servers that the proxy offers"), two_lines=True)
        self.list.opened.connect(self.server_opened)
        self.list.picked.connect(lambda _key: self._show_selected())
        self.copy_server_button = QuietButton(
            self.tr("Copy address of the server"), "copy", keys="Ctrl+C", clicked=self.copy_address
        )
        # By itself a list copies the words of its row.
        copying = QShortcut(QKeySequence("Ctrl+C"), self.list, self.copy_address)
        copying.setContext(Qt.ShortcutContext.WidgetShortcut)
        head = QHBoxLayout()
        head.setContentsMargins(wide, gap, wide, gap)
        head.addWidget(self.copy_server_button)
        head.addStretch()
        self.empty = EmptyState(
            self.tr("No servers yet"),
            self.tr("What you add under Servers is offered to clients here."),
            glyph="servers",
        )
        self.lists = QStackedWidget()
        self.lists.addWidget(self.list)
        self.lists.addWidget(self.empty)
        column = QVBoxLayout(whole)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(head)
        column.addWidget(self.lists, 1)
        return whole

    def _show_servers(self, controller: ConnectController) -> None:
        self.list.set_rows([server_row(each) for each in controller.servers])
        self.lists.setCurrentWidget(self.list if controller.servers else self.empty)
        self.copy_server_button.setVisible(bool(controller.servers))
        self._show_selected()

    def _show_selected(self) -> None:
        row = self.list.rows.row(self.list.current_key() or "")
        self.copy_server_button.setEnabled(row is not None and bool(row.detail))

    def _toggle(self, wanted: bool) -> None:
        if self._busy:
            self.on.setChecked(not wanted)
        else:
            self.switched.emit(wanted)


def _captioned(words: str, field: QWidget, content: QHBoxLayout) -> QVBoxLayout:
    caption = Text(words, "strong")
    caption.setBuddy(field)
    column = QVBoxLayout()
    column.setSpacing(theme().px(tokens.SPACE_1))
    column.addWidget(caption)
    column.addLayout(content)
    return column
