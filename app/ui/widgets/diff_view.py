"""DiffView: a difference of two files in one column or two, read and copied with mouse, keyboard and screen reader.

All rows are as high as each other, so only those in view are painted, whatever the length.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, QRect, QRectF, Qt, Signal
from PySide6.QtGui import QGuiApplication, QKeySequence, QPainter, QPen
from PySide6.QtWidgets import QAbstractScrollArea, QFrame

from app.marks import revealed
from app.ui.theme import theme, tokens
from app.ui.widgets.announce import announce
from app.ui.widgets.diff_painter import DiffMetrics, DiffPainter
from app.ui.widgets.diff_rows import DiffRows, shown
from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QContextMenuEvent, QFocusEvent, QKeyEvent, QMouseEvent, QPaintEvent, QResizeEvent
    from PySide6.QtWidgets import QWidget

    from app.ui.widgets.diff_rows import DiffRow, DiffRowLine

# So many characters of a line are read aloud.
LONGEST_SPOKEN = 300


class DiffView(QAbstractScrollArea):
    """`menu_wanted(global position)`; `said(str)`: what was done; `left_upwards()`: Up on the first row."""

    menu_wanted = Signal(QPoint)
    said = Signal(str)
    left_upwards = Signal()

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown = DiffRows()
        self._beside = False
        self._current = self._anchor = 0
        self._keyboard = False
        self._metrics = DiffMetrics.of(1)
        self.setAccessibleName(name)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.viewport().setCursor(Qt.CursorShape.IBeamCursor)
        self._keys: dict[int, Callable[[], int]] = {
            Qt.Key.Key_Down: lambda: self._current + 1,
            Qt.Key.Key_J: lambda: self._current + 1,
            Qt.Key.Key_Up: lambda: self._current - 1,
            Qt.Key.Key_K: lambda: self._current - 1,
            Qt.Key.Key_PageDown: lambda: self._current + self._page(),
            Qt.Key.Key_PageUp: lambda: self._current - self._page(),
            Qt.Key.Key_Home: lambda: 0,
            Qt.Key.Key_End: lambda: len(self._shown.rows) - 1,
        }
        theme().changed.connect(self._fit)

    @property
    def beside(self) -> bool:
        """Whether it has two columns."""
        return self._beside

    @property
    def current(self) -> int:
        """The row that keys act on."""
        return self._current

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self._shown.rows)

    def show_rows(self, rows: DiffRows, *, beside: bool, stay: bool = False) -> None:
        """Show a difference. With `stay` it is one that is in view already: the place is kept."""
        number = self._number_in_view() if stay else 0
        self._shown, self._beside = rows, beside
        last = max(0, len(rows.rows) - 1)
        self._current = min(self._current, last) if stay else 0
        self._anchor = self._current
        self._fit()
        if number:
            self._go_to_number(number)
        elif not stay:
            self.verticalScrollBar().setValue(0)
            self.horizontalScrollBar().setValue(0)

    def step_change(self, way: int) -> bool:
        """Go to the next group of changed rows, or the one before. False if there is none."""
        starts = self._shown.starts
        place = bisect_right(starts, self._current) if way > 0 else bisect_left(starts, self._current) - 1
        if not 0 <= place < len(starts):
            self.said.emit(self.tr("No further change"))
            return False
        self._go(starts[place], top=True)
        return True

    def selected_text(self) -> str:
        """The selected lines without signs and numbers; of a row with two different ones, the new one."""
        first, last = sorted((self._anchor, self._current))
        rows = (row for row in self._shown.rows[first : last + 1] if not row.is_heading)
        return "\n".join(line.text for row in rows if (line := row.new or row.old) is not None)

    def copy(self) -> None:
        """Put the selected lines on the clipboard."""
        text = self.selected_text()
        if text:
            QGuiApplication.clipboard().setText(text)
            self.said.emit(self.tr("Copied"))

    def spoken(self, place: int) -> str:
        """A row in words."""
        row = self._shown.rows[place]
        if row.is_heading and row.old is not None:
            return row.old.text
        if row.is_change:
            words = [
                self.tr("removed, line {0}: {1}").format(row.old.number, _spoken(row.old)) if row.old else "",
                self.tr("added, line {0}: {1}").format(row.new.number, _spoken(row.new)) if row.new else "",
            ]
            return "; ".join(filter(None, words))
        line = row.new or row.old
        return self.tr("line {0}: {1}").format(line.number, _spoken(line)) if line is not None else ""

    def _page(self) -> int:
        return max(1, self.viewport().height() // self._metrics.height - 1)

    def _fit(self) -> None:
        self._metrics = metrics = DiffMetrics.of(self._shown.digits)
        area = self.viewport().size()
        bar = self.verticalScrollBar()
        bar.setPageStep(area.height())
        bar.setSingleStep(metrics.height)
        bar.setRange(0, max(0, len(self._shown.rows) * metrics.height - area.height()))
        wide = round(self._shown.columns * metrics.letter) + metrics.gap
        room = self._words_width()
        across = self.horizontalScrollBar()
        across.setPageStep(room)
        across.setSingleStep(round(metrics.letter * 4))
        across.setRange(0, max(0, wide - room))
        self.viewport().update()

    def _words_width(self) -> int:
        wide, metrics = self.viewport().width(), self._metrics
        numbers = metrics.numbers if self._beside else 2 * metrics.numbers
        return max(1, (wide // 2 if self._beside else wide) - numbers - metrics.sign)

    def _number_in_view(self) -> int:
        """The number of the first line of the new file in view."""
        first = self.verticalScrollBar().value() // self._metrics.height
        if first == 0:
            return 0
        for row in self._shown.rows[first : first + self._page() + 1]:
            if row.new is not None and row.new.number:
                return row.new.number
        return 0

    def _go_to_number(self, number: int) -> None:
        for place, row in enumerate(self._shown.rows):
            if row.new is not None and row.new.number >= number:
                self.verticalScrollBar().setValue(place * self._metrics.height)
                return

    def _go(self, place: int, *, extend: bool = False, top: bool = False) -> None:
        if not self._shown.rows:
            return
        self._current = min(max(place, 0), len(self._shown.rows) - 1)
        if not extend:
            self._anchor = self._current
        height, bar = self._metrics.height, self.verticalScrollBar()
        y = self._current * height
        if top and not bar.value() + height <= y <= bar.value() + self.viewport().height() // 2:
            bar.setValue(y - 2 * height)
        elif y < bar.value():
            bar.setValue(y)
        elif y + height > bar.value() + self.viewport().height():
            bar.setValue(y + height - self.viewport().height())
        self.viewport().update()
        words = self.spoken(self._current)
        self.setAccessibleDescription(words)
        if self.hasFocus():
            announce(self, words)

    def scrollContentsBy(self, _dx: int, _dy: int) -> None:
        self.viewport().update()

    @guarded()
    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self.viewport())
        painter.fillRect(event.rect(), theme().colour("surface"))
        height, top = self._metrics.height, self.verticalScrollBar().value()
        wide = self.viewport().width()
        rows = self._shown.rows
        draw = DiffPainter(painter, self._metrics, self.horizontalScrollBar().value())
        first = (top + event.rect().top()) // height
        last = min(len(rows) - 1, (top + event.rect().bottom()) // height)
        low, high = sorted((self._anchor, self._current))
        for place in range(first, last + 1):
            rect = QRect(0, place * height - top, wide, height)
            if self._beside:
                draw.beside(rows[place], rect)
            else:
                draw.unified(rows[place], rect, twin=self._twin(place))
            if low <= place <= high and self.hasFocus():
                self._paint_current(painter, rect, ring=place == self._current and self._keyboard)
        painter.end()

    def _paint_current(self, painter: QPainter, rect: QRect, *, ring: bool) -> None:
        current = theme()
        painter.fillRect(
            QRect(rect.left(), rect.top(), 2 * tokens.SELECTION_BAR, rect.height()), current.colour("accent")
        )
        if ring:
            painter.setPen(QPen(current.colour("ring"), 1))
            painter.drawRect(QRectF(rect).adjusted(0.5, 0.5, -0.5, -0.5))

    def _twin(self, place: int) -> DiffRowLine | None:
        """The line that a line of one column replaces, or that replaces it, where both stand alone."""
        rows = self._shown.rows
        row = rows[place]
        if not row.is_change or row.is_heading:
            return None
        gone, new = (place, place + 1) if row.new is None else (place - 1, place)
        if gone < 0 or new >= len(rows) or rows[gone].new is not None or rows[new].old is not None:
            return None
        before = rows[gone - 1] if gone else None
        after = rows[new + 1] if new + 1 < len(rows) else None
        if _changes(before) or _changes(after):
            return None
        return rows[new].new if row.new is None else rows[gone].old

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        bare = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        plain, extend = bare == Qt.KeyboardModifier.NoModifier, bare == Qt.KeyboardModifier.ShiftModifier
        self._keyboard = True
        move = self._keys.get(event.key()) if plain or (extend and event.key() != Qt.Key.Key_J) else None
        if move is not None and plain and event.key() == Qt.Key.Key_Up and self._current == 0:
            self.left_upwards.emit()
        elif move is not None:
            self._go(move(), extend=extend)
        elif bare == Qt.KeyboardModifier.AltModifier and event.key() in (Qt.Key.Key_Down, Qt.Key.Key_Up):
            self.step_change(1 if event.key() == Qt.Key.Key_Down else -1)
        elif plain and event.key() in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            bar = self.horizontalScrollBar()
            bar.setValue(bar.value() + bar.singleStep() * (1 if event.key() == Qt.Key.Key_Right else -1))
        elif event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        elif event.matches(QKeySequence.StandardKey.SelectAll):
            self._anchor = 0
            self._current = max(0, len(self._shown.rows) - 1)
            self.viewport().update()
        elif event.key() == Qt.Key.Key_Menu or (extend and event.key() == Qt.Key.Key_F10):
            at = QPoint(theme().px(tokens.SPACE_6), self._current * self._metrics.height)
            self.menu_wanted.emit(self.viewport().mapToGlobal(at - QPoint(0, self.verticalScrollBar().value())))
        else:
            event.ignore()
            return
        event.accept()

    def _place_at(self, y: float) -> int:
        place = int(y + self.verticalScrollBar().value()) // self._metrics.height
        return min(max(0, place), max(0, len(self._shown.rows) - 1))

    @guarded()
    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self._shown.rows:
            self._keyboard = False
            self._current = self._place_at(event.position().y())
            if not event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
                self._anchor = self._current
            self.viewport().update()

    @guarded()
    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if event.buttons() & Qt.MouseButton.LeftButton and self._shown.rows:
            self._go(self._place_at(event.position().y()), extend=True)

    @guarded()
    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        self.menu_wanted.emit(event.globalPos())

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    @guarded()
    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self._keyboard = event.reason() != Qt.FocusReason.MouseFocusReason
        self.viewport().update()

    @guarded()
    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.viewport().update()


def _spoken(line: DiffRowLine) -> str:
    return revealed(shown(line.text)[:LONGEST_SPOKEN])


def _changes(row: DiffRow | None) -> bool:
    return row is not None and row.is_change
