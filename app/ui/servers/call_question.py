"""The question before a call: which tool of which server is called with which arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QTextOption
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.core.mcp.json_text import NotJson, write_json
from app.marks import revealed_name
from app.ui.servers.kinds import kind_of
from app.ui.servers.tool_session import CallPhase
from app.ui.servers.wording import destroys_words, server_name
from app.ui.theme import theme, tokens
from app.ui.theme.state import State
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.column import ScrollColumn
from app.ui.widgets.fields import CodeEdit, KeyValueGrid
from app.ui.widgets.flow import FlowLayout
from app.ui.widgets.guard import guarded
from app.ui.widgets.hairline import Hairline
from app.ui.widgets.question import YesButton
from app.ui.widgets.text import StatusWord, Text

if TYPE_CHECKING:
    from PySide6.QtGui import QKeyEvent

    from app.ui.servers.tool_session import ToolSession

# In characters. More is laid out when it is asked for.
SHOWN = 50_000
LINES = 4
FIXED = "const"


class CallQuestion(QWidget):
    """Asks whether one call may be made. `declined()`, `run_wanted()`, `once_wanted()` or `always_wanted()` answers.

    Enter is never the yes: the focus is on the answer that calls nothing, and the others take Space or a click.
    """

    declined = Signal()
    run_wanted = Signal()
    once_wanted = Signal()
    always_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rest = ""
        current = theme()
        wide, gap = current.px(tokens.SPACE_4), current.px(tokens.SPACE_2)
        self.title = Text(role="section", wrap=True, selectable=True)
        self.claim = StatusWord(State("warning", "", "bad"))
        self.words = Text(wrap=True)
        self.facts = KeyValueGrid()
        self.facts.put(self.tr("Server"), "-")
        self.facts.put(self.tr("Tool"), "-")
        self.fixed = Text(tone="muted", wrap=True, selectable=True)
        caption = Text(self.tr("Arguments"), "strong")
        self.arguments = CodeEdit(self.tr("Arguments of the call"), read_only=True)
        # Qt looks for word boundaries in a time that grows with the square of a line.
        self.arguments.setWordWrapMode(QTextOption.WrapMode.WrapAnywhere)
        caption.setBuddy(self.arguments)
        self.all_button = QuietButton(self.tr("Show all"), kind="flat", clicked=self._show_all)
        self.no = QuietButton(self.tr("Do not run"), clicked=self.declined.emit)
        self.run = YesButton(self.tr("Run"), clicked=self.run_wanted.emit)
        self.once = YesButton(self.tr("Run once"), clicked=self.once_wanted.emit)
        self.always = YesButton(self.tr("Always allow and run"), clicked=self.always_wanted.emit)
        self.arguments.setMinimumHeight(self.arguments.fontMetrics().lineSpacing() * LINES)
        # In a small window this scrolls, and the answers stay in view. The arguments come before the explanation.
        area = ScrollColumn(self.tr("The call"), side=tokens.SPACE_4, top=tokens.SPACE_2)
        for part in (self.title, self.claim, self.facts, self.fixed):
            area.box.addWidget(part)
        line = QHBoxLayout()
        line.addWidget(caption, 1)
        line.addWidget(self.all_button)
        area.box.addLayout(line)
        area.box.addWidget(self.arguments, 1)
        area.box.addWidget(self.words)
        buttons = FlowLayout()
        room = QVBoxLayout()
        room.setContentsMargins(wide, gap, wide, gap)
        room.addLayout(buttons)
        for button in (self.no, self.run, self.once, self.always):
            buttons.addWidget(button)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        box.addWidget(area, 1)
        box.addWidget(Hairline())
        box.addLayout(room)

    def show_session(self, session: ToolSession) -> None:
        """Show the call that a session asks about."""
        tool, asks = session.tool, session.phase is CallPhase.ASKING
        self.title.setText(self.tr("Run {0}?").format(tool.label))
        self.setAccessibleName(self.title.text())
        self.claim.set_state(State("warning", destroys_words(), "bad") if tool.annotations.may_destroy else None)
        self.words.setText(self._why(session) if asks else "")
        self.words.setVisible(asks)
        self.once.setAccessibleDescription(self.words.text())
        self.facts.put(self.tr("Server"), f"{server_name(session.server)}  ·  {revealed_name(session.server.url)}")
        self.facts.put(self.tr("Tool"), revealed_name(tool.name))
        arguments = session.arguments or {}
        fixed = _fixed(tool.input_schema, arguments)
        self.fixed.setText(self.tr("Fixed by the server: {0}").format(", ".join(fixed)))
        self.fixed.setVisible(bool(fixed))
        self._fill(arguments)
        self.run.setVisible(not asks)
        self.once.setVisible(asks and not tool.locked)
        self.always.setVisible(asks and not tool.locked)
        self.no.setAccessibleDescription(self.title.text())

    def take_focus(self) -> None:
        """Put the focus on the answer that calls nothing."""
        self.no.setFocus(Qt.FocusReason.OtherFocusReason)

    def _why(self, session: ToolSession) -> str:
        if session.tool.locked:
            return self.tr("The team has set its policy to Ask. Ask an administrator to allow it.")
        if not kind_of(session.server).raised_for_calls:
            return self.tr("The policy of this tool is Ask. “Run once” allows this call only.")
        return self.tr(
            "The policy of this tool is Ask. “Run once” sets it to Allow for this call, and back to Ask after it. "
            "Agents can call the tool too in that time."
        )

    def _fill(self, arguments: dict[str, Any]) -> None:
        try:
            text = write_json(arguments)
        except NotJson:
            text = repr(arguments)
        self._rest = text[SHOWN:]
        self.arguments.setPlainText(text[:SHOWN])
        self.all_button.setVisible(bool(self._rest))
        self.all_button.setText(self.tr("Show all {0} characters").format(len(text)))

    def _show_all(self) -> None:
        self.arguments.setPlainText(self.arguments.toPlainText() + self._rest)
        self._rest = ""
        self.arguments.setFocus(Qt.FocusReason.OtherFocusReason)
        self.all_button.setVisible(False)

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.declined.emit()
        else:
            super().keyPressEvent(event)


def _fixed(schema: dict[str, Any], arguments: dict[str, Any]) -> list[str]:
    """The arguments whose value the schema fixes (JSON Schema `const`), as `name = value`."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return []
    found = []
    for name, described in properties.items():
        if name in arguments and isinstance(described, dict) and FIXED in described:
            try:
                value = write_json(arguments[name], indent=None)
            except NotJson:
                value = "…"
            found.append(f"{revealed_name(str(name))} = {value[:200]}")
    return found
