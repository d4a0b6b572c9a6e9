"""The list of a server's tools: search, areas, and policies of one or several tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QApplication, QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from app.ui.servers.policy import POLICY_STATES, Policy, SegmentedPolicy
from app.ui.servers.rows import ToolIndex
from app.ui.servers.wording import policy_words
from app.ui.theme import theme, tokens
from app.ui.widgets.announce import announce
from app.ui.widgets.feedback import EmptyState, InlineCard
from app.ui.widgets.fields import FilterField
from app.ui.widgets.guard import guarded
from app.ui.widgets.lists import ListTable
from app.ui.widgets.question import InlineQuestion
from app.ui.widgets.scroll_edge import ScrollEdge
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtCore import QModelIndex
    from PySide6.QtGui import QKeyEvent

    from app.core.mcp.tools import ToolInfo
    from app.ui.widgets.feedback import Action
    from app.ui.widgets.rows import Group

POLICY_KEYS = {Qt.Key.Key_A: Policy.ALLOW, Qt.Key.Key_K: Policy.ASK, Qt.Key.Key_B: Policy.BLOCK}


class ToolsPane(QWidget):
    """Emits `opened(key)` when a tool is opened, `picked(key)` when it becomes current, and `policies_wanted(keys,
    policy)` when a change is confirmed."""

    opened = Signal(object)
    picked = Signal(object)
    policies_wanted = Signal(object, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.index = ToolIndex()
        self._said: tuple[str, str, tuple[str, ...], str] = ("", "", (), "")
        self._waiting: frozenset[str] = frozenset()
        current = theme()
        gap, wide = current.px(tokens.SPACE_2), current.px(tokens.SPACE_4)
        self.filter = FilterField(self.tr("Name, text or argument"))
        self.count = Text("", "caption", "muted")
        # Without type-ahead: letters set the policy of the selected tools.
        self.table = ListTable(self.tr("Tools"), two_lines=True, multi=True, type_ahead=False)
        self.filter.changed.connect(self._typed)
        self.filter.down.connect(self._enter_list)
        self.table.left_upwards.connect(lambda: self.filter.setFocus(Qt.FocusReason.BacktabFocusReason))
        self.table.opened.connect(self.opened)
        self.table.picked.connect(self.picked)
        self.table.clicked.connect(self._clicked)
        self.table.selectionModel().selectionChanged.connect(lambda *_: self._show_selected())
        self._head = QWidget()
        head = QHBoxLayout(self._head)
        head.setContentsMargins(wide, gap, wide, 0)
        head.setSpacing(gap)
        head.addWidget(self.filter, 1)
        head.addWidget(self.count)
        # What is odd about the whole list, such as that it does not end.
        self.note = Text("", "caption", "attention", wrap=True)
        self.note.hide()
        self.card = InlineCard()
        self.question = InlineQuestion()
        self._asked: tuple[str, ...] = ()
        note_room = QHBoxLayout()
        note_room.setContentsMargins(wide, 0, wide, 0)
        note_room.addWidget(self.note)
        card_room = QHBoxLayout()
        card_room.setContentsMargins(wide, 0, wide, 0)
        card_room.addWidget(self.card)
        card_room.setSpacing(0)
        self.empty = EmptyState()
        self.stack = QStackedWidget()
        self.stack.addWidget(self.table)
        self.stack.addWidget(self.empty)
        self.selected = Text("", tone="muted")
        self.bulk = SegmentedPolicy(self.tr("Policy of the selected tools"))
        self.bulk.chosen.connect(self.want_policy)
        self._bar = QWidget()
        bar = QHBoxLayout(self._bar)
        bar.setContentsMargins(wide, gap, wide, gap)
        bar.addWidget(self.selected, 1)
        bar.addWidget(self.bulk)
        self._bar.setVisible(False)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(gap)
        box.addWidget(self._head)
        box.addLayout(note_room)
        box.addLayout(card_room)
        box.addWidget(self.question)
        listed = QVBoxLayout()
        listed.setSpacing(0)
        listed.addWidget(ScrollEdge(self.table))
        listed.addWidget(self.stack, 1)
        box.addLayout(listed, 1)
        box.addWidget(self._bar)

    def set_tools(self, tools: Sequence[ToolInfo], *, note: str = "") -> None:
        """Show a server's tools. `note`: what is odd about the list, if anything is."""
        self._set_note(note)
        if self.index.tools != tuple(tools):
            self._withdraw()
            self.index = ToolIndex(tools)
        self._search(self.filter.text().strip())

    def set_waiting(self, keys: frozenset[str]) -> None:
        """Set the tools whose call waits for the sign-in."""
        if keys != self._waiting:
            self._waiting = keys
            self._set(self.index.groups(self.filter.text().strip(), keys))

    def show_empty(
        self, title: str, text: str = "", actions: Sequence[Action] = (), *, primary: bool = False, glyph: str = "tool"
    ) -> None:
        """Say why there is nothing. With `primary` the first action is a filled button."""
        # Said again, it keeps its buttons, and the focus that one of them may have.
        said = (title, text, tuple(words for words, _ in actions), glyph)
        if said == self._said and self.stack.currentWidget() is self.empty:
            return
        self._said = said
        self.index = ToolIndex()
        self.table.set_groups([])
        self._set_note("")
        self._head.setVisible(False)
        self._bar.setVisible(False)
        self.empty.show_state(title, text, actions, glyph=glyph if title else "", primary=primary)
        self.stack.setCurrentWidget(self.empty)

    def show_waiting(self, words: str, actions: Sequence[Action]) -> None:
        """Say what is waited for. Only the words change from second to second, so a button keeps the focus."""
        if self._said[2:] == (tuple(name for name, _ in actions), "clock"):
            self.empty.say(words)
            self._said = (words, *self._said[1:])
        else:
            self.show_empty(words, "", actions, glyph="clock")

    def clear(self) -> None:
        """Clear list and search."""
        self.filter.set_text_quietly("")
        self._withdraw()
        self.show_empty("")

    def tool(self, key: str | None) -> ToolInfo | None:
        """The tool of a row."""
        return self.index.get(key) if key else None

    def want_policy(self, state: str) -> None:
        """Set the policy of the selected tools. For several, ask first."""
        if state not in POLICY_STATES:
            return
        chosen = [(key, self.index.get(key)) for key in self.table.selected_keys()]
        usable = [key for key, tool in chosen if tool is not None and tool.problem is None and not tool.locked]
        left = len(chosen) - len(usable)
        # The control is a command here, not a state: the selected tools may have different policies.
        self.bulk.set_value(None)
        self.card.clear()
        if not usable:
            self.card.show_note(self.tr("Nothing to change"), self.tr("The selected tools are locked or unusable."))
            return
        if len(chosen) == 1:
            self._confirm(usable, state)
            return
        word = policy_words(state)
        title = self.tr("Set {0} tools to {1}?").format(len(usable), word)
        cause = self.tr("{0} locked or unusable tools stay as they are.").format(left) if left else ""
        yes = self.tr("Set {0} tools to {1}").format(len(usable), word)
        self.question.ask(f"{title} {cause}".strip(), yes, lambda: self._confirm(usable, state))
        self._asked = self.table.selected_keys()

    def _set_note(self, note: str) -> None:
        new = bool(note) and note != self.note.text()
        self.note.setText(note)
        self.note.setVisible(bool(note))
        if new and self.isVisible():
            announce(self.table, note)

    def _confirm(self, keys: list[str], state: str) -> None:
        self.policies_wanted.emit(keys, state)

    def _withdraw(self) -> None:
        """What was asked or said is about other rows than those that are shown and selected now."""
        self.card.clear()
        self.question.withdraw()

    def _typed(self, needle: str) -> None:
        self._withdraw()
        self._search(needle)

    def _search(self, needle: str) -> None:
        groups = self.index.groups(needle, self._waiting)
        shown = sum(len(group.rows) for group in groups)
        total = len(self.index.tools)
        self.count.setText(str(total) if shown == total else self.tr("{0} of {1}").format(shown, total))
        self._head.setVisible(total > 0)
        self._set(groups)
        self._said = ("", "", (), "")
        if shown == 0 and needle:
            self.empty.show_state(
                self.tr("No tools match “{0}”").format(needle),
                "",
                [(self.tr("Clear search"), self.filter.clear_now)],
                glyph="search",
            )
        self.stack.setCurrentWidget(self.table if shown else self.empty)

    def _set(self, groups: list[Group]) -> None:
        if len(groups) == 1 and not groups[0].title:
            self.table.set_rows(groups[0].rows)
        else:
            self.table.set_groups(groups)

    def _enter_list(self) -> None:
        if self.table.current_key() is None:
            self.table.select_first()
        self.table.setFocus(Qt.FocusReason.TabFocusReason)

    def _clicked(self, _index: QModelIndex) -> None:
        # A click with Ctrl or Shift selects several tools and opens none.
        key = self.table.current_key()
        if key is not None and QApplication.keyboardModifiers() == Qt.KeyboardModifier.NoModifier:
            self.opened.emit(key)

    def _show_selected(self) -> None:
        selected = self.table.selected_keys()
        if self.question.open and selected != self._asked:
            self._withdraw()
        count = len(selected)
        self._bar.setVisible(count > 1)
        self.selected.setText(self.tr("{0} selected").format(count))
        self.bulk.set_value(None)

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        state = POLICY_KEYS.get(Qt.Key(event.key())) if event.key() in POLICY_KEYS else None
        # A held key would go on with what the first press has changed.
        if event.isAutoRepeat():
            state = None
        if state and event.modifiers() == Qt.KeyboardModifier.NoModifier and self.table.hasFocus():
            self.want_policy(state)
        else:
            super().keyPressEvent(event)
