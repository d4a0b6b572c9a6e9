"""The prompt for a call that an agent wants to make: which client, server and tool, with which arguments.

It stands above the place in view and takes neither the focus nor the window. Enter never allows, and right after a
question has appeared nothing does: what was pressed then was meant for something else.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from PySide6.QtCore import QElapsedTimer, QEvent, Qt, QTimer, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from app.core.mcp.proxy.parts import Decision
from app.marks import isolated, revealed_name
from app.ui.shell.approval_parts import AnswerButton, ArgumentsText, set_letter
from app.ui.theme import theme, tokens
from app.ui.theme.state import State
from app.ui.widgets.buttons import PrimaryButton, QuietButton, with_keys
from app.ui.widgets.column import FittedColumn
from app.ui.widgets.feedback import Glyph, InlineCard
from app.ui.widgets.fields import KeyValueGrid
from app.ui.widgets.fitted_scroll import FittedScroll
from app.ui.widgets.flow import FlowLayout
from app.ui.widgets.guard import guarded
from app.ui.widgets.text import StatusWord, Text
from app.ui.widgets.times import duration

if TYPE_CHECKING:
    from PySide6.QtGui import QKeyEvent, QResizeEvent

    from app.core.errors import BurrowError
    from app.core.mcp.proxy.approvals import ApprovalQuestion

# How long after a question has appeared nothing is allowed.
ARM_MS = 600
# In characters. More is shown when it is asked for.
SHOWN = 20_000
# Of the window's height.
LARGEST_SHARE = 0.6
# In pixels of the design: what the details have in a low window.
LEAST_DETAILS = 72
# What the place below has at least beside all of the prompt.
LEAST_PLACE = 320
COUNT_MS = 1000


class ApprovalPrompt(QFrame):
    """Shows one question; `answered(ApprovalQuestion, Decision)` when it is answered. Hidden until `show_question`.

    Where it would leave too little of a low window it is one line, until `expand`; then it covers the window, which
    `covering(bool)` tells. `left()` when the user goes back to what they were doing, without an answer, and
    `wanted()` when they press the button of that line.
    """

    answered = Signal(object, object)
    covering = Signal(bool)
    left = Signal()
    wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setVisible(False)
        self.setProperty("bar", "attention")
        self.question: ApprovalQuestion | None = None
        self._number = 0
        self._most = 0
        self._expanded = self._covers = False
        self._since = QElapsedTimer()
        self._busy = False
        current = theme()
        wide, gap = current.px(tokens.SPACE_4), current.px(tokens.SPACE_2)
        self.title = Text(role="section", wrap=True)
        self.time = Text("", "caption", "muted")
        self.claim = StatusWord(State("warning", "", "bad"))
        self.facts = KeyValueGrid()
        self.arguments = ArgumentsText(self.tr("Arguments of the call"))
        self.all_button = QuietButton(self.tr("Show all"), kind="flat", clicked=self._show_all)
        self.hidden = Text("", "caption", "muted", wrap=True)
        self.card = InlineCard()
        self._make_buttons()
        self.open_button = QuietButton(self.tr("Show"), keys="Ctrl+Shift+A", clicked=self.wanted.emit)
        self.back = QuietButton(self.tr("Back"), "back", kind="flat", keys="Esc", clicked=self.left.emit)
        self._head = head = QHBoxLayout()
        head.setSpacing(gap)
        head.addWidget(Glyph("question", "attention"))
        head.addWidget(self.title, 1)
        for control in (self.time, self.open_button, self.back):
            head.addWidget(control)
        content = FittedColumn()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(gap)
        for part in (self.claim, self.facts, self.arguments, self.all_button, self.hidden, self.card):
            column.addWidget(part)
        # In a low window this scrolls, and what is asked and the answers stay in view.
        self.details = FittedScroll(content, least=current.px(LEAST_DETAILS), most=lambda: self._most)
        self.answers = QWidget()
        answers = FlowLayout(self.answers)
        for answer in self._answers():
            answers.addWidget(answer)
        box = QVBoxLayout(self)
        box.setContentsMargins(wide, current.px(tokens.SPACE_3), wide, current.px(tokens.SPACE_3))
        box.setSpacing(gap)
        box.addLayout(head)
        box.addWidget(self.details)
        box.addWidget(self.answers)
        box.addStretch(1)
        self._ticker = QTimer(self, interval=COUNT_MS)
        self._ticker.timeout.connect(self._tick)

    def _make_buttons(self) -> None:
        tr = self.tr
        self.refuse = PrimaryButton(tr("Refuse"), clicked=lambda: self._answer(Decision.REFUSE))
        self.refuse.setToolTip(with_keys(tr("Refuse"), set_letter(self.refuse, "F")))
        self.refuse.setAccessibleDescription(tr("Only this call is refused. The agent is told so."))
        self.once = AnswerButton(
            tr("Allow once"), "O", tr("Only this call is made."), lambda: self._answer(Decision.ONCE)
        )
        self.session = AnswerButton(
            tr("Allow for this session"),
            "S",
            tr("The client is not asked about this tool again until its session ends."),
            lambda: self._answer(Decision.SESSION),
        )
        self.always = AnswerButton(
            tr("Always allow"),
            "A",
            tr("This client may call the tool from now on. Nothing changes for others. Connect can undo it."),
            lambda: self._answer(Decision.ALWAYS),
        )
        self.block = AnswerButton(
            tr("Block"),
            "B",
            tr("This client can no longer see or call the tool. Nothing changes for others. Connect can undo it."),
            lambda: self._answer(Decision.BLOCK),
            "danger",
        )

    def show_question(self, question: ApprovalQuestion, text: str, number: int) -> None:
        """Show a question with the text of its arguments; `number` is how many wait in all."""
        if question is not self.question:
            self.question = question
            self._since.start()
            self.set_busy(False)
            self.card.clear()
            self._fill(question, text)
        self._number = number
        self._show_time()
        self._ticker.start()
        self.setVisible(True)
        self._fit()

    def clear(self) -> None:
        """Nothing is asked any more."""
        self.question = None
        self._expanded = False
        self._ticker.stop()
        self._fit()
        self.setVisible(False)

    def sentence(self) -> str:
        """What is asked, in one sentence."""
        return f"{self.title.text()} {self.facts_words()}".strip()

    def facts_words(self) -> str:
        """Server and claim, for assistive technology."""
        question = self.question
        if question is None:
            return ""
        words = self.tr("Server: {0}.").format(_name(question.server_title))
        return f"{words} {self._destroys()}".strip() if question.destroys else words

    def take_focus(self) -> None:
        """Put the focus on the answer that allows nothing."""
        self.refuse.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def set_busy(self, busy: bool) -> None:
        """An answer is on its way."""
        # Not disabled meanwhile: the button would lose the focus to another control.
        self._busy = busy

    def show_error(self, error: BurrowError) -> None:
        """The answer could not be kept; the question stays."""
        self.set_busy(False)
        self.card.show_error(error)

    def _fill(self, question: ApprovalQuestion, text: str) -> None:
        client, tool = _name(question.client.name), _name(question.tool_title)
        self.title.setText(self.tr("{0} wants to call {1}").format(client, tool))
        self.setAccessibleName(self.title.text())
        self.claim.set_state(State("warning", self._destroys(), "bad"))
        self.claim.setVisible(question.destroys)
        self.facts.put(self.tr("Server"), _name(question.server_title))
        self.facts.put(self.tr("Tool"), revealed_name(question.tool))
        self.arguments.set_source(text, min(len(text), SHOWN))
        self.all_button.setText(self.tr("Show all {0} characters").format(self.locale().toString(len(text))))
        self.all_button.setVisible(len(text) > SHOWN)
        names = ", ".join(revealed_name(each) for each in question.hidden[:20])
        self.hidden.setText(self.tr("Not shown, because they are secret: {0}").format(names))
        self.hidden.setVisible(bool(question.hidden))
        # The team has set that it asks each time. To allow less is up to the user.
        self.always.setVisible(not question.locked)
        self.session.setVisible(bool(question.session))
        for button in self._answers():
            button.setAccessibleName(f"{button.text()}: {self.title.text()}")

    def _destroys(self) -> str:
        return self.tr("The server says that it may destroy data")

    def _answer(self, decision: Decision) -> None:
        allows = decision in {Decision.ONCE, Decision.SESSION, Decision.ALWAYS}
        if self.question is None or self._busy or (allows and self._since.elapsed() < ARM_MS):
            return
        self.set_busy(True)
        self.answered.emit(self.question, decision)

    def _show_all(self) -> None:
        self.arguments.show_all()
        self.arguments.setFocus(Qt.FocusReason.OtherFocusReason)
        self.all_button.setVisible(False)

    def _tick(self) -> None:
        # In a window that is in the tray nobody sees it.
        if self.isVisible():
            self._show_time()

    def _show_time(self) -> None:
        if self.question is None:
            return
        seconds = max(0, round(self.question.deadline - time.time()))
        count = self.tr("1 of {0}").format(self._number) if self._number > 1 else ""
        left = self.tr("{0} left").format(duration(seconds)) if seconds else ""
        self.time.setText("  ·  ".join(part for part in (count, left) if part))

    def expand(self, expanded: bool) -> None:
        """Show all of it in a low window too, or no longer."""
        self._expanded = expanded
        self._fit()

    def _fit(self) -> None:
        """Be as high as everything in it, but leave the place its share: only the details give way."""
        if self.question is None:
            self._cover(False)
            return
        least, whole = theme().px(LEAST_DETAILS), self.window().height()
        head, around = self._heights()
        # What the details have beside the arguments, which scroll by themselves: nothing else should.
        beside, few = self.details.wanted - self.arguments.height(), self.arguments.wanted
        before, self._most = self._most, max(least, round(whole * LARGEST_SHARE) - around)
        height = around + max(min(beside + few, self._most), least)
        low = whole - height < theme().px(LEAST_PLACE)
        self._fold(low and not self._expanded)
        self._cover(low and self._expanded)
        if self._covers:
            self._most = max(least, whole - around)
            height = whole
        elif low:
            height = head
        self.arguments.set_room(self._most - beside if self._covers else min(self._most - beside, few))
        # Only when it is another height: each time asks for the next layout.
        if self._most != before:
            self.details.updateGeometry()
        self.setFixedHeight(height)

    def _heights(self) -> tuple[int, int]:
        """The height without details and answers, and that without the details, at the width in force."""
        box, answers = self.layout(), self.answers.layout()
        assert box is not None
        assert answers is not None
        margins = box.contentsMargins()
        # The line below the frame is the stylesheet's.
        frame = self.height() - self.contentsRect().height()
        width = self.width() - margins.left() - margins.right()
        head = frame + margins.top() + margins.bottom() + self._head.heightForWidth(width)
        return head, head + 2 * box.spacing() + answers.heightForWidth(width)

    def _answers(self) -> tuple[QPushButton, ...]:
        return (self.refuse, self.once, self.session, self.always, self.block)

    def _fold(self, folded: bool) -> None:
        """Show only what is asked, or the details and the answers too."""
        for part in (self.details, self.answers):
            part.setVisible(not folded)
        self.open_button.setVisible(folded)

    def _cover(self, covers: bool) -> None:
        self.back.setVisible(covers)
        if covers != self._covers:
            self._covers = covers
            self.covering.emit(covers)

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._fit()

    @guarded(default=False)
    def event(self, event: QEvent) -> bool:
        # The height of the window, and what is in the prompt, have changed.
        if event.type() in (QEvent.Type.LayoutRequest, QEvent.Type.Show):
            self._fit()
        if event.type() == QEvent.Type.Show:
            self._show_time()
        return super().event(event)

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.left.emit()
        else:
            super().keyPressEvent(event)


def _name(name: str) -> str:
    """A name from outside: one does not look like another, and reorders nothing beside it."""
    return isolated(revealed_name(" ".join(name.split())))
