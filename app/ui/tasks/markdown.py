"""Shows Markdown: selectable, as tall as its content, and without loading anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, QTimer, QUrl
from PySide6.QtGui import QDesktopServices, QFont, QTextCursor, QTextDocument, QTextFormat, QTextOption
from PySide6.QtWidgets import QFrame, QSizePolicy, QTextBrowser, QWidget

from app.ui.tasks.wording import is_web_address, keep_line_breaks
from app.ui.theme import theme, tokens
from app.ui.widgets.guard import guarded
from app.ui.widgets.prose import nothing_loaded

if TYPE_CHECKING:
    from PySide6.QtGui import QResizeEvent

FEATURES = QTextDocument.MarkdownFeature.MarkdownDialectGitHub | QTextDocument.MarkdownFeature.MarkdownNoHTML
POINTS_PER_INCH = 72
FIT_AFTER_MS = 100


class MarkdownView(QTextBrowser):
    """Images and files are not loaded; web links open in the browser."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._source = ""
        self._height = 0
        self._fitted_width = -1
        self._fit_soon = QTimer(self, singleShot=True, interval=FIT_AFTER_MS)
        self._fit_soon.timeout.connect(self._fit)
        self.setAccessibleName(name)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setProperty("prose", "true")
        self.setOpenLinks(False)
        self.setTabChangesFocus(True)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.document().setDocumentMargin(0)
        self.anchorClicked.connect(open_web_link)
        theme().changed.connect(self._render)

    def set_text(self, text: str) -> None:
        """Show a text. If it is shown already, its selection stays."""
        if text != self._source:
            self._source = text
            self._render()

    @property
    def text(self) -> str:
        """The Markdown as it was given."""
        return self._source

    def sizeHint(self) -> QSize:
        return QSize(super().sizeHint().width(), self._height)

    def minimumSizeHint(self) -> QSize:
        return QSize(0, self._height)

    def loadResource(self, kind: int, name: QUrl | str) -> object:
        """Load nothing: a description must not read files or call servers."""
        return nothing_loaded()

    def _render(self) -> None:
        font = QFont(theme().font("body"))
        # Qt computes the spacing of Markdown from the point size, which a font with a pixel size does not have.
        font.setPointSizeF(font.pixelSize() * POINTS_PER_INCH / self.logicalDpiY())
        self.document().setDefaultFont(font)
        self.document().setMarkdown(keep_line_breaks(self._source), FEATURES)
        self._set_margins()
        self._fit()

    def _set_margins(self) -> None:
        """Set the space between blocks, and wrap code on a background of its own."""
        current = theme()
        gap, tight = current.px(tokens.SPACE_2), current.px(2)
        former = ""
        cursor = QTextCursor(self.document())
        cursor.beginEditBlock()
        block = self.document().begin()
        while block.isValid():
            form = block.blockFormat()
            code = form.hasProperty(QTextFormat.Property.BlockCodeFence) or form.nonBreakableLines()
            kind = "code" if code else "list" if block.textList() is not None else "text"
            if not former:
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
            cursor.setPosition(block.position())
            cursor.setBlockFormat(form)
            former = kind
            block = block.next()
        cursor.endEditBlock()

    def _fit(self) -> None:
        if self._fit_soon.isActive():
            self._fit_soon.stop()
        self._fitted_width = self.viewport().width()
        self.document().setTextWidth(self.viewport().width())
        height = round(self.document().size().height()) + 2
        if height != self._height:
            self._height = height
            self.updateGeometry()

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self.viewport().width() == self._fitted_width:
            return
        # Out of view: once it is resized no more.
        if self._fitted_width >= 0 and self.visibleRegion().isEmpty():
            self._fit_soon.start()
        else:
            self._fit()


def open_web_link(link: QUrl | str) -> None:
    """Open a link in the browser if it is http or https; ignore any other."""
    url = link if isinstance(link, QUrl) else QUrl(link)
    if is_web_address(url.toString()):
        QDesktopServices.openUrl(url)
