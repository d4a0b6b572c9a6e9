"""The inputs of the fields of a task, one for each kind of `core/posthog/task_fields.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import QComboBox, QCompleter, QLineEdit, QListView, QPlainTextEdit, QSizePolicy

from app.core.posthog.task_fields import TaskFieldKind
from app.ui.theme import theme
from app.ui.translation import translate
from app.ui.widgets.guard import guarded
from app.ui.widgets.submit_key import is_submit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QKeyEvent
    from PySide6.QtWidgets import QWidget

    from app.core.posthog.task_fields import TaskField

TEXT_AT_LEAST = 96
CONTEXT = "TaskFields"
# By itself a line takes 32,767 characters and cuts the rest.
UNLIMITED = 2**31 - 1


class LineInput(QLineEdit):
    """One line. `typed()` when the user changed it."""

    typed = Signal()

    def __init__(self, field: TaskField, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # What is too long is said beside the field: a text that was pasted is never cut.
        self.setMaxLength(UNLIMITED)
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
        if is_submit(event):
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
        with QSignalBlocker(self):
            self.addItem("")
            self.setCurrentIndex(-1)
        popup = self.view()
        if isinstance(popup, QListView):
            popup.setRowHidden(0, True)
        completer = QCompleter(self.model(), self)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.setCompleter(completer)
        line = self.lineEdit()
        if line is not None:
            line.setMaxLength(UNLIMITED)
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
        """Offer these texts. What is typed stays, with its cursor and what can be undone in it."""
        # Row by row, and without moving the current one: a box that is emptied, or whose current item goes or moves,
        # writes into its field. So does one that gets its first item, hence the empty row, which nobody sees.
        current = self.currentIndex()
        wanted = [text for text in dict.fromkeys(texts) if text and text != self.itemText(max(current, 0))]
        rows = [row for row in range(1, self.count()) if row != current]
        for row, text in zip(rows, wanted, strict=False):
            self.setItemText(row, text)
        self.addItems(wanted[len(rows) :])
        for row in reversed(rows[len(wanted) :]):
            if row > current:
                self.removeItem(row)


FieldInput = LineInput | TextInput | SuggestedInput
INPUTS: dict[TaskFieldKind, type[FieldInput]] = {
    TaskFieldKind.LINE: LineInput,
    TaskFieldKind.TEXT: TextInput,
    TaskFieldKind.SUGGESTED: SuggestedInput,
}
