"""The editor of a list of plain values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from PySide6.QtCore import QLocale, Qt, Signal
from PySide6.QtGui import QTextCursor
from PySide6.QtWidgets import QApplication, QHBoxLayout, QVBoxLayout, QWidget

from app.ui.servers.field_editors import scalar_editor, shown_name
from app.ui.servers.offer_line import OfferLine
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import IconButton, QuietButton
from app.ui.widgets.focus_chain import first_stop, order_after, reveal
from app.ui.widgets.guard import guarded
from app.ui.widgets.lazy_column import LazyColumn
from app.ui.widgets.text_field import TextField
from app.ui.widgets.tips import plain_tip

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QKeyEvent

    from app.core.mcp.forms.fields import Field

# More items than these are shown on request.
SHOWN = 100
CHUNK = 12
LINE_END = re.compile("\r\n|\r|\n")


class ListEditor(QWidget):
    """Plain values one below the other.

    Enter adds an item below, Backspace in an empty one removes it, Alt+Up and Alt+Down move one. A paste is one item,
    whatever lines it has; the editor then offers to make each line an item.
    """

    def __init__(self, field: Field, items: tuple[str, ...], put: Callable[[tuple[str, ...]], None], name: str) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self._field, self._put, self._label = field, put, shown_name(field.label)
        self._items = list(items)
        self._column: LazyColumn | None = None
        self._box = QVBoxLayout(self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(theme().px(tokens.SPACE_1))
        self._add = QuietButton(self.tr("Add item"), "plus", clicked=self.add_item)
        self._add.setAccessibleName(self.tr("Add item: {0}").format(self._label))
        self._all = QuietButton("", kind="flat", clicked=self.show_all)
        self._offer = OfferLine()
        self._box.addWidget(self._all, 0, Qt.AlignmentFlag.AlignLeft)
        self._box.addWidget(self._add, 0, Qt.AlignmentFlag.AlignLeft)
        self._box.addWidget(self._offer)
        self.setFocusProxy(self._add)
        self._build(SHOWN)

    @property
    def items(self) -> tuple[str, ...]:
        """The texts of the items."""
        return tuple(self._items)

    def editor(self, place: int) -> QWidget:
        """The editor of an item. Raises `IndexError`."""
        return self._row(place).editor

    def show_all(self) -> None:
        """Show every item."""
        shown = len(self._column) if self._column is not None else 0
        self._build(len(self._items), focus=shown if self._all.hasFocus() else -1)

    def add_item(self) -> None:
        """Add an empty item at the end."""
        if self._column is not None and len(self._column) < len(self._items):
            self.show_all()
        self.insert_item(len(self._items))

    def insert_item(self, place: int, text: str = "") -> None:
        """Insert an item, which gets the focus."""
        self._items.insert(place, text)
        assert self._column is not None
        self._column.insert(place)
        self._changed(place)
        self.focus_item(place)
        self._offer.clear()

    def remove_item(self, place: int, *, back: bool = False) -> None:
        """Remove an item. The focus goes to the next one, or with `back` to the one before."""
        if not 0 <= place < len(self._items):
            return
        assert self._column is not None
        # Before the item goes: Qt would move the focus out of what is hidden, to anywhere.
        below = place + 1 < len(self._column)
        self.focus_item(place - 1 if (back and place) or not below else place + 1)
        if back and place:
            self._go_to_end(place - 1)
        text = self._items.pop(place)
        self._column.remove(place)
        self._changed(place)
        if text:
            words = self.tr("Item {0} removed").format(place + 1)
            self._offer.say(words, self.tr("Undo"), lambda: self.insert_item(min(place, len(self._items)), text))
        else:
            self._offer.clear()

    def _go_to_end(self, place: int) -> None:
        editor = self.editor(place)
        if isinstance(editor, TextField):
            editor.moveCursor(QTextCursor.MoveOperation.End)

    def move_item(self, place: int, by: int) -> None:
        """Swap an item with its neighbour."""
        other = place + by
        assert self._column is not None
        if 0 <= place < len(self._column) and 0 <= other < len(self._column):
            self._items[place], self._items[other] = self._items[other], self._items[place]
            self._column.swap(min(place, other))
            self._changed(min(place, other))
            self.focus_item(other)
            self._offer.clear()

    def split_item(self, place: int) -> None:
        """Make each line of an item an item."""
        text = self._items[place]
        lines = _lines(text)
        self._replace(place, 1, lines)
        words = self.tr("{0} items added").format(QLocale().toString(len(lines)))
        self._offer.say(words, self.tr("Undo"), lambda: self._replace(place, len(lines), [text]))

    def focus_item(self, place: int) -> None:
        """Put the focus on an item, or on *Add item* if there is none."""
        if self._column is None or not 0 <= place < len(self._column):
            self._add.setFocus(Qt.FocusReason.OtherFocusReason)
            return
        target = first_stop(self._row(place)) or self._add
        target.setFocus(Qt.FocusReason.OtherFocusReason)
        reveal(target)

    def _replace(self, place: int, count: int, texts: list[str]) -> None:
        self._items[place : place + count] = texts
        self._put(self.items)
        self._build(max(SHOWN, len(self._column) if self._column is not None else 0), focus=min(place, SHOWN - 1))
        self._offer.clear()

    def _row(self, place: int) -> _ItemRow:
        assert self._column is not None
        row = self._column.part(place)
        assert isinstance(row, _ItemRow)
        return row

    def _build(self, shown: int, *, focus: int = -1) -> None:
        former, count = self._column, min(shown, len(self._items))
        self._column = LazyColumn(
            count,
            self._make,
            self._chunk_words,
            size=CHUNK,
            estimate=tokens.CONTROL,
            spacing=tokens.SPACE_1,
        )
        self._column.follower = self._add
        self._box.insertWidget(0, self._column)
        if former is not None:
            order_after(self, [self._column])
            if focus >= 0:
                self.focus_item(focus)
            former.hide()
            former.deleteLater()
        self._all.setText(self.tr("Show all {0} items").format(QLocale().toString(len(self._items))))
        self._all.setVisible(count < len(self._items))

    def _chunk_words(self, first: int, last: int) -> str:
        return self.tr("{0}, items {1} to {2}").format(self._label, first, last)

    def _make(self, place: int) -> QWidget:
        row = _ItemRow(self._field, self._items[place], self._item_words(place))
        row.edited.connect(lambda text: self._edited(row, text))
        row.removed.connect(lambda: self.remove_item(self._place(row)))
        row.pasted.connect(lambda: self._offer_lines(row))
        return row

    def _item_words(self, place: int) -> str:
        return self.tr("{0}, item {1}").format(self._label, place + 1)

    def _place(self, row: QWidget) -> int:
        assert self._column is not None
        return self._column.place_of(row)

    def _edited(self, row: QWidget, text: str) -> None:
        self._items[self._place(row)] = text
        self._offer.clear()
        self._put(self.items)

    def _offer_lines(self, row: QWidget) -> None:
        place = self._place(row)
        count = QLocale().toString(len(_lines(self._items[place])))
        words = self.tr("Item {0} has {1} lines").format(QLocale().toString(place + 1), count)
        self._offer.say(words, self.tr("Make {0} items").format(count), lambda: self.split_item(place))

    def _changed(self, place: int) -> None:
        """Items were added or removed from `place` on."""
        assert self._column is not None
        for number, row in self._column.made_from(place):
            assert isinstance(row, _ItemRow)
            row.set_name(self._item_words(number))
        self._put(self.items)

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        row: QWidget | None = QApplication.focusWidget()
        while row is not None and not isinstance(row, _ItemRow):
            row = row.parentWidget()
        key, modifiers = event.key(), event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if row is None:
            super().keyPressEvent(event)
            return
        place = self._place(row)
        if key in (Qt.Key.Key_Up, Qt.Key.Key_Down) and modifiers == Qt.KeyboardModifier.AltModifier:
            self.move_item(place, -1 if key == Qt.Key.Key_Up else 1)
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and modifiers == Qt.KeyboardModifier.NoModifier:
            self.insert_item(place + 1)
        elif key == Qt.Key.Key_Backspace and not event.isAutoRepeat() and not self._items[place]:
            self.remove_item(place, back=True)
        else:
            super().keyPressEvent(event)


class _ItemRow(QWidget):
    """One item and the button that removes it."""

    edited = Signal(object)
    removed = Signal()
    pasted = Signal()

    def __init__(self, field: Field, text: str, name: str) -> None:
        super().__init__()
        self.editor = scalar_editor(field.item, field.choices, text, name, self.edited.emit)
        if isinstance(self.editor, TextField):
            self.editor.pasted.connect(self.pasted)
        self._remove = IconButton("", "cross", clicked=self.removed.emit)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.editor, 1)
        row.addWidget(self._remove, 0, Qt.AlignmentFlag.AlignTop)
        self.set_name(name)

    def set_name(self, name: str) -> None:
        """Change what the item is called: its number changed."""
        self.editor.setAccessibleName(name)
        words = self.tr("Remove {0}").format(name)
        self._remove.setAccessibleName(words)
        self._remove.setToolTip(plain_tip(words))


def _lines(text: str) -> list[str]:
    """The lines of a text, without an empty one after the last line end."""
    lines = LINE_END.split(text)
    return lines if lines[-1] else lines[:-1]
