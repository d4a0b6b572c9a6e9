"""Which servers a client may use: all of them, also those added later, or the checked ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSignalBlocker, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.ui.connect.wording import shown_name, state_of_server
from app.ui.theme import theme, tokens
from app.ui.widgets.choices import CheckBox, Segmented
from app.ui.widgets.feedback import clear_layout
from app.ui.widgets.text import StatusWord, Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.ui.connect.facts import ProxiedServer

ALL, CHOSEN = "all", "chosen"
INDENT = tokens.ICON + tokens.SPACE_2


class ServerChecks(QWidget):
    """Emits `chosen(frozenset | None)` when the user changed it; None stands for all servers."""

    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._servers: tuple[tuple[str, str, str], ...] = ()
        # Of servers that are not listed now, such as those of another account. They stay chosen.
        self._kept: frozenset[str] = frozenset()
        self.boxes: dict[str, CheckBox] = {}
        self.which = Segmented(
            [(ALL, self.tr("All servers"), "", "accent"), (CHOSEN, self.tr("Only these"), "", "accent")],
            self.tr("Servers that the client may use"),
        )
        self.which.chosen.connect(lambda _value: self._switched())
        self.note = Text("", "caption", "muted", wrap=True)
        self._list = QWidget()
        self._column = QVBoxLayout(self._list)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(theme().px(tokens.SPACE_2))
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(theme().px(tokens.SPACE_2))
        for part in (self.which, self.note, self._list):
            box.addWidget(part)
        self.which.set_value(ALL)
        self._show()

    def value(self) -> frozenset[str] | None:
        """The ids of the servers, None for all."""
        if self.which.value() == ALL:
            return None
        return self._kept | {key for key, box in self.boxes.items() if box.isChecked()}

    def show_value(self, servers: Sequence[ProxiedServer], value: frozenset[str] | None) -> None:
        """Show a choice among these servers."""
        shown = tuple((each.id, shown_name(each.server.title), state_of_server(each).word) for each in servers)
        if shown != self._servers:
            self._servers = shown
            self._fill(servers)
        self.which.set_value(ALL if value is None else CHOSEN)
        self._kept = frozenset() if value is None else value - self.boxes.keys()
        for key, box in self.boxes.items():
            with QSignalBlocker(box):
                box.setChecked(value is None or key in value)
        self._show()

    def _fill(self, servers: Sequence[ProxiedServer]) -> None:
        focused = next((key for key, box in self.boxes.items() if box.hasFocus()), None)
        clear_layout(self._column)
        self.boxes = {}
        for each in servers:
            line = QWidget()
            row = QHBoxLayout(line)
            row.setContentsMargins(0, 0, 0, 0)
            row.setSpacing(theme().px(tokens.SPACE_3))
            # An ampersand in a name would underline the next letter.
            box = self.boxes[each.id] = CheckBox(shown_name(each.server.title).replace("&", "&&"))
            box.setAccessibleName(shown_name(each.server.title))
            box.setAccessibleDescription(state_of_server(each).word)
            box.switched.connect(lambda _checked: self.chosen.emit(self.value()))
            row.addWidget(box)
            row.addWidget(StatusWord(state_of_server(each), "caption"))
            row.addStretch()
            self._column.addWidget(line)
            if each.id == focused:
                line.setVisible(True)
                box.setFocus()

    def _switched(self) -> None:
        if self.which.value() == CHOSEN:
            # Nothing changes by that alone: all that are listed are checked.
            for box in self.boxes.values():
                box.setChecked(True)
        self._show()
        self.chosen.emit(self.value())

    def _show(self) -> None:
        every = self.which.value() == ALL
        self._list.setVisible(not every)
        if every:
            words = self.tr("Also those that are added later.")
        elif not self.boxes:
            words = self.tr("There are no servers yet. Add some under Servers.")
        elif not self.value():
            words = self.tr("Choose at least one, or the client can use nothing.")
        else:
            words = ""
        self.note.setText(words)
        self.note.setVisible(bool(words))
