"""The keyboard map of the window (ux 6.3) and the sheet that shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QVBoxLayout, QWidget

from app.ui.shell.palette import native
from app.ui.theme import theme, tokens
from app.ui.widgets.focus import show_focus_ring
from app.ui.widgets.lists import ListTable
from app.ui.widgets.rows import Group, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.ui.context import Command

# Keys that a list or field handles itself; they have no command but belong on the sheet.
FIXED: tuple[tuple[str, str, str], ...] = (
    ("Lists", "Up, Down, Home, End", "Move in a list"),
    ("Lists", "Left, Right", "Close or open a group"),
    ("Lists", "Return", "Open what is chosen"),
    ("Lists", "Letters", "Jump to a title that starts so"),
    ("Fields", "Esc", "Clear a filter; text is never discarded"),
    ("Window", "Tab, Shift+Tab", "Next or previous control"),
)

# Other keys for the same thing.
ALIASES: dict[str, tuple[str, ...]] = {"Ctrl+K": ("Ctrl+P",), "Ctrl++": ("Ctrl+=",), "/": ("Ctrl+F",)}

# Where a key leads when the place that knows it is not in view.
HOME_OF_KEY = {"Ctrl+N": "tasks", "Ctrl+Shift+N": "servers"}


class KeySheet(QDialog):
    """Every key of the window in groups. Opened with `open()`, closed with Esc."""

    def __init__(self, commands: Sequence[Command], parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(self.tr("Keys"))
        self.list = ListTable(self.tr("Keys"))
        groups: dict[str, list[Row]] = {}
        for command in commands:
            if command.keys:
                rows = groups.setdefault(command.group or self.tr("Window"), [])
                rows.append(Row(command.id, command.title, trailing=_all_keys(command.keys)))
        for group, keys, words in FIXED:
            groups.setdefault(group, []).append(Row(f"{group}:{keys}", words, trailing=keys))
        self.list.set_groups([Group(name, name, tuple(rows)) for name, rows in groups.items()])
        current = theme()
        box = QVBoxLayout(self)
        box.setContentsMargins(*([current.px(tokens.SPACE_3)] * 4))
        box.addWidget(self.list)
        self.resize(current.px(460), current.px(560))
        show_focus_ring(self)


def _all_keys(keys: str) -> str:
    return "  ".join(native(each) for each in (keys, *ALIASES.get(keys, ())))
