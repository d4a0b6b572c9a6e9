"""Lays Markdown of others out in a text document, without its HTML, its pictures and anything that would be loaded.

Qt reads Markdown with md4c (CommonMark and GitHub's dialect), which it brings; so no second parser is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication
from PySide6.QtGui import (
    QFont,
    QImage,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
    QTextFormat,
    QTextFrameFormat,
    QTextTable,
)

from app.ui.theme import theme, tokens

if TYPE_CHECKING:
    from PySide6.QtCore import QUrl

FEATURES = QTextDocument.MarkdownFeature.MarkdownDialectGitHub | QTextDocument.MarkdownFeature.MarkdownNoHTML
LONGEST_SHOWN_ADDRESS = 300
POINTS_PER_INCH = 72
PICTURE = "\ufffc"


class OfflineDocument(QTextDocument):
    """A document that loads nothing: a text must not read files or call servers."""

    def loadResource(self, kind: int, name: QUrl | str) -> object:
        return nothing_loaded()


def show_markdown(document: QTextDocument, markdown: str, dots: int) -> None:
    """Replace the content by formatted Markdown in the font and the colours of the theme. `dots`: of the screen, per
    inch. Hidden characters are shown as they are: apply `marks.revealed` before."""
    font = QFont(theme().font("body"))
    # Qt computes the spacing of Markdown from the point size, which a font with a pixel size does not have.
    font.setPointSizeF(font.pixelSize() * POINTS_PER_INCH / dots)
    document.setDefaultFont(font)
    document.setMarkdown(markdown, FEATURES)
    _name_pictures(document)
    _set_margins(document)


def nothing_loaded() -> QImage:
    """The answer to `loadResource` that loads nothing.

    For an answer without content Qt reads the file or the `data:` address itself (`QTextDocument::loadResource`).
    """
    image = QImage(1, 1, QImage.Format.Format_ARGB32)
    image.fill(0)
    return image


def is_code(form: QTextFormat) -> bool:
    """Whether the format of a block is that of code."""
    return form.hasProperty(QTextFormat.Property.BlockCodeFence) or form.boolProperty(
        int(QTextFormat.Property.BlockNonBreakableLines)
    )


def _name_pictures(document: QTextDocument) -> None:
    """Put words in the place of pictures."""
    editing = QTextCursor(document)
    # As one edit: else the document is laid out anew for each picture.
    editing.beginEditBlock()
    cursor = document.find(PICTURE)
    while not cursor.isNull():
        form = cursor.charFormat()
        if form.isImageFormat():
            image = form.toImageFormat()
            words = image.stringProperty(int(QTextFormat.Property.ImageAltText)) or _tr("picture")
            plain = QTextCharFormat()
            plain.setForeground(theme().colour("muted"))
            cursor.insertText(f"[{words[:LONGEST_SHOWN_ADDRESS]}: {image.name()[:LONGEST_SHOWN_ADDRESS]}]", plain)
        cursor = document.find(PICTURE, cursor)
    editing.endEditBlock()


def _set_margins(document: QTextDocument) -> None:
    """Set the space between blocks and the size of headings, and wrap code on a background of its own."""
    current = theme()
    gap, tight = current.px(tokens.SPACE_2), current.px(2)
    former = ""
    cursor = QTextCursor(document)
    cursor.beginEditBlock()
    block = document.begin()
    while block.isValid():
        cursor.setPosition(block.position())
        form = block.blockFormat()
        code = is_code(form)
        in_table = cursor.currentTable() is not None
        kind = "table" if in_table else "code" if code else "list" if block.textList() is not None else "text"
        if not former or in_table:
            top = 0
        elif kind != former or kind == "text":
            top = gap
        else:
            top = tight if kind == "list" else 0
        form.setTopMargin(top)
        form.setBottomMargin(0)
        if code:
            form.setNonBreakableLines(False)
            form.setBackground(current.colour("raised"))
        cursor.setBlockFormat(form)
        if form.headingLevel():
            _size_heading(cursor, form.headingLevel())
        former = kind
        block = block.next()
    _frame_tables(document)
    cursor.endEditBlock()


def _size_heading(cursor: QTextCursor, level: int) -> None:
    cursor.movePosition(QTextCursor.MoveOperation.EndOfBlock, QTextCursor.MoveMode.KeepAnchor)
    form = QTextCharFormat()
    # Qt's own sizes are those of a page, three times as large as the text beside it.
    form.setProperty(QTextFormat.Property.FontSizeAdjustment, {1: 2, 2: 1}.get(level, 0))
    cursor.mergeCharFormat(form)


def _frame_tables(document: QTextDocument) -> None:
    current = theme()
    for frame in document.rootFrame().childFrames():
        if not isinstance(frame, QTextTable):
            continue
        form = frame.format()
        form.setBorderCollapse(True)
        form.setBorder(1)
        form.setBorderBrush(current.colour("border"))
        form.setBorderStyle(QTextFrameFormat.BorderStyle.BorderStyle_Solid)
        form.setCellPadding(current.px(tokens.SPACE_1))
        form.setCellSpacing(0)
        form.setTopMargin(current.px(tokens.SPACE_2))
        frame.setFormat(form)
        for column in range(frame.columns()):
            cell = frame.cellAt(0, column)
            cursor = cell.firstCursorPosition()
            # Behind a block of code Qt begins a table with an empty line.
            if cursor.block() != cell.lastCursorPosition().block() and not cursor.block().text():
                cursor.deleteChar()
            cursor.setPosition(cell.lastCursorPosition().position(), QTextCursor.MoveMode.KeepAnchor)
            bold = QTextCharFormat()
            bold.setFontWeight(QFont.Weight.DemiBold)
            cursor.mergeCharFormat(bold)


def _tr(text: str) -> str:
    return QCoreApplication.translate("Prose", text)
