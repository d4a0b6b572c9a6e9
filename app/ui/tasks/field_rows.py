"""A field of a task with its label and what is wrong with it, for the composer and for editing a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from app.core.posthog.task_fields import TaskFieldKind, one_line
from app.ui.tasks.field_inputs import CONTEXT, INPUTS, FieldInput
from app.ui.theme import theme, tokens
from app.ui.translation import translate
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.fields import FieldError
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from app.core.posthog.task_fields import TaskField


class TaskFieldRow(QWidget):
    """One field. `typed` when the user changed it; `move_wanted` when a text that is too long is to go elsewhere.

    A text that is too long stays as it is, and is said beside the field while it is typed.
    """

    typed = Signal()
    move_wanted = Signal()

    def __init__(self, field: TaskField, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._field = field
        self.input: FieldInput = INPUTS[field.kind](field)
        self._label = QLabel(translate(CONTEXT, field.label))
        self._label.setBuddy(self.input)
        self.input.setAccessibleName(self.caption)
        self.error = FieldError(self.input)
        self._move = QuietButton(self.tr("Move it to the description"), kind="flat", clicked=self.move_wanted.emit)
        self._move.setVisible(False)
        text = field.kind is TaskFieldKind.TEXT
        current = theme()
        self._head = QWidget()
        head = QHBoxLayout(self._head)
        head.setContentsMargins(0, 0, 0, 0)
        head.setSpacing(current.px(tokens.SPACE_2))
        head.addWidget(self._label)
        if not text:
            head.addWidget(Text(self.tr("optional"), "caption", "muted"))
        head.addStretch()
        wrong = QHBoxLayout()
        wrong.setSpacing(current.px(tokens.SPACE_2))
        wrong.addWidget(self.error, 1)
        wrong.addWidget(self._move)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(current.px(tokens.SPACE_1))
        box.addWidget(self._head)
        box.addWidget(self.input, 1 if text else 0)
        box.addLayout(wrong)
        vertical = QSizePolicy.Policy.Expanding if text else QSizePolicy.Policy.Fixed
        self.setSizePolicy(QSizePolicy.Policy.Preferred, vertical)
        self.input.typed.connect(self._typed)

    @property
    def caption(self) -> str:
        """The label without its mnemonic."""
        return translate(CONTEXT, self._field.label).replace("&", "")

    def text(self) -> str:
        """What is typed."""
        return self.input.text()

    def put(self, text: str) -> None:
        """Show `text`, without `typed`."""
        self.input.put(text)
        self.say("")
        self._check_length()

    def cleaned(self) -> str:
        """What is sent."""
        text = self.text()
        return self._field.clean(one_line(text) if self._field.kind is TaskFieldKind.LINE else text)

    def say(self, words: str) -> None:
        """Show what is wrong; empty for nothing."""
        self.error.say(words)

    def show_head(self, shown: bool) -> None:
        """Show the label, or leave it to the place that the field stands in."""
        self._head.setVisible(shown)

    @property
    def too_long(self) -> bool:
        """Whether the server would not take a text of this length."""
        return bool(self._field.longest) and len(self.cleaned()) > self._field.longest

    def mistake(self) -> str:
        """Why the text cannot be sent; empty if it can."""
        text = self.cleaned()
        if self.too_long:
            words = self.tr("{0} characters. A title has {1} at most.")
            return words.format(f"{len(text):,}", self._field.longest)
        if self._field.pattern is not None and text and not self._field.pattern.fullmatch(text):
            return translate(CONTEXT, self._field.mistake)
        return ""

    def focus(self) -> None:
        """Put the focus into the field."""
        self.input.setFocus(Qt.FocusReason.OtherFocusReason)

    def _typed(self) -> None:
        self.say("")
        self._check_length()
        self.typed.emit()

    def _check_length(self) -> None:
        too_long = self.too_long
        if too_long:
            self.say(self.mistake())
        self._move.setVisible(too_long)
