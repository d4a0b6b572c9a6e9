"""The page of a server: its state, its tools beside the open one, and its facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from app.core.errors import SignInNeeded
from app.marks import revealed, revealed_name
from app.ui.servers.controller import UNUSABLE
from app.ui.servers.kinds import kind_of
from app.ui.servers.tool_page import ToolPage
from app.ui.servers.tools_pane import ToolsPane
from app.ui.servers.wording import server_name, state_of
from app.ui.theme import theme, tokens
from app.ui.widgets.bounded_text import FoldedText
from app.ui.widgets.buttons import PrimaryButton, QuietButton
from app.ui.widgets.choices import CheckBox, TabStrip
from app.ui.widgets.column import ScrollColumn
from app.ui.widgets.fields import KeyValueGrid
from app.ui.widgets.guard import guarded
from app.ui.widgets.page import TitledPage
from app.ui.widgets.question import InlineQuestion
from app.ui.widgets.waiting import CANCEL_AFTER, WORDS_AFTER, WaitClock

if TYPE_CHECKING:
    from PySide6.QtGui import QResizeEvent

    from app.core.errors import BurrowError
    from app.core.mcp.servers.server import Server
    from app.ui.bridge import Bridge
    from app.ui.servers.controller import ServerController

SIDE_BY_SIDE = 700
LIST_WIDTH = 300
TOOLS, ABOUT = range(2)


class ServerPage(QWidget):
    """Emits `enabled_wanted(bool)`, `remove_wanted()`, `connect_wanted()`, `refresh_wanted()`, `sign_in_wanted()`, and
    `cancel_wanted()` when the person no longer wants to wait for the tools."""

    enabled_wanted = Signal(bool)
    remove_wanted = Signal()
    connect_wanted = Signal()
    refresh_wanted = Signal()
    sign_in_wanted = Signal()
    cancel_wanted = Signal()

    def __init__(self, bridge: Bridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.server: Server | None = None
        self._busy = False
        current = theme()
        self.page = TitledPage(parent=self)
        self.enabled = CheckBox(self.tr("On"))
        self.enabled.switched.connect(self._toggle)
        self.connect_button = PrimaryButton(self.tr("Reconnect"), clicked=self.connect_wanted.emit)
        self.page.add_action(self.enabled)
        self.page.add_action(self.connect_button)
        self.wait = WaitClock(self)
        self.wait.ticked.connect(self._show_waiting)
        self.tabs = TabStrip([self.tr("Tools"), self.tr("About")], self.tr("Sections of the server page"))
        self.tabs.currentChanged.connect(self._show_tab)
        self.page.set_head(self.tabs)
        # Before it is removed. Enter is never the yes.
        self.question = InlineQuestion()
        self.stack = QStackedWidget()
        body = QWidget(self.page.body)
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.question)
        column.addWidget(self.stack, 1)
        self.page.set_body(body)
        self.split = QSplitter(Qt.Orientation.Horizontal, self.stack)
        self.split.setChildrenCollapsible(False)
        self.split.setHandleWidth(1)
        self.tools = ToolsPane(self.split)
        self.tool = ToolPage(bridge, self.split)
        self.tool.setVisible(False)
        self.split.addWidget(self.tools)
        self.split.addWidget(self.tool)
        self.split.setStretchFactor(0, 0)
        self.split.setStretchFactor(1, 1)
        self.split.setSizes([current.px(LIST_WIDTH), current.px(2 * LIST_WIDTH)])
        self.about = self._build_about()
        self.stack.addWidget(self.split)
        self.stack.addWidget(self.about)
        self.page.windowTitleChanged.connect(self.setWindowTitle)
        self.page.edge.follow(self.about)
        box = QHBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.page)

    @property
    def wide(self) -> bool:
        """Whether there is room for the list beside the tool."""
        return self.width() >= theme().px(SIDE_BY_SIDE)

    def show_server(self, server: Server, controller: ServerController) -> None:
        """Show a server as it is now. A change of server starts with its tools and no search."""
        if self.server is None or self.server.id != server.id:
            self.close_tool()
            self.tools.clear()
            self.page.card.clear()
            self.question.withdraw()
            self.page.banner.clear()
            self.tabs.setCurrentIndex(TOOLS)
        self.server = server
        self.page.set_title(server_name(server))
        self.page.status.set_state(state_of(server))
        kind, busy = kind_of(server), server.id in controller.busy
        self.enabled.setVisible(kind.enabled is not None)
        self.enabled.setChecked(kind.enabled is not False)
        # Not disabled meanwhile: it would lose the focus to another control.
        self._busy = busy
        self.enabled.setAccessibleName(self.tr("{0} is switched on").format(server_name(server)))
        self.enabled.setToolTip(self.tr("Switch this server on or off"))
        self.connect_button.setText(kind.connect or self.tr("Reconnect"))
        self._fill_about(server)
        self.show_tools(controller)

    def show_tools(self, controller: ServerController) -> None:
        """Show the server's tools as they are now, or what keeps them from being listed.

        What the person has to do first comes from the state of the server, as in the header and in the list: an error
        may be older than the state.
        """
        server = self.server
        if server is None:
            return
        loading, tools = server.id in controller.loading_tools, controller.tools.get(server.id)
        if loading or server.id in controller.busy:
            self.page.progress.start()
        else:
            self.page.progress.stop()
        error = None if server.state in UNUSABLE else controller.tool_errors.get(server.id)
        self.wait.set_since(controller.asked_at.get(server.id) if loading else None)
        # One button: where there are tools it is beside the title, else below the words that explain it.
        self.connect_button.setVisible(bool(kind_of(server).connect and tools))
        if tools:
            self.tools.set_tools(tools, note=server.tools_note)
            if error is not None:
                self.page.banner.show_message(
                    self.tr("{0}. Showing the last list.").format(error.title),
                    "attention",
                    secondary=[(self.tr("Try again"), self.refresh_wanted.emit)],
                )
            elif not self._waiting:
                self.page.banner.clear()
        elif server.state in UNUSABLE:
            self.page.banner.clear()
            self._show_what_to_do(server)
        elif error is not None:
            self.page.banner.clear()
            self._show_error(error)
        elif self._waiting:
            self._show_waiting()
        elif loading or tools is None:
            self.page.banner.clear()
            self.tools.show_empty("" if loading else self.tr("Not loaded yet"))
        else:
            self.page.banner.clear()
            self.tools.show_empty(
                self.tr("No tools"),
                server.tools_note or self.tr("The server offers no tools."),
                [(self.tr("Load again"), self.refresh_wanted.emit)],
            )

    def open_tool(self) -> None:
        """Show the open tool beside the list."""
        self.tabs.setCurrentIndex(TOOLS)
        self.tool.setVisible(True)
        self._arrange()

    def close_tool(self) -> None:
        """Show only the list."""
        self.tool.leave()
        self.tool.setVisible(False)
        self._arrange()

    def back_to_list(self) -> None:
        """Esc on the tool: focus the list, and show it instead of the tool where there is no room for both."""
        if not self.wide:
            self.tool.setVisible(False)
            self._arrange()
        self.tools.table.setFocus(Qt.FocusReason.BacktabFocusReason)

    def ask_remove(self) -> None:
        """Ask on the page whether to remove the server."""
        server = self.server
        removal = "" if server is None else kind_of(server).removal
        if server is None or not removal:
            return
        words = self.tr("Remove {0}?").format(server_name(server))
        self.question.ask(f"{words} {removal}", self.tr("Remove"), self.remove_wanted.emit)

    def _show_error(self, error: BurrowError) -> None:
        again = (self.tr("Try again"), self.refresh_wanted.emit)
        sign_in = (self.tr("Sign in"), self.sign_in_wanted.emit)
        self.tools.show_empty(
            error.title, f"{error.cause}\n{error.advice}", [sign_in if isinstance(error, SignInNeeded) else again]
        )

    def _show_what_to_do(self, server: Server) -> None:
        """The server is off, or needs a sign-in."""
        kind = kind_of(server)
        if kind.connect:
            self.tools.show_empty(
                kind.connect_title, kind.connect_text, [(kind.connect, self.connect_wanted.emit)], primary=True
            )
        else:
            actions = [(self.tr("Switch on"), self._switch_on)] if kind.enabled is False else []
            self.tools.show_empty(self.tr("Switched off"), self.tr("Nobody can use its tools."), actions)

    @property
    def _waiting(self) -> bool:
        return self.wait.seconds >= WORDS_AFTER

    def _show_waiting(self) -> None:
        """Say for how long the server has not answered; after a while, offer to stop waiting."""
        server = self.server
        if server is None or not self._waiting:
            return
        words = self.tr("Connecting to {0}… {1} s").format(server_name(server), self.wait.seconds)
        actions = [(self.tr("Cancel"), self.cancel_wanted.emit)] if self.wait.seconds >= CANCEL_AFTER else []
        if self.tools.index.tools:
            self.page.banner.show_message(words, "info", secondary=actions, glyph="clock")
        else:
            self.tools.show_waiting(words, actions)

    def _toggle(self, wanted: bool) -> None:
        if self._busy:
            self.enabled.setChecked(not wanted)
        else:
            self.enabled_wanted.emit(wanted)

    def _switch_on(self) -> None:
        self.enabled_wanted.emit(True)

    def _build_about(self) -> ScrollColumn:
        area = ScrollColumn(self.tr("About the server"), side=tokens.SPACE_4, top=tokens.SPACE_2)
        self.description = FoldedText(self.tr("Description of the server"))
        self.facts = KeyValueGrid()
        self.remove_button = QuietButton(self.tr("Remove server…"), "trash", kind="danger", clicked=self.ask_remove)
        self.sign_in_button = QuietButton(
            self.tr("Sign in to this server again"), "key", clicked=self.connect_wanted.emit
        )
        buttons = QHBoxLayout()
        buttons.setSpacing(theme().px(tokens.SPACE_2))
        buttons.addWidget(self.sign_in_button)
        buttons.addWidget(self.remove_button)
        buttons.addStretch()
        box = QVBoxLayout()
        box.setSpacing(theme().px(tokens.SPACE_4))
        box.addWidget(self.description)
        box.addWidget(self.facts)
        box.addLayout(buttons)
        area.box.addLayout(box)
        area.box.addStretch()
        return area

    def _fill_about(self, server: Server) -> None:
        self.description.set_text(revealed(server.description))
        self.facts.clear()
        self.facts.add(self.tr("Address"), revealed_name(server.url), path=True, mono=True)
        self.facts.add(self.tr("State"), state_of(server).word)
        if server.trouble:
            self.facts.add(self.tr("Error"), revealed(server.trouble))
        if server.tool_count is not None:
            self.facts.add(self.tr("Tools"), str(server.tool_count))
        self.facts.add(self.tr("Protocol"), server.protocol or self.tr("Not negotiated yet"))
        kind = kind_of(server)
        for label, value in kind.facts:
            self.facts.add(label, value)
        self.remove_button.setVisible(bool(kind.removal))
        # Not beside the button that finishes a sign-in.
        self.sign_in_button.setVisible(kind.signs_in and not kind.connect)

    def _show_tab(self, tab: int) -> None:
        self.stack.setCurrentIndex(max(tab, 0))

    def _arrange(self) -> None:
        shows_tool = not self.tool.isHidden()
        self.tools.setVisible(self.wide or not shows_tool)
        self.tool.back.setVisible(not self.wide)

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()
