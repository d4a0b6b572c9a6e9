"""Who a client is and what it used: facts above, the servers with their calls below."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QLocale

from app.ui.connect.wording import reason, shown_name
from app.ui.theme import theme, tokens
from app.ui.widgets.fields import KeyValueGrid
from app.ui.widgets.scrolling import LowArea, LowColumn
from app.ui.widgets.tables import Column, DataTable
from app.ui.widgets.text import Text
from app.ui.widgets.times import absolute, relative, ticker

if TYPE_CHECKING:
    from datetime import datetime

    from app.ui.connect.controller import ConnectController
    from app.ui.connect.facts import ClientFacts
    from app.ui.connect.wording import ClientState

LEAST = 140


class UseLine(NamedTuple):
    """One server as the table shows it."""

    server: str
    title: str
    calls: int
    last_used: datetime | None
    agent: str


class UsePane(LowArea):
    """The activity of a client."""

    def __init__(self) -> None:
        current = theme()
        wide, gap = current.px(tokens.SPACE_4), current.px(tokens.SPACE_2)
        column = LowColumn()
        super().__init__("", column)
        self.setAccessibleName(self.tr("Activity of the client"))
        self._lines: tuple[UseLine, ...] = ()
        self.why = Text("", wrap=True)
        self.facts = KeyValueGrid()
        columns: list[Column[UseLine]] = [
            Column(self.tr("Server"), lambda line: line.title),
            Column(self.tr("Calls"), lambda line: QLocale().toString(line.calls), 64, right=True),
            Column(
                self.tr("Last used"),
                lambda line: relative(line.last_used),
                104,
                tooltip=lambda line: absolute(line.last_used),
            ),
            Column(self.tr("Program"), lambda line: line.agent, 160, drop_below=480, tooltip=lambda line: line.agent),
        ]
        self.table: DataTable[UseLine] = DataTable(self.tr("Use of each server"), columns, lambda line: line.server)
        self.table.setMinimumHeight(current.px(LEAST))
        self.none = Text(self.tr("It has not sent a request yet."), tone="muted", wrap=True)
        column.box.setContentsMargins(wide, gap, wide, gap)
        column.box.setSpacing(current.px(tokens.SPACE_3))
        for part in (self.why, self.facts, self.none):
            column.box.addWidget(part)
        column.box.addWidget(self.table, 1)
        column.box.addStretch(1)
        ticker().tick.connect(self._show_times)

    def _show_times(self) -> None:
        self.table.viewport().update()

    def show_client(self, client: ClientFacts, controller: ConnectController, state: ClientState) -> None:
        """Show a client as it is now."""
        why = reason(state)
        self.why.setText(why)
        self.why.setVisible(bool(why))
        program = controller.program(client.program)
        facts = self.facts
        facts.put(self.tr("Program"), program.title if program is not None else self.tr("Other"))
        facts.put(self.tr("Calls itself"), shown_name(client.agent) if client.agent else "")
        facts.put(self.tr("Added"), absolute(client.created_at))
        facts.put(self.tr("Revoked"), absolute(client.revoked_at))
        facts.put(self.tr("Last used"), relative(client.last_used), absolute(client.last_used))
        facts.put(self.tr("Tool calls"), QLocale().toString(client.calls) if client.use else "")
        lines = []
        for use in client.use:
            server = controller.server(use.server)
            title = shown_name(server.server.title if server is not None else use.server)
            agent = shown_name(use.agent) if use.agent else ""
            lines.append(UseLine(use.server, title, use.calls, use.last_used, agent))
        lines.sort(key=lambda line: line.calls, reverse=True)
        if tuple(lines) != self._lines:
            self._lines = tuple(lines)
            self.table.set_items(lines)
        self.table.setVisible(bool(lines))
        self.none.setVisible(not lines and not why)
