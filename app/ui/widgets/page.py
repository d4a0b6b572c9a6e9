"""The frame of a page with title row, feedback and body; the left pane of a place; a splitter that is remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QSizePolicy, QSplitter, QVBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.feedback import Banner, InlineCard, ProgressLine
from app.ui.widgets.text import ElidedLabel, StatusWord
from app.ui.widgets.undo import UndoBar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class TitledPage(QWidget):
    """Title, status word and actions in one row; below them progress, undo, a card, then the body.

    Parts: `.title` (ElidedLabel), `.status` (StatusWord), `.progress`, `.undo`, `.banner`, `.card` (InlineCard).
    """

    def __init__(self, title: str = "", parent: QWidget | None = None, *, lead: QWidget | None = None) -> None:
        """`lead` stands before the title, such as a button that leads back."""
        super().__init__(parent)
        current = theme()
        wide, gap = current.px(tokens.SPACE_4), current.px(tokens.SPACE_2)
        self.title = ElidedLabel(title, "title", mode=Qt.TextElideMode.ElideRight)
        self.status = StatusWord()
        self._actions = QHBoxLayout()
        self._actions.setSpacing(gap)
        self._row = QHBoxLayout()
        self._row.setContentsMargins(wide, current.px(tokens.SPACE_3), wide, gap)
        self._row.setSpacing(current.px(tokens.SPACE_3))
        if lead is not None:
            self._row.addWidget(lead)
        self._row.addWidget(self.title, 1)
        self._row.addWidget(self.status)
        self._row.addLayout(self._actions)
        self.progress = ProgressLine()
        self.undo = UndoBar()
        self.banner = Banner()
        self.card = InlineCard()
        # A widget around the card: a layout would keep its margins while the card is hidden.
        card_room = QWidget()
        card_room.setVisible(False)
        room = QHBoxLayout(card_room)
        room.setContentsMargins(wide, gap, wide, gap)
        room.addWidget(self.card)
        self.card.shown.connect(card_room.setVisible)
        self._head = QVBoxLayout()
        body = QWidget()
        body.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self._body = QVBoxLayout(body)
        self._body.setContentsMargins(0, 0, 0, 0)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        box.addLayout(self._row)
        box.addLayout(self._head)
        box.addWidget(self.progress)
        box.addWidget(self.banner)
        box.addWidget(self.undo)
        box.addWidget(card_room)
        box.addWidget(body, 1)

    def set_title(self, title: str) -> None:
        """Change the title."""
        self.title.setText(title)

    def add_action(self, widget: QWidget) -> None:
        """Put a control at the right end of the title row."""
        self._actions.addWidget(widget)

    def set_head(self, widget: QWidget) -> None:
        """Put something (tabs, a filter) between the title row and the body, with the page's side margins."""
        wide = theme().px(tokens.SPACE_4)
        room = QHBoxLayout()
        room.setContentsMargins(wide, 0, wide, theme().px(tokens.SPACE_2))
        room.addWidget(widget)
        self._head.addLayout(room)

    def set_body(self, widget: QWidget, *, margins: bool = False) -> None:
        """Put the content below; `margins` keeps the page's side margins around it."""
        current = theme()
        side = current.px(tokens.SPACE_4) if margins else 0
        self._body.setContentsMargins(side, 0, side, side)
        self._body.addWidget(widget, 1)


class SidePane(QFrame):
    """The left part of a place. Add widgets to `.box`."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("pane", "side")
        self.setAccessibleName(name)
        self.box = QVBoxLayout(self)
        self.box.setContentsMargins(0, theme().px(tokens.SPACE_2), 0, 0)
        self.box.setSpacing(theme().px(tokens.SPACE_2))
        self.setMinimumWidth(theme().px(180))

    def add_padded(self, widget: QWidget) -> None:
        """Add a control with the pane's side margins."""
        row = QHBoxLayout()
        side = theme().px(tokens.SPACE_3)
        row.setContentsMargins(side, 0, side, 0)
        if isinstance(widget, QPushButton):
            widget.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        row.addWidget(widget)
        self.box.addLayout(row)


class RememberedSplitter(QSplitter):
    """A splitter whose sizes are remembered.

    `sizes` are those remembered or the defaults, in device-independent pixels; `remember` is called when a person moved
    the handle. The last part takes what a larger window brings.
    """

    def __init__(
        self,
        orientation: Qt.Orientation,
        parts: Sequence[QWidget],
        sizes: Sequence[int],
        remember: Callable[[list[int]], None] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(orientation, parent)
        self.setChildrenCollapsible(False)
        self.setHandleWidth(1)
        for part in parts:
            self.addWidget(part)
        for number in range(len(parts)):
            self.setStretchFactor(number, 1 if number == len(parts) - 1 else 0)
        self.setSizes([int(size) for size in sizes])
        if remember is not None:
            self.splitterMoved.connect(lambda _at, _number: remember(self.sizes()))
