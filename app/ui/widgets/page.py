"""The frame of a page with title row, feedback and body; the left pane of a place; a splitter that is remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QAbstractScrollArea, QFrame, QHBoxLayout, QSizePolicy, QSplitter, QVBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.feedback import Banner, InlineCard, ProgressLine
from app.ui.widgets.guard import guarded
from app.ui.widgets.scroll_edge import ScrollEdge
from app.ui.widgets.text import ElidedLabel, StatusWord
from app.ui.widgets.title_row import TitleRow
from app.ui.widgets.undo import UndoBar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtGui import QResizeEvent

    from app.ui.widgets.buttons import PrimaryButton


LEAST_PANE = 180


class TitledPage(QWidget):
    """Title, status word and actions in one row; below them progress, undo, a card, then the body.

    Parts: `.title` (ElidedLabel), `.status` (StatusWord), `.progress`, `.undo`, `.banner`, `.card` (InlineCard),
    `.edge` (ScrollEdge): a line while the body is scrolled. A body that scrolls is followed; where the area is inside
    the body, call `page.edge.follow(area)`. `.body` (QWidget) is the parent to make a large body with: Qt styles a
    widget and all inside it again whenever it gets another parent.
    """

    def __init__(self, title: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        current = theme()
        wide, gap = current.px(tokens.SPACE_4), current.px(tokens.SPACE_2)
        self.setWindowTitle(title)
        self.title = ElidedLabel(title, "title", mode=Qt.TextElideMode.ElideRight)
        self.status = StatusWord()
        self._row = TitleRow(self.title)
        self._row.addWidget(self.status)
        room_of_row = QVBoxLayout()
        room_of_row.setContentsMargins(wide, current.px(tokens.SPACE_3), wide, gap)
        room_of_row.addLayout(self._row)
        self.edge = ScrollEdge()
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
        self.body = QWidget()
        self.body.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self._body = QVBoxLayout(self.body)
        self._body.setContentsMargins(0, 0, 0, 0)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        box.addLayout(room_of_row)
        box.addLayout(self._head)
        box.addWidget(self.progress)
        box.addWidget(self.banner)
        box.addWidget(self.undo)
        box.addWidget(card_room)
        box.addWidget(self.edge)
        box.addWidget(self.body, 1)

    def set_title(self, title: str) -> None:
        """Change the title, which is that of the window too while the page is in view."""
        self.title.setText(title)
        self.setWindowTitle(title)

    def add_action(self, widget: QWidget) -> None:
        """Put a control at the right end of the title row."""
        self._row.addWidget(widget)

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
        if isinstance(widget, QAbstractScrollArea):
            self.edge.follow(widget)


class SidePane(QFrame):
    """The left part of a place. Call `set_head`, then add widgets to `.box`."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("pane", "side")
        self.setAccessibleName(name)
        self.box = QVBoxLayout(self)
        self.box.setContentsMargins(0, theme().px(tokens.SPACE_3), 0, 0)
        self.box.setSpacing(theme().px(tokens.SPACE_2))
        self._head: QHBoxLayout | None = None

    def minimumSizeHint(self) -> QSize:
        """Wide enough for its main button at the text size in force."""
        head = self._head.minimumSize().width() if self._head is not None else 0
        return QSize(max(head, theme().px(LEAST_PANE)), super().minimumSizeHint().height())

    def set_head(self, main: PrimaryButton, *others: QWidget) -> None:
        """Put the place's main button at the height of the titles of its pages; other controls at the right."""
        row = self._head = self._padded()
        row.addWidget(main)
        row.addStretch(1)
        for other in others:
            row.addWidget(other)

    def add_padded(self, widget: QWidget) -> None:
        """Add a control with the pane's side margins."""
        self._padded().addWidget(widget)

    def _padded(self) -> QHBoxLayout:
        row = QHBoxLayout()
        side = theme().px(tokens.SPACE_4)
        row.setContentsMargins(side, 0, side, 0)
        self.box.addLayout(row)
        return row


class RememberedSplitter(QSplitter):
    """A splitter whose sizes are remembered.

    `sizes` are those remembered or the defaults, in device-independent pixels; `remember` is called when a person moved
    the handle. The last part takes what a larger window brings. `share` in percent is for sizes that nobody chose: the
    first part takes that much of the width, and its size at least.

    Large parts are made with the splitter as their parent, and given to `hold`: Qt styles a widget and all inside it
    again whenever it gets another parent.
    """

    def __init__(
        self,
        orientation: Qt.Orientation,
        parts: Sequence[QWidget],
        sizes: Sequence[int],
        remember: Callable[[list[int]], None] | None = None,
        parent: QWidget | None = None,
        *,
        share: int = 0,
    ) -> None:
        super().__init__(orientation, parent)
        self._first_sizes = [int(size) for size in sizes]
        self._least, self._share = self._first_sizes[0], share
        self.setChildrenCollapsible(False)
        self.setHandleWidth(1)
        self._remember = remember
        self.splitterMoved.connect(self._moved)
        self.hold(parts)

    def hold(self, parts: Sequence[QWidget]) -> None:
        """Have these parts, in this order."""
        for part in parts:
            self.addWidget(part)
        for number in range(len(parts)):
            self.setStretchFactor(number, 1 if number == len(parts) - 1 else 0)
        self.setSizes(self._first_sizes)

    def _moved(self, _at: int, _number: int) -> None:
        self._share = 0
        if self._remember is not None:
            self._remember(self.sizes())

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self._share:
            first = max(self._least, self.width() * self._share // 100)
            self.setSizes([first, self.width() - first])
