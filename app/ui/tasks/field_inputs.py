"""The inputs of the fields of a task, one for each kind of `core/posthog/task_fields.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, QSignalBlocker, Qt, QTimer, Signal
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QComboBox, QCompleter, QListView, QSizePolicy

from app.core.posthog.task_fields import TaskFieldKind
from app.ui.theme import icons, theme, tokens
from app.ui.translation import translate
from app.ui.widgets.completer_keys import CompleterKeys
from app.ui.widgets.guard import guarded
from app.ui.widgets.line_edit import LineEdit
from app.ui.widgets.plain_text import PlainTextEdit
from app.ui.widgets.submit_key import is_submit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QKeyEvent, QPaintEvent
    from PySide6.QtWidgets import QWidget

    from app.core.posthog.task_fields import TaskField
    from app.ui.widgets.paged_popup import ChoiceSource, ChoicesPage, PagedPopup

TEXT_AT_LEAST = 96
# How long typing pauses before the server is asked.
ASK_MS = 300
CONTEXT = "TaskFields"


class LineInput(LineEdit):
    """One line. `typed()` when the user changed it."""

    typed = Signal()

    def __init__(self, field: TaskField, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.setPlaceholderText(translate(CONTEXT, field.hint))
        self.textChanged.connect(lambda _text: self.typed.emit())

    def put(self, text: str) -> None:
        """Show `text` without `typed`."""
        with QSignalBlocker(self):
            self.setText(text)

    def suggest(self, texts: Sequence[str]) -> None:
        """A line has no suggestions."""


class TextInput(PlainTextEdit):
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
        if is_submit(event) or is_submit(event, also=Qt.KeyboardModifier.ShiftModifier):
            event.ignore()
        else:
            super().keyPressEvent(event)


class SuggestedInput(QComboBox):
    """One line with suggestions that contain what is typed. `typed()` when the user changed it.

    With a `source` its popup shows what the server has, searched there, and so do the suggestions once typing pauses.
    """

    typed = Signal()

    def __init__(self, field: TaskField, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.source: ChoiceSource | None = None
        self.popup: PagedPopup | None = None
        self._ask_soon = QTimer(self, singleShot=True, interval=ASK_MS)
        self._ask_soon.timeout.connect(self._ask)
        self.setEditable(True)
        # With a parent from the beginning: Qt takes its frame off, and with it the padding of the stylesheet.
        self.setLineEdit(LineEdit("", self))
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
            CompleterKeys(completer, line)
            line.setPlaceholderText(translate(CONTEXT, field.hint))
            line.setAccessibleName(translate(CONTEXT, field.caption))
            line.textEdited.connect(lambda _text: self._ask_soon.start())
        self.editTextChanged.connect(lambda _text: self.typed.emit())

    def text(self) -> str:
        """What is typed."""
        return self.currentText()

    def put(self, text: str) -> None:
        """Show `text` without `typed`."""
        with QSignalBlocker(self):
            self.setEditText(text)

    @guarded()
    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        # The stylesheet changes the drop-down part, and Qt then draws no arrow in it.
        current = theme()
        side, edge = current.px(12), current.px(tokens.SPACE_2)
        left = edge if self.isRightToLeft() else self.width() - side - edge
        painter = QPainter(self)
        box = QRectF(left, (self.height() - side) / 2, side, side)
        icons.paint_icon(painter, "chevron-down", box, current.colour("muted"))
        painter.end()

    @guarded()
    def showPopup(self) -> None:
        if self.source is None:
            super().showPopup()
            return
        # Loaded when it is first opened.
        from app.ui.widgets.paged_popup import PagedPopup

        self.popup = PagedPopup(self.source, self.accessibleName(), (), None, self)
        self.popup.chosen.connect(self._choose)
        self.popup.open_below(self, self.text(), "")

    def _choose(self, value: str, _text: str) -> None:
        self.setEditText(value)
        self.setFocus(Qt.FocusReason.PopupFocusReason)

    def _ask(self) -> None:
        """Suggest what the server has of what is typed."""
        text = self.text().strip()
        if self.source is not None and text and self.isVisible():
            # What the server cannot say, the popup says.
            self.source.ask(self, text, 0, self._suggest_found, lambda _cause: None)

    def _suggest_found(self, page: ChoicesPage) -> None:
        there = [self.itemText(row) for row in range(1, self.count())]
        found = [each.value for each in page.choices]
        if set(found) - set(there):
            self.suggest([*there, *found])
            completer = self.completer()
            line = self.lineEdit()
            if completer is not None and line is not None and line.hasFocus():
                completer.complete()

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
