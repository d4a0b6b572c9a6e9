"""The dialog that lists every keyboard shortcut of the window (Ctrl+/)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QVBoxLayout, QWidget

from app.ui.shell.keymap import ALIASES, CONTEXT, FIXED, native
from app.ui.theme import theme, tokens
from app.ui.translation import translate
from app.ui.widgets.focus import show_focus_ring
from app.ui.widgets.lists import ListTable
from app.ui.widgets.rows import Group, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.ui.context import Command


class KeySheet(QDialog):
    """Every keyboard shortcut in groups. Opened with `open()`, closed with Esc."""

    def __init__(self, commands: Sequence[Command], parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(self.tr("Keyboard shortcuts"))
        self.list = ListTable(self.tr("Keyboard shortcuts"))
        groups: dict[str, list[Row]] = {}
        for command in commands:
            if command.keys:
                rows = groups.setdefault(command.group or self.tr("Window"), [])
                rows.append(Row(command.id, command.title, trailing=_all_keys(command.keys)))
        for name, keys, words in FIXED:
            group = translate(CONTEXT, name)
            groups.setdefault(group, []).append(Row(f"{name}:{keys}", translate(CONTEXT, words), trailing=keys))
        self.list.set_groups([Group(name, name, tuple(rows)) for name, rows in groups.items()])
        current = theme()
        box = QVBoxLayout(self)
        box.setContentsMargins(*([current.px(tokens.SPACE_3)] * 4))
        box.addWidget(self.list)
        self.resize(current.px(460), current.px(560))
        show_focus_ring(self)


def _all_keys(keys: str) -> str:
    return "  ".join(native(each) for each in (keys, *ALIASES.get(keys, ())))
