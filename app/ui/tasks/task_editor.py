"""The fields of a task that exists, while they are edited on its page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QLineEdit, QVBoxLayout, QWidget

from app.core.posthog.task_fields import TASK_FIELDS
from app.ui.tasks.field_rows import TaskFieldRow
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import PrimaryButton, QuietButton, with_keys
from app.ui.widgets.feedback import InlineCard
from app.ui.widgets.flow import FlowLayout
from app.ui.widgets.guard import guarded
from app.ui.widgets.submit_key import commit_composition, is_submit
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from PySide6.QtGui import QKeyEvent


class TaskEditor(QWidget):
    """Hidden until `show_texts`. `typed` when the user changed something; `save` and `cancel` when they ended.

    What is typed stays until one of the two, whatever has the focus. Enter in the title saves.
    """

    typed = Signal()
    save = Signal()
    cancel = Signal()
    more_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = {each.name: TaskFieldRow(each) for each in TASK_FIELDS}
        self._names: tuple[str, ...] = ()
        current = theme()
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(current.px(tokens.SPACE_2))
        for row in self.rows.values():
            box.addWidget(row)
            row.typed.connect(self._typed)
            row.move_wanted.connect(self._move)
        self.title.returnPressed.connect(self._save)
        self.card = InlineCard()
        box.addWidget(self.card)
        self.save_button = PrimaryButton(self.tr("Save"), clicked=self._save)
        self.cancel_button = QuietButton(self.tr("Cancel"), kind="flat", keys="Esc", clicked=self.cancel.emit)
        self._state = Text(self.tr("Not saved yet"), "caption", "muted")
        self._state.setMinimumHeight(current.px(tokens.CONTROL))
        buttons = FlowLayout()
        for widget in (self.save_button, self.cancel_button, self._state):
            buttons.addWidget(widget)
        box.addLayout(buttons)
        self.setVisible(False)

    @property
    def title(self) -> QLineEdit:
        """The input of the title."""
        line = self.rows["title"].input
        assert isinstance(line, QLineEdit)
        return line

    @property
    def names(self) -> tuple[str, ...]:
        """The fields that are edited; none while it is hidden."""
        return self._names

    def texts(self) -> dict[str, str]:
        """What is typed."""
        return {name: self.rows[name].text() for name in self._names}

    def show_texts(self, texts: Mapping[str, str]) -> None:
        """Edit these fields. A field that has its text already keeps cursor and selection."""
        alone = tuple(texts) == ("title",)
        self._names = tuple(name for name in self.rows if name in texts)
        for name, row in self.rows.items():
            row.setVisible(name in texts)
            row.show_head(not alone)
            if name in texts and row.text() != texts[name]:
                row.put(texts[name])
        self._show_buttons()
        self.setVisible(True)

    def close_now(self) -> None:
        """Hide, without any signal."""
        self._names = ()
        self.card.clear()
        self.setVisible(False)

    def focus(self, name: str) -> None:
        """Put the focus into a field and select its text if it is one line."""
        row = self.rows[name]
        row.focus()
        if isinstance(row.input, QLineEdit):
            row.input.selectAll()

    def say_changed(self, names: Sequence[str]) -> None:
        """Say that somebody else changed these fields meanwhile."""
        captions = ", ".join(self.rows[name].caption for name in names)
        self.card.show_note(
            self.tr("Changed on the server meanwhile: {0}").format(captions),
            self.tr("Below is what the server has. Save replaces it with yours, Cancel keeps it."),
        )

    def _move(self) -> None:
        """Put a title that is too long before the description."""
        if "description" not in self._names:
            self.more_wanted.emit()
        title, description = self.title.text().strip(), self.rows["description"]
        self.rows["title"].put("")
        description.put(f"{title}\n\n{description.text()}".rstrip())
        self._typed()
        description.focus()

    def _typed(self) -> None:
        self._show_buttons()
        self.typed.emit()

    def _show_buttons(self) -> None:
        wrong = next((row.mistake() for name, row in self.rows.items() if name in self._names and row.too_long), "")
        self.save_button.setEnabled(not wrong)
        self.save_button.setToolTip(wrong or with_keys(self.tr("Save"), "Ctrl+Return"))

    def _save(self) -> None:
        for name in self._names:
            words = self.rows[name].mistake()
            if not words and name == "title" and not self.rows[name].cleaned():
                words = self.tr("A task needs a title.")
            if words:
                self.rows[name].say(words)
                self.rows[name].focus()
                return
        self.save.emit()

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        plain = not event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if is_submit(event):
            commit_composition()
            self._save()
        elif plain and event.key() == Qt.Key.Key_Escape:
            self.cancel.emit()
        else:
            super().keyPressEvent(event)
