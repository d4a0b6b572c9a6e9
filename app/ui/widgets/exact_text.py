"""A read-only text of any length: it is shown in steps, and copying gives exactly what is behind the selection."""

from __future__ import annotations

import re
from array import array
from math import ceil
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtGui import QFontMetricsF, QGuiApplication, QKeySequence, QTextCursor, QTextOption
from PySide6.QtWidgets import QMenu, QPlainTextEdit, QSizePolicy, QWidget

from app.marks import revealed
from app.ui.theme import theme, tokens
from app.ui.widgets.guard import guarded
from app.ui.widgets.plain_text import mime_data

if TYPE_CHECKING:
    from PySide6.QtCore import QMimeData
    from PySide6.QtGui import QContextMenuEvent, QKeyEvent, QResizeEvent

TALLEST = 420
# Wrapping takes quadratic time in the length of a line, so a longer one is laid out in parts.
LONGEST_LINE = 1_000
STEP_CHARACTERS = 16 * 1024
# The only ends of lines. A text document has more, but those are marked (`app.marks`).
_LINE_END = re.compile("\r?\n")
_MARK_END = "›"


class ExactText(QPlainTextEdit):
    """Text as tall as its content up to a limit, above which it scrolls.

    Characters that cannot be seen are shown as marks; what is copied has the characters themselves. Emits
    `completed()` when all of a text is shown.
    """

    completed = Signal()

    def __init__(self, name: str, *, fitted: bool = True, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setReadOnly(True)
        self.setTabChangesFocus(True)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        # By itself a read-only text can be selected with the mouse only.
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self._fitted = fitted
        self._source = ""
        # Where each line of the document begins and ends in the source.
        self._starts, self._ends = array("q"), array("q")
        self._read, self._limit = 0, 0
        self._tall = 0
        self.setUndoRedoEnabled(False)
        self._next = QTimer(self, singleShot=True, interval=0)
        self._next.timeout.connect(self._step)
        self._apply_theme()
        theme().changed.connect(self._apply_theme)
        if fitted:
            self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            self.document().documentLayout().documentSizeChanged.connect(lambda _size: self._fit())

    def set_source(self, text: str, first: int) -> None:
        """Show the first characters of a text; `first` is how many."""
        self._next.stop()
        self._source, self._read, self._limit = text, 0, min(first, len(text))
        self._starts, self._ends = array("q"), array("q")
        self.setPlainText(self._lines(min(self._limit, STEP_CHARACTERS)))
        self._next.start()

    @property
    def source(self) -> str:
        """The whole text."""
        return self._source

    @property
    def complete(self) -> bool:
        """Whether all of the text is shown."""
        return self._read >= len(self._source)

    def show_all(self) -> None:
        """Show the rest, a step in each turn of the loop."""
        self._limit = len(self._source)
        self._next.start()

    def selected_source(self) -> str:
        """The part of the source that is selected; all of it when nothing is."""
        cursor = self.textCursor()
        if not cursor.hasSelection():
            return self._source
        first, last = self._place(cursor.selectionStart()), self._place(cursor.selectionEnd())
        return self._source[first:last]

    def copy_source(self) -> None:
        """Put the selected part on the clipboard, all of the text when nothing is selected."""
        QGuiApplication.clipboard().setText(self.selected_source())

    @guarded()
    def createMimeDataFromSelection(self) -> QMimeData:
        return mime_data(self.selected_source())

    def _apply_theme(self) -> None:
        self.setFont(theme().font("mono"))
        self.setTabStopDistance(self.fontMetrics().horizontalAdvance("  "))

    def _step(self) -> None:
        if self._read < self._limit:
            cursor = QTextCursor(self.document())
            cursor.movePosition(QTextCursor.MoveOperation.End)
            cursor.insertText("\n" + self._lines(min(self._limit, self._read + STEP_CHARACTERS)))
            self._next.start()
        elif self.complete:
            self.completed.emit()

    def _lines(self, limit: int) -> str:
        """The next lines up to about `limit`, as they are shown. The last one may be a part of its line."""
        text, at, lines = self._source, self._read, []
        # Both characters of an end stay together.
        limit += text[limit - 1 : limit + 1] == "\r\n"
        while True:
            found = _LINE_END.search(text, at, limit)
            end = limit if found is None else found.start()
            while end - at > LONGEST_LINE:
                lines.append(self._line(at, at + LONGEST_LINE))
                at += LONGEST_LINE
            # A portion that ends with a line has no further one: the next portion begins with that.
            if found is not None or at < limit or not lines or limit == len(text):
                lines.append(self._line(at, end))
            if found is None:
                self._read = limit
                return "\n".join(lines)
            at = found.end()

    def _line(self, start: int, end: int) -> str:
        self._starts.append(start)
        self._ends.append(end)
        return revealed(self._source[start:end])

    def _place(self, position: int) -> int:
        """The place in the source for a position in the document."""
        block = self.document().findBlock(position)
        number, column = block.blockNumber(), position - block.position()
        start, end = self._starts[number], self._ends[number]
        shown, at = revealed(self._source[start:end]), 0
        for place in range(start, end):
            character = self._source[place]
            after = at + 1 if shown[at] == character else shown.index(_MARK_END, at) + 1
            # A document counts in units of UTF-16.
            column -= after - at + (shown[at] > "\uffff")
            if column < 0:
                return place
            at = after
        return end

    def sizeHint(self) -> QSize:
        hint = super().sizeHint()
        return QSize(hint.width(), self._tall or hint.height()) if self._fitted else hint

    def minimumSizeHint(self) -> QSize:
        if not self._fitted:
            return super().minimumSizeHint()
        return QSize(0, min(self._tall, theme().px(TALLEST)))

    def _fit(self) -> None:
        # The document of a QPlainTextEdit measures its height in lines.
        lines = max(1, int(self.document().size().height()))
        margins = 2 * self.document().documentMargin() + theme().px(tokens.SPACE_4)
        wanted = ceil(lines * QFontMetricsF(self.font()).lineSpacing() + margins)
        tall = min(wanted, theme().px(TALLEST))
        off, needed = Qt.ScrollBarPolicy.ScrollBarAlwaysOff, Qt.ScrollBarPolicy.ScrollBarAsNeeded
        self.setVerticalScrollBarPolicy(off if wanted <= theme().px(TALLEST) else needed)
        if tall != self._tall:
            self._tall = tall
            self.updateGeometry()

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self._fitted:
            self._fit()

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy_source()
        else:
            super().keyPressEvent(event)

    @guarded()
    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        words = self.tr("Copy") if self.textCursor().hasSelection() else self.tr("Copy all")
        menu.addAction(words, QKeySequence(QKeySequence.StandardKey.Copy), self.copy_source)
        menu.addAction(self.tr("Select all"), QKeySequence(QKeySequence.StandardKey.SelectAll), self.selectAll)
        menu.popup(event.globalPos())
