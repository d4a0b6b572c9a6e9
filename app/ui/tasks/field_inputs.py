"""The inputs of the fields of a task, one for each kind of `core/posthog/task_fields.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import QComboBox, QCompleter, QLineEdit, QPlainTextEdit, QSizePolicy

from app.core.posthog.task_fields import TaskFieldKind
from app.ui.theme import theme
from app.ui.translation import translate
from app.ui.widgets.guard import guarded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QKeyEvent
    from PySide6.QtWidgets import QWidget

    from app.core.posthog.task_fields import TaskField

TEXT_AT_LEAST = 96
CONTEXT = "TaskFields"


class LineInput(QLineEdit):
    """One line. `typed()` when the user changed it."""

    typed = Signal()

    def __init__(self, field: TaskField, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        if field.longest:
            self.setMaxLength(field.longest)
        self.setPlaceholderText(translate(CONTEXT, field.hint))
        self.textChanged.connect(lambda _text: self.typed.emit())

    def put(self, text: str) -> None:
        """Show `text` without `typed`."""
        with QSignalBlocker(self):
            self.setText(text)

    def suggest(self, texts: Sequence[str]) -> None:
        """A line has no suggestions."""


class TextInput(QPlainTextEdit):
    """Several lines. Ctrl+Enter is left to the form. `typed()` when the user changed it."""

    typed = Signal()

    def __init__(self, field: TaskField, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTabChangesFocus(True)
        self.setMinimumHeight(theme().px(TEXT_AT_LEAST))
        self.setPlaceholderText(translate(CONTEXT, field.hint))
        self.textChanged.connect(self.typed)

    def text(self) -> str:
        """What is typed."""
        return self.toPlainText()

    def put(self, text: str) -> None:
        """Show `text` without `typed`."""
        with QSignalBlocker(self):
            self.setPlainText(text)

    def suggest(self, texts: Sequence[str]) -> None:
        """A text has no suggestions."""

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        if is_send_key(event):
            event.ignore()
        else:
            super().keyPressEvent(event)


class SuggestedInput(QComboBox):
    """One line with suggestions that contain what is typed. `typed()` when the user changed it."""

    typed = Signal()

    def __init__(self, field: TaskField, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setEditable(True)
        self.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        completer = QCompleter(self.model(), self)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.setCompleter(completer)
        line = self.lineEdit()
        if line is not None:
            line.setPlaceholderText(translate(CONTEXT, field.hint))
            line.setAccessibleName(translate(CONTEXT, field.caption))
        self.editTextChanged.connect(lambda _text: self.typed.emit())

    def text(self) -> str:
        """What is typed."""
        return self.currentText()

    def put(self, text: str) -> None:
        """Show `text` without `typed`."""
        with QSignalBlocker(self):
            self.setEditText(text)

    def suggest(self, texts: Sequence[str]) -> None:
        """Offer these texts. What is typed stays."""
        typed = self.text()
        with QSignalBlocker(self):
            self.clear()
            # Adding selects the first one, which nobody chose.
            self.addItems(list(texts))
            self.setCurrentIndex(-1)
            self.setEditText(typed)


FieldInput = LineInput | TextInput | SuggestedInput
INPUTS: dict[TaskFieldKind, type[FieldInput]] = {
    TaskFieldKind.LINE: LineInput,
    TaskFieldKind.TEXT: TextInput,
    TaskFieldKind.SUGGESTED: SuggestedInput,
}


def is_send_key(event: QKeyEvent) -> bool:
    """Whether this is Ctrl+Enter, with either Enter key."""
    modifiers = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
    return event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and modifiers == Qt.KeyboardModifier.ControlModifier
