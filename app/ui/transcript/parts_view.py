"""PartsView: the parts of an item as a widget, for what asks for an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QAccessible, QPainter
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.ui.theme import theme, tokens
from app.ui.transcript.drawn import DrawnItem, Look
from app.ui.transcript.painted import ItemPainter
from app.ui.widgets.accessible_roles import give_role
from app.ui.widgets.guard import guarded
from app.ui.widgets.prose import link_menu

if TYPE_CHECKING:
    from PySide6.QtGui import QMouseEvent, QPaintEvent, QResizeEvent

    from app.ui.transcript.card import ItemCard

# What assistive technology is given at once, in characters.
LONGEST_READ = 2_000


class PartsView(QWidget):
    """Shows the parts of a card, without its head; as tall as they are."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._card: ItemCard | None = None
        self._drawn: DrawnItem | None = None
        self._drawn_card: ItemCard | None = None
        self._name = name
        give_role(self, QAccessible.Role.StaticText)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        theme().changed.connect(self._theme_changed)

    def show_card(self, card: ItemCard) -> None:
        """Show the parts of another card."""
        self._card = card._replace(frame="open", title="", folds=False, late=False)
        self._lay_out(self.width())
        self.updateGeometry()
        self.update()
        text = self.text()[:LONGEST_READ]
        self.setAccessibleName(f"{self._name}: {text}" if text else self._name)

    def text(self) -> str:
        """Everything that it shows."""
        texts = self._drawn.texts if self._drawn is not None else ()
        return "\n".join(placed.document.toPlainText() for placed in texts)

    def hasHeightForWidth(self) -> bool:
        return True

    @guarded(default=0)
    def heightForWidth(self, width: int) -> int:
        self._lay_out(width)
        return self._height()

    def sizeHint(self) -> QSize:
        return QSize(0, self._height())

    def minimumSizeHint(self) -> QSize:
        return QSize(0, self._height())

    def _height(self) -> int:
        return max(0, self._drawn.height - theme().px(tokens.SPACE_3)) if self._drawn is not None else 0

    def _lay_out(self, width: int) -> None:
        if self._card is None:
            return
        # A layout keeps the margin of a page at both sides, which this has not.
        side = theme().px(tokens.SPACE_4)
        look = Look(width + 2 * side, self.logicalDpiY(), self.isRightToLeft())
        if self._drawn is None or self._drawn.look != look or self._drawn_card is not self._card:
            self._drawn, self._drawn_card = DrawnItem(self._card, look, is_open=True), self._card

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._lay_out(event.size().width())
            self.updateGeometry()

    def _theme_changed(self) -> None:
        self._drawn = None
        self._lay_out(self.width())
        self.updateGeometry()
        self.update()

    @guarded()
    def paintEvent(self, event: QPaintEvent) -> None:
        if self._drawn is None:
            return
        painter = QPainter(self)
        painter.translate(-theme().px(tokens.SPACE_4), 0)
        ItemPainter(painter, self._drawn).paint()
        painter.end()

    @guarded()
    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if self._drawn is None or event.button() != Qt.MouseButton.LeftButton:
            return
        at = event.position().toPoint()
        address = self._drawn.link_at(at.x() + theme().px(tokens.SPACE_4), at.y())
        if address:
            link_menu(address, self).popup(event.globalPosition().toPoint())
