"""QuestionForm: the questions of an agent, each with choices and free text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import QButtonGroup, QVBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.transcript.answers import GivenAnswer
from app.ui.transcript.choice_rows import CheckRow, RadioRow
from app.ui.transcript.shown_text import one_line, plain
from app.ui.widgets.accessible_roles import give_role
from app.ui.widgets.text import Text
from app.ui.widgets.text_field import TextField

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtWidgets import QAbstractButton

    from app.core.runs.items import Question

LONGEST_QUESTION = 4_000
# Agents ask a few. What is beyond that cannot be read, and each is several widgets.
MOST_QUESTIONS, MOST_CHOICES = 20, 50


class QuestionForm(QWidget):
    """`changed()` when something was chosen or typed. What the `title` above asks already is not repeated."""

    changed = Signal()

    def __init__(self, questions: Sequence[Question], title: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._parts = [
            _QuestionPart(question, one_line(question.text) != title, self) for question in questions[:MOST_QUESTIONS]
        ]
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(theme().px(tokens.SPACE_4))
        for part in self._parts:
            box.addWidget(part)
            part.changed.connect(self.changed)

    @property
    def complete(self) -> bool:
        """Whether each question has an answer."""
        return all(part.answered for part in self._parts)

    def answers(self) -> tuple[GivenAnswer, ...]:
        """The answers in the order of the questions."""
        return tuple(part.answer() for part in self._parts)

    def focus_first(self) -> None:
        """Put the focus on the first choice, or on the text."""
        self._parts[0].focus_first()

    def choose(self, number: int) -> bool:
        """Choose by number, from 1, in the first question without an answer. Returns whether there is that choice."""
        part = next((part for part in self._parts if not part.answered), self._parts[-1])
        return part.choose(number)


class _QuestionPart(QWidget):
    """One question."""

    changed = Signal()

    def __init__(self, question: Question, shows_text: bool, parent: QWidget) -> None:
        super().__init__(parent)
        self.question = question
        current = theme()
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(current.px(tokens.SPACE_1))
        words = plain(question.text[:LONGEST_QUESTION])
        # Read before the choices, which stand in it.
        give_role(self, QAccessible.Role.Grouping)
        self.setAccessibleName(words)
        if question.header:
            box.addWidget(Text(one_line(question.header), "caption", "muted"))
        if shows_text:
            box.addWidget(Text(words, "strong", wrap=True, selectable=True))
        self._group = QButtonGroup(self)
        self._group.setExclusive(not question.several)
        self._buttons: list[QAbstractButton] = []
        for number, choice in enumerate(question.choices[:MOST_CHOICES], start=1):
            row = CheckRow() if question.several else RadioRow()
            row.show_choice(number, one_line(choice.label, 200), one_line(choice.description))
            row.toggled.connect(lambda _on: self.changed.emit())
            self._group.addButton(row)
            self._buttons.append(row)
            box.addWidget(row)
        self.other = TextField(self.tr("Other answer to: {0}").format(one_line(question.text, 80)))
        self.other.setPlaceholderText(self.tr("Other answer") if question.choices else self.tr("Answer"))
        self.other.edited.connect(lambda _text: self.changed.emit())
        box.addWidget(self.other)

    def chosen_places(self) -> list[int]:
        return [place for place, button in enumerate(self._buttons) if button.isChecked()]

    def focus_first(self) -> None:
        first = self._buttons[0] if self._buttons else self.other
        first.setFocus(Qt.FocusReason.ShortcutFocusReason)

    @property
    def answered(self) -> bool:
        return bool(self.chosen_places() or self.other.text().strip())

    def answer(self) -> GivenAnswer:
        chosen = tuple(self.question.choices[place].label for place in self.chosen_places())
        return GivenAnswer(chosen, self.other.text().strip())

    def choose(self, number: int) -> bool:
        if not 1 <= number <= len(self._buttons):
            return False
        button = self._buttons[number - 1]
        button.setChecked(not button.isChecked() if self.question.several else True)
        button.setFocus()
        return True
