"""The page of several selected tasks: how many, which, and what can be done with all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.ui.tasks.wording import title_of
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.column import ScrollColumn
from app.ui.widgets.flow import FlowLayout
from app.ui.widgets.guard import guarded
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QKeyEvent

    from app.core.posthog.types import Task

# So many are named; the list beside the page has them all.
NAMED = 12


class SeveralTasks(QWidget):
    """Shows the tasks that it is given, and emits a signal for each action on all of them.

    `pin(bool)`, `archive(bool)`, `delete()`, `left()` on Esc.
    """

    pin = Signal(bool)
    archive = Signal(bool)
    delete = Signal()
    left = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pins = self._archives = True
        self.title = Text(role="title", wrap=True)
        self.pin_button = QuietButton(self.tr("Pin"), "pin", clicked=lambda: self.pin.emit(self._pins))
        self.archive_button = QuietButton(
            self.tr("Archive"), "archive", clicked=lambda: self.archive.emit(self._archives)
        )
        self.delete_button = QuietButton(
            self.tr("Delete"), "trash", kind="danger", keys="Del", clicked=self.delete.emit
        )
        actions = FlowLayout()
        for button in (self.pin_button, self.archive_button, self.delete_button):
            actions.addWidget(button)
        self.names = Text(tone="muted", wrap=True)
        self.note = Text(tone="muted", wrap=True)
        self._area = ScrollColumn(self.tr("Selected tasks"))
        self._area.box.addWidget(self.title)
        self._area.box.addLayout(actions)
        self._area.box.addWidget(self.names)
        self._area.box.addWidget(self.note)
        self._area.box.addStretch()
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._area)

    def show_tasks(self, tasks: Sequence[Task], *, all_pinned: bool, unsent: int) -> None:
        """Show these tasks; `unsent` more rows are selected that are not on the server."""
        self.title.setText(self.tr("{0} tasks selected").format(len(tasks) + unsent))
        self._area.setAccessibleName(self.title.text())
        self._pins = not all_pinned
        self._archives = not all(task.archived for task in tasks)
        self.pin_button.setText(self.tr("Pin") if self._pins else self.tr("Unpin"))
        self.archive_button.setText(self.tr("Archive") if self._archives else self.tr("Unarchive"))
        for button in (self.pin_button, self.archive_button, self.delete_button):
            button.setEnabled(bool(tasks) or button is self.delete_button)
        names = [title_of(task) for task in tasks[:NAMED]]
        if len(tasks) > NAMED:
            names.append(self.tr("and {0} more").format(len(tasks) - NAMED))
        self.names.setText("\n".join(names))
        self.note.setText(self.tr("{0} not sent yet: Pin and Archive leave them as they are.").format(unsent))
        self.note.setVisible(unsent > 0)

    def focus_first(self) -> None:
        """Focus the first action."""
        self.pin_button.setFocus(Qt.FocusReason.ShortcutFocusReason)

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        plain = event.modifiers() == Qt.KeyboardModifier.NoModifier
        if plain and event.key() == Qt.Key.Key_Escape:
            self.left.emit()
        elif plain and event.key() == Qt.Key.Key_Delete and not event.isAutoRepeat():
            self.delete.emit()
        else:
            super().keyPressEvent(event)
