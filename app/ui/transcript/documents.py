"""Text documents for the parts of an item, laid out for a width in device-independent pixels."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF
from PySide6.QtGui import QTextBlockFormat, QTextCharFormat, QTextCursor, QTextOption

from app.ui.theme import theme, tokens
from app.ui.widgets.markdown_document import OfflineDocument, is_code, show_markdown
from app.ui.widgets.prose import is_quick

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PySide6.QtGui import QTextDocument

    from app.ui.transcript.card import PartKind

# Qt lays Markdown of this length out in 5 ms. Longer texts are divided, so that a growing one is only laid out anew
# at its end.
LONGEST_PIECE = 3_000
# Where a text may be divided: before a heading, or a paragraph that begins with a letter, behind an empty line.
_DIVIDE = re.compile(r"\n\n(?=#{1,6} |\w)")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})", re.MULTILINE)
DIFF_COLOURS = {"+": ("good_fill", "good"), "-": ("bad_fill", "bad"), "@": ("", "muted")}


def document_of(kind: PartKind, text: str, tone: str, width: int, dots: int) -> QTextDocument:
    """One document."""
    document = OfflineDocument()
    document.setUndoRedoEnabled(False)
    document.setDocumentMargin(0)
    option = QTextOption()
    option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
    document.setDefaultTextOption(option)
    if kind == "markdown" and is_quick(text):
        show_markdown(document, text, dots)
        if has_code(text):
            _indent_code(document)
    else:
        role = {"mono": "mono", "diff": "mono", "caption": "caption"}.get(kind, "body")
        document.setDefaultFont(theme().font(role))  # type: ignore[arg-type]
        if kind == "diff":
            _fill_diff(document, text)
        else:
            document.setPlainText(text)
    document.setTextWidth(width)
    return document


def pieces_of(text: str) -> list[str]:
    """Markdown in pieces that mean the same one below the other: never divided within a block of code or a list."""
    if len(text) <= LONGEST_PIECE:
        return [text]
    fences = [found.start() for found in _FENCE.finditer(text)]
    pieces, start, fence = [], 0, 0
    for found in _DIVIDE.finditer(text):
        at = found.start()
        if at - start < LONGEST_PIECE:
            continue
        while fence < len(fences) and fences[fence] < at:
            fence += 1
        # Behind an odd number of fences a block of code is open.
        if fence % 2 == 0:
            pieces.append(text[start:at])
            start = found.end()
    pieces.append(text[start:])
    return pieces


def has_code(markdown: str) -> bool:
    """Whether Markdown may have fenced blocks of code."""
    return "```" in markdown or "~~~" in markdown


def code_blocks(document: QTextDocument) -> Iterator[tuple[QRectF, str]]:
    """The blocks of code of a formatted document: where their lines are in the document, and the text."""
    layout = document.documentLayout()
    block = document.begin()
    lines: list[str] = []
    around = QRectF()
    while block.isValid():
        if is_code(block.blockFormat()):
            rect = layout.blockBoundingRect(block)
            around = around.united(rect) if lines else rect
            lines.append(block.text())
        elif lines:
            yield around, "\n".join(lines)
            lines = []
        block = block.next()
    if lines:
        yield around, "\n".join(lines)


def _indent_code(document: QTextDocument) -> None:
    """Leave room around code for the ground that it is painted on."""
    room = theme().px(tokens.SPACE_2)
    cursor = QTextCursor(document)
    cursor.beginEditBlock()
    block = document.begin()
    while block.isValid():
        form = block.blockFormat()
        if is_code(form):
            form.setLeftMargin(form.leftMargin() + room)
            form.setRightMargin(room)
            form.clearBackground()
            cursor.setPosition(block.position())
            cursor.setBlockFormat(form)
        block = block.next()
    cursor.endEditBlock()


def _fill_diff(document: QTextDocument, text: str) -> None:
    cursor = QTextCursor(document)
    cursor.beginEditBlock()
    current = theme()
    for number, line in enumerate(text.split("\n")):
        ground, ink = DIFF_COLOURS.get(line[:1], ("", "text"))
        block, form = QTextBlockFormat(), QTextCharFormat()
        if ground:
            block.setBackground(current.colour(ground))
        form.setForeground(current.colour(ink))
        if number:
            cursor.insertBlock(block, form)
        else:
            cursor.setBlockFormat(block)
            cursor.setBlockCharFormat(form)
        cursor.insertText(line, form)
    cursor.endEditBlock()
