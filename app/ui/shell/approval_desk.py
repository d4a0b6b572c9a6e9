"""Brings the questions of agents to the user: the prompt above the place, the mark in the task bar, a notification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QWidget
from shiboken6 import isValid

from app.core.mcp.json_text import NotJson, write_json
from app.core.mcp.proxy.parts import Decision
from app.marks import isolated, revealed_name
from app.ui.shell.notices import APPROVAL_ID
from app.ui.shell.panes import holds_focus

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.errors import BurrowError
    from app.core.mcp.proxy.approvals import ApprovalQuestion, Approvals
    from app.ui.bridge import Bridge
    from app.ui.context import Navigator
    from app.ui.shell.approval_prompt import ApprovalPrompt
    from app.ui.shell.notices import Notices

# More values than these take noticeably long to write as text.
MANY = 5_000


class ApprovalDesk(QObject):
    """Shows the open questions one after the other, the oldest first, and passes on what the user says.

    `place(prompt)` puts the prompt into the window, `leave()` gives the focus back to the place in view. While the
    desk is there, somebody can be asked.
    """

    def __init__(
        self,
        window: QWidget,
        navigator: Navigator,
        approvals: Approvals,
        bridge: Bridge,
        notices: Notices,
        *,
        place: Callable[[ApprovalPrompt], None],
        leave: Callable[[], None],
    ) -> None:
        super().__init__(window)
        self._window, self._navigator, self._approvals, self._bridge = window, navigator, approvals, bridge
        self._notices, self._place, self._leave = notices, place, leave
        self.prompt: ApprovalPrompt | None = None
        # What had the focus before the user went to the prompt.
        self._back: QWidget | None = None
        self._told: set[ApprovalQuestion] = set()
        self._texts: dict[ApprovalQuestion, str] = {}
        bridge.listen(self, approvals.changed, lambda _nothing: self._show())
        approvals.attended = True
        self._show()

    @property
    def waiting(self) -> int:
        """How many questions wait."""
        return len(self._approvals.open)

    def go(self) -> None:
        """Put the focus on the prompt, if there is a question."""
        prompt = self.prompt
        if prompt is None or prompt.isHidden():
            return
        if not holds_focus(prompt):
            self._back = self._window.focusWidget()
        prompt.expand(True)
        prompt.take_focus()

    def _show(self) -> None:
        questions = self._approvals.open
        self._told.intersection_update(questions)
        self._texts = {each: text for each, text in self._texts.items() if each in questions}
        self._mark(len(questions))
        if not questions:
            self._clear()
            return
        first = questions[0]
        text = self._text_of(first)
        if text is None:
            # Nothing is asked before all of it can be read.
            self._clear()
            return
        prompt = self._made()
        former = prompt.question
        if former is not None and former is not first:
            self._notices.withdraw(APPROVAL_ID)
        held = holds_focus(prompt)
        prompt.show_question(first, text, len(questions))
        if former is not first:
            self._tell(first)
            # From an answer that the next question may not have, too.
            if held:
                prompt.take_focus()

    def _text_of(self, question: ApprovalQuestion) -> str | None:
        """The arguments as text; None while a worker writes it, who then has it shown."""
        if question not in self._texts:
            if has_many(question.arguments):
                self._bridge.spawn(self, self._write(question), done=lambda _: self._show(), key="text")
                return None
            self._texts[question] = arguments_text(question.arguments)
        return self._texts[question]

    async def _write(self, question: ApprovalQuestion) -> None:
        import asyncio

        self._texts[question] = await asyncio.to_thread(arguments_text, question.arguments)

    def _made(self) -> ApprovalPrompt:
        if self.prompt is None:
            from app.ui.shell.approval_prompt import ApprovalPrompt

            self.prompt = ApprovalPrompt()
            self.prompt.answered.connect(self._answer)
            self.prompt.left.connect(self._leave_prompt)
            self.prompt.wanted.connect(self.go)
            self._place(self.prompt)
        return self.prompt

    def _clear(self) -> None:
        prompt = self.prompt
        if prompt is None or prompt.question is None:
            return
        self._notices.withdraw(APPROVAL_ID)
        # Before it hides: Qt gives the focus of a hidden widget to any other one.
        if holds_focus(prompt):
            self._leave_prompt()
        self._back = None
        prompt.clear()

    def _leave_prompt(self) -> None:
        if self.prompt is not None:
            # First: what is covered takes no focus.
            self.prompt.expand(False)
        self._go_back()

    def _go_back(self) -> None:
        back, self._back = self._back, None
        if back is not None and isValid(back) and back.isVisible():
            back.setFocus()
        else:
            self._leave()

    def _answer(self, question: ApprovalQuestion, decision: Decision) -> None:
        prompt = self.prompt
        assert prompt is not None

        def failed(error: BurrowError) -> None:
            if prompt.question is question:
                prompt.show_error(error)

        self._bridge.spawn(
            self,
            self._approvals.answer(question, decision),
            done=lambda _: self._answered(question, decision),
            failed=failed,
        )

    def _answered(self, question: ApprovalQuestion, decision: Decision) -> None:
        if self.prompt is not None:
            self.prompt.set_busy(False)
        # What was decided for good, where it can be found again.
        words = {Decision.ALWAYS: self.tr("Always allowed"), Decision.BLOCK: self.tr("Blocked")}.get(decision)
        if words is not None:
            self._navigator.status(words)
            client = isolated(revealed_name(question.client.name))
            self._navigator.announce(self.tr("{0}. The rules of {1} are in Connect.").format(words, client))

    def _tell(self, question: ApprovalQuestion) -> None:
        if question in self._told or self.prompt is None:
            return
        self._told.add(question)
        keys = self.tr("Ctrl+Shift+A leads to the answers.")
        self._navigator.announce(f"{self.prompt.sentence()} {keys}", assertive=True)
        QApplication.alert(self._window)
        self._notices.approval_wanted(
            self.prompt.title.text(), self.prompt.facts_words(), refuse=lambda: self._refuse(question), review=self.go
        )

    def _refuse(self, question: ApprovalQuestion) -> None:
        """The user refused in a notification, which says what is asked. Nothing happens if it is over."""
        if question in self._approvals.open:
            self._answer(question, Decision.REFUSE)

    def _mark(self, number: int) -> None:
        app = QGuiApplication.instance()
        if isinstance(app, QGuiApplication):
            app.setBadgeNumber(number)


def has_many(arguments: Mapping[str, Any]) -> bool:
    """Whether there are so many values that writing them would keep the window waiting."""
    waiting: list[Any] = [arguments]
    seen = 0
    while waiting:
        value = waiting.pop()
        inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
        seen += len(inner)
        if seen > MANY:
            return True
        waiting.extend(inner)
    return False


def arguments_text(arguments: Mapping[str, Any]) -> str:
    """The arguments as they are read before an answer: JSON, every value as it was sent."""
    try:
        return write_json(dict(arguments))
    except NotJson:
        return repr(dict(arguments))
