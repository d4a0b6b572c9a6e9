"""The menu of the window: the doors to what has no place of its own, each with its keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QKeySequence

from app.ui.widgets.menus import CheckMenu
from app.ui.widgets.row_button import RowButton

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtWidgets import QWidget

    from app.ui.context import Command

OFFERED = ("window.palette", "window.activity", "window.keys", "window.settings", "window.help", "window.about")


class DoorsButton(RowButton):
    """Opens the menu. `commands` is asked each time."""

    def __init__(self, commands: Callable[[], Sequence[Command]], parent: QWidget | None = None) -> None:
        super().__init__("menu", "chevron-up", clicked=self.open_menu, parent=parent)
        self._commands = commands
        self.set_words(self.tr("Menu"), self.tr("Menu"), tooltip=self.tr("Palette, activity, settings, help"))
        self.menu_shown: CheckMenu | None = None

    def open_menu(self) -> None:
        """Show the menu above the button."""
        found = {command.id: command for command in self._commands()}
        menu = CheckMenu(parent=self)
        menu.aboutToHide.connect(menu.deleteLater)
        for name in OFFERED:
            command = found.get(name)
            if command is None:
                continue
            action = menu.addAction(command.title, command.run)
            # Shown only: the window listens to the keys itself.
            action.setShortcut(QKeySequence(command.keys))
            action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
            action.setShortcutVisibleInContextMenu(True)
            action.setEnabled(command.enabled())
        self.menu_shown = menu
        menu.popup(self.mapToGlobal(QPoint(0, -menu.sizeHint().height())))
