"""LineEdit: a field of one line that takes text of any length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QLineEdit, QWidget

from app.ui.widgets.guard import guarded
from app.ui.widgets.menus import open_edit_menu

if TYPE_CHECKING:
    from PySide6.QtGui import QContextMenuEvent

# By itself a line takes 32,767 characters and cuts the rest without a word.
UNLIMITED = 2**31 - 1


class LineEdit(QLineEdit):
    """A line that never cuts what is pasted. What is too long is for the form to say."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMaxLength(UNLIMITED)
        self.setText(text)

    @guarded()
    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = self.createStandardContextMenu()
        if menu is not None:
            open_edit_menu(menu, event.globalPos())
