"""TranscriptView: the items of a run, read and used with mouse, keyboard and assistive technology."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QPoint, Qt, Signal
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QToolTip

from app.marks import revealed_name
from app.ui.theme import theme, tokens
from app.ui.transcript.copier import TranscriptCopier, put_on_clipboard
from app.ui.transcript.item_names import ItemNames
from app.ui.transcript.painted import ItemPainter
from app.ui.transcript.painted_items import PaintedItems
from app.ui.transcript.selector import Selector
from app.ui.widgets.guard import guarded
from app.ui.widgets.markdown_document import LONGEST_SHOWN_ADDRESS
from app.ui.widgets.prose import link_menu
from app.ui.widgets.tips import plain_tip

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QContextMenuEvent, QFocusEvent, QKeyEvent, QMouseEvent, QPainter
    from PySide6.QtWidgets import QWidget

    from app.ui.transcript.drawn import DrawnItem, PressableSpot
    from app.ui.transcript.placing import VisibleItem
    from app.ui.transcript.source import ItemSource

PLAIN = (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier)


class TranscriptView(PaintedItems):
    """One item is current: keys act on it.

    `menu_wanted(place, global position)`; `whole_wanted(title, text)`: a text that is shown in part; `said(str)`: what
    was done, for assistive technology; `hint(str)`: the address below the pointer.
    """

    menu_wanted = Signal(int, QPoint)
    whole_wanted = Signal(str, str)
    said = Signal(str)
    hint = Signal(str)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(name, parent)
        self._current = ""
        self._keyboard = False
        self._over: tuple[int, PressableSpot | None] = (-1, None)
        # The links that was pressed, and that under the pointer.
        self._pressed_link = self._address = ""
        self.selector = Selector(self)
        self.selector.said.connect(self.said)
        self._names = ItemNames(self)
        self._keys: dict[int, Callable[[], None]] = {
            Qt.Key.Key_Down: lambda: self.step(1),
            Qt.Key.Key_J: lambda: self.step(1),
            Qt.Key.Key_Up: lambda: self.step(-1),
            Qt.Key.Key_K: lambda: self.step(-1),
            Qt.Key.Key_Home: self._to_first,
            Qt.Key.Key_End: self._to_end,
            Qt.Key.Key_Space: self._follow_or_pause,
            Qt.Key.Key_Return: self._toggle_current,
            Qt.Key.Key_Enter: self._toggle_current,
            Qt.Key.Key_PageDown: lambda: self._page(1),
            Qt.Key.Key_PageUp: lambda: self._page(-1),
        }
        ways = (Qt.Key.Key_Down, Qt.Key.Key_Up, Qt.Key.Key_Home, Qt.Key.Key_End, Qt.Key.Key_PageDown, Qt.Key.Key_PageUp)
        self._ways: dict[int, Callable[[], None]] = {key: self._keys[key] for key in ways}
        self.copier = TranscriptCopier(self)
        self.copier.said.connect(self.said)
        self.settled.connect(self._names.update_soon)

    def set_source(self, source: ItemSource | None) -> None:
        self.selector.clear()
        super().set_source(source)

    @property
    def current(self) -> int:
        """The place of the current item; -1 without one."""
        return self.items.place_of(self._current) if self._current else -1

    def set_current(self, place: int, *, top: bool = False) -> None:
        """Make an item current and bring it into view."""
        if not 0 <= place < len(self.items):
            return
        self._current = self.items.key(place)
        self.show_place(place, top=top)
        self._names.focus(place)
        self.viewport().update()

    def step(self, way: int) -> None:
        """Go to the next item, or the one before."""
        place = self.current
        if place < 0:
            shown = [one.place for one in self.visible]
            place = (shown[0] - 1 if way > 0 else shown[-1] + 1) if shown else -1
        place += way
        while 0 <= place < len(self.items) and self.items.heights[place] == 0:
            place += way
        if place >= len(self.items):
            self._to_end()
        elif place >= 0:
            self.set_current(place)

    def step_turn(self, way: int) -> None:
        """Go to the beginning of the next turn, or of this one, then of the one before."""
        source = self.source
        turns = list(source.turns()) if source is not None else []
        if not turns:
            return
        here = self.current
        if here < 0:
            here = self.visible[0].place if self.visible else 0
        if way > 0:
            found = next((turn for turn in turns if turn > here), None)
            if found is None:
                self._to_end()
                return
        else:
            found = next((turn for turn in reversed(turns) if turn < here), turns[0])
        self.set_current(found, top=True)

    def copy(self) -> None:
        """Put the selected text on the clipboard, or else the current item as Markdown."""
        if self.selector.some:
            self.selector.copy()
        elif self.current >= 0:
            self.copier.copy_item(self.current)

    def _to_first(self) -> None:
        if len(self.items):
            self.set_current(0, top=True)

    def _to_end(self) -> None:
        place = self.placed.last_place()
        if place >= 0:
            self._current = self.items.key(place)
            self._names.focus(place)
        self.follow()

    def _follow_or_pause(self) -> None:
        if self.following:
            self.pause()
            self.said.emit(self.tr("Paused. New lines are counted."))
        else:
            self._to_end()
            self.said.emit(self.tr("Following"))

    def _toggle_current(self) -> None:
        if self.current >= 0:
            self.toggle_place(self.current)

    def toggle_place(self, place: int) -> None:
        """Fold or open an item, and say so."""
        if self.items.folds(place):
            self.toggle(place)
            self.said.emit(self.tr("Opened") if self.items.is_open(place) else self.tr("Folded"))

    def _page(self, way: int) -> None:
        bar = self.verticalScrollBar()
        bar.setValue(bar.value() + way * (bar.pageStep() - theme().px(tokens.SPACE_6)))
        self.settle()
        if self.visible:
            shown = self.visible[0] if way < 0 else self.visible[-1]
            self._current = self.items.key(shown.place)
            self._names.focus(shown.place)

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        plain = event.modifiers() in PLAIN
        act = self._keys.get(event.key()) if plain else None
        alt = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier == Qt.KeyboardModifier.AltModifier
        shift = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier == Qt.KeyboardModifier.ShiftModifier
        self._keyboard = True
        if act is not None:
            if not (event.isAutoRepeat() and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space)):
                act()
        elif alt and event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            self.step_turn(-1 if event.key() == Qt.Key.Key_Up else 1)
        elif event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        elif plain and event.key() in (Qt.Key.Key_Left, Qt.Key.Key_Right) and self.current >= 0:
            wants_open = (event.key() == Qt.Key.Key_Right) != self.isRightToLeft()
            if wants_open != self.items.is_open(self.current):
                self.toggle_place(self.current)
        elif event.key() == Qt.Key.Key_Menu or (
            event.key() == Qt.Key.Key_F10 and event.modifiers() == Qt.KeyboardModifier.ShiftModifier
        ):
            self._menu_of_current()
        elif event.matches(QKeySequence.StandardKey.SelectAll):
            self.selector.select_all()
        elif shift and event.key() in self._ways:
            self._extend(self._ways[event.key()])
        elif plain and event.key() == Qt.Key.Key_Escape and self.selector.some:
            self.selector.clear()
        else:
            event.ignore()
            return
        event.accept()

    def _extend(self, act: Callable[[], None]) -> None:
        """Go somewhere, and select what is between."""
        begin = self.current
        act()
        if self.current >= 0:
            self.selector.extend_to(self.current, begin if begin >= 0 else self.current)

    def _menu_of_current(self) -> None:
        place = self.current
        shown = next((one for one in self.visible if one.place == place), None)
        if shown is None:
            return
        at = QPoint(theme().px(tokens.SPACE_6), max(0, shown.top) + theme().px(tokens.SPACE_5))
        self.menu_wanted.emit(place, self.viewport().mapToGlobal(at))

    @guarded()
    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        shown = self.item_at(event.pos().y())
        if shown is not None:
            self._current = self.items.key(shown.place)
            self.viewport().update()
            self.menu_wanted.emit(shown.place, event.globalPos())

    @guarded()
    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._keyboard = False
        at = event.position().toPoint()
        shown = self.item_at(at.y())
        if event.button() != Qt.MouseButton.LeftButton or shown is None or shown.drawn is None:
            return
        self._current = self.items.key(shown.place)
        x, y = at.x(), at.y() - shown.top
        self._pressed_link = shown.drawn.link_at(x, y)
        spot = shown.drawn.spot_at(x, y)
        extend = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        if spot is None or extend:
            self.selector.press(shown, at, extend=extend)
        else:
            self.selector.clear()
            self._press(shown, spot)
        self.viewport().update()

    def _press(self, shown: VisibleItem, spot: PressableSpot) -> None:
        if spot.kind == "fold":
            self.toggle_place(shown.place)
        elif spot.kind == "copy":
            put_on_clipboard(spot.text)
            self.said.emit(self.tr("Copied"))
            at = self.viewport().mapToGlobal(spot.rect.bottomLeft() + QPoint(0, shown.top))
            QToolTip.showText(at, self.tr("Copied"), self)
        elif shown.drawn is not None:
            self.whole_wanted.emit(shown.drawn.card.title or shown.drawn.card.spoken, spot.text)

    @guarded()
    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        at = event.position().toPoint()
        if event.buttons() & Qt.MouseButton.LeftButton and self.selector.selecting:
            self.selector.drag(at)
            return
        self._hover(at)

    def _hover(self, at: QPoint) -> None:
        shown = self.item_at(at.y())
        link, spot, text = "", None, False
        if shown is not None and shown.drawn is not None:
            x, y = at.x(), at.y() - shown.top
            link, spot = shown.drawn.link_at(x, y), shown.drawn.spot_at(x, y)
            text = spot is None and shown.drawn.place_at(x, y, exact=True) is not None
        shape = Qt.CursorShape.PointingHandCursor if link or spot else Qt.CursorShape.ArrowCursor
        self.viewport().setCursor(Qt.CursorShape.IBeamCursor if text and not link else shape)
        address = revealed_name(link[:LONGEST_SHOWN_ADDRESS])
        if address != self._address:
            self._address = address
            self.viewport().setToolTip(plain_tip(address))
            self.hint.emit(address)
        over = (shown.place if shown is not None else -1, spot)
        if over != self._over:
            self._over = over
            self.viewport().update()

    @guarded()
    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self.selector.end()
        if self._pressed_link and not self.selector.some and event.button() == Qt.MouseButton.LeftButton:
            self.ask_link(self._pressed_link, event.globalPosition().toPoint())
        self._pressed_link = ""

    @guarded()
    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        at = event.position().toPoint()
        shown = self.item_at(at.y())
        if shown is None or shown.drawn is None:
            return
        if shown.drawn.spot_at(at.x(), at.y() - shown.top) is not None:
            self.mousePressEvent(event)
            return
        place = shown.drawn.place_at(at.x(), at.y() - shown.top, exact=True)
        if place is not None:
            self.selector.selection.take(self.items.key(shown.place), shown.drawn.word_at(place))
            self.viewport().update()

    def ask_link(self, address: str, at: QPoint) -> None:
        """Show the whole address, and open it only after that."""
        link_menu(address, self).popup(at)

    def paint_item(self, painter: QPainter, shown: VisibleItem, drawn: DrawnItem) -> None:
        key = self.items.key(shown.place)
        over, spot = self._over
        is_current = key == self._current
        ItemPainter(painter, drawn).paint(
            current=is_current,
            focused=is_current and self._keyboard and self.hasFocus(),
            hovered=spot if over == shown.place else None,
            over=over == shown.place or (is_current and self._keyboard),
            selection=self.selector.selection.span_in(shown.place),
            needle=self.needle,
        )

    @guarded()
    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self._keyboard = event.reason() != Qt.FocusReason.MouseFocusReason
        if self._keyboard and self.current < 0 and self.visible:
            self._current = self.items.key(self.visible[-1].place)
            self._names.focus(self.visible[-1].place)
        self.viewport().update()

    @guarded()
    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.viewport().update()

    @guarded()
    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._over = (-1, None)
        self.viewport().update()
