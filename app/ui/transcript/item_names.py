"""ItemNames: what assistive technology reads of the items in view, which are painted and no widgets.

Each item in view has an invisible widget at its place that carries its name. They are few, and follow the items once
scrolling rests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt, QTimer
from PySide6.QtGui import QAccessible, QAccessibleEvent
from PySide6.QtWidgets import QWidget

from app.ui.transcript.card_words import tr
from app.ui.widgets.accessible_roles import give_role
from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from app.ui.transcript.painted_items import PaintedItems

UPDATE_AFTER_MS = 120


class ItemName(QWidget):
    """The place and the name of an item."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        give_role(self, QAccessible.Role.ListItem)


class ItemNames(QObject):
    """Names the items of a view."""

    def __init__(self, view: PaintedItems) -> None:
        super().__init__(view)
        self._view = view
        self._pool: list[ItemName] = []
        self._shown: dict[int, ItemName] = {}
        self._soon = QTimer(self, singleShot=True, interval=UPDATE_AFTER_MS)
        self._soon.timeout.connect(self.update_now)
        give_role(view.viewport(), QAccessible.Role.List)
        view.viewport().setAccessibleName(view.accessibleName())

    def update_soon(self) -> None:
        """What is in view has changed."""
        if not self._soon.isActive():
            self._soon.start()

    @guarded()
    def update_now(self) -> None:
        """Place the names where the items are now."""
        view = self._view
        visible = [one for one in view.visible if one.drawn is not None]
        while len(self._pool) < len(visible):
            self._pool.append(ItemName(view.viewport()))
        self._shown = {}
        for name, one in zip(self._pool, visible, strict=False):
            if one.drawn is None:
                continue
            name.setGeometry(0, one.top, view.viewport().width(), max(1, view.items.heights[one.place]))
            words = one.drawn.card.spoken
            if one.drawn.card.folds:
                words = f"{words}, {tr('open') if one.drawn.is_open else tr('folded')}"
            if name.accessibleName() != words:
                name.setAccessibleName(words)
            name.show()
            self._shown[one.place] = name
        for name in self._pool[len(visible) :]:
            name.hide()

    def focus(self, place: int) -> None:
        """Tell assistive technology that an item is current."""
        self._view.settle()
        self.update_now()
        name = self._shown.get(place)
        if name is not None:
            QAccessible.updateAccessibility(QAccessibleEvent(name, QAccessible.Event.Focus))
