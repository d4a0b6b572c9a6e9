"""The steps of a test, from top to bottom as they come: each with its outcome in glyph and word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.marks import revealed
from app.ui.connect.facts import StepOutcome
from app.ui.connect.wording import state_of_step
from app.ui.theme import theme, tokens
from app.ui.widgets.announce import announce
from app.ui.widgets.feedback import InlineCard, clear_layout
from app.ui.widgets.text import StatusWord, Text

if TYPE_CHECKING:
    from app.core.errors import BurrowError
    from app.ui.connect.facts import StepFacts


class _StepLine(QWidget):
    """The state's word in a column of its own, as wide as the longest one; beside it what was tried."""

    def __init__(self, step: StepFacts) -> None:
        super().__init__()
        self.title = Text(step.title, wrap=True, selectable=True)
        self.word = StatusWord(state_of_step(step.outcome))
        self.detail = Text("", "caption", "muted", wrap=True, selectable=True)
        words = QVBoxLayout()
        words.setSpacing(0)
        words.addWidget(self.title)
        words.addWidget(self.detail)
        box = QHBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(theme().px(tokens.SPACE_3))
        column = QWidget()
        room = QHBoxLayout(column)
        room.setContentsMargins(0, 0, 0, 0)
        room.addWidget(self.word)
        room.addStretch()
        words_of = [StatusWord(state_of_step(each)).sizeHint().width() for each in StepOutcome]
        column.setFixedWidth(max(words_of))
        box.addWidget(column, 0, Qt.AlignmentFlag.AlignTop)
        box.addLayout(words, 1)
        self.show_step(step)

    def show_step(self, step: StepFacts) -> None:
        self.word.set_state(state_of_step(step.outcome))
        self.detail.setText(revealed(step.detail))
        self.detail.setVisible(bool(step.detail))
        self.setAccessibleName(f"{step.title}: {state_of_step(step.outcome).word}. {step.detail}".strip())


class TestSteps(QWidget):
    """Hidden until `start`. Whoever listens hears how the last step ended."""

    # pytest takes it for a class of tests otherwise.
    __test__ = False

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.running = False
        self._lines: dict[str, _StepLine] = {}
        self._last: StepFacts | None = None
        self.caption = Text(self.tr("Test"), "section")
        self.card = InlineCard()
        self._column = QVBoxLayout()
        self._column.setSpacing(theme().px(tokens.SPACE_2))
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(theme().px(tokens.SPACE_2))
        box.addWidget(self.caption)
        box.addLayout(self._column)
        box.addWidget(self.card)
        self.setVisible(False)

    def start(self) -> None:
        """Begin anew."""
        self.clear()
        self.running = True
        self.setVisible(True)

    def show_step(self, step: StepFacts) -> None:
        """Show a step, or its outcome."""
        self._last = step
        line = self._lines.get(step.title)
        if line is None:
            line = self._lines[step.title] = _StepLine(step)
            self._column.addWidget(line)
        else:
            line.show_step(step)

    def show_error(self, error: BurrowError) -> None:
        """The test itself could not go on."""
        self.card.show_error(error)

    def stop(self) -> None:
        """It has ended, or is not waited for any more."""
        if self.running and self._last is not None and self._last.outcome is not StepOutcome.RUNNING:
            announce(self, f"{self._last.title}: {state_of_step(self._last.outcome).word}")
        self.running = False

    def clear(self) -> None:
        """Show nothing."""
        self.running = False
        self._lines.clear()
        self._last = None
        clear_layout(self._column)
        self.card.clear()
        self.setVisible(False)

    def text(self) -> str:
        """Everything that is shown, for tests and copying."""
        return "\n".join(line.accessibleName() for line in self._lines.values())
