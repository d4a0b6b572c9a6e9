"""TranscriptPage: a run as a page: what it does, its transcript, what it asks, and what is written to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QEvent, Qt, QTimer, Signal
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QStackedWidget, QVBoxLayout, QWidget

from app.core.runs.items import Permission
from app.ui.theme import theme, tokens
from app.ui.transcript.ask_card import AskCard
from app.ui.transcript.cards import card_of
from app.ui.transcript.connection_line import ConnectionLine, ConnectionState
from app.ui.transcript.drawn import COLUMN
from app.ui.transcript.find_bar import FindBar
from app.ui.transcript.header import RunHeader
from app.ui.transcript.log_export import LogExport
from app.ui.transcript.page_menus import PageMenus
from app.ui.transcript.pill import NewLinesPill
from app.ui.transcript.queued_list import QueuedList
from app.ui.transcript.reader import TextReader
from app.ui.transcript.reply import ReplyField
from app.ui.transcript.run_notice import RunNoticeCard
from app.ui.transcript.selector import LONGEST_SELECTION
from app.ui.transcript.talk_column import TalkColumn
from app.ui.transcript.view import TranscriptView
from app.ui.widgets.announce import announce
from app.ui.widgets.drop_frame import DropFrame
from app.ui.widgets.feedback import EmptyState
from app.ui.widgets.focus_chain import TabOrder
from app.ui.widgets.guard import guarded
from app.ui.widgets.prose import link_menu
from app.ui.widgets.scroll_edge import ScrollEdge
from app.ui.widgets.scrolling import LowArea, LowColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtGui import QHideEvent, QKeyEvent, QShowEvent

    from app.core.runs.items import SessionState
    from app.ui.transcript.header import HeaderFacts
    from app.ui.transcript.queued_list import QueuedText
    from app.ui.transcript.reply import FilesBox
    from app.ui.transcript.source import ItemSource

LOOK_MS = 100
LEAST_HEIGHT = 48


class TranscriptPage(QWidget):
    """Call `show_run` with the items; then `show_facts`, `show_connection`, `show_queued` as they change.

    Its controls are its parts: `.header`, `.notice`, `.ask`, `.queued`, `.reply`, `.connection`.
    `state_changed(SessionState)` when the state of the session is another one; `menu_filled(ContextMenu)` before the
    menu of the run opens.
    """

    state_changed = Signal(object)
    menu_filled = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._source: ItemSource | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._state: SessionState | None = None
        current = theme()
        self.header = RunHeader()
        self.find_bar = FindBar()
        self.connection = ConnectionLine()
        self.view = TranscriptView(self.tr("Transcript"))
        self.empty = EmptyState()
        self.reader = TextReader()
        self.stack = QStackedWidget()
        for page in (self.view, self.empty, self.reader):
            self.stack.addWidget(page)
        # In a low window a question needs the room more.
        self.stack.setMinimumHeight(current.px(LEAST_HEIGHT))
        self.ask = AskCard(self.height)
        self.queued = QueuedList()
        self.notice = RunNoticeCard()
        self.reply = ReplyField()
        self.menus = PageMenus(self, self.view)
        self.log_export = LogExport(self, self.reply.card)
        self.edge = ScrollEdge(self.view)
        self.talk = TalkColumn()
        talk = self.talk.box
        wide, gap = current.px(tokens.SPACE_4), current.px(tokens.SPACE_2)
        # It ends where the entries above do, beside their scroll bar.
        beside = wide + self.view.verticalScrollBar().sizeHint().width()
        left, right = (beside, wide) if self.isRightToLeft() else (wide, beside)
        talk.setContentsMargins(left, gap, right, current.px(tokens.SPACE_3))
        talk.setSpacing(gap)
        for part in (self.notice, self.ask, self.queued, self.reply):
            talk.addWidget(part)
        self.talk.setMaximumWidth(current.px(COLUMN) + wide + beside)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        for above in (self.header, self.find_bar, self.connection, self.edge):
            box.addWidget(above)
        column = LowColumn()
        column.box.addWidget(self.stack, 1)
        self.pill = NewLinesPill(self.view, column)
        column.box.addWidget(self.talk)
        # In a low window both are scrolled together.
        self.area = LowArea(self.tr("Run"), column)
        box.addWidget(self.area, 1)
        upper = (self.header, self.find_bar, self.connection, self.view, self.pill)
        self._order = TabOrder(self, (*upper, self.notice, self.ask, self.queued, self.reply))
        self._look_soon = QTimer(self, singleShot=True, interval=LOOK_MS)
        self._look_soon.timeout.connect(self._look)
        self._connect()

    def show_run(self, source: ItemSource | None) -> None:
        """Show the transcript of another run, from its end; None shows the empty page."""
        self._ignore()
        self._source, self._state = source, None
        self.ask.show_permission(None)
        self.find_bar.leave()
        self.find_bar.set_source(source)
        self.view.set_source(source)
        self._listen()
        self._look()

    def put_files(self, files: FilesBox) -> None:
        """Let messages have files: chosen in this widget, dropped on the page, or pasted into the reply."""
        self.reply.put_files(files)
        self.drop_frame = DropFrame(
            self,
            self.tr("Drop to attach to your message"),
            takes=self.reply.takes,
            take=self.reply.take,
            fields=(self.reply.field,),
        )

    def show_loading(self) -> None:
        """Another run follows."""
        self.empty.show_state(self.tr("Loading the transcript…"))

    def show_facts(self, facts: HeaderFacts) -> None:
        """Show what the run is doing."""
        self.header.show_facts(facts)

    def show_connection(self, state: ConnectionState) -> None:
        """Show how the transcript is connected."""
        self.connection.show_state(state)
        self._order.restore_soon()
        self._show_body()

    def show_queued(self, messages: Sequence[QueuedText], *, hold: str = "turn", steers: bool) -> None:
        """Show the messages that wait, and why they do."""
        self.queued.show_messages(messages, hold=hold, steers=steers)

    def open_find(self) -> None:
        """Search in the transcript."""
        self._leave_reader()
        self.find_bar.open(self.view.visible[0].place if self.view.visible else 0)

    def show_raw(self, place: int) -> None:
        """Show the entries of the log that made an item."""
        if self._source is not None:
            self.reader.show_lines(self.tr("Raw log of this entry"), self._source.raw(place))
            self.stack.setCurrentWidget(self.reader)

    def export_log(self) -> None:
        """Write the log behind the transcript into a file that is asked for."""
        if self._source is not None:
            self.log_export.ask(self._source)

    def _say_too_long(self) -> None:
        if self._source is not None:
            self.log_export.offer(self._source, LONGEST_SELECTION)

    def focus_first(self) -> None:
        """Put the focus on the transcript."""
        self.view.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _connect(self) -> None:
        self.header.find_wanted.connect(self.open_find)
        self.header.more_wanted.connect(self.menus.open_run)
        self.header.link_wanted.connect(self._ask_link)
        self.find_bar.found.connect(self._show_found)
        self.find_bar.needle_changed.connect(self._mark)
        self.find_bar.closed.connect(self.focus_first)
        self.view.following_changed.connect(lambda _on: self._show_pill())
        self.view.behind_changed.connect(lambda _lines: self._show_pill())
        self.view.menu_wanted.connect(self.menus.open_item)
        self.view.whole_wanted.connect(self._show_whole)
        self.view.selector.too_long.connect(self._say_too_long)
        self.view.said.connect(lambda words: announce(self.view, words))
        self.ask.focus_lost.connect(self.focus_first)
        self.talk.rearranged.connect(self._order.restore_soon)
        self.pill.pressed_follow.connect(self._follow)
        self.reader.left.connect(self._leave_reader)
        self.menus.raw_wanted.connect(self.show_raw)
        self.menus.find_wanted.connect(self.open_find)
        self.menus.export_wanted.connect(self.export_log)
        self.menus.filled.connect(self.menu_filled)

    def _own_key(self, event: QKeyEvent) -> Callable[[], None] | None:
        """What a key of this page does, which may be bound to something else in the window."""
        if event.matches(QKeySequence.StandardKey.Find) and self._source is not None:
            return self.open_find
        control = event.modifiers() == Qt.KeyboardModifier.ControlModifier
        if control and event.key() == Qt.Key.Key_Period and self.header.stop.isVisible():
            return self.header.stop_wanted.emit
        return None

    def _listen(self) -> None:
        if self._source is not None and self.isVisible() and self._unsubscribe is None:
            self._unsubscribe = self._source.changed.subscribe(lambda _change: self._look_later())

    def _ignore(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def _look_later(self) -> None:
        if not self._look_soon.isActive():
            self._look_soon.start()

    @guarded()
    def _look(self) -> None:
        """Show what the session waits for, and search what is new."""
        source = self._source
        self._show_body()
        if source is None:
            return
        self.find_bar.grown()
        state, opened = source.state, self._state is None
        if state != self._state:
            self._say_difference(self._state, state)
            self._state = state
            self.state_changed.emit(state)
        waiting = [item for key in state.waiting if (item := self._permission(key))]
        former = self.ask.permission
        self.ask.show_permission(waiting[0] if waiting else None, len(waiting))
        asked = self.ask.permission
        if asked is not None and (former is None or former.request_id != asked.request_id):
            self.area.bring(self.ask)
            if not opened and self.isVisible():
                announce(self.ask, self.tr("The agent needs you: {0}").format(card_of(asked).title))

    def _permission(self, key: str) -> Permission | None:
        place = self._source.index_of(key) if self._source is not None else None
        item = self._source.item(place) if self._source is not None and place is not None else None
        return item if isinstance(item, Permission) else None

    def _say_difference(self, former: SessionState | None, state: SessionState) -> None:
        """Tell assistive technology what a person waits for. What is added is not read: they go through it by keys."""
        if former is not None and self.isVisible() and former.busy and not state.busy:
            announce(self.view, self.tr("The agent has finished its turn"))

    def _show_body(self) -> None:
        if self.stack.currentWidget() is self.reader:
            return
        if self._source is not None and len(self._source):
            self.stack.setCurrentWidget(self.view)
            return
        title, text = self._why_empty()
        self.empty.show_state(title, text)
        self.stack.setCurrentWidget(self.empty)

    def _why_empty(self) -> tuple[str, str]:
        if self._source is None:
            return self.tr("This task has not been run yet"), self.tr("Run it to see what the agent does.")
        words = {
            "connecting": (self.tr("Loading the transcript…"), ""),
            "live": (self.tr("Nothing yet"), self.tr("What the agent does appears here.")),
            "ended": (self.tr("Nothing was logged"), self.tr("The run ended before the agent said anything.")),
        }
        return words.get(self.connection.state.kind, (self.tr("No transcript to show"), ""))

    def _show_pill(self) -> None:
        self.pill.show_behind(self.view.behind, following=self.view.following)

    def _follow(self) -> None:
        self.view.setFocus(Qt.FocusReason.OtherFocusReason)
        self.view.follow()

    def _mark(self, needle: str) -> None:
        self.view.needle = needle
        self.view.viewport().update()

    def _show_found(self, place: int) -> None:
        if self.view.items.folds(place) and not self.view.items.is_open(place):
            self.view.items.set_open(place, True)
        self.view.set_current(place)

    def _show_whole(self, title: str, text: str) -> None:
        self.reader.show_text(title, text)
        self.stack.setCurrentWidget(self.reader)

    def _leave_reader(self) -> None:
        if self.stack.currentWidget() is self.reader:
            self.stack.setCurrentWidget(self.view)
            self.focus_first()

    def _ask_link(self, address: str) -> None:
        link_menu(address, self).popup(self.header.link.mapToGlobal(self.header.link.rect().bottomLeft()))

    @guarded(default=False)
    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ShortcutOverride and self._own_key(cast("QKeyEvent", event)) is not None:
            event.accept()
            return True
        return super().event(event)

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        act = self._own_key(event)
        if act is not None:
            act()
            return
        number = event.key() - Qt.Key.Key_0
        plain = event.modifiers() in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier)
        if plain and 1 <= number <= 9 and self.view.hasFocus() and not event.isAutoRepeat():
            self.ask.press_number(number)
        elif event.key() == Qt.Key.Key_Escape and not self.find_bar.isHidden():
            self.find_bar.leave()
        else:
            super().keyPressEvent(event)

    @guarded()
    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._listen()
        self._look()

    @guarded()
    def hideEvent(self, event: QHideEvent) -> None:
        self._ignore()
        super().hideEvent(event)
