"""The list of the application: a one-column table with fixed row height. QListView takes O(N) for each append."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import (
    QElapsedTimer,
    QEvent,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QPainter, QPen
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from app.ui.theme import theme, tokens
from app.ui.theme.icons import paint_icon
from app.ui.widgets.guard import guarded
from app.ui.widgets.rows import Group, Heading, Index, Line, Row, RowModel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtGui import QFocusEvent, QKeyEvent, QMouseEvent, QPaintEvent

    from app.ui.theme.state import State

LEFT = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
RIGHT = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
# A letter that comes later begins a new search.
TYPE_AHEAD_MS = 900
# What these do happens once for each press, however long the key is held.
ONCE = frozenset({Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space, Qt.Key.Key_Delete, Qt.Key.Key_Backspace})
# So many rows before the end, more are asked for.
MORE_WITHIN_ROWS = 12


class RowDelegate(QStyledItemDelegate):
    """Paints a row: selection, glyph, words. Never raises. Places are those of left to right until they are used."""

    def __init__(self, view: ListTable) -> None:
        super().__init__(view)
        self._view = view
        # The row that is being painted: everything in it is mirrored at its middle.
        self._row = QRect()

    @guarded()
    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        line = self._view.rows.line(index.row())
        if line is None:
            return
        self._row = option.rect
        painter.save()
        painter.setLayoutDirection(self._view.layoutDirection())
        try:
            self._paint_background(painter, option, line)
            if isinstance(line, Heading):
                self._paint_heading(painter, option.rect, line)
            elif self._view.two_lines:
                self._paint_two_lines(painter, option.rect, line, selected=_selected(option))
            else:
                self._paint_one_line(painter, option.rect, line, selected=_selected(option))
        finally:
            painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(0, self._view.row_height())

    def _paint_background(self, painter: QPainter, option: QStyleOptionViewItem, line: Line) -> None:
        current = theme()
        rect = option.rect
        if _selected(option) and isinstance(line, Row):
            painter.fillRect(rect, current.colour("selection"))
            bar = QRect(rect.left(), rect.top(), tokens.SELECTION_BAR, rect.height())
            painter.fillRect(self._mirrored(bar), current.colour("accent"))
        elif option.state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(rect, current.colour("hover"))
        if option.state & QStyle.StateFlag.State_HasFocus and self._view.keyboard_focus:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(QPen(current.colour("ring"), tokens.RING))
            painter.drawRoundedRect(QRectF(rect).adjusted(1, 1, -1, -1), 4, 4)

    def _mirrored(self, part: QRect) -> QRect:
        return QStyle.visualRect(self._view.layoutDirection(), self._row, part)

    def _box(self, part: QRectF) -> QRectF:
        """As `_mirrored`."""
        if self._view.isRightToLeft():
            part.moveLeft(self._row.left() + self._row.right() + 1 - part.right())
        return part

    def _write(self, painter: QPainter, area: QRect, align: Qt.AlignmentFlag, text: str) -> None:
        # The painter mirrors the alignment by itself.
        painter.drawText(self._mirrored(area), align, text)

    def _paint_heading(self, painter: QPainter, rect: QRect, line: Heading) -> None:
        current = theme()
        side = current.px(12)
        left = rect.left() + current.px(tokens.SPACE_4)
        name = "chevron-right" if line.folded else "chevron-down"
        box = QRectF(left, rect.center().y() - side / 2 + 1, side, side)
        paint_icon(painter, name, self._box(box), current.colour("muted"))
        painter.setFont(current.font("caption"))
        painter.setPen(current.colour("muted"))
        words = rect.adjusted(current.px(tokens.SPACE_4 + 12 + tokens.SPACE_1), 0, -current.px(tokens.SPACE_3), 0)
        if line.note:
            self._write(painter, words, RIGHT, line.note)
        metrics = painter.fontMetrics()
        text = metrics.elidedText(f"{line.title} · {line.count}", Qt.TextElideMode.ElideRight, words.width())
        self._write(painter, words, LEFT, text)

    def _paint_one_line(self, painter: QPainter, rect: QRect, row: Row, *, selected: bool) -> None:
        current = theme()
        area = self._paint_glyph(painter, rect, row)
        if row.side is not None:
            area = self._paint_state_word(painter, area, row.side)
        painter.setFont(current.font("caption"))
        painter.setPen(current.colour("muted"))
        if row.trailing:
            area = self._paint_right(painter, area, row.trailing)
        if row.state is not None and self._view.show_words and row.worded:
            painter.setPen(current.colour(row.state.tone))
            area = self._paint_right(painter, area, row.state.word)
        if row.badge:
            painter.setPen(current.colour("attention"))
            area = self._paint_beside_title(painter, area, row.badge)
        if row.detail:
            painter.setPen(current.colour("muted"))
            area = self._paint_beside_title(painter, area, row.detail)
        self._paint_title(painter, area, row, selected=selected)

    def _paint_two_lines(self, painter: QPainter, rect: QRect, row: Row, *, selected: bool) -> None:
        current = theme()
        half = (rect.height() - 2 * current.px(6)) // 2
        # A row without a second line has its first one in the middle.
        alone = not (row.detail or row.badge or row.side or (row.state and row.worded))
        top = (rect.height() - half) // 2 if alone else current.px(6)
        upper = QRect(rect.left(), rect.top() + top, rect.width(), half)
        lower = upper.translated(0, half)
        area = self._paint_glyph(painter, upper, row)
        lower.setLeft(area.left())
        lower.setRight(area.right())
        painter.setFont(current.font("caption"))
        painter.setPen(current.colour("muted"))
        if row.trailing:
            area = self._paint_right(painter, area, row.trailing)
        self._paint_title(painter, area, row, selected=selected)
        painter.setFont(current.font("caption"))
        if row.side is not None:
            lower = self._paint_state_word(painter, lower, row.side)
        if row.badge:
            painter.setPen(current.colour("attention"))
            lower = self._paint_right(painter, lower, row.badge)
        worded = row.state is not None and row.worded
        if row.state is not None and row.worded:
            painter.setPen(current.colour(row.state.tone))
            self._write(painter, lower, LEFT, row.state.word)
            lower.setLeft(lower.left() + painter.fontMetrics().horizontalAdvance(row.state.word))
        if row.detail:
            painter.setPen(current.colour("muted"))
            text = f"  ·  {row.detail}" if worded else row.detail
            self._write(
                painter, lower, LEFT, painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, lower.width())
            )

    def _paint_glyph(self, painter: QPainter, rect: QRect, row: Row) -> QRect:
        """Paint the state's glyph; returns the room left for words."""
        current = theme()
        left = current.px(tokens.SPACE_4 + row.level * tokens.SPACE_4)
        if row.state is not None or self._view.align_glyphs:
            side = current.px(tokens.ICON)
            if row.state is not None:
                box = QRectF(rect.left() + left, rect.center().y() - side / 2 + 0.5, side, side)
                paint_icon(painter, row.state.glyph, self._box(box), current.colour(row.state.tone))
            left += side + current.px(tokens.SPACE_2)
        return rect.adjusted(left, 0, -current.px(tokens.SPACE_3), 0)

    def _paint_title(self, painter: QPainter, area: QRect, row: Row, *, selected: bool) -> None:
        current = theme()
        font = current.font("mono" if row.mono else "strong" if selected else "body")
        if row.struck:
            # The theme's font is shared.
            font = type(font)(font)
            font.setStrikeOut(True)
        painter.setFont(font)
        painter.setPen(current.colour("muted" if row.struck or row.muted else "text"))
        title = " ".join(row.title.split())
        self._write(
            painter, area, LEFT, painter.fontMetrics().elidedText(title, Qt.TextElideMode.ElideRight, area.width())
        )

    def _paint_right(self, painter: QPainter, area: QRect, text: str) -> QRect:
        self._write(painter, area, RIGHT, text)
        return area.adjusted(0, 0, -painter.fontMetrics().horizontalAdvance(text) - theme().px(tokens.SPACE_2), 0)

    def _paint_beside_title(self, painter: QPainter, area: QRect, text: str) -> QRect:
        """Paint at the right, in at most 45 % of the room, so that the title stays readable."""
        room = area.width() * 45 // 100
        if room < theme().px(48):
            return area
        return self._paint_right(
            painter, area, painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, room)
        )

    def _paint_state_word(self, painter: QPainter, area: QRect, state: State) -> QRect:
        """Paint glyph and word at the right, in a column of the same width in every row."""
        current = theme()
        painter.setFont(current.font("caption"))
        side, gap = current.px(14), current.px(tokens.SPACE_1)
        width = side + gap + max(painter.fontMetrics().horizontalAdvance(state.word), current.px(36))
        box = QRect(area.right() - width, area.top(), width, area.height())
        colour = current.colour(state.tone)
        glyph = QRectF(box.left(), box.center().y() - side / 2 + 0.5, side, side)
        paint_icon(painter, state.glyph, self._box(glyph), colour)
        painter.setPen(colour)
        self._write(painter, box.adjusted(side + gap, 0, 0, 0), LEFT, state.word)
        return area.adjusted(0, 0, -width - current.px(tokens.SPACE_3), 0)


class ListTable(QTableView):
    """Rows of `Row`, flat or in groups. Selection, scroll place and folding survive an update, by key.

    Signals: `picked(key)` when the current row changes ("" for none), `opened(key)` on Enter or double click,
    `toggled(key)` on Space, `menu_wanted(key, global position)`, `ground_menu_wanted(global position)` beside the rows,
    `need_more()` when the end comes near (once a length), `left_upwards()` when Up is pressed on the first row (a
    filter field may take the focus).
    """

    # The key of a row, exactly: a string of Qt drops a lone surrogate, and U+FEFF at its start.
    picked = Signal(object)
    opened = Signal(object)
    toggled = Signal(object)
    menu_wanted = Signal(str, QPoint)
    ground_menu_wanted = Signal(QPoint)
    need_more = Signal()
    left_upwards = Signal()

    def __init__(
        self,
        name: str,
        *,
        two_lines: bool = False,
        multi: bool = False,
        show_words: bool = False,
        align_glyphs: bool = False,
        type_ahead: bool = True,
        dense: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        """`name` is read aloud. `show_words` adds the state's word at the right of one-line rows (a two-line row always
        has it); leave it out only where a group heading already says the word. `type_ahead=False` frees letters."""
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setProperty("ground", "page")
        self.two_lines, self.show_words, self.align_glyphs = two_lines, show_words, align_glyphs
        # Whether the current row has a ring: the focus came by keyboard, or a key was pressed since.
        self.keyboard_focus = False
        self._dense = dense
        self._type_ahead = type_ahead
        self._typed = ""
        self._typed_at = QElapsedTimer()
        # How many rows there were when more were asked for, so that each length asks once.
        self._asked_at = -1
        # While it is true, a change of the current row is not the person's and is not reported.
        self._quiet = False
        self.rows = RowModel(self)
        self.setModel(self.rows)
        self.rows.rowsInserted.connect(self._fit_headings)
        self.setItemDelegate(RowDelegate(self))
        many, one = QAbstractItemView.SelectionMode.ExtendedSelection, QAbstractItemView.SelectionMode.SingleSelection
        self.setSelectionMode(many if multi else one)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setCornerButtonEnabled(False)
        self.setMouseTracking(True)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.horizontalHeader().setVisible(False)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.horizontalHeader().setMinimumSectionSize(1)
        self.verticalHeader().setVisible(False)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setMinimumSectionSize(1)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._emit_menu_wanted)
        self.doubleClicked.connect(self._emit_opened)
        self.verticalScrollBar().valueChanged.connect(self._ask_for_more)
        self._fit()
        theme().changed.connect(self._fit_and_paint)

    def row_height(self) -> int:
        """Height of every row in device-independent pixels."""
        height = tokens.ROW_TWO_LINES if self.two_lines else tokens.ROW_DENSE if self._dense else tokens.ROW
        return theme().row(height)

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show a flat snapshot."""
        self._update(lambda: self.rows.set_rows(rows))

    def set_groups(self, groups: Sequence[Group]) -> None:
        """Show a grouped snapshot."""
        self._update(lambda: self.rows.set_groups(groups))

    def current_key(self) -> str | None:
        """Key of the current row; None on a heading or nothing."""
        line = self.rows.line(self.currentIndex().row())
        return line.key if isinstance(line, Row) else None

    def selected_keys(self) -> tuple[str, ...]:
        """Keys of the selected rows from top to bottom."""
        places = sorted(index.row() for index in self.selectionModel().selectedRows())
        lines = (self.rows.line(place) for place in places)
        return tuple(line.key for line in lines if isinstance(line, Row))

    def select_key(self, key: str | None, *, quiet: bool = False) -> bool:
        """Make a row current and scroll to it; with `quiet`, without emitting `picked`. False when it is not there."""
        former, self._quiet = self._quiet, quiet or self._quiet
        try:
            if key is None:
                self.clearSelection()
                self.setCurrentIndex(QModelIndex())
                return True
            self.rows.reveal(key)
            place = self.rows.place(key)
            if place < 0:
                return False
            self.setCurrentIndex(self.rows.index(place, 0))
            self.scrollTo(self.rows.index(place, 0))
            return True
        finally:
            self._quiet = former

    def show_selected(self, keys: Sequence[str]) -> bool:
        """Select exactly these rows, as far as they are shown, without emitting anything. False if nothing changed.

        Nothing is unfolded or scrolled. The current row is one of them, or stays a heading.
        """
        places = [place for key in keys if (place := self.rows.place(key)) >= 0]
        current, lines = self.currentIndex().row(), self.rows.lines()
        stays = current in places or isinstance(self.rows.line(current), Heading)
        wanted = current if stays else min(places, default=-1)
        if wanted == current and self.selected_keys() == tuple(lines[place].key for place in sorted(places)):
            return False
        model, flag = self.selectionModel(), QItemSelectionModel.SelectionFlag
        former, self._quiet = self._quiet, True
        try:
            model.clearSelection()
            for place in places:
                model.select(self.rows.index(place, 0), flag.Select | flag.Rows)
            if wanted < 0:
                model.clearCurrentIndex()
            elif wanted != current:
                model.setCurrentIndex(self.rows.index(wanted, 0), flag.NoUpdate)
        finally:
            self._quiet = former
        if self.keyboard_focus and self.hasFocus():
            self.viewport().update()
        return True

    def neighbour(self, keys: Sequence[str]) -> str | None:
        """The row after the last of `keys`, else the one before the first; None if there is none or none is shown."""
        places = [place for key in keys if (place := self.rows.place(key)) >= 0]
        if not places:
            return None
        lines = self.rows.lines()
        near = (*range(max(places) + 1, len(lines)), *range(min(places) - 1, -1, -1))
        return next((lines[place].key for place in near if isinstance(lines[place], Row)), None)

    def fold(self, key: str, folded: bool) -> None:
        """Fold or open a group. A row that is folded away stays what it was: nothing else becomes current instead."""
        former = self.current_key()
        self._update(lambda: self.rows.set_folded(key, folded), told=False)
        if former is not None and self.current_key() is None:
            heading = next((n for n, line in enumerate(self.rows.lines()) if line.key == key), -1)
            if heading >= 0:
                flag = QItemSelectionModel.SelectionFlag.NoUpdate
                self.selectionModel().setCurrentIndex(self.rows.index(heading, 0), flag)

    def first_key(self) -> str | None:
        """The first row that is shown."""
        return next((line.key for line in self.rows.lines() if isinstance(line, Row)), None)

    def select_first(self, *, quiet: bool = False) -> bool:
        """Make the first row (not a heading) current."""
        first = self.first_key()
        return first is not None and self.select_key(first, quiet=quiet)

    def _update(self, change: Callable[[], None], *, told: bool = True) -> None:
        """Change the rows; what was current and selected stays so. `told`: a current row that is gone is reported.

        Qt lets both follow the position of a row. Here they follow its key, also where the row was removed and inserted
        again because it moved.
        """
        key, selected = self.current_key(), self.selected_keys()
        scroll = self.verticalScrollBar().value()
        self._quiet = True
        try:
            change()
            if key is not None and self.current_key() != key:
                place = self.rows.place(key)
                index = self.rows.index(place, 0) if place >= 0 else QModelIndex()
                # Current without being selected: the selection is restored below, and may be of several rows.
                if index.isValid():
                    self.selectionModel().setCurrentIndex(index, QItemSelectionModel.SelectionFlag.NoUpdate)
                else:
                    self.setCurrentIndex(QModelIndex())
            if self.selected_keys() != selected:
                self.clearSelection()
                flags = QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
                for each in selected:
                    place = self.rows.place(each)
                    if place >= 0:
                        self.selectionModel().select(self.rows.index(place, 0), flags)
            self.verticalScrollBar().setValue(scroll)
        finally:
            self._quiet = False
        if told and key is not None and self.current_key() is None:
            self.picked.emit("")
        self._ask_for_more()

    def _fit_headings(self) -> None:
        height = theme().row(tokens.ROW_DENSE)
        for number, line in enumerate(self.rows.lines()):
            if isinstance(line, Heading) and self.rowHeight(number) != height:
                self.setRowHeight(number, height)

    def _fit(self) -> None:
        self.verticalHeader().setDefaultSectionSize(self.row_height())
        self._fit_headings()

    def _fit_and_paint(self) -> None:
        self._fit()
        self.viewport().update()

    @guarded()
    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        # Without a current row the list itself shows that it has the focus.
        if self.keyboard_focus and self.hasFocus() and not self.currentIndex().isValid():
            painter = QPainter(self.viewport())
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(QPen(theme().colour("ring"), tokens.RING))
            painter.drawRoundedRect(QRectF(self.viewport().rect()).adjusted(1, 1, -1, -1), 4, 4)
            painter.end()

    @guarded()
    def currentChanged(self, current: Index, previous: Index) -> None:
        super().currentChanged(current, previous)
        line = self.rows.line(current.row())
        if not self._quiet:
            self.picked.emit(line.key if isinstance(line, Row) else "")

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        key, plain = (
            event.key(),
            event.modifiers() in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier),
        )
        line = self.rows.line(self.currentIndex().row())
        if event.isAutoRepeat() and key in ONCE:
            event.accept()
        elif plain and key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and line is not None:
            if isinstance(line, Heading):
                self.fold(line.key, not line.folded)
            else:
                self.opened.emit(line.key)
        elif plain and key in (Qt.Key.Key_Home, Qt.Key.Key_End):
            self._go_to(0 if key == Qt.Key.Key_Home else self.rows.rowCount() - 1)
        elif plain and key == Qt.Key.Key_Up and self.currentIndex().row() <= 0:
            self.left_upwards.emit()
        elif plain and key in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            self._fold_by_key(line, fold=(key == Qt.Key.Key_Left) != self.isRightToLeft())
        # In a search that is being typed, a space is part of the text.
        elif plain and key == Qt.Key.Key_Space and isinstance(line, Row) and not self._typing():
            self.toggled.emit(line.key)
        elif key == Qt.Key.Key_Menu or (
            key == Qt.Key.Key_F10 and event.modifiers() == Qt.KeyboardModifier.ShiftModifier
        ):
            self.scrollTo(self.currentIndex())
            self._emit_menu_wanted(self.visualRect(self.currentIndex()).center())
        elif plain and key == Qt.Key.Key_Escape:
            event.ignore()
        else:
            super().keyPressEvent(event)
            # Qt's view takes every letter for its search. Ignored, it reaches the place, for which it may be a command.
            if not self._type_ahead and plain and event.text().isprintable() and event.text():
                event.ignore()

    def _fold_by_key(self, line: Line | None, *, fold: bool) -> None:
        if isinstance(line, Heading):
            self.fold(line.key, fold)
        elif fold:
            lines = self.rows.lines()
            place = self.currentIndex().row()
            above = next((number for number in range(place, -1, -1) if isinstance(lines[number], Heading)), None)
            if above is not None:
                self._go_to(above)

    def _go_to(self, place: int) -> None:
        index = self.rows.index(place, 0)
        if index.isValid():
            self.setCurrentIndex(index)
            self.scrollTo(index)

    def _typing(self) -> bool:
        return bool(self._typed) and self._typed_at.isValid() and self._typed_at.elapsed() < TYPE_AHEAD_MS

    @guarded()
    def keyboardSearch(self, search: str) -> None:
        if not self._type_ahead:
            return
        self._typed = self._typed + search.lower() if self._typing() else search.lower()
        self._typed_at.start()
        lines = self.rows.lines()
        # The same letter again goes on to the next row that begins with it.
        repeated = len(set(self._typed)) == 1
        wanted = self._typed[0] if repeated else self._typed
        here = self.currentIndex().row()
        start = here + 1 if repeated or here < 0 else here
        for step in range(len(lines)):
            place = (start + step) % len(lines)
            if isinstance(lines[place], Row) and lines[place].title.lower().startswith(wanted):
                self._go_to(place)
                return

    @guarded()
    def mousePressEvent(self, event: QMouseEvent) -> None:
        line = self.rows.line(self.rowAt(event.position().toPoint().y()))
        if isinstance(line, Heading) and event.button() == Qt.MouseButton.LeftButton:
            self.fold(line.key, not line.folded)
            return
        super().mousePressEvent(event)

    @guarded()
    def focusInEvent(self, event: QFocusEvent) -> None:
        self.keyboard_focus = event.reason() != Qt.FocusReason.MouseFocusReason
        if self.keyboard_focus and not self.currentIndex().isValid():
            self.select_first()
        super().focusInEvent(event)

    @guarded(default=False)
    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.KeyPress and not self.keyboard_focus:
            self.keyboard_focus = True
        return super().event(event)

    def _emit_menu_wanted(self, at: QPoint) -> None:
        line = self.rows.line(self.rowAt(at.y()))
        if isinstance(line, Row):
            self.menu_wanted.emit(line.key, self.viewport().mapToGlobal(at))
        else:
            self.ground_menu_wanted.emit(self.viewport().mapToGlobal(at))

    def _emit_opened(self, index: QModelIndex) -> None:
        line = self.rows.line(index.row())
        if isinstance(line, Row):
            self.opened.emit(line.key)

    def _ask_for_more(self) -> None:
        count = self.rows.rowCount()
        # Not `viewport()`: to wrap the first widget that Qt made itself, PySide defines all widget classes: 20 ms.
        last = self.rowAt(self.maximumViewportSize().height() - 1)
        if count and self._asked_at != count and (last < 0 or last >= count - MORE_WITHIN_ROWS):
            self._asked_at = count
            self.need_more.emit()


def _selected(option: QStyleOptionViewItem) -> bool:
    return bool(option.state & QStyle.StateFlag.State_Selected)
