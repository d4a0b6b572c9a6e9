"""Account ▸ Sign-in details: the state of a sign-in, its timeline as picture and list, and the buttons to sign in again
or out.

It shows one sign-in. Where several are in use, the user chooses at its top which.

It stays up to date while it is open, and shows fingerprints instead of tokens. It also explains a renewal that failed
for good; the bar links to it, and it never opens by itself.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from PySide6.QtCore import QSignalBlocker, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QGuiApplication, QKeySequence
from PySide6.QtWidgets import (
    QBoxLayout,
    QDialog,
    QHBoxLayout,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from app import __version__
from app.core.auth.status import CredentialState
from app.core.diagnostics import report
from app.core.diagnostics.history import RANGES, first_range
from app.ui.bridge import Generation
from app.ui.shell import history_words, timeline_words
from app.ui.shell.credential_facts import CredentialFacts
from app.ui.shell.credential_words import credential_note, credential_state
from app.ui.shell.details_subject import DetailsSubject
from app.ui.shell.history_picture import HistoryPicture
from app.ui.theme import theme, tokens
from app.ui.widgets.announce import announce
from app.ui.widgets.buttons import PrimaryButton, QuietButton
from app.ui.widgets.choices import Select
from app.ui.widgets.column import FittedColumn
from app.ui.widgets.feedback import EmptyState, InlineCard, ProgressLine
from app.ui.widgets.fitted_scroll import FittedScroll
from app.ui.widgets.focus import show_focus_ring
from app.ui.widgets.guard import guarded
from app.ui.widgets.menus import CheckMenu
from app.ui.widgets.scrolling import LowArea, LowColumn
from app.ui.widgets.tables import Column, DataTable
from app.ui.widgets.text import StatusWord, Text
from app.ui.widgets.times import absolute, moment_at, ticker

if TYPE_CHECKING:
    from PySide6.QtCore import QPoint
    from PySide6.QtGui import QKeyEvent, QResizeEvent

    from app.core.diagnostics.history import Span
    from app.core.diagnostics.timeline import TimelineStep
    from app.core.services import Services
    from app.ui.bridge import Bridge

WIDTH, HEIGHT = 940, 660
LEAST_WIDTH, LEAST_HEIGHT = 520, 420
LEAST_TABLE = 116
LEAST_FACTS = 88
WIDEST_CHOICE = 320
ONE_ROW = 720
SHOWN_STEPS = 200
# A renewal causes several events within a moment: the journal is read once.
READ_AFTER_MS = 80
# No event tells what other processes do: the journal is read again.
READ_AGAIN_MS = 2_000
LOADING_WORDS_AFTER_MS = 2_000
COPIED_SHOWN_MS = 2_000


class SignInDetails(QDialog):
    """Opened with `show()`, beside the window. Emits `sign_in_wanted(key)` and `sign_out_wanted(key)` as it closes.

    The key is that of the sign-in (`SignIn.key`).
    """

    sign_in_wanted = Signal(str)
    sign_out_wanted = Signal(str)

    def __init__(self, services: Services, key: str, bridge: Bridge, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(self.tr("Sign-in details"))
        self._services, self._bridge = services, bridge
        self._subject = DetailsSubject.of(services, key)
        self._generation = Generation(bridge, self)
        self._steps: tuple[TimelineStep, ...] = ()
        self._loaded = False
        self._build()
        self._read_soon = QTimer(self, singleShot=True, interval=READ_AFTER_MS)
        self._read_soon.timeout.connect(self._read)
        self._poll = QTimer(self, interval=READ_AGAIN_MS)
        self._poll.timeout.connect(self._read)
        self._loading_words = QTimer(self, singleShot=True, interval=LOADING_WORDS_AFTER_MS)
        self._loading_words.timeout.connect(lambda: self.empty.show_state(self.tr("Loading the timeline…")))
        bridge.listen(self, services.sign_ins.changed, self._sign_ins_changed)
        ticker().tick.connect(self._tick)
        self._offer_choice()
        self._begin()
        self._poll.start()
        self._fit()
        show_focus_ring(self)
        self.close_button.setFocus(Qt.FocusReason.OtherFocusReason)

    def choose(self, key: str) -> None:
        """Show the sign-in with this key."""
        if key == self._subject.key or self._services.sign_ins.of(key) is None:
            return
        self._subject = DetailsSubject.of(self._services, key)
        self._steps, self._loaded, self._ranged = (), False, False
        self.table.set_items(())
        self._draw()
        self.line.setText("")
        self.empty.show_state("")
        self.stack.setCurrentWidget(self.empty)
        self._offer_choice()
        self._begin()

    def text(self) -> str:
        """The whole page as plain text for a report."""
        return f"Burrow {__version__}\n\n{report.text(self._subject.snapshot(), self._steps)}"

    def copy(self) -> None:
        """Put the page on the clipboard."""
        QGuiApplication.clipboard().setText(self.text())
        self.copy_button.setText(self.tr("Copied"))
        self.copy_button.set_icon_name("check")
        announce(self, self.tr("Copied"))
        self._copied.start()

    def _build(self) -> None:
        current = theme()
        wide, gap = current.px(tokens.SPACE_4), current.px(tokens.SPACE_3)
        self.state = StatusWord(role="strong")
        self.card = InlineCard()
        self.facts = CredentialFacts()
        self.choice = Select(self.tr("Sign-in"))
        self.choice.setSizeAdjustPolicy(Select.SizeAdjustPolicy.AdjustToContents)
        self.choice.setMaximumWidth(current.px(WIDEST_CHOICE))
        self.choice.activated.connect(lambda _row: self.choose(str(self.choice.currentData())))
        head = QHBoxLayout()
        head.setSpacing(gap)
        head.addWidget(Text(self.tr("Sign-in details"), "title"))
        head.addWidget(self.choice)
        head.addStretch(1)
        head.addWidget(self.state)
        upper = FittedColumn()
        column = QVBoxLayout(upper)
        column.setContentsMargins(wide, 0, wide, current.px(tokens.SPACE_1))
        column.setSpacing(gap)
        column.addWidget(self.card)
        column.addWidget(self.facts)
        column.addWidget(self._build_picture())
        self._area = FittedScroll(upper, least=current.px(LEAST_FACTS))
        self._area.setAccessibleName(self.tr("Facts"))
        self.table = self._build_table()
        self.empty = EmptyState()
        self.stack = QStackedWidget()
        self.stack.addWidget(self.empty)
        self.stack.addWidget(self.table)
        self.stack.setMinimumHeight(current.px(LEAST_TABLE))
        self.progress = ProgressLine(self.tr("Loading the timeline"))
        self.line = Text("", "caption", "muted", wrap=True, selectable=True)
        self.line.setMinimumHeight(2 * self.line.fontMetrics().lineSpacing())
        self.line.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, wide, 0, wide)
        box.setSpacing(0)
        box.addLayout(_indented(head, wide))
        box.addSpacing(gap)
        content = LowColumn()
        content.box.addWidget(self._area)
        content.box.addSpacing(gap)
        content.box.addLayout(_indented(self._heading(), wide))
        content.box.addSpacing(current.px(tokens.SPACE_1))
        content.box.addWidget(self.progress)
        table = QVBoxLayout()
        table.addWidget(self.stack)
        # Less, so that the words in the cells line up with those above.
        content.box.addLayout(_indented(table, wide - current.px(tokens.SPACE_2)), 1)
        lower = QVBoxLayout()
        lower.addWidget(self.line)
        content.box.addSpacing(current.px(tokens.SPACE_2))
        content.box.addLayout(_indented(lower, wide))
        box.addWidget(LowArea(self.tr("Sign-in details"), content), 1)
        box.addSpacing(gap)
        box.addLayout(_indented(self._build_buttons(), wide))
        self.setMinimumSize(current.px(LEAST_WIDTH), current.px(LEAST_HEIGHT))

    def _build_picture(self) -> QWidget:
        self.picture = HistoryPicture()
        self.picture.chosen.connect(self._span_chosen)
        self.range = Select(self.tr("Time shown"))
        for number, length in enumerate(RANGES):
            self.range.addItem(history_words.range_name(number), length)
        self.range.activated.connect(lambda _row: self._draw())
        # Whether the range was chosen for what there is; the user may have chosen another one since.
        self._ranged = False
        head = QHBoxLayout()
        head.addWidget(Text(self.tr("Over time"), "section"), 1)
        head.addWidget(self.range)
        self._pictured = QWidget()
        box = QVBoxLayout(self._pictured)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(theme().px(tokens.SPACE_1))
        box.addLayout(head)
        box.addWidget(self.picture)
        return self._pictured

    def _draw(self) -> None:
        self._pictured.setVisible(bool(self._steps))
        if self._steps and not self._ranged:
            self._ranged = True
            self.range.setCurrentIndex(self.range.findData(first_range(self._steps, time.time())))
        self.picture.show_steps(self._steps, float(self.range.currentData()))

    def _span_chosen(self, span: Span) -> None:
        """Go to the line of the step, and say what the span is."""
        row = self.table.values.place(span.step.key)
        if row >= 0:
            with QSignalBlocker(self.table):
                self.table.selectRow(row)
        self.line.setText(history_words.sentence(span))

    def _step_picked(self, step: TimelineStep | None) -> None:
        self.line.setText(timeline_words.sentence(step) if step is not None else "")
        self.picture.select_step(step)

    def _heading(self) -> QHBoxLayout:
        self.count = Text("", "caption", "muted")
        row = QHBoxLayout()
        row.setSpacing(theme().px(tokens.SPACE_2))
        row.addWidget(Text(self.tr("What happened"), "section"), 0, Qt.AlignmentFlag.AlignBottom)
        row.addWidget(self.count, 1, Qt.AlignmentFlag.AlignBottom)
        return row

    def _build_table(self) -> DataTable[TimelineStep]:
        columns: list[Column[TimelineStep]] = [
            Column(self.tr("When"), timeline_words.when, 92, tooltip=lambda step: absolute(moment_at(step.at))),
            Column(
                self.tr("What"),
                lambda step: timeline_words.what(step).word,
                164,
                tone=lambda step: timeline_words.what(step).tone,
                glyph=lambda step: timeline_words.what(step).glyph,
                tooltip=lambda step: step.outcome,
            ),
            Column(self.tr("Why"), timeline_words.why, tooltip=timeline_words.why_exactly),
            Column(self.tr("By"), timeline_words.process, 132, drop_below=680, tooltip=timeline_words.process),
            Column(self.tr("Generation"), timeline_words.generations, 92, drop_below=840),
            Column(self.tr("Took"), timeline_words.took, 76, right=True),
            Column(
                self.tr("Next due"),
                timeline_words.next_due,
                104,
                right=True,
                drop_below=740,
                tooltip=lambda step: absolute(moment_at(step.renews_at)) if step.renews_at is not None else "",
            ),
        ]
        table: DataTable[TimelineStep] = DataTable(
            self.tr("What happened to the sign-in"), columns, lambda step: step.key
        )
        table.setTextElideMode(Qt.TextElideMode.ElideRight)
        table.picked.connect(self._step_picked)
        table.menu_wanted.connect(self._open_menu)
        self.copy_action = QAction(self.tr("Copy line"), table)
        self.copy_action.setShortcut(QKeySequence("Ctrl+C"))
        self.copy_action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        self.copy_action.triggered.connect(self.copy_line)
        table.addAction(self.copy_action)
        return table

    def copy_line(self) -> None:
        """Put the line below the list on the clipboard."""
        QGuiApplication.clipboard().setText(self.line.text())
        announce(self, self.tr("Copied"))

    def _open_menu(self, step: TimelineStep, at: QPoint) -> None:
        if step is not self.table.current():
            self.table.selectRow(self.table.values.place(step.key))
        menu = CheckMenu(parent=self)
        menu.aboutToHide.connect(menu.deleteLater)
        menu.addAction(self.copy_action)
        menu.addAction(self.tr("Copy everything"), self.copy)
        menu.popup(at)

    def _build_buttons(self) -> QBoxLayout:
        gap = theme().px(tokens.SPACE_2)
        self.sign_out_button = QuietButton(
            self.tr("Sign out here"), "sign-out", kind="danger", clicked=lambda: self._leave(self.sign_out_wanted)
        )
        self.sign_out_words = Text("", "caption", "muted", wrap=True)
        self.copy_button = QuietButton(self.tr("Copy"), "copy", clicked=self.copy)
        self.copy_button.setToolTip(self.tr("The whole page as text for a report, without secrets"))
        self.copy_button.setMinimumWidth(self.copy_button.sizeHint().width() + 2 * gap)
        self.again_button = QuietButton(self.tr("Sign in again"), clicked=lambda: self._leave(self.sign_in_wanted))
        self.sign_in_button = PrimaryButton(self.tr("Sign in"), clicked=lambda: self._leave(self.sign_in_wanted))
        self.close_button = QuietButton(self.tr("Close"), clicked=self.reject)
        self._copied = QTimer(self, singleShot=True, interval=COPIED_SHOWN_MS)
        self._copied.timeout.connect(self._offer_copy)
        ending, usual = QHBoxLayout(), QHBoxLayout()
        for row in (ending, usual):
            row.setSpacing(gap)
        ending.addWidget(self.sign_out_button)
        ending.addWidget(self.sign_out_words, 1)
        usual.addStretch()
        for button in (self.copy_button, self.close_button, self.again_button, self.sign_in_button):
            usual.addWidget(button)
        self._buttons = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._buttons.setSpacing(theme().px(tokens.SPACE_4))
        self._buttons.addLayout(ending, 1)
        self._buttons.addLayout(usual)
        return self._buttons

    def _begin(self) -> None:
        """Show the subject and follow it."""
        self._generation.renew()
        self._subject.follow(self._generation, self._changed)
        personal = self._subject.personal
        words = self.tr("Forgets this sign-in on this computer and ends it at the server. {0}")
        stays = self.tr("Drafts stay.") if personal else self.tr("The server stays in the list.")
        self.sign_out_words.setText(words.format(stays))
        self.sign_out_button.setAccessibleDescription(self.sign_out_words.text())
        self._show_status()
        self.progress.start()
        self._loading_words.start()
        self._read()

    def _offer_choice(self) -> None:
        sign_ins = self._services.sign_ins.all
        self.choice.clear()
        for sign_in in sign_ins:
            self.choice.addItem(timeline_words.printable(sign_in.title), sign_in.key)
        self.choice.setCurrentIndex(self.choice.findData(self._subject.key))
        self.choice.setVisible(len(sign_ins) > 1)

    def _sign_ins_changed(self, _nothing: None) -> None:
        """Follow what is in use: the sign-in shown may be gone, or its server may have another one now."""
        sign_ins = self._services.sign_ins
        if sign_ins.of(self._subject.key) is None:
            same = next((each for each in sign_ins.all if self._subject.is_for(each)), None)
            if same is None:
                self.reject()
                return
            self.choose(same.key)
        shown = [str(self.choice.itemData(row)) for row in range(self.choice.count())]
        if shown != [sign_in.key for sign_in in sign_ins.all]:
            self._offer_choice()

    def _changed(self, _value: object) -> None:
        self._show_status()
        self._read_soon.start()

    def _tick(self) -> None:
        self._show_status()
        self.table.viewport().update()

    def _read(self) -> None:
        self._generation.spawn(self._subject.timeline.recent(SHOWN_STEPS), done=self._show_steps, key="read")

    def _show_steps(self, steps: tuple[TimelineStep, ...]) -> None:
        # Steps that did not change stay the same objects, so that the view keeps selection and scroll position.
        known = {step: step for step in self._steps}
        self._steps = tuple(known.get(step, step) for step in steps)
        first, self._loaded = not self._loaded, True
        if first:
            self.progress.stop()
            self._loading_words.stop()
        self.table.set_items(self._steps)
        self._draw()
        self.count.setText(self.tr("in every Burrow process on this computer") if steps else "")
        if not steps:
            words = self.tr("Renewals, failures and sign-ins of every Burrow process are listed here.")
            self.empty.show_state(self.tr("Nothing has happened yet"), words, glyph="clock")
        elif (current := self.table.current()) is None:
            self.table.selectRow(0)
        elif self.picture.current is None or self.picture.current.step.key != current.key:
            self.line.setText(timeline_words.sentence(current))
        self.stack.setCurrentWidget(self.table if steps else self.empty)
        # Close got the focus while there was no row yet. Anywhere else the user has put it.
        if first and steps and self.focusWidget() is self.close_button:
            self.table.setFocus(Qt.FocusReason.OtherFocusReason)
        self._show_status()

    def _show_status(self) -> None:
        snapshot, status = self._subject.snapshot(), self._subject.status
        state, note = credential_state(status), credential_note(status)
        self.state.set_state(state)
        self.facts.show_snapshot(snapshot, self._steps, personal=self._subject.personal)
        signed_in, held = status.state is CredentialState.SIGNED_IN, bool(snapshot.token)
        self.sign_in_button.setVisible(not signed_in)
        self.again_button.setVisible(signed_in)
        self.sign_out_button.setEnabled(held)
        if status.state is CredentialState.NEEDS_SIGN_IN:
            words = self.tr("Sign in again to continue. Your work is kept.")
            self.card.show_note(self.tr("The sign-in has ended"), note, words, tone="attention")
        elif note and status.trouble is not None:
            self.card.show_note(state.word, note, tone="attention")
        else:
            self.card.clear()

    def _offer_copy(self) -> None:
        self.copy_button.setText(self.tr("Copy"))
        self.copy_button.set_icon_name("copy")

    def _leave(self, signal: object) -> None:
        # First: what follows is shown in the window, or in the browser.
        self.reject()
        signal.emit(self._subject.key)  # type: ignore[attr-defined]

    def _fit(self) -> None:
        """Take the size of the design, or what the screen has room for."""
        current = theme()
        screen = self.screen().availableGeometry()
        margin = current.px(tokens.SPACE_6)
        self.resize(
            min(current.px(WIDTH), screen.width() - margin), min(current.px(HEIGHT), screen.height() - 2 * margin)
        )

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        wide = self.width() >= theme().px(ONE_ROW)
        self._buttons.setDirection(QBoxLayout.Direction.LeftToRight if wide else QBoxLayout.Direction.TopToBottom)

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter presses the button that has the focus and does nothing else."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            event.ignore()
            return
        super().keyPressEvent(event)


def _indented(part: QBoxLayout, side: int) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setContentsMargins(side, 0, side, 0)
    row.addLayout(part)
    return row
