"""The page of one line of the activity: Overview, Request, Response and Timing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QFont, QFontInfo, QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QTextBrowser, QVBoxLayout, QWidget

from app.core.diagnostics.exchanges import as_curl, phases
from app.core.replay import NotAgain, again, repeat
from app.ui.bridge import Generation
from app.ui.shell import exchange_words
from app.ui.shell.phase_bars import PhaseBars
from app.ui.theme import theme, tokens
from app.ui.widgets.announce import announce
from app.ui.widgets.buttons import IconButton
from app.ui.widgets.choices import TabStrip
from app.ui.widgets.column import ScrollColumn
from app.ui.widgets.guard import guarded
from app.ui.widgets.leavable import LeavablePage
from app.ui.widgets.markdown_document import nothing_loaded
from app.ui.widgets.menus import open_edit_menu
from app.ui.widgets.text import Text
from app.ui.widgets.tips import plain_tip

if TYPE_CHECKING:
    from PySide6.QtGui import QContextMenuEvent

    from app.core.diagnostics.activity import ActivityRecord
    from app.core.diagnostics.exchanges import WireExchange
    from app.core.errors import BurrowError
    from app.core.replay import Comparison
    from app.core.services import Services
    from app.ui.bridge import Bridge

OVERVIEW, REQUEST, RESPONSE, TIMING = range(4)


class ExchangePage(LeavablePage):
    """Shows one record. `left()` when the user goes back to the list."""

    def __init__(self, services: Services, bridge: Bridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._services, self._bridge = services, bridge
        self._generation = Generation(bridge, self)
        self.record: ActivityRecord | None = None
        self.exchange: WireExchange | None = None
        self.back_button = IconButton(self.tr("Back to the list"), "back", keys="Esc", clicked=self.left.emit)
        self.back_button.setVisible(False)
        self.tabs = TabStrip(
            [self.tr("Overview"), self.tr("Request"), self.tr("Response"), self.tr("Timing")], self.tr("Parts")
        )
        self.tabs.currentChanged.connect(lambda _tab: self._show())
        self.curl_button = IconButton(self.tr("Copy as curl"), "copy", keys="Ctrl+Shift+C", clicked=self.copy_curl)
        self.again_button = IconButton(self.tr("Send again"), "refresh", keys="Ctrl+R", clicked=self.send_again)
        self.line = Text("", "caption", "muted", wrap=True)
        self.line.setVisible(False)
        self.browser = _Browser(self.tr("Details of the selected line"))
        self.bars = PhaseBars(self.tr("Timing"))
        self.timing = ScrollColumn(self.tr("Timing"), side=tokens.SPACE_3, top=tokens.SPACE_2)
        self.timing.box.addWidget(self.bars)
        self.untimed = Text("", tone="muted", wrap=True)
        self.timing.box.addWidget(self.untimed)
        self.timing.box.addStretch(1)
        self.stack = QStackedWidget()
        self.stack.addWidget(self.browser)
        self.stack.addWidget(self.timing)
        current = theme()
        gap = current.px(tokens.SPACE_2)
        head = QHBoxLayout()
        head.setContentsMargins(current.px(tokens.SPACE_3), 0, gap, 0)
        head.setSpacing(gap)
        head.addWidget(self.back_button)
        head.addWidget(self.tabs, 1)
        head.addWidget(self.curl_button)
        head.addWidget(self.again_button)
        below = QHBoxLayout()
        below.setContentsMargins(current.px(tokens.SPACE_3), 0, gap, 0)
        below.addWidget(self.line)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(current.px(tokens.SPACE_1))
        box.addLayout(head)
        box.addLayout(below)
        box.addWidget(self.stack, 1)
        theme().changed.connect(self._show)

    def show_record(self, record: ActivityRecord | None) -> None:
        """Show a record, at first without what has to be read from the disk."""
        self._generation.renew()
        self.record, self.exchange = record, None
        self._say("")
        self._show()
        if record is not None and record.kind != "auth":
            self._generation.spawn(
                self._services.activity.exchange(record), done=self._read, failed=self._unreadable, key="read"
            )

    def copy_curl(self) -> None:
        """Put a command that sends the request again on the clipboard, without its secrets."""
        if self.exchange is not None and self.curl_button.isEnabled():
            QGuiApplication.clipboard().setText(as_curl(self.exchange))
            self._say(self.tr("Copied. $TOKEN stands for the access token."))

    def send_again(self) -> None:
        """Send the request again, if it only reads, and say how the answer compares."""
        if self.record is None:
            return
        send = again(self._services, self.record, self.exchange)
        if isinstance(send, NotAgain):
            self._say(exchange_words.why_not(send))
            return
        self.again_button.setEnabled(False)
        self._say(self.tr("Sending…"))
        self._generation.spawn(
            repeat(self._services, self.record, self.exchange, send),
            done=self._repeated,
            failed=self._not_repeated,
            key="again",
        )

    def _read(self, exchange: WireExchange | None) -> None:
        self.exchange = exchange
        self._show()

    def _unreadable(self, error: BurrowError) -> None:
        self._say(f"{error.title}. {error.cause}")

    def _repeated(self, comparison: Comparison | None) -> None:
        self._offer()
        self._say(self.tr("It was sent.") if comparison is None else exchange_words.compared(comparison))

    def _not_repeated(self, error: BurrowError) -> None:
        self._offer()
        self._say(f"{error.title}. {error.cause}")

    def _say(self, words: str) -> None:
        self.line.setText(words)
        self.line.setVisible(bool(words))
        if words:
            announce(self, words)

    def _offer(self) -> None:
        record = self.record
        can_copy = self.exchange is not None and record is not None and record.kind == "http"
        self.curl_button.setEnabled(can_copy)
        reason = NotAgain.NO_REQUEST if record is None else again(self._services, record, self.exchange)
        words = exchange_words.why_not(reason) if isinstance(reason, NotAgain) else ""
        self.again_button.setEnabled(not words)
        self.again_button.setToolTip(plain_tip(words) or self.tr("Send again, and compare the answers (Ctrl+R)"))
        self.again_button.setAccessibleDescription(words)

    def _show(self) -> None:
        record, exchange, tab = self.record, self.exchange, self.tabs.currentIndex()
        self._offer()
        self.stack.setCurrentWidget(self.timing if tab == TIMING else self.browser)
        if record is None:
            self.browser.clear()
            return
        if tab == TIMING:
            self.bars.show_phases(() if exchange is None else phases(exchange))
            self.bars.setVisible(exchange is not None)
            self.untimed.setText("" if exchange is not None else self.tr("The parts of its time are not kept."))
        else:
            page = (exchange_words.overview, exchange_words.request_page, exchange_words.response_page)[tab]
            self.browser.show_page(page(record, exchange))


class _Browser(QTextBrowser):
    """Text with headings and tables. It loads nothing and follows no link."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self.setOpenLinks(False)
        self.setUndoRedoEnabled(False)
        self.setTabChangesFocus(True)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.setProperty("edge", "none")
        self._page = ("", "")

    @guarded()
    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        open_edit_menu(self.createStandardContextMenu(), event.globalPos())

    def show_page(self, page: str) -> None:
        """Show this HTML; a page that is shown already keeps its selection."""
        current = theme()
        colours = current.colours
        mono = QFont(current.font("mono"))
        style = (
            f"td.name {{ color: {colours.muted}; padding-right: {current.px(tokens.SPACE_3)}px; }}"
            f"td {{ padding-bottom: 3px; }} p.note {{ color: {colours.muted}; }} p.head {{ font-weight: 600; }}"
            f"pre {{ font-family: '{mono.family()}'; font-size: {QFontInfo(mono).pixelSize()}px; }}"
            "pre { white-space: pre-wrap; }"
        )
        if (style, page) == self._page:
            return
        self._page = (style, page)
        self.document().setDocumentMargin(0)
        self.document().setDefaultStyleSheet(style)
        self.setHtml(page)

    @guarded()
    def loadResource(self, kind: int, name: QUrl | str) -> object:
        return nothing_loaded()
