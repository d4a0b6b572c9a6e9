"""The tools of a server with the client's own rule for each: search, and rules of one or several tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from app.ui.connect.rows import key_of, tool_row
from app.ui.connect.wording import RuleChoice, shown_name, state_of_rule
from app.ui.theme import theme, tokens
from app.ui.widgets.choices import Segmented, Select
from app.ui.widgets.feedback import EmptyState, ProgressLine
from app.ui.widgets.fields import FilterField
from app.ui.widgets.flow import FlowLayout
from app.ui.widgets.guard import guarded
from app.ui.widgets.lists import ListTable
from app.ui.widgets.question import InlineQuestion
from app.ui.widgets.scroll_edge import ScrollEdge
from app.ui.widgets.scrolling import LowArea, LowColumn
from app.ui.widgets.text import ElidedLabel, Text

if TYPE_CHECKING:
    from PySide6.QtGui import QKeyEvent, QShowEvent

    from app.core.mcp.tools import ToolInfo
    from app.ui.connect.controller import ConnectController
    from app.ui.connect.facts import ClientFacts

RULE_KEYS = {
    Qt.Key.Key_S: RuleChoice.AS_SET,
    Qt.Key.Key_A: RuleChoice.ALLOW,
    Qt.Key.Key_K: RuleChoice.ASK,
    Qt.Key.Key_B: RuleChoice.BLOCK,
}


# In a lower window all of it scrolls.
LEAST_ROWS = 3


class ClientTools(LowArea):
    """Emits `rules_wanted(server id, {tool name: RuleChoice})` when a change is confirmed."""

    rules_wanted = Signal(str, object)

    def __init__(self, controller: ConnectController) -> None:
        column = LowColumn()
        super().__init__("", column)
        self.setAccessibleName(self.tr("Tools of the client"))
        self._controller = controller
        self._client: ClientFacts | None = None
        self._tools: dict[str, ToolInfo] = {}
        self._asked: tuple[str, ...] = ()
        self._loading = ""
        current = theme()
        gap, wide = current.px(tokens.SPACE_2), current.px(tokens.SPACE_4)
        self.server = Select(self.tr("Server"))
        # On Linux its name is what is chosen, and no caption says what it chooses.
        self.server.setAccessibleDescription(self.tr("Server"))
        self.server.activated.connect(lambda _row: self._turn())
        self.filter = FilterField(self.tr("Name, text or argument"))
        self.count = Text("", "caption", "muted")
        self.progress = ProgressLine(self.tr("Loading the tools"))
        # Without type-ahead: letters set the rule of the selected tools.
        self.table = ListTable(self.tr("Tools"), two_lines=True, multi=True, type_ahead=False)
        self.filter.changed.connect(lambda _text: self._search())
        self.filter.down.connect(self._enter_list)
        self.table.left_upwards.connect(lambda: self.filter.setFocus(Qt.FocusReason.BacktabFocusReason))
        self.table.selectionModel().selectionChanged.connect(lambda *_: self._show_selected())
        self.question = InlineQuestion()
        self.empty = EmptyState()
        self.stack = QStackedWidget()
        self.stack.addWidget(self.table)
        self.stack.addWidget(self.empty)
        self.selected = ElidedLabel("", tone="muted", mode=Qt.TextElideMode.ElideRight)
        states = [(choice.value, state_of_rule(choice)) for choice in RuleChoice]
        self.rule = Segmented(
            # Without glyphs, for which a narrow window has no room. The rows have them.
            [(value, state.word, "", state.tone) for value, state in states],
            self.tr("Rule for the selected tools"),
        )
        self.rule.chosen.connect(lambda value: self.want_rule(RuleChoice(value)))
        self.bar = QWidget()
        room = QVBoxLayout(self.bar)
        room.setContentsMargins(wide, gap, wide, gap)
        line = FlowLayout()
        line.addWidget(self.selected)
        line.addWidget(self.rule)
        room.addLayout(line)
        self._head = QWidget()
        head = QVBoxLayout(self._head)
        # With the line above, as far below the tabs as the search on the page of a server.
        head.setContentsMargins(wide, gap - tokens.SELECTION_BAR, wide, gap)
        head.setSpacing(gap)
        head.addWidget(self.server)
        search = QHBoxLayout()
        search.setSpacing(gap)
        search.addWidget(self.filter, 1)
        search.addWidget(self.count)
        head.addLayout(search)
        column.box.addWidget(self.progress)
        column.box.addWidget(self._head)
        column.box.addWidget(self.question)
        listed = QVBoxLayout()
        listed.setSpacing(0)
        listed.addWidget(ScrollEdge(self.table))
        listed.addWidget(self.stack, 1)
        column.box.addLayout(listed, 1)
        column.box.addWidget(self.bar)
        self._fit()
        theme().changed.connect(self._fit)
        controller.tools_loaded.connect(self._loaded)

    @property
    def server_id(self) -> str:
        """The server whose tools are shown; empty for none."""
        return self.server.currentData() or ""

    def show_client(self, client: ClientFacts) -> None:
        """Show the rules of a client."""
        if self._client is None or self._client.id != client.id:
            self.filter.set_text_quietly("")
            self.question.withdraw()
        self._client = client
        # A busy client is counted with each call, and a list may be long.
        if self.isVisible():
            self._update()

    def _fit(self) -> None:
        self.stack.setMinimumHeight(LEAST_ROWS * self.table.row_height())

    def _update(self) -> None:
        if self._client is not None:
            self._fill_servers()
            self._search()
            self.load()

    @guarded()
    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._update()

    def load(self, *, refresh: bool = False) -> None:
        """Load the tools of the server in view if they are not there yet."""
        server, controller = self.server_id, self._controller
        # What failed is asked again only when somebody wants it.
        known = server in controller.tools or server in controller.tool_errors
        if server and server != self._loading and (refresh or not known):
            self._loading = server
            self.progress.start()
            controller.load_tools(server, refresh=refresh)
            self._search()

    def want_rule(self, choice: RuleChoice) -> None:
        """Set the rule of the selected tools. For several, ask first."""
        usable = [tool for key in self.table.selected_keys() if (tool := self._tools.get(key)) is not None]
        usable = [tool for tool in usable if tool.problem is None]
        self.question.withdraw()
        if self._client is None or self._client.revoked or not usable:
            self._show_selected()
            return
        rules = {tool.name: choice for tool in usable}
        if len(rules) == 1:
            self.rules_wanted.emit(self.server_id, rules)
            return
        word = state_of_rule(choice).word
        server = self.server_id
        self.question.ask(
            self.tr("Set {0} tools to {1} for this client?").format(len(rules), word),
            self.tr("Set {0} tools to {1}").format(len(rules), word),
            lambda: self.rules_wanted.emit(server, rules),
        )
        self._asked = self.table.selected_keys()
        self._show_selected()

    def select_if(self, keys: tuple[str, ...]) -> None:
        """Make the row of a menu the selected one, unless it is among the selected ones."""
        if keys and not set(keys) <= set(self.table.selected_keys()):
            self.table.select_key(keys[0])

    def names(self) -> list[str]:
        """The names of the selected tools."""
        return [tool.name for key in self.table.selected_keys() if (tool := self._tools.get(key)) is not None]

    def _fill_servers(self) -> None:
        client, controller = self._client, self._controller
        assert client is not None
        wanted = [(each.id, shown_name(each.server.title)) for each in controller.servers if client.may_use(each.id)]
        shown = [(self.server.itemData(at), self.server.itemText(at)) for at in range(self.server.count())]
        if wanted == shown:
            return
        former = self.server_id
        self.server.clear()
        for key, title in wanted:
            self.server.addItem(title, key)
        self.server.setCurrentIndex(max(self.server.findData(former), 0) if wanted else -1)

    def _turn(self) -> None:
        self.question.withdraw()
        self.filter.set_text_quietly("")
        self._search()
        self.load()

    def _loaded(self, server_id: str) -> None:
        if server_id == self._loading:
            self._loading = ""
            self.progress.stop()
        if server_id == self.server_id:
            self._search()

    def _search(self) -> None:
        client, controller, server = self._client, self._controller, self.server_id
        tools = controller.tools.get(server)
        self._head.setVisible(self.server.count() > 0)
        if client is None or not tools:
            self._show_empty()
            return
        words = self.filter.text().casefold().split()
        found = [tool for tool in tools if all(word in _searched(tool) for word in words)]
        self._tools = {key_of(tool): tool for tool in found}
        rows = []
        for tool in found:
            rule = controller.door.rule_of(client.id, server, tool.name)
            rows.append(tool_row(tool, RuleChoice.of(rule)))
        self.table.set_rows(rows)
        total, shown_now = len(tools), len(found)
        of_all = self.tr("{0} of {1}").format(shown_now, total)
        self.count.setText(str(total) if shown_now == total else of_all)
        if found:
            self.stack.setCurrentWidget(self.table)
        else:
            self.empty.show_state(
                self.tr("No tools match “{0}”").format(self.filter.text().strip()),
                "",
                [(self.tr("Clear search"), self.filter.clear_now)],
                glyph="search",
            )
            self.stack.setCurrentWidget(self.empty)
        self._show_selected()

    def _show_empty(self) -> None:
        controller, server = self._controller, self.server_id
        self._tools = {}
        self.table.set_rows([])
        self.count.setText("")
        error = controller.tool_errors.get(server)
        again = [(self.tr("Try again"), lambda: self.load(refresh=True))]
        if not server:
            self.empty.show_state(
                self.tr("No servers"),
                self.tr("This client may use no server. Choose some under Servers."),
                glyph="tool",
            )
        elif error is not None:
            self.empty.show_state(error.title, f"{error.cause}\n{error.advice}", again, glyph="warning")
        elif controller.tools.get(server) == ():
            self.empty.show_state(self.tr("No tools"), self.tr("The server offers no tools."), again, glyph="tool")
        else:
            self.empty.show_state(self.tr("Loading the tools…"), glyph="clock")
        self.stack.setCurrentWidget(self.empty)
        self._show_selected()

    def _enter_list(self) -> None:
        if self.table.current_key() is None:
            self.table.select_first()
        self.table.setFocus(Qt.FocusReason.TabFocusReason)

    def _show_selected(self) -> None:
        selected = self.table.selected_keys()
        if self.question.open and selected != self._asked:
            self.question.withdraw()
        tools = [self._tools[key] for key in selected if key in self._tools]
        self.bar.setVisible(bool(tools) and self.stack.currentWidget() is self.table)
        if not tools or self._client is None:
            return
        one = tools[0].label if len(tools) == 1 else self.tr("{0} tools selected").format(len(tools))
        self.selected.setText(one)
        rules = {self._controller.door.rule_of(self._client.id, self.server_id, tool.name) for tool in tools}
        self.rule.set_value(RuleChoice.of(rules.pop()).value if len(rules) == 1 else None)
        self.rule.set_locked(self.tr("The client is revoked.") if self._client.revoked else "")

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        choice = None if event.isAutoRepeat() else RULE_KEYS.get(Qt.Key(event.key()))
        if choice and event.modifiers() == Qt.KeyboardModifier.NoModifier and self.table.hasFocus():
            self.want_rule(choice)
        else:
            super().keyPressEvent(event)


def _searched(tool: ToolInfo) -> str:
    properties = tool.input_schema.get("properties")
    names = [str(name) for name in properties] if isinstance(properties, dict) else []
    return "\n".join((tool.name, tool.title, tool.description, *names)).casefold()
