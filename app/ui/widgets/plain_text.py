"""A text edit that gives back exactly the text it was given."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from PySide6.QtCore import QMimeData, QStringListModel, Qt
from PySide6.QtGui import QTextBlockFormat, QTextCharFormat, QTextCursor, QTextFormat
from PySide6.QtWidgets import QPlainTextEdit

from app.ui.widgets.guard import guarded
from app.ui.widgets.menus import open_edit_menu

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PySide6.QtGui import QContextMenuEvent, QKeyEvent, QTextBlock
    from PySide6.QtWidgets import QWidget

# Where Qt starts a block.
BREAKS = re.compile("\r\n|[\n\r\u2029\ufdd0\ufdd1]")
# What a conversion to QString drops or takes for a mark of the byte order: lone surrogates, U+FEFF and U+FFFE.
LOST = re.compile("[\ud800-\udfff\ufeff\ufffe]")
STAND_IN = "\ufffd"
# Qt lays a whole block out for each key. A longer line is shown as several, which are still one line of the text.
LONGEST_BLOCK = 2_000
# A text without any of these is what Qt would make of it.
UNUSUAL = re.compile(f"[\r\u2029\ufdd0\ufdd1\ud800-\udfff\ufeff\ufffe]|[^\n]{{{LONGEST_BLOCK + 1}}}")
SEPARATORS = ("\n", "\r\n", "\r", "\u2029", "\ufdd0", "\ufdd1", "")
NEWLINE, CRLF, NOTHING = 0, 1, SEPARATORS.index("")
SEPARATOR = QTextFormat.Property.UserProperty.value + 1
CODE_POINT = QTextFormat.Property.UserProperty.value + 2


class FileTaker(Protocol):
    """`takes` says whether data is files or a picture; `take` attaches them, False if it is something else."""

    def takes(self, data: QMimeData) -> bool: ...
    def take(self, data: QMimeData) -> bool: ...


class PlainTextEdit(QPlainTextEdit):
    """Holds any string, as `text()`. `toPlainText` of Qt turns no-break spaces and several line ends into others.

    A block of the document starts after a line end, and after 2,000 characters without one. Its separator stands for
    the line end of most of the text, LF or CRLF, unless its character format says another. Code points that no QString
    can hold are shown as U+FFFD, whose format says which they are. So undo, paste and partial deletion keep what they
    stand for.

    `attach` takes files and pictures that are pasted or dropped here, where there is a place for them.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.attach: FileTaker | None = None
        # Whether line ends other than LF or stand-ins were put in since `set_text`: only then blocks are looked at.
        self._marked = False
        # Which line end a separator without a mark stands for. It changes only while nothing can be undone.
        self._plain = NEWLINE

    def text(self) -> str:
        """The whole text."""
        raw = self.document().toRawText()
        if not self._marked:
            return raw.replace("\u2029", SEPARATORS[self._plain])
        return "".join(self._pieces(0, self.document().characterCount() - 1))

    def set_text(self, text: str) -> None:
        """Replace the text. There is nothing to undo afterwards."""
        self._marked, self._plain = False, _end_of(text)
        usual = self._usual(text)
        if usual is not None:
            super().setPlainText(usual)
            return
        super().setPlainText("")
        self.document().setUndoRedoEnabled(False)
        self._insert(QTextCursor(self.document()), text)
        self.document().setUndoRedoEnabled(True)
        self.moveCursor(QTextCursor.MoveOperation.Start)

    def insert_text(self, text: str) -> None:
        """Replace the selection, or insert at the cursor. One step to undo."""
        cursor, document = self.textCursor(), self.document()
        if document.isEmpty() and not (document.isUndoAvailable() or document.isRedoAvailable()):
            self._marked, self._plain = False, _end_of(text)
        self._insert(cursor, text)
        self.setTextCursor(cursor)
        self.ensureCursorVisible()

    def toPlainText(self) -> str:
        return PlainTextEdit.text(self)

    def setPlainText(self, text: str) -> None:
        self.set_text(text)

    def insertPlainText(self, text: str) -> None:
        self.insert_text(text)

    def selected_text(self) -> str:
        """The selected part of the text."""
        cursor = self.textCursor()
        return "".join(self._pieces(cursor.selectionStart(), cursor.selectionEnd()))

    @guarded(default=False)
    def canInsertFromMimeData(self, source: QMimeData) -> bool:
        return (self.attach is not None and self.attach.takes(source)) or super().canInsertFromMimeData(source)

    @guarded()
    def insertFromMimeData(self, source: QMimeData) -> None:
        if (self.attach is None or not self.attach.take(source)) and source.hasText():
            self.insert_text(source.text())

    def createMimeDataFromSelection(self) -> QMimeData:
        return mime_data(self.selected_text())

    @guarded()
    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = self.createStandardContextMenu()
        if menu is not None:
            open_edit_menu(menu, event.globalPos())

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        key, cursor = event.key(), self.textCursor()
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not self.isReadOnly():
            # Qt would write U+2028 with Shift, and else the line end of wherever the cursor is.
            if not event.modifiers() & (Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier):
                self.insert_text(self._line_end())
                return
        elif key in (Qt.Key.Key_Backspace, Qt.Key.Key_Delete) and not cursor.hasSelection() and self._marked:
            self._take_soft_break(cursor, back=key == Qt.Key.Key_Backspace)
        super().keyPressEvent(event)

    def _take_soft_break(self, cursor: QTextCursor, *, back: bool) -> None:
        """Delete the break beside the cursor if it stands for no character, so that the key deletes one."""
        block = cursor.block() if back else cursor.block().next()
        beside = cursor.atBlockStart() if back else cursor.atBlockEnd()
        if beside and block.isValid() and block.blockNumber() > 0 and self._separator(block) == NOTHING:
            cursor.deletePreviousChar() if back else cursor.deleteChar()

    def _line_end(self) -> str:
        """The line end of this text: CRLF if its first one is."""
        second = self.document().firstBlock().next()
        while second.isValid() and self._separator(second) == NOTHING:
            second = second.next()
        return "\r\n" if second.isValid() and self._separator(second) == CRLF else "\n"

    def _separator(self, block: QTextBlock) -> int:
        """Which line end stands before a block, as an index of `SEPARATORS`."""
        found = block.charFormat().property(SEPARATOR)
        return found if isinstance(found, int) else self._plain

    def _usual(self, text: str) -> str | None:
        """The text as Qt takes it in, with LF for the line ends that need no mark; None if something needs one."""
        if self._plain == CRLF:
            if _end_of(text) != CRLF and "\n" in text:
                return None
            text = text.replace("\r\n", "\n")
        return text if UNUSUAL.search(text) is None else None

    def _insert(self, cursor: QTextCursor, text: str) -> None:
        usual = self._usual(text)
        if usual is not None:
            cursor.insertText(usual, QTextCharFormat())
            return
        cursor.beginEditBlock()
        cursor.removeSelectedText()
        start = 0
        for found in BREAKS.finditer(text):
            self._insert_line(cursor, text[start : found.start()])
            self._insert_break(cursor, SEPARATORS.index(found[0]))
            start = found.end()
        self._insert_line(cursor, text[start:])
        cursor.endEditBlock()

    def _insert_line(self, cursor: QTextCursor, line: str) -> None:
        for start in range(0, len(line), LONGEST_BLOCK):
            if start:
                self._insert_break(cursor, NOTHING)
            self._insert_run(cursor, line[start : start + LONGEST_BLOCK])

    def _insert_run(self, cursor: QTextCursor, run: str) -> None:
        start = 0
        for found in LOST.finditer(run):
            cursor.insertText(run[start : found.start()], QTextCharFormat())
            mark = QTextCharFormat()
            mark.setProperty(CODE_POINT, ord(found[0]))
            cursor.insertText(STAND_IN, mark)
            self._marked = True
            start = found.end()
        if start < len(run):
            cursor.insertText(run[start:], QTextCharFormat())

    def _insert_break(self, cursor: QTextCursor, separator: int) -> None:
        mark = QTextCharFormat()
        if separator != self._plain:
            mark.setProperty(SEPARATOR, separator)
            self._marked = True
        cursor.insertBlock(QTextBlockFormat(), mark)

    def _pieces(self, start: int, end: int) -> Iterator[str]:
        """The text between two positions of the document."""
        block = self.document().findBlock(start)
        while block.isValid() and block.position() <= end:
            first = block.position()
            if first > start:
                yield SEPARATORS[self._separator(block)]
            if STAND_IN in block.text():
                yield from _marked_pieces(block, start, end)
            else:
                yield _units(block.text(), max(0, start - first), end - first)
            block = block.next()


def mime_data(text: str) -> QMimeData:
    """A text for the clipboard.

    Made by Qt: the process crashes at its end if the clipboard still holds a QMimeData that Python made.
    """
    model = QStringListModel([""])
    data = model.mimeData([model.index(0)])
    data.clear()
    data.setText(text)
    return data


def _end_of(text: str) -> int:
    """CRLF if each LF of a text belongs to one, else LF; as an index of `SEPARATORS`."""
    found = text.count("\r\n")
    return CRLF if found and found == text.count("\n") else NEWLINE


def _marked_pieces(block: QTextBlock, start: int, end: int) -> Iterator[str]:
    """The part of a block between two positions of the document, with what its stand-ins stand for."""
    step = block.begin()
    while not step.atEnd():
        fragment = step.fragment()
        at = fragment.position()
        code = fragment.charFormat().property(CODE_POINT)
        piece = _units(fragment.text(), max(0, start - at), max(0, end - at))
        yield piece.replace(STAND_IN, chr(code)) if isinstance(code, int) else piece
        step += 1


def _units(text: str, start: int, end: int) -> str:
    """A part of a text by UTF-16 code units, in which the positions of a document count."""
    if start <= 0 and end >= 2 * len(text):
        return text
    units = text.encode("utf-16-le", "surrogatepass")
    return units[2 * start : 2 * end].decode("utf-16-le", "surrogatepass")
