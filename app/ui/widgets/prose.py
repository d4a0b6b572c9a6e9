"""Markdown that others wrote: selectable, as tall as its content, and without loading or opening anything by itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, QTimer, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QGuiApplication, QTextOption
from PySide6.QtWidgets import QFrame, QMenu, QSizePolicy, QTextBrowser, QToolTip, QWidget

from app.marks import revealed, revealed_name
from app.ui.theme import theme
from app.ui.widgets.guard import guarded
from app.ui.widgets.markdown_document import LONGEST_SHOWN_ADDRESS, nothing_loaded, show_markdown
from app.ui.widgets.tips import plain_tip

if TYPE_CHECKING:
    from PySide6.QtGui import QContextMenuEvent, QResizeEvent

# Qt reads Markdown at once, while the window waits: 0.1 s for a text of this length. A longer one is not formatted.
LONGEST = 50_000
# Qt takes quadratic time in the rows of a table: 4 s for 8,000. And its columns have no room.
LONGEST_TABLE, WIDEST_TABLE = 1_000, 100
FIT_AFTER_MS = 100


class Prose(QTextBrowser):
    """Shows Markdown without its HTML and its pictures. A link shows its whole address before it opens in the browser,
    and only http and https open.
    """

    link_asked = Signal(str)

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
        self.anchorClicked.connect(self._ask)
        self.highlighted.connect(self._hint)
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

    def prepared(self, text: str) -> str:
        """The Markdown to format, which a kind of text may want changed."""
        return text

    def sizeHint(self) -> QSize:
        return QSize(super().sizeHint().width(), self._height)

    def minimumSizeHint(self) -> QSize:
        return QSize(0, self._height)

    def loadResource(self, kind: int, name: QUrl | str) -> object:
        """Load nothing: a text must not read files or call servers."""
        return nothing_loaded()

    def _render(self) -> None:
        if is_quick(self._source):
            show_markdown(self.document(), self.prepared(revealed(self._source)), self.logicalDpiY())
        else:
            self.document().setDefaultFont(theme().font("body"))
            self.document().setPlainText(revealed(self._source[:LONGEST]))
        self._fit()

    def _fit(self) -> None:
        self._fit_soon.stop()
        self._fitted_width = self.viewport().width()
        self.document().setTextWidth(self._fitted_width)
        height = round(self.document().size().height()) + 2
        if height != self._height:
            self._height = height
            self.updateGeometry()

    @guarded()
    def _hint(self, url: QUrl) -> None:
        """Show where a link leads while the pointer or the keyboard is on it."""
        address = url.toString()
        at = self.cursor().pos() if self.underMouse() else self.mapToGlobal(self.rect().bottomLeft())
        QToolTip.showText(at, plain_tip(revealed_name(address[:LONGEST_SHOWN_ADDRESS])) if address else "", self)

    def _ask(self, url: QUrl) -> None:
        """Show the whole address, and open it only after that."""
        address = url.toString(QUrl.ComponentFormattingOption.FullyEncoded)
        self.link_asked.emit(address)
        menu = link_menu(address, self)
        at = self.cursor().pos() if self.underMouse() else self.mapToGlobal(self.cursorRect().bottomLeft())
        menu.popup(at)

    @guarded()
    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        # Qt's own menu has "Copy link location" only for what it calls a link, and icons of the platform.
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        copy = menu.addAction(self.tr("Copy"), self.copy)
        copy.setEnabled(self.textCursor().hasSelection())
        menu.addAction(self.tr("Copy Markdown"), lambda: QGuiApplication.clipboard().setText(self._source))
        menu.addAction(self.tr("Select all"), self.selectAll)
        menu.popup(event.globalPos())

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


def link_menu(address: str, parent: QWidget) -> QMenu:
    """A menu with a whole address and what can be done with it."""
    menu = QMenu(parent)
    menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    for at in range(0, min(len(address), 10 * LONGEST_SHOWN_ADDRESS), 100):
        line = menu.addAction(revealed_name(address[at : at + 100]).replace("&", "&&"))
        line.setEnabled(False)
    menu.addSeparator()
    opening = menu.addAction(menu.tr("Open in browser"), lambda: QDesktopServices.openUrl(QUrl(address)))
    opening.setEnabled(is_web(address))
    menu.addAction(menu.tr("Copy address"), lambda: QGuiApplication.clipboard().setText(address))
    return menu


def is_web(address: str) -> bool:
    """Whether an address may be opened in the browser: another scheme could name a file or a program."""
    url = QUrl(address, QUrl.ParsingMode.StrictMode)
    return url.isValid() and url.scheme() in {"http", "https"} and bool(url.host())


_BLOCK_MARKS = re.compile(r"^(#{1,6} |[-*+] |\d{1,3}[.)] |> |```|\|.*\|\s*$)", re.MULTILINE)
_INLINE_MARKS = re.compile(r"\*\*[^*\n]{1,200}\*\*|`[^`\n]{1,200}`|\[[^\]\n]{1,200}\]\([^)\s]{1,500}\)")


def looks_like_markdown(text: str) -> bool:
    """Whether formatting would change how a text looks, and it is short enough to be formatted."""
    return is_quick(text) and (_BLOCK_MARKS.search(text) is not None or _INLINE_MARKS.search(text) is not None)


def is_quick(text: str) -> bool:
    """Whether Qt formats a text without a noticeable wait."""
    if len(text) > LONGEST:
        return False
    bars = [line.count("|") for line in text.splitlines() if "|" in line]
    return len(bars) <= LONGEST_TABLE and max(bars, default=0) <= WIDEST_TABLE
