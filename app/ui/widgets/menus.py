"""A menu with headings, whose check marks are icons of the theme: the platform's do not grow with the text.

The stylesheet draws `QMenu.addSection` as a line without its words. Use `CheckMenu.add_heading`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, QRectF, Qt
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QMenu, QWidget

from app.ui.theme import theme, tokens
from app.ui.theme.icons import paint_icon
from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from PySide6.QtGui import QAction, QPaintEvent


def open_edit_menu(menu: QMenu, at: QPoint) -> None:
    """Open the menu that Qt makes for a field, at a position of the screen. It is destroyed when it closes.

    Qt would underline its letters always, and no other menu of the window has any.
    """
    menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    for action in menu.actions():
        action.setText(action.text().replace("&", ""))
    menu.popup(at)


class CheckMenu(QMenu):
    """The stylesheet keeps the room of the check marks and draws none."""

    def __init__(self, title: str = "", parent: QWidget | None = None) -> None:
        super().__init__(title, parent)
        self.setProperty("checks", "painted")

    def add_heading(self, words: str) -> QAction:
        """Name the entries that follow. It cannot be chosen; above it is a line, except at the top."""
        if not self.isEmpty():
            self.addSeparator()
        heading = self.addAction(words)
        heading.setFont(theme().font("caption"))
        heading.setEnabled(False)
        return heading

    @guarded()
    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        current = theme()
        side, gap = current.px(tokens.ICON), current.px(tokens.SPACE_2)
        painter = QPainter(self)
        for action in self.actions():
            if action.isChecked():
                row = self.actionGeometry(action)
                left = row.right() - gap - side if self.isRightToLeft() else row.left() + gap
                box = QRectF(left, row.center().y() - side / 2 + 1, side, side)
                paint_icon(painter, "check", box, current.colour("accent"))
        painter.end()
