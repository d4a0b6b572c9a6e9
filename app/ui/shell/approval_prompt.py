"""The prompt for a call that an agent wants to make: which client, server and tool, with which arguments.

It stands above the place in view and takes neither the focus nor the window. Enter never allows, and right after a
question has appeared nothing does: what was pressed then was meant for something else.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from PySide6.QtCore import QElapsedTimer, Qt, QTimer, Signal
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from app.core.mcp.json_text import NotJson, write_json
from app.core.mcp.proxy.parts import Decision
from app.marks import isolated, revealed_name
from app.ui.shell.fitted_scroll import FittedScroll
from app.ui.theme import theme, tokens
from app.ui.theme.state import State
from app.ui.widgets.buttons import PrimaryButton, QuietButton, with_keys
from app.ui.widgets.exact_text import ExactText
from app.ui.widgets.feedback import Glyph, InlineCard
from app.ui.widgets.fields import KeyValueGrid
from app.ui.widgets.flow import FlowLayout
from app.ui.widgets.guard import guarded
from app.ui.widgets.text import StatusWord, Text
from app.ui.widgets.times import duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QKeyEvent

    from app.core.errors import BurrowError
    from app.core.mcp.proxy.approvals import Question
    from app.ui.widgets.buttons import ButtonKind

# How long after a question has appeared nothing is allowed.
ARM_MS = 600
# In characters. More is shown when it is asked for.
SHOWN = 20_000
LEAST_LINES, MOST_LINES = 2, 9
# Of the window's height.
LARGEST_SHARE = 0.62
COUNT_MS = 1000


class AnswerButton(QuietButton):
    """An answer. Space, a click or its letter with Alt press it, Enter does not."""

    def __init__(
        self, text: str, letter: str, hint: str, clicked: Callable[[], None], kind: ButtonKind = "quiet"
    ) -> None:
        super().__init__(text, kind=kind, clicked=clicked)
        keys = f"Alt+{letter}"
        self.setShortcut(QKeySequence(keys))
        self.setToolTip(f"{with_keys(text, keys)}\n{hint}")
        self.setAccessibleDescription(hint)

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        # A person who confirms without reading presses Enter.
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            event.ignore()
        else:
            super().keyPressEvent(event)


class ArgumentsText(ExactText):
    """The arguments of a call, as high as they need within a few lines."""

    def __init__(self, name: str) -> None:
        super().__init__(name, fitted=False)
        self.document().documentLayout().documentSizeChanged.connect(lambda _size: self._fit_lines())
        theme().changed.connect(self._fit_lines)
        self._fit_lines()

    def _fit_lines(self) -> None:
        # The document of a QPlainTextEdit measures its height in lines.
        lines = min(max(int(self.document().size().height()), LEAST_LINES), MOST_LINES)
        around = 2 * self.document().documentMargin() + theme().px(tokens.SPACE_3)
        self.setFixedHeight(round(lines * self.fontMetrics().lineSpacing() + around))


class ApprovalPrompt(QFrame):
    """Shows one question; `answered(Question, Decision)` when the user answers it. Hidden until `show_question`.

    `left()` when the user goes back to what they were doing, without an answer.
    """

    answered = Signal(object, object)
    left = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setVisible(False)
        self.setProperty("bar", "attention")
        self.question: Question | None = None
        self._rest_hidden = False
        self._since = QElapsedTimer()
        self._busy = False
        current = theme()
        wide, gap = current.px(tokens.SPACE_4), current.px(tokens.SPACE_2)
        self.title = Text(role="section", wrap=True)
        self.count = Text("", "caption", "muted")
        self.left_time = Text("", "caption", "muted")
        self.claim = StatusWord(State("warning", "", "bad"))
        self.facts = KeyValueGrid()
        self.arguments = ArgumentsText(self.tr("Arguments of the call"))
        self.all_button = QuietButton(self.tr("Show all"), kind="flat", clicked=self._show_all)
        self.hidden = Text("", "caption", "muted", wrap=True)
        self.card = InlineCard()
        self._make_buttons()
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(wide, gap, wide, gap)
        column.setSpacing(gap)
        head = QHBoxLayout()
        head.setSpacing(gap)
        head.addWidget(Glyph("question", "attention"), 0, Qt.AlignmentFlag.AlignTop)
        head.addWidget(self.title, 1)
        side = QVBoxLayout()
        side.setSpacing(0)
        for word in (self.count, self.left_time):
            side.addWidget(word, 0, Qt.AlignmentFlag.AlignRight)
        head.addLayout(side)
        column.addLayout(head)
        for part in (self.claim, self.facts, self.arguments, self.all_button, self.hidden, self.card):
            column.addWidget(part)
        answers = FlowLayout()
        for button in (self.refuse, self.once, self.session, self.always, self.block):
            answers.addWidget(button)
        column.addLayout(answers)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(FittedScroll(content, most=self._highest))
        self._ticker = QTimer(self, interval=COUNT_MS)
        self._ticker.timeout.connect(self._show_time)

    def _make_buttons(self) -> None:
        tr = self.tr
        self.refuse = PrimaryButton(tr("Refuse"), keys="Alt+F", clicked=lambda: self._answer(Decision.REFUSE))
        self.refuse.setShortcut(QKeySequence("Alt+F"))
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
            tr("Sets the policy of the tool to Allow. Nobody is asked about it any more."),
            lambda: self._answer(Decision.ALWAYS),
        )
        self.block = AnswerButton(
            tr("Block"),
            "B",
            tr("Sets the policy of the tool to Block. No client can see or call it any more."),
            lambda: self._answer(Decision.BLOCK),
            "danger",
        )

    def show_question(self, question: Question, number: int) -> None:
        """Show a question; `number` is how many wait in all."""
        if question is not self.question:
            self.question = question
            self._since.start()
            self.set_busy(False)
            self.card.clear()
            self._fill(question)
        self.count.setText(self.tr("1 of {0}").format(number) if number > 1 else "")
        self.count.setVisible(number > 1)
        self._show_time()
        self._ticker.start()
        self.setVisible(True)

    def clear(self) -> None:
        """Nothing is asked any more."""
        self.question = None
        self._ticker.stop()
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

    def _fill(self, question: Question) -> None:
        client, tool = _name(question.client.name), _name(question.tool_title)
        self.title.setText(self.tr("{0} wants to call {1}").format(client, tool))
        self.setAccessibleName(self.title.text())
        self.claim.set_state(State("warning", self._destroys(), "bad"))
        self.claim.setVisible(question.destroys)
        self.facts.put(self.tr("Client"), client)
        self.facts.put(self.tr("Server"), _name(question.server_title))
        self.facts.put(self.tr("Tool"), revealed_name(question.tool))
        try:
            text = write_json(dict(question.arguments))
        except NotJson:
            text = repr(dict(question.arguments))
        self.arguments.set_source(text, min(len(text), SHOWN))
        self.all_button.setText(self.tr("Show all {0} characters").format(self.locale().toString(len(text))))
        self.all_button.setVisible(len(text) > SHOWN)
        names = ", ".join(revealed_name(each) for each in question.hidden[:20])
        self.hidden.setText(self.tr("Not shown, because they are secret: {0}").format(names))
        self.hidden.setVisible(bool(question.hidden))
        # The team has set the policy, and nobody here can change it.
        self.always.setVisible(not question.locked)
        self.block.setVisible(not question.locked)
        self.session.setVisible(bool(question.session))
        for button in (self.refuse, self.once, self.session, self.always, self.block):
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

    def _show_time(self) -> None:
        if self.question is not None:
            seconds = max(0, round(self.question.deadline - time.time()))
            self.left_time.setText(self.tr("{0} left").format(duration(seconds)) if seconds else "")

    def _highest(self) -> int:
        return round(self.window().height() * LARGEST_SHARE)

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.left.emit()
        else:
            super().keyPressEvent(event)


def _name(name: str) -> str:
    """A name from outside: one does not look like another, and reorders nothing beside it."""
    return isolated(revealed_name(" ".join(name.split())))
