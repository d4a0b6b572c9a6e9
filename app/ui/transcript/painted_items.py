"""PaintedItems: the items of a run below each other, painted.

Only what is in view is laid out. What stands in view keeps its place when items above it turn out taller or shorter
than estimated. At the end it follows what is added; scrolled up it stays and counts the new lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QRect, Qt, QTimer, Signal
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QAbstractScrollArea, QFrame

from app.ui.theme import theme, tokens
from app.ui.transcript.drawn import Look
from app.ui.transcript.painted import ItemPainter
from app.ui.transcript.placing import PlacedItems
from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QHideEvent, QPaintEvent, QResizeEvent, QShowEvent
    from PySide6.QtWidgets import QWidget

    from app.core.runs.transcript import Change
    from app.ui.transcript.drawn import DrawnItem
    from app.ui.transcript.placing import VisibleItem
    from app.ui.transcript.shown_items import ShownItems
    from app.ui.transcript.source import ItemSource

# Live items are taken in at most 30 times a second.
TAKE_IN_MS = 33
ESTIMATE_AFTER_MS, ESTIMATE_SECONDS = 200, 0.004
# How far beyond the view is laid out while nothing else is to be done, in heights of the view.
AHEAD = 0.75


class PaintedItems(QAbstractScrollArea):
    """Shows an `ItemSource`. While it is hidden, it does not listen to it.

    `following_changed(bool)`: whether it stays at the end. `behind_changed(int)`: how many lines were added while it
    did not. `settled`: what is in view has changed.
    """

    following_changed = Signal(bool)
    behind_changed = Signal(int)
    settled = Signal()

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.placed = PlacedItems()
        self.needle = ""
        self._following = True
        self._behind_from = 0
        self._behind = 0
        self._quiet = False
        # Where the items were painted, and what.
        self._on_screen: dict[int, tuple[int, DrawnItem | None]] = {}
        self._unsubscribe: Callable[[], None] | None = None
        self._take_in_soon = QTimer(self, singleShot=True, interval=TAKE_IN_MS)
        self._take_in_soon.timeout.connect(self._take_in)
        self._go_on = QTimer(self, singleShot=True, interval=0)
        self._go_on.timeout.connect(self.viewport().update)
        self._estimate_soon = QTimer(self, singleShot=True, interval=ESTIMATE_AFTER_MS)
        self._estimate_soon.timeout.connect(self._estimate_again)
        self._estimate = QTimer(self, singleShot=True, interval=0)
        self._estimate.timeout.connect(self._estimate_more)
        self._ahead = QTimer(self, singleShot=True, interval=15)
        self._ahead.timeout.connect(self._lay_out_ahead)
        self.setAccessibleName(name)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.viewport().setAutoFillBackground(False)
        self.viewport().setMouseTracking(True)
        theme().changed.connect(self._theme_changed)

    @property
    def items(self) -> ShownItems:
        """All items."""
        return self.placed.items

    @property
    def visible(self) -> list[VisibleItem]:
        """Those in view, from the top."""
        return self.placed.visible

    @property
    def source(self) -> ItemSource | None:
        """What is shown."""
        return self.items.source

    def set_source(self, source: ItemSource | None) -> None:
        """Show another transcript from its end, or none."""
        self._ignore()
        self.placed.hold_end()
        self.placed.visible = []
        self.items.set_look(self._look())
        self.items.set_source(source)
        self._estimate.start()
        self._set_following(True)
        self._listen()
        self._fit_bar()
        self.viewport().update()

    @property
    def following(self) -> bool:
        """Whether it stays at the end."""
        return self._following

    def follow(self) -> None:
        """Go to the end, and stay there."""
        self._set_following(True)
        self.viewport().update()

    def pause(self) -> None:
        """Stay at what is in view."""
        if self._following:
            self.placed.hold_shown()
            self._set_following(False)

    def show_place(self, place: int, *, top: bool = False) -> None:
        """Bring an item into view; with `top` to the top of it. Ends following."""
        if not 0 <= place < len(self.items):
            return
        self.items.reveal(place)
        height = self.items.lay_out(place).height
        margin, page = self._margin, self.viewport().height()
        at = self.placed.top_of(place)
        if at is None or top:
            y = margin if top or height > page // 2 else page // 3
        elif at < margin or height > page:
            y = margin
        elif at + height > page - margin:
            y = page - margin - height
        else:
            return
        self.placed.hold(place, y)
        self._set_following(False)
        self.settle()
        self.viewport().update()

    def toggle(self, place: int) -> None:
        """Fold or open an item. Its head stays where it is."""
        if not self.items.folds(place):
            return
        at = self.placed.top_of(place)
        if at is not None:
            self.placed.hold(place, at)
            self._set_following(False)
        self.items.set_open(place, not self.items.is_open(place))
        self.settle()
        if self._at_end():
            self._set_following(True)
        self.viewport().update()

    def item_at(self, y: int) -> VisibleItem | None:
        """The item at a height of the viewport."""
        return self.placed.at(y)

    def settle(self) -> None:
        """Place and lay out what is in view, as far as a frame has time, and fit the scroll bar to it."""
        self.placed.settle(self.viewport().height(), self._margin, at_end=self._following)
        self._fit_bar()
        if not self.placed.complete:
            self._go_on.start()
        elif self.visible:
            self._ahead.start()

    @property
    def _margin(self) -> int:
        return theme().px(tokens.SPACE_3)

    def _fit_bar(self) -> None:
        bar, page, margin = self.verticalScrollBar(), self.viewport().height(), self._margin
        total = self.items.heights.total + 2 * margin
        self._quiet = True
        bar.setPageStep(page)
        bar.setSingleStep(theme().px(tokens.SPACE_5))
        bar.setRange(0, max(0, total - page))
        if self.visible:
            shown = self.visible[0]
            bar.setValue(self.items.heights.top(shown.place) + margin - shown.top)
        self._quiet = False

    def _at_end(self) -> bool:
        bar = self.verticalScrollBar()
        return bar.value() >= bar.maximum() - 2

    def scrollContentsBy(self, _dx: int, dy: int) -> None:
        """Called when the person moved the bar."""
        if self._quiet or not len(self.items):
            return
        self.placed.hold_scrolled(dy, self.verticalScrollBar().value(), self.viewport().height(), self._margin)
        self._set_following(self._at_end() and dy <= 0)
        # What stays in view is moved on the screen, and only the rest painted.
        self._on_screen = {place: (top + dy, drawn) for place, (top, drawn) in self._on_screen.items()}
        self.viewport().scroll(0, dy)

    @guarded()
    def paintEvent(self, event: QPaintEvent) -> None:
        self.settle()
        former, self._on_screen = self._on_screen, {one.place: (one.top, one.drawn) for one in self.visible}
        if any(former.get(place, now) != now for place, now in self._on_screen.items()):
            # Something else than scrolling moved or changed it.
            self.viewport().update()
        painter = QPainter(self.viewport())
        region = event.rect()
        for shown in self.visible:
            height = self.items.heights[shown.place]
            if shown.top + height <= region.top() or shown.top > region.bottom():
                continue
            painter.save()
            painter.translate(0, shown.top)
            if shown.drawn is not None:
                self.paint_item(painter, shown, shown.drawn)
            else:
                self._paint_room(painter, height)
            painter.restore()
        painter.end()
        self.settled.emit()

    def paint_item(self, painter: QPainter, shown: VisibleItem, drawn: DrawnItem) -> None:
        """Paint an item at the origin."""
        ItemPainter(painter, drawn).paint(needle=self.needle)

    def _paint_room(self, painter: QPainter, height: int) -> None:
        current = theme()
        side, radius = current.px(tokens.SPACE_4), current.px(tokens.RADIUS_CONTROL)
        room = QRect(side, 0, max(0, self.viewport().width() - 2 * side), max(0, height - current.px(tokens.SPACE_2)))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(current.colour("raised"))
        painter.drawRoundedRect(room, radius, radius)

    @guarded()
    def _lay_out_ahead(self) -> None:
        """Lay out what scrolling brings next, one item in each turn of the loop."""
        if not self.visible or not self.isVisible():
            return
        page = self.viewport().height() * AHEAD
        for first, step in ((self.visible[-1].place + 1, 1), (self.visible[0].place - 1, -1)):
            room, place = page, first
            while 0 <= place < len(self.items) and room > 0:
                if not self.placed.is_hidden(place):
                    if self.items.laid_out(place) is None:
                        self.items.lay_out(place)
                        self._fit_bar()
                        self._ahead.start()
                        return
                    room -= self.items.heights[place]
                place += step

    def _changed(self, change: Change) -> None:
        if len(change.replaced) > 1:
            # The history may have been read again: then revisions count anew.
            self.items.doubt()
        if change.appended < 0:
            # Keys and focus may come before the next paint, and ask for what is not there any more.
            self._take_in()
        elif not self._take_in_soon.isActive():
            self._take_in_soon.start()

    def _take_in(self) -> None:
        source = self.items.source
        if source is None:
            return
        if not self.items.continues:
            self.items.begin_again()
            self.placed.visible = [one for one in self.visible if one.place < len(self.items)]
            self._estimate.start()
        else:
            self.items.take_in()
        if self.following:
            self._behind_from = len(self.items)
        else:
            self._count_behind()
        self.viewport().update()

    def _estimate_again(self) -> None:
        self.items.estimate_again()
        self._estimate_more()

    @guarded()
    def _estimate_more(self) -> None:
        if self.items.estimate_more(ESTIMATE_SECONDS):
            self._estimate.start()
        # What is in view stays; the rest of the bar's way has another length.
        self._fit_bar()

    def _count_behind(self) -> None:
        source = self.items.source
        if source is None:
            return
        first = min(self._behind_from, len(self.items))
        lines = sum(max(1, source.head(place).lines) for place in range(first, len(self.items)))
        if lines != self._behind:
            self._behind = lines
            self.behind_changed.emit(lines)

    @property
    def behind(self) -> int:
        """How many lines were added since it does not follow."""
        return self._behind

    def _set_following(self, following: bool) -> None:
        if following:
            self.placed.hold_end()
            self._behind_from = len(self.items)
            if self._behind:
                self._behind = 0
                self.behind_changed.emit(0)
        if following != self._following:
            self._following = following
            self._behind_from = len(self.items)
            self.following_changed.emit(following)

    def _look(self) -> Look:
        return Look(self.viewport().width(), self.logicalDpiY(), self.isRightToLeft())

    def _theme_changed(self) -> None:
        self.items.theme_changed()
        self._estimate.start()
        self.viewport().update()

    def _listen(self) -> None:
        if self.items.source is not None and self.isVisible() and self._unsubscribe is None:
            self._unsubscribe = self.items.source.changed.subscribe(self._changed)

    def _ignore(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        self._take_in_soon.stop()

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self.items.set_look(self._look()):
            # Once it is resized no more.
            self._estimate_soon.start()
            self.viewport().update()

    @guarded()
    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.items.set_look(self._look())
        # What came while nobody looked.
        self.items.doubt()
        self._take_in()
        self._listen()

    @guarded()
    def hideEvent(self, event: QHideEvent) -> None:
        self._ignore()
        super().hideEvent(event)
